// What a client has made for its session and expects to find again, whatever server runs its next transaction: settings, which are
// replayed, and servers that hold what cannot be replayed, which are parked with it. Part of proxy/session.h; the code is in
// session_state.cc. Worker's thread only.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "proxy/probe.h"
#include "proxy/server_connection.h"
#include "routing/router.h"

namespace proxy {

// What the transaction under way may leave.
class state_of_transaction {
 public:
  void note(const routing::session_effects&);
  // The names that the effects leave open or give; `values` are those of the statement's parameters.
  void name(const routing::session_effects&, std::span<const routing::parameter> values);
  void note_unknown() noexcept { makes_ |= state::anything; }
  void note_any_setting() noexcept;  // a setting has changed, and nothing said which
  void note_undone() noexcept { resets_ = true; }
  void note_failure() noexcept { resets_ = failed_ = true; }

  // What to ask of a server that has `applied` and is kept for `pinned`.
  probe question(const settings_ptr& applied, state_bits pinned, const known_defaults&, const std::vector<std::string>& own,
                 const std::vector<std::string>& others) const;
  // What no question can show, after a server that was kept for `pinned`.
  state_bits hidden(state_bits pinned) const noexcept;
  const std::vector<std::string>& names() const noexcept { return names_; }
  bool changes_settings() const noexcept { return (makes_ & (state::settings | state::anything)) != 0; }
  void clear() noexcept;

 private:
  state_bits makes_ = 0, ends_ = 0;
  bool resets_ = false, any_setting_ = false, failed_ = false;
  std::vector<std::string> names_;
};

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

// `left` with what the session started with, where that has been reset.
settings_ptr or_as_started(const settings_ptr& left, const settings_ptr& started_with);

// Adds what is not there yet, up to a number that no application reaches.
void remember_name(std::vector<std::string>& names, const std::string& name);

}  // namespace proxy
