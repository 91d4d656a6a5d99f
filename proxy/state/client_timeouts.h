// PostgreSQL's time-outs of a session that waits for its client: idle_session_timeout, idle_in_transaction_session_timeout, transaction_timeout.
// A server minds those of the client that has it; one that has none is minded by its session (session_timeouts.cc). Worker's thread only.
#pragma once

#include <chrono>
#include <string_view>

#include "proxy/state/settings.h"

namespace proxy {

struct client_timeouts {
  std::chrono::milliseconds idle_session{}, idle_in_transaction{}, transaction{};  // 0: none
  bool operator==(const client_timeouts&) const = default;
};

// What PostgreSQL takes for a time-out in milliseconds: '5s', '1.5 min', '200'. Zero: none, or no such thing.
std::chrono::milliseconds duration_of(std::string_view) noexcept;
// Is it one of these settings?
bool is_client_timeout(std::string_view setting) noexcept;
// The setting's value; others are nothing to it.
void take(client_timeouts&, std::string_view setting, std::string_view value) noexcept;
// Of a session that starts with `defaults` and has set the rest.
client_timeouts timeouts_of(const settings_ptr&, client_timeouts defaults) noexcept;

// The same, for who asks with every statement: settings hardly ever change.
class latest_timeouts {
 public:
  // Valid until the next call.
  const client_timeouts& of(const settings_ptr& set, const client_timeouts& defaults) noexcept {
    if (set_ == set && defaults_ == defaults) return all_;
    set_ = set;
    defaults_ = defaults;
    return all_ = timeouts_of(set, defaults);
  }

 private:
  settings_ptr set_;
  client_timeouts defaults_, all_;
};

}  // namespace proxy
