// Questions about one table or sequence of a server, by its quoted and qualified name. Coordinator's thread.
#pragma once

#include <string>

#include "migration/base/task.h"
#include "migration/pg/pg.h"

namespace migration {

task<bool> relation_exists(pg::connection&, std::string quoted);
task<bool> has_rows(pg::connection&, std::string quoted);  // false where it does not exist

}  // namespace migration
