// What a client has made for its session and expects to find again, whatever server runs its next transaction: settings, which are
// replayed, and servers that hold what cannot be replayed, which are parked with it. Part of proxy/session/session.h; the code is in
// session_replay.cc. Worker's thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "proxy/shard/server_connection.h"
#include "proxy/state/probe.h"
#include "proxy/state/state_of_transaction.h"

namespace proxy {

struct session_state {
  settings_ptr started_with;               // application_name: one pool serves clients of all names
  settings_ptr wanted;
  name_values_ptr told;                    // the ParameterStatus messages that the client knows, as its server sent them
  std::vector<server_ptr> parked;          // one a shard at most
  std::vector<std::string> own_names;      // custom settings that the client has named
  state_of_transaction transaction;
  name_values_ptr reported_before;         // by the attached server, before the transaction changed it
  probe asked;                             // under way on the attached server
  bool probing = false;
  bool adjusting = false;                  // a query that makes settings is under way
  bool typing = false;                     // the types of a statement's parameters are being asked for
  bool seeking = false;                    // a shard is being asked for a prepared transaction
  bool alone = false;                      // nothing of the client's is under way with it
  int probe_tries = 0;
  sql_statements sql;                      // made by PREPARE
  sql_changes sql_changed;                 // by the transaction under way
  bool wrote = false;                      // the transaction may have drawn from a sequence
  bool unsynced = false;                   // the server was sent messages that no Sync has followed yet

  bool asking() const noexcept { return probing || adjusting || typing || seeking; }
};

}  // namespace proxy
