#include "migration/coordinator/migration_run.h"

#include <algorithm>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/base/log.h"
#include "migration/base/refused.h"
#include "migration/base/test_hooks.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr milliseconds shortest_back_off{250}, longest_back_off{10'000};

// The gates are closed or may be: nobody else goes first.
bool at_gate(state s) noexcept { return s == state::cutting_over || s == state::switched; }

}  // namespace

bool waits_for_dba(const migration_row& row) noexcept {
  return row.state == state::paused || (row.state == state::switched && row.rows_differing.value_or(0) > 0);
}

void refuse_cancel(const migration_row& row) {
  std::string hint;
  if (row.state == state::cutting_over) hint = "Try again: a cutover that misses its budget goes back to READY.";
  if (row.state == state::switched || row.state == state::cleaning) hint = "After the switch there is only forward.";
  if (is_undoing(row.state)) hint = fmt::format("It is being undone; SHOW MIGRATION {} tells what that waits for.", row.id);
  refuse(protocol::sqlstate::wrong_state, fmt::format("migration {} is {} and cannot be cancelled", row.id, to_string(row.state)), "", hint);
}

void refuse_unless_it_can_cut_over(const migration_row& row) {
  if (before_switch(row.state)) return;
  refuse(protocol::sqlstate::wrong_state, fmt::format("migration {} is {} and cannot cut over", row.id, to_string(row.state)));
}

migration_run::migration_run(boost::asio::any_io_executor executor, row_store& rows, migration_row row, const strategy_maker& make)
    : rows_(rows), row_(std::move(row)), strategy_(make(row_)), wake_(std::move(executor)) {}

std::string migration_run::waiting_for() const {
  const auto named = strategy_->waiting_for();
  return named.empty() || trouble_.empty() ? named + trouble_ : named + "; " + trouble_;
}

void migration_run::wish_pause() {
  if (row_.state == state::paused || !may_go(row_.options.strategy, row_.state, state::paused)) {
    refuse(protocol::sqlstate::wrong_state, fmt::format("migration {} is {} and cannot be paused", row_.id, to_string(row_.state)));
  }
  pause_ = true;
  wake_.cancel();
}

void migration_run::wish_cancel() {
  if (!before_switch(row_.state) || row_.state == state::cutting_over) refuse_cancel(row_);
  cancel_ = true;
  interrupt_preparing();
  wake_.cancel();
}

void migration_run::wish_stop() {
  stop_ = true;
  interrupt_preparing();
  wake_.cancel();
}

void migration_run::wish_cutover() {
  refuse_unless_it_can_cut_over(row_);
  strategy_->cut_over_soon();
  wake_.cancel();
}

// It may be waiting for a lock or for old transactions.
void migration_run::interrupt_preparing() noexcept {
  if (row_.state == state::preparing) strategy_->interrupt();
}

task<void> migration_run::run() {
  std::exception_ptr over;
  try {
    co_await run_steps();
  } catch (...) {
    over = std::current_exception();
  }
  co_await strategy_->stop_work();  // also when the catalog is lost: whoever comes after us has a mover of his own
  if (over) std::rethrow_exception(over);
}

task<void> migration_run::run_steps() {
  bool go_on = true;
  while (go_on && !stop_ && !waits_for_dba(row_) && !is_final(row_.state)) {
    auto found = co_await try_step();
    if (found) go_on = co_await recover(std::move(*found));
  }
}

task<std::optional<migration_run::trouble>> migration_run::try_step() {
  trouble found;
  try {
    co_await step();
    co_return std::nullopt;
  } catch (const superseded&) {
    throw;
  } catch (const catalog_lost&) {
    throw;
  } catch (const pg::interrupted& error) {  // by a wish, which is looked at next
    found = {error.what(), {}, false};
  } catch (const refused& error) {
    found = {error.notice.message + (error.notice.detail.empty() ? "" : "; " + error.notice.detail) +
                 (error.notice.hint.empty() ? "" : "; " + error.notice.hint), error.notice.sqlstate, true};
  } catch (const pg::sql_error& error) {
    if (error.where == "catalog" && error.connection_lost) throw catalog_lost(error.what());
    found = {error.what(), error.sqlstate, !error.connection_lost};
  } catch (const std::exception& error) {
    found = {error.what(), std::string(protocol::sqlstate::internal_error), true};
  }
  co_return std::optional<trouble>(std::move(found));
}

task<void> migration_run::step() {
  const bool changed = co_await obey();
  if (changed) co_return;
  auto next = co_await strategy_->work();
  trouble_.clear();
  back_off_ = {};
  if (next.to) co_await go(*next.to, std::move(next.note));
  if (next.rest.count() > 0) co_await nap(next.rest);
}

// While the gates are closed nothing is wished: what was asked for while CUTTING_OVER was being written ends the attempt before it has begun.
// Nor is a catalog that is away in the way of opening a target.
task<bool> migration_run::obey() {
  if (!before_switch(row_.state)) co_return false;
  if (row_.state == state::cutting_over) {
    if (cancel_) co_await go(state::ready, "not begun: it is being cancelled");
    co_return cancel_;
  }
  if (rows_.lost()) throw catalog_lost("the connection is lost");
  if (!cancel_ && !pause_) co_return false;
  const auto to = cancel_ ? state::cancelling : state::paused;
  cancel_ = pause_ = false;
  if (to == state::paused) row_.resume_to = row_.state;
  co_await strategy_->stop_work();
  co_await go(to, "by a DBA");
  co_return true;
}

task<bool> migration_run::recover(trouble found) {
  log_warning("migration {}: {}: {}", row_.id, to_string(row_.state), found.text);
  trouble_ = found.text;  // of a lost connection, or in a state from which there is only forward: try again
  if (before_switch(row_.state) && !at_gate(row_.state)) {
    if (cancel_) {
      co_await obey();
      co_return true;
    }
    if (found.fatal) {
      co_await fail(std::move(found));
      co_return true;
    }
  }
  co_await strategy_->stop_work();
  if (!at_gate(row_.state)) co_return stop_;  // the coordinator comes back to it, and may run others first
  back_off_ = std::clamp(back_off_ * 2, shortest_back_off, longest_back_off);
  co_await nap(jittered(back_off_));
  co_return true;
}

task<void> migration_run::fail(trouble why) {
  row_.error = fmt::format("{}; then run: RETRY MIGRATION {};", why.text, row_.id);
  row_.sqlstate = why.sqlstate;
  co_await strategy_->stop_work();
  co_await go(state::failing, std::move(why.text));
}

task<void> migration_run::go(state to, std::string note) {
  log_info("migration {}: {} -> {}{}{}", row_.id, to_string(row_.state), to_string(to), note.empty() ? "" : ": ", note);
  co_await rows_.advance(row_, to, std::move(note));
  const auto point = fmt::format("state.{}", to_string(row_.state));
  PGROTOR_STOP_POINT(point);
}

task<void> migration_run::nap(milliseconds time) {
  wake_.expires_after(time);
  co_await wake_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
}

}  // namespace migration
