// What is left on a server connection when a transaction has ended that may have left something: one query that is put behind it, and
// what its answer means. The server is the judge: what was rolled back, or made inside a function, needs no rules here. Sans-I/O.
// Used by session_replay.cc; worker's thread only. Where there is no answer the server stays with its client, and is asked everything after
// its next transaction: what pgrotor wants to know costs nobody a session.
//
// What each kind of state asks for, and what becomes of it:
//
//   state                     asked of the server                                   then
//   settings                  values by name; all with source 'session'             replayed on whatever server runs the session
//   temporary objects         pg_depend on the temporary schema                     pinned while there
//   advisory locks, session   pg_lock_status()                                      pinned while there
//   cursors WITH HOLD         pg_cursor()                                           pinned while there
//   LISTEN                    pg_listening_channels()                               pinned while there
//   PREPARE as SQL            pg_prepared_statement(), from_sql                     pinned while there
//   currval, lastval          nothing shows it                                      pinned until DISCARD ALL or SEQUENCES
//   LOAD, setseed, dblink, a  nothing shows it                                      pinned until DISCARD ALL
//     process id written down
//   replication origin        only its rightful users may ask                       pinned until it is reset
//   temporary slots           nothing names those of this session alone             pinned until DISCARD ALL
//   pg_backup_start           nothing shows it                                      pinned until pg_backup_stop
//   unknown code (functions, DO, CALL, DDL)   all of the above that can be asked    accordingly
//   writes                    now and then, whether there are triggers and          taken for unknown code if so
//                             functions that speak of any of the above
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/state/settings.h"
#include "routing/analysis/plan.h"

namespace proxy {

using routing::state_bits;
namespace state = routing::state;

// State that a probe can see.
inline constexpr state_bits visible_state = state::temp_objects | state::advisory_locks | state::held_cursors | state::listening | state::sql_statements;
// State that it cannot.
inline constexpr state_bits hidden_state = state::sequence_values | state::random_seed | state::libraries | state::connections | state::origin |
                                           state::temp_slots | state::backup | state::own_process;
// ... of which a statement says that it is gone.
inline constexpr state_bits ended_by_name = state::sequence_values | state::origin | state::backup;
// ... and which a failed transaction leaves all the same.
inline constexpr state_bits outlives_failure = state::sequence_values | state::origin | state::temp_slots | state::backup;

struct probe {
  state_bits state = 0;            // of visible_state
  bool all_settings = false;       // those with source 'session'; expensive, as PostgreSQL makes a row for each setting it has
  std::vector<std::string> names;  // settings to ask by name
  bool triggers = false;           // do the database's triggers look as if they made state?
  bool empty() const noexcept { return state == 0 && !all_settings && names.empty() && !triggers; }
};

// Under settings of its own: it waits for no snapshot, and not long for somebody's lock on a catalog (55P03).
std::string probe_sql(const probe&);
// Of functions: does their text speak of what makes state?
extern const std::string_view speaks_of_state;

struct findings {
  state_bits state = 0;                                                         // what is there
  std::vector<std::string> statements;                                          // those made by PREPARE as SQL
  bool triggers = false;
  std::vector<std::pair<std::string, std::string>> session;                     // all_settings
  std::vector<std::pair<std::string, std::optional<std::string>>> named;        // nullopt: there is no such setting
};
// From the DataRow frames of the answer, one behind the other; nullopt if they are not those of a probe.
std::optional<findings> read_findings(std::string_view rows);

// What settings have by themselves, as seen on servers of one pool. Saves the expensive question after RESET.
class known_defaults {
 public:
  void learn(const probe&, const findings&);
  const std::string* find(std::string_view name) const noexcept;

 private:
  static constexpr std::size_t limit = 200;
  text_pairs values_;
};

// The settings of a server that had `before`. `own`: the custom names that the session itself has used; those are kept when empty, since
// PostgreSQL, too, never forgets them. `user`: who logged in.
settings_ptr settings_after(const settings_ptr& before, const probe&, const findings&, const known_defaults&,
                            const std::vector<std::string>& own, std::string_view user);

}  // namespace proxy
