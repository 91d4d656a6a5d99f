// The columns of a command's answer, known before it is carried out: what drivers ask for by Describe. Pure, any thread.
#pragma once

#include <cstddef>

#include "migration/plan/commands.h"
#include "proxy/console/admin_parser.h"

namespace proxy {

migration::column_list stats_columns(std::size_t workers);
// None: it has no rows. A command may have none where notes are announced.
migration::column_list columns_of(const admin_command&, std::size_t workers);

}  // namespace proxy
