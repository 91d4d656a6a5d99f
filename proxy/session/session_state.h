// What a client has made for its session and expects to find again, whatever server runs its next transaction: settings, which are
// replayed, and servers that hold what cannot be replayed, which are parked with it. Part of proxy/session/session.h; the code is in
// session_replay.cc. Worker's thread only.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/shard/server_connection.h"
#include "proxy/state/client_timeouts.h"
#include "proxy/state/settings.h"
#include "proxy/state/sql_statements.h"

namespace proxy {

struct session_state {
  settings_ptr started_with;               // application_name: one pool serves clients of all names
  settings_ptr wanted;
  name_values_ptr told;                    // the ParameterStatus messages that the client knows, as its server sent them
  std::vector<server_ptr> parked;          // one a shard at most
  std::vector<std::string> own_names;      // custom settings that the client has named
  sql_statements sql;                      // made by PREPARE
  std::string notifications;               // not told yet: the client's transaction is open
  settings_ptr scope, scope_of;            // of prepared statements, under those settings
  name_values_ptr reset_to;                // by DISCARD ALL: what the client is to be told at the end
  bool escapes = false;                    // standard_conforming_strings is off, as the client was told last
  bool recodes = false;                    // ... and its characters are not the server's
  std::string standard_text;               // what it has sent then, read with the setting on
  latest_timeouts timeouts;                // the client's own
  std::optional<std::chrono::steady_clock::time_point> block_since;  // the client's transaction block
};

}  // namespace proxy
