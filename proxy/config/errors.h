// Notices that the proxy itself sends. Pure, any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "protocol/backend.h"
#include "protocol/sqlstate.h"
#include "routing/analysis/plan.h"

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

inline protocol::notice as_notice(const routing::refusal& why) { return make_error(why.sqlstate, why.message, why.detail, why.hint); }

// With the severity that it has for the client; the words may be a shard's.
inline protocol::notice with_severity(protocol::notice error, std::string_view severity) {
  if (error.severity != severity) error.localized.clear();
  error.severity = severity;
  return error;
}
inline protocol::notice as_fatal(protocol::notice error) { return with_severity(std::move(error), "FATAL"); }

}  // namespace proxy
