// One migration on its way through the states (DESIGN 7). run() takes it from wherever its row stands to a final state or to where it
// waits for a DBA: asks its strategy what to do, persists each transition before its effect is relied on, obeys the DBA in between, and
// tries again what failed. A new object made from the row goes on where a killed coordinator stopped. Coordinator's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include "migration/coordinator/row_store.h"
#include "migration/strategy/strategy.h"

namespace migration {

// PAUSED, or SWITCHED with rows that differ: only RESUME goes on (for the latter it is the word that the differences are understood).
bool waits_for_dba(const migration_row&) noexcept;

// Say why a migration in this state cannot be cancelled, or cut over.
[[noreturn]] void refuse_cancel(const migration_row&);
void refuse_unless_it_can_cut_over(const migration_row&);

class migration_run {
 public:
  using strategy_maker = std::function<std::unique_ptr<strategy>(migration_row&)>;
  migration_run(boost::asio::any_io_executor, row_store&, migration_row, const strategy_maker&);

  // Once. Throws superseded or catalog_lost; everything else is dealt with.
  task<void> run();

  // What a DBA asked for; taken up between two steps. Each says why not by refuse().
  void wish_pause();
  void wish_cancel();
  void wish_cutover();
  void wish_stop();  // the coordinator ends; the row stays as it is

  const migration_row& row() const noexcept { return row_; }
  mover_progress progress() const { return strategy_->progress(); }
  std::string waiting_for() const;  // who or what is in the way now

 private:
  struct trouble {
    std::string text, sqlstate;
    bool fatal = false;  // trying again would not help
  };

  task<void> run_steps();
  task<std::optional<trouble>> try_step();
  task<void> step();
  task<bool> obey();            // true: a wish has changed the state
  task<bool> recover(trouble);  // false: others may go first, this one is tried again later
  task<void> fail(trouble why);
  task<void> go(state to, std::string note = "");
  task<void> nap(milliseconds);
  void interrupt_preparing() noexcept;

  row_store& rows_;
  migration_row row_;
  std::unique_ptr<strategy> strategy_;
  boost::asio::steady_timer wake_;
  std::string trouble_;
  milliseconds back_off_{0};
  bool pause_ = false, cancel_ = false, stop_ = false;
};

}  // namespace migration
