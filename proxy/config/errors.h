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

using protocol::make_error;

inline protocol::notice connection_broke(std::string_view shard, std::string_view why,
                                         std::string hint = "The transaction did not take effect; retry it.") {
  return make_error(sqlstate::connection_failure, "the connection to shard " + std::string(shard) + " broke", std::string(why), std::move(hint));
}
// ... and nobody knows what came of it (I5).
inline protocol::notice commit_unknown(protocol::notice broke) {
  broke.sqlstate = sqlstate::transaction_unknown;
  broke.message += " while a commit was under way";
  broke.hint = "Find out whether the transaction took effect before you repeat it.";
  return broke;
}

// KILL, or pg_terminate_backend().
inline protocol::notice terminated() { return make_error(sqlstate::admin_shutdown, "terminating connection due to administrator command"); }

inline protocol::notice transaction_aborted() {
  return make_error(sqlstate::failed_transaction, "current transaction is aborted, commands ignored until end of transaction block");
}

inline protocol::notice as_notice(const routing::refusal& why) { return make_error(why.sqlstate, why.message, why.detail, why.hint); }

// With the severity that it has for the client; the words may be a shard's.
inline protocol::notice with_severity(protocol::notice error, std::string_view severity) {
  if (error.severity != severity) error.localized.clear();
  error.severity = severity;
  return error;
}
inline protocol::notice as_fatal(protocol::notice error) { return with_severity(std::move(error), "FATAL"); }
inline protocol::notice as_warning(protocol::notice what) { return with_severity(std::move(what), "WARNING"); }

}  // namespace proxy
