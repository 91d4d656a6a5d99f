// The steps of a cutover done: shards over the migration's connections, the catalog, and the proxies by their gates. Each step is
// timed. Made by cdc, for one attempt or for what an earlier process left; coordinator's thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "migration/engine/engine.h"
#include "migration/mover/mover.h"
#include "migration/shard/prepare.h"
#include "migration/strategy/cutover.h"

namespace migration {

// What steps 0 to 3 need. go_back() and go_forward() do without.
struct cutover_attempt {
  const std::vector<moving_table>& tables;
  const std::string& fingerprint;
  const std::vector<sequence_pair>& sequences;
  migration::mover& mover;
};

// Of the migration; those that are lost are made again where a step has to go on.
struct cutover_connections {
  std::unique_ptr<pg::connection> source, target;
  std::unique_ptr<pg::connection> snapshot;  // a second session on the target; holds the verify snapshot after step 5
};

class live_cutover : public cutover_steps {
 public:
  live_cutover(engine&, migration_row&, cutover_connections&, std::string& waiting_for, std::optional<cutover_attempt> = {});

  task<refusal> begin_fence(milliseconds budget) override;
  task<bool> close_gates(milliseconds budget) override;
  task<refusal> fence(milliseconds budget) override;
  task<bool> wait_marker(clock::time_point until) override;
  task<void> settle_sequences() override;
  task<void> commit_switch() override;
  task<void> open_target() override;  // throws pg::interrupted when the coordinator ends, as reopen_source()
  task<void> open_gates() override;
  task<void> abandon_fence() override;
  void forget_marker() override;
  task<void> reopen_source() override;
  task<void> reopen_gates() override;

  bool snapshot_first() const noexcept { return snapshot_taken_; }  // after open_target(): of the target, before anybody wrote to it
  // For the journal: "cutover.1" ... with their microseconds, gate_closed_at, gate_opened_at and statements_held.
  const std::vector<journal_entry>& times() const noexcept { return times_; }

 private:
  task<void> done(cutover_step);
  void note(std::string what, std::uint64_t value);
  task<bool> try_open_target();
  void stop_trying() const;

  engine& engine_;
  migration_row& row_;
  cutover_connections& connections_;
  std::string& waiting_for_;  // what step 5 waits for, while it does
  std::optional<cutover_attempt> attempt_;
  std::optional<async_mutex::guard> turn_;  // at the catalog, from step 0 to the commit point: no other map change in between
  routing::shard_map::parts next_;          // generation N+1
  std::shared_ptr<const routing::shard_map> next_map_;
  bool snapshot_taken_ = false;
  clock::time_point closed_at_{}, last_ = clock::now();
  std::vector<journal_entry> times_;
};

}  // namespace migration
