// How a migration moves its rows (DESIGN 10). What strategies differ in is where reads and writes go while it moves, how the other side
// is kept, what the flip is, and the way back; each has its states and the ways between them in plan/state.cc, and here what is done in
// each. Who runs a migration (coordinator/migration_run.h) knows none of it: it persists, obeys, and tries again.
//
// One for each migration that runs, made anew from its row by who comes after a crash. Coordinator's thread.
#pragma once

#include <optional>
#include <string>

#include "migration/base/task.h"
#include "migration/mover/mover_settings.h"
#include "migration/plan/state.h"

namespace migration {

struct next_step {
  std::optional<state> to;  // to be persisted before anything relies on it; none: not yet, or the row says so already (the commit point)
  std::string note;         // for the journal
  milliseconds rest{0};     // before work() is called again
};

class strategy {
 public:
  virtual ~strategy() = default;
  // Does in the row's state what can be done without waiting for clients, DBAs or the stream. Throws refused when trying again would not
  // help, pg::sql_error, catalog_lost, superseded, and pg::interrupted after interrupt().
  virtual task<next_step> work() = 0;
  // Ends what goes on beside work(), which begins it again.
  virtual task<void> stop_work() = 0;
  virtual void interrupt() noexcept = 0;  // work() waits for locks no longer
  virtual void cut_over_soon() = 0;       // a DBA's word, where auto_cutover is off
  virtual mover_progress progress() const = 0;
  virtual std::string waiting_for() const = 0;  // who or what is in the way now
};

}  // namespace migration
