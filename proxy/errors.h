// Notices that the proxy itself sends. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

#include "protocol/backend.h"
#include "protocol/sqlstate.h"

namespace proxy {

namespace sqlstate = protocol::sqlstate;

inline protocol::notice make_error(std::string_view code, std::string message, std::string detail = {}, std::string hint = {}) {
  protocol::notice made;
  made.sqlstate = code;
  made.message = std::move(message);
  made.detail = std::move(detail);
  made.hint = std::move(hint);
  return made;
}

inline protocol::notice as_fatal(protocol::notice error) {
  error.severity = "FATAL";
  return error;
}

}  // namespace proxy
