// Statements that need a strong lock on a busy table: each try waits no longer than a few milliseconds, because everybody who comes
// after a waiting lock request waits too. Used by guard, prepare and cleaner; coordinator's thread.
#pragma once

#include <string>

#include "migration/pg.h"

namespace migration {

// Runs `sql` (one implicit transaction) under a short lock_timeout until it has its locks. After `budget` it throws refused, saying
// what was to be done (`doing`, as "put the guard on public.orders") and who holds a lock on `relation` (quoted name).
task<void> retry_locked(pg::connection&, std::string sql, std::string relation, std::string doing, milliseconds budget);

// Waits without blocking the thread.
task<void> pause_for(milliseconds);
// 1x to 2x of `base`, so that two who collide do not collide again.
milliseconds jittered(milliseconds base);

}  // namespace migration
