// Statements that need a strong lock on a busy table: each try waits no longer than a few milliseconds, because everybody who comes
// after a waiting lock request waits too. Used by guard, prepare and cleaner; coordinator's thread.
#pragma once

#include <string>
#include <vector>

#include "migration/base/task.h"
#include "migration/pg/pg.h"

namespace migration {

// Keeps those who have not begun on the tables from beginning, for the moment in which somebody needs a lock on them: whoever is in the
// middle of a transaction goes on.
class newcomer_gate {
 public:
  virtual task<void> hold() = 0;  // newcomers wait from now on, until open()
  virtual task<void> open() = 0;
  virtual task<void> forget() = 0;  // ends what hold() began; the gate is known no more
  virtual milliseconds longest_hold() const noexcept = 0;  // of each hold
  virtual void tell(std::string who) const = 0;  // who is in the way, for the DBA

 protected:
  ~newcomer_gate() = default;
};

// One implicit transaction that may be repeated.
struct lock_step {
  std::string sql;
  std::string relation;  // quoted: whose lock it needs
  std::string doing;     // "put the guard on public.orders"
  bool readers = false;  // reading transactions are in its way too
};

// Runs each step under a short lock_timeout until it has its locks. Where that fails and there is a gate, newcomers are held meanwhile: a
// little longer each time, a fifth of the time at most, and not while somebody is in the way who has been for a second. After `budget`
// it throws refused, saying what was to be done and who is in the way; the gate shows that all along.
task<void> take_locks(pg::connection&, std::vector<lock_step>, milliseconds budget, newcomer_gate* = nullptr);

}  // namespace migration
