// Strategy `cdc`: reads and writes stay with the old owner while backfill and change stream (mover.h) make the new one equal; the flip is
// the cutover (cutover.h); until the commit point the way back is to undo what was made, after it there is only forward.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "migration/engine/engine.h"
#include "migration/mover/mover.h"
#include "migration/shard/prepare.h"
#include "migration/strategy/live_cutover.h"
#include "migration/strategy/strangers.h"
#include "migration/strategy/strategy.h"
#include "migration/strategy/throttle.h"

namespace migration {

// From closing the gates to the commit point.
milliseconds cutover_budget(const coordinator_settings&, const migration_row&);

class cdc final : public strategy {
 public:
  cdc(engine&, migration_row&);
  ~cdc() override;

  task<next_step> work() override;
  task<void> stop_work() override;
  void interrupt() noexcept override;
  void cut_over_soon() override { asked_ = true; }
  mover_progress progress() const override;
  std::string waiting_for() const override;

 private:
  struct mover_slot;  // the mover and how it ended

  task<next_step> work_in_state();
  task<next_step> prepare_objects();
  task<next_step> follow_copy();
  task<next_step> catch_up();
  task<next_step> verify_structure();
  task<next_step> wait_ready();
  task<next_step> cut_over();
  task<next_step> after_switch();
  task<next_step> clean();
  task<next_step> undo();  // of FAILING and CANCELLING

  // Before an attempt, and of one.
  task<void> check_fence();
  task<std::string> in_the_way();  // empty when an attempt is worth it
  task<void> check_target();       // what PREPARE has asked of it still holds
  task<next_step> prepare_attempt();
  task<next_step> rest_after(std::string why, clock::time_point began);
  task<next_step> undo_attempt();

  // From the switch on, and the way back (cdc_end.cc).
  task<std::string> compare_rows();
  task<std::uint64_t> clear_side(routing::shard_id, std::unique_ptr<pg::connection>&, bool rows);
  task<std::vector<moving_table>> tables_on(pg::connection&) const;

  task<void> ensure_shards();
  task<std::vector<moving_table>> describe_tables();
  void refuse_other_tables() const;  // unless tables_ are those of the map
  task<void> align_all_sequences();
  task<void> ensure_mover();
  task<void> stop_mover();
  void check_mover() const;                     // rethrows how the mover ended
  routing::distribution distribution() const;  // a copy: the map may be replaced while one works

  engine& engine_;
  migration_row& row_;
  const object_names names_;
  cutover_connections shards_;
  std::vector<moving_table> tables_;
  std::string fingerprint_;
  std::vector<sequence_pair> sequences_;  // of the attempt that is prepared
  std::shared_ptr<mover_slot> mover_;
  mover_progress last_progress_;  // of the mover that has been stopped
  throttle throttle_;
  clock::time_point throttled_at_{};
  std::string waiting_for_;
  state worked_in_;
  std::uint32_t misses_ = 0;
  milliseconds miss_back_off_{0};
  stranger_watch strangers_;
  bool announced_ = false;
  bool asked_ = false;             // for the cutover
  bool fence_checked_ = false;     // since it became READY, or was found so
  bool attempt_prepared_ = false;  // CUTTING_OVER is our own and has not begun
  bool opened_ = false;            // step 5 has been done in this term
  bool snapshot_taken_ = false;    // shards_.snapshot holds one of the target, not yet compared
  bool snapshot_first_ = false;    // it sees the target as it was before it opened
};

}  // namespace migration
