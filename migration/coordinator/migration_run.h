// One migration on its way through the states (DESIGN 7). run() takes it from wherever its row stands to a final state or to
// PAUSED; every transition is persisted before its effect is relied on, so that a new object made from the row goes on where a
// killed coordinator stopped. Coordinator's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "migration/engine/engine.h"
#include "migration/mover/mover.h"
#include "migration/shard/verify.h"
#include "migration/strategy/live_cutover.h"
#include "migration/strategy/strangers.h"
#include "migration/strategy/throttle.h"

namespace migration {

// PAUSED, or SWITCHED with rows that differ: only RESUME goes on (for the latter it is the word that the differences are understood).
bool waits_for_dba(const migration_row&) noexcept;

// Says why a migration in this state cannot be cancelled.
[[noreturn]] void refuse_cancel(const migration_row&);
void refuse_unless_it_can_cut_over(const migration_row&);
// From closing the gates to the commit point.
milliseconds cutover_budget(const coordinator_settings&, const migration_row&);

class migration_run {
 public:
  migration_run(engine&, migration_row);
  ~migration_run();

  // Throws superseded or catalog_lost; everything else is dealt with.
  task<void> run();

  // What a DBA asked for; taken up at the next poll. Each says why not by refuse().
  void wish_pause();
  void wish_cancel();
  void wish_cutover();
  void wish_stop();  // the coordinator ends; the row stays as it is

  const migration_row& row() const noexcept { return row_; }
  mover_progress progress() const;
  std::string waiting_for() const;  // who or what is in the way now
  std::uint32_t retries() const noexcept { return retries_; }

 private:
  struct trouble {
    std::string text, sqlstate;
    bool fatal = false;  // trying again would not help
  };
  struct mover_slot;  // the mover and how it ended

  task<void> step();
  task<void> prepare_objects();
  task<void> follow_copy();
  task<void> catch_up();
  task<void> verify_structure();
  task<void> wait_ready();
  task<void> check_target();  // what PREPARE has asked of it still holds
  task<void> cut_over();
  task<void> rest_after(std::string why, clock::time_point began);
  task<void> undo_attempt();
  task<void> after_switch();
  task<void> clean();
  task<void> undo();  // of FAILING and CANCELLING

  // From the switch on, and the way back (migration_run_end.cc).
  task<std::string> compare_rows();
  task<std::uint64_t> clear_side(routing::shard_id, std::unique_ptr<pg::connection>&, bool rows);
  task<std::vector<moving_table>> tables_on(pg::connection&) const;

  task<void> go(state to, std::string note = "");
  task<void> fail(trouble why);
  task<void> ensure_shards();
  task<std::vector<moving_table>> describe_tables();
  void refuse_other_tables() const;  // unless tables_ are those of the map
  task<void> align_all_sequences();
  task<void> ensure_mover();
  task<void> stop_mover();
  task<void> run_steps();
  task<std::optional<trouble>> try_step();
  task<bool> recover(trouble);  // false: others may go first, this one is tried again later
  task<bool> wishes();        // true: the state has changed or the run has to end
  task<void> nap(milliseconds);
  task<std::string> in_the_way();  // step 0; empty when an attempt is worth it
  void interrupt_preparing() noexcept;
  void check_mover() const;   // rethrows how the mover ended
  routing::distribution distribution() const;  // a copy: the map may be replaced while one works

  engine& engine_;
  migration_row row_;
  object_names names_;
  std::unique_ptr<pg::connection> source_, target_, snapshot_;
  std::vector<moving_table> tables_;
  std::string fingerprint_;
  std::shared_ptr<mover_slot> mover_;
  mover_progress last_progress_;  // of the mover that has been stopped
  throttle throttle_;
  boost::asio::steady_timer wake_;
  std::string waiting_for_;
  std::uint32_t retries_ = 0;
  milliseconds back_off_{0}, miss_back_off_{0};
  stranger_watch strangers_;
  bool announced_ = false;
  bool pause_ = false, cancel_ = false, cutover_ = false, stop_ = false;
  bool opened_ = false;          // step 5 has been done in this term
  bool snapshot_taken_ = false;  // snapshot_ holds one of the target, not yet compared
  bool snapshot_first_ = false;  // it sees the target as it was before it opened
};

}  // namespace migration
