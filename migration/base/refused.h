// What pgrotor does not do for a DBA, and why. Thrown by whatever a console command runs; any thread.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "protocol/backend.h"

namespace migration {

// A refusal for the DBA with reason and remedy: the exact ALTER TABLE, GRANT or setting to change.
class refused : public std::runtime_error {
 public:
  explicit refused(protocol::notice);
  protocol::notice notice;
};
[[noreturn]] void refuse(std::string_view sqlstate, std::string message, std::string detail = {}, std::string hint = {});

}  // namespace migration
