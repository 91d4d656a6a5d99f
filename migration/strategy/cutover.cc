#include "migration/strategy/cutover.h"

#include <algorithm>

#include <fmt/format.h>

#include "migration/base/log.h"
#include "migration/base/test_hooks.h"
#include "migration/shard/prepare.h"
#include "migration/shard/verify.h"

namespace migration {
namespace {

class step_clock {
 public:
  explicit step_clock(const migration_row& row) : row_(row) {}
  void lap(std::string step, std::vector<journal_entry>& into) {
    const auto now = clock::now();
    note(std::move(step), static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now - last_).count()), into);
    last_ = now;
  }
  void note(std::string step, std::uint64_t microseconds, std::vector<journal_entry>& into) const {
    const auto state = std::string(to_string(state::cutting_over));
    into.push_back({state, state, std::move(step), row_.attempt, microseconds, ""});
  }
  std::uint64_t total_us() const {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - start_).count());
  }

 private:
  const migration_row& row_;
  clock::time_point start_ = clock::now(), last_ = start_;
};

marker_token token_of(const migration_row& row) { return {row.id, row.id, row.epoch, row.attempt}; }

// Step 2 or 3 did not come through: back to the old map.
task<void> give_up(cutover_context& c) {
  c.mover.forget_marker();
  co_await reopen_source(c.engine, c.row, c.source);
  co_await c.engine.gates.open(c.row.id);
}

// Step 0, before anybody waits.
task<std::string> begin_history_end(cutover_context& c, milliseconds budget) {
  const auto begun = co_await begin_fence(*c.source, c.row.id, c.tables, c.fingerprint, fence_lock_timeout, budget);
  co_return begun.outcome == fence_outcome::done ? "" : "step 0: " + begun.note;
}

// Steps 2 and 3. Empty: the marker's transaction is durable on the target; else why the attempt ends here.
task<std::string> end_history(cutover_context& c, step_clock& timer, cutover_result& result, clock::time_point until) {
  const auto token = token_of(c.row);
  c.mover.expect_marker(token);
  const auto left = std::chrono::duration_cast<milliseconds>(until - clock::now());
  const auto fenced = co_await fence(*c.source, token, c.tables, fence_lock_timeout, std::max(left, milliseconds(1)));
  timer.lap("cutover.2", result.steps);
  if (fenced.outcome != fence_outcome::done) co_return "step 2: " + fenced.note;
  PGROTOR_STOP_POINT("cutover.2");
  const auto end = co_await c.mover.wait_marker(until);
  timer.lap("cutover.3", result.steps);
  if (!end) co_return "step 3: the target did not reach the marker within the budget";
  PGROTOR_STOP_POINT("cutover.3");
  co_await settle_sequences(*c.source, *c.target, c.sequences);
  timer.lap("cutover.3.sequences", result.steps);
  co_return "";
}

// Step 4, the commit point.
task<void> commit_switch(cutover_context& c, const routing::shard_map::parts& next) {
  const auto from = std::string(to_string(state::cutting_over)), to = std::string(to_string(state::switched));
  const journal_entry entry{from, to, "", c.row.attempt, 0, fmt::format("generation {}", next.number.value)};
  co_await c.engine.book().commit_switch(c.row, next, entry);
}

// Generation N+1 with the set at its new owner, who is active from then on.
routing::shard_map::parts next_map(const cutover_context& c) {
  auto parts = c.engine.map()->with_owner(c.row.distribution, c.row.ranges, c.row.target);
  for (auto& shard : parts.shards) {
    if (shard.id == c.row.target) shard.state = routing::shard_state::active;
  }
  return parts;
}

void stop_trying(const engine& e) {
  if (e.stopping) throw pg::interrupted("the coordinator ends");
}

