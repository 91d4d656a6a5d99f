// The gate of the tables of a distribution on one shard, for who needs a lock on these tables (lock_retry.h): the first touch of a
// transaction waits at the proxies. Made by cdc for PREPARE and for the cleaner. Coordinator's thread.
#pragma once

#include <string>

#include "migration/engine/engine.h"
#include "migration/pg/lock_retry.h"

namespace migration {

class table_gate final : public newcomer_gate {
 public:
  // `waiting_for` is what the migration shows.
  table_gate(engine&, const migration_row&, routing::shard_id, std::string& waiting_for);
  task<void> hold() override;
  task<void> open() override;
  task<void> forget() override;
  milliseconds longest_hold() const noexcept override { return longest_; }  // max_pause, [cutover] budget_ms
  void tell(std::string who) const override { waiting_for_ = std::move(who); }

 private:
  engine& engine_;
  moving_set set_;
  milliseconds longest_;
  std::string& waiting_for_;
  bool announced_ = false;
};

}  // namespace migration
