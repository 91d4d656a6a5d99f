// The log under proxy's name; see migration/base/log.h, which has it because arrows point down.
#pragma once

#include "migration/base/log.h"

namespace proxy {
using migration::log_debug;
using migration::log_error;
using migration::log_failure;
using migration::log_info;
using migration::log_warning;
}  // namespace proxy