// One try of step 5; false when the target could not be reached or refused. The snapshot is good for the comparison when the register is
// found closed after it was taken: nothing has been written before it.
task<bool> try_open_target(engine& e, const migration_row& row, std::unique_ptr<pg::connection>& target,
                           std::unique_ptr<pg::connection>& snapshot, bool& snapshot_taken, std::string& waiting_for) {
  try {
    if (!target || target->broken()) target = co_await e.connect(row.target);
    if (!snapshot || snapshot->broken()) snapshot = co_await e.connect(row.target);
    if (!snapshot_taken) {
      co_await take_snapshot(*snapshot);
      const auto then = co_await read_register(*snapshot, row.id);
      if (then.open) co_return true;
    }
    snapshot_taken = true;
    const register_value open{row.epoch, row.attempt, true};
    co_await set_register(*target, row.id, open);  // false: an earlier try came through
    co_return true;
  } catch (const pg::sql_error& error) {
    waiting_for = fmt::format("the target's register is not open yet: {}", error.what());
    log_warning("migration {}: step 5, {}", row.id, waiting_for);
    if (snapshot && snapshot->broken()) snapshot_taken = false;
    co_return false;
  }
}

}  // namespace

task<void> reopen_source(engine& e, const migration_row& row, std::unique_ptr<pg::connection>& source) {
  for (milliseconds wait{10};; wait = std::min(wait * 2, milliseconds(1'000))) {
    stop_trying(e);
    try {
      if (!source || source->broken()) source = co_await e.connect(row.source);
      const auto now = co_await read_register(*source, row.id);
      if (now.open && now.epoch == row.epoch) co_return;
      const register_value open{row.epoch, row.attempt, true};  // greater than closed(epoch, attempt) and than any older epoch
      const bool moved = co_await set_register(*source, row.id, open);
      if (moved) co_return;
    } catch (const pg::sql_error& error) {
      log_warning("migration {}: the source's register could not be opened again: {}", row.id, error.what());
    }
    co_await sleep_for(wait);
  }
}

task<bool> open_target(engine& e, const migration_row& row, std::unique_ptr<pg::connection>& target, std::unique_ptr<pg::connection>& snapshot,
                       std::string& waiting_for) {
  bool snapshot_taken = false;
  for (milliseconds wait{5};; wait = std::min(wait * 2, milliseconds(1'000))) {
    stop_trying(e);
    const bool open = co_await try_open_target(e, row, target, snapshot, snapshot_taken, waiting_for);
    if (open) co_return snapshot_taken;
    co_await sleep_for(wait);
  }
}

task<cutover_result> attempt_cutover(cutover_context& c) {
  cutover_result result;
  std::optional turn(co_await c.engine.catalog_turn.lock());  // no other map change between here and the commit point
  const auto parts = next_map(c);
  const auto budget = std::min(c.engine.settings.cutover_budget, c.row.options.max_pause);
  result.note = co_await begin_history_end(c, budget);
  if (!result.note.empty()) co_return result;
  step_clock timer(c.row);
  const auto until = clock::now() + budget;
  timer.note("gate_closed_at", epoch_microseconds(), result.steps);
  const bool closed = co_await c.engine.gates.close(c.row.id, c.row.attempt, budget / 2, c.engine.settings.hold_budget);
  timer.lap("cutover.1", result.steps);
  if (!closed) {
    co_await abandon_fence(*c.source);
    result.note = "step 1: open transactions that have touched the moving set did not end within the budget";
    co_return result;
  }
  PGROTOR_STOP_POINT("cutover.1");

  try {
    result.note = co_await end_history(c, timer, result, until);
    if (result.note.empty()) co_await commit_switch(c, parts);
  } catch (const pg::sql_error& error) {
    if (error.where == "catalog" && error.connection_lost) throw;  // outcome unknown: gates stay closed until the row is read again
    result.note = error.what();
  }
  if (!result.note.empty()) {
    turn.reset();
    co_await give_up(c);
    co_return result;
  }
  timer.lap("cutover.4", result.steps);
  PGROTOR_STOP_POINT("cutover.4");
  c.engine.set_map(routing::shard_map::make(parts));
  turn.reset();  // others may use the catalog however long the target takes; whatever map they make follows this one
  result.snapshot_taken = co_await open_target(c.engine, c.row, c.target, c.snapshot, c.waiting_for);
  timer.lap("cutover.5", result.steps);
  PGROTOR_STOP_POINT("cutover.5");
  co_await c.engine.gates.publish(c.engine.map());
  const auto seen = co_await c.engine.gates.open(c.row.id);
  timer.lap("cutover.6", result.steps);
  timer.note("gate_opened_at", epoch_microseconds(), result.steps);
  timer.note("statements_held", seen.held_statements, result.steps);
  PGROTOR_STOP_POINT("cutover.6");
  c.row.pause_us = timer.total_us();
  result.switched = true;
  co_return result;
}

}  // namespace migration
