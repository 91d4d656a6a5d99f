// The cutover of strategy `cdc` (DESIGN 7, steps 1 to 6), each step timed. Step 4 is the commit point: before it every failure
// leads back to the old map with the gates open; after it only forward. Step 0, the gates that decide whether an attempt is worth
// it, is in migration_run.cc.
//
//   step  what                                            when it fails
//   0     the source transaction of step 2 begins         nothing changed
//   1     close the gates, all workers acknowledge        they reopen by themselves; nothing else happened
//   2     that transaction: lock, register, marker        nothing changed, or the register is read back and opened again
//   3     the applier reaches this attempt's marker       the register is opened with the same attempt (a greater value)
//   4     catalog: map N+1 and SWITCHED, compare-and-set  refused: as 3. Outcome unknown: catalog_unknown, read again
//   5     target snapshot for verify, target register     tried again until it is done: the catalog row justifies it
//   6     workers load N+1, gates open                    cannot fail
#pragma once

#include <string>
#include <vector>

#include "migration/engine/engine.h"
#include "migration/mover/mover.h"
#include "migration/shard/guard.h"
#include "migration/shard/prepare.h"

namespace migration {

struct cutover_context {
  migration::engine& engine;
  migration_row& row;  // CUTTING_OVER, its attempt already counted and persisted
  const std::vector<moving_table>& tables;
  const std::string& fingerprint;
  const std::vector<sequence_pair>& sequences;
  migration::mover& mover;
  std::unique_ptr<pg::connection>& source;
  std::unique_ptr<pg::connection>& target;
  std::unique_ptr<pg::connection>& snapshot;  // a second session on the target; holds the verify snapshot after step 5
  std::string& waiting_for;                   // what step 5 waits for, while it does
};

struct cutover_result {
  bool switched = false;
  bool snapshot_taken = false;       // of the target, before anybody wrote to it
  std::string note;                  // why an attempt was given up: who was in the way
  std::vector<journal_entry> steps;  // "cutover.1" ... with their microseconds, gate_closed_at and gate_opened_at
};

task<cutover_result> attempt_cutover(cutover_context&);

// After a restart, or when step 2 or 3 was given up: the old owner accepts writes again. Tried until it succeeds; reconnects.
task<void> reopen_source(engine&, const migration_row&, std::unique_ptr<pg::connection>& source);
// Steps 5 and 6 for a migration found SWITCHED. `snapshot` holds the target's snapshot afterwards; true when it was taken before the target opened.
task<bool> open_target(engine&, const migration_row&, std::unique_ptr<pg::connection>& target, std::unique_ptr<pg::connection>& snapshot,
                       std::string& waiting_for);

}  // namespace migration
