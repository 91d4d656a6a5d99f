// Statements that need a strong lock on a busy table: each try waits no longer than a few milliseconds, because everybody who comes
// after a waiting lock request waits too. Used by guard, prepare and cleaner; coordinator's thread.
#pragma once

#include <string>
#include <vector>

#include "migration/pg.h"

namespace migration {

class table_gate;

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
task<void> take_locks(pg::connection&, std::vector<lock_step>, milliseconds budget, table_gate* = nullptr);

// Waits without blocking the thread.
task<void> pause_for(milliseconds);
// 1x to 2x of `base`, so that two who collide do not collide again.
milliseconds jittered(milliseconds base);

}  // namespace migration
