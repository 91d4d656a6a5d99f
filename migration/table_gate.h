// Keeps clients of the proxies from beginning on the tables of a distribution on one shard, for the moment in which somebody needs a lock
// on these tables: the first touch of a transaction waits at the gate, whoever is in the middle of one goes on. Made by migration_run
// for PREPARE and for the cleaner, given to take_locks (lock_retry.h). Coordinator's thread.
#pragma once

#include <string>

#include "migration/engine.h"

namespace migration {

class table_gate {
 public:
  // `waiting_for` is what the migration shows.
  table_gate(engine&, const migration_row&, routing::shard_id, std::string& waiting_for);
  // Newcomers wait from now on, until open().
  task<void> hold();
  task<void> open();
  // Ends what hold() began; the gate is known no more.
  task<void> forget();
  // Each hold is at most so long (max_pause, [cutover] budget_ms).
  milliseconds longest_hold() const noexcept { return longest_; }
  void tell(std::string who) const { waiting_for_ = std::move(who); }

 private:
  engine& engine_;
  moving_set set_;
  milliseconds longest_;
  std::string& waiting_for_;
  bool announced_ = false;
};

}  // namespace migration
