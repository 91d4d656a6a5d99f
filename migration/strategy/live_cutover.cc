#include "migration/strategy/live_cutover.h"

#include <algorithm>

#include <fmt/format.h>

#include "migration/base/log.h"
#include "migration/base/test_hooks.h"
#include "migration/shard/guard.h"
#include "migration/shard/verify.h"

namespace migration {
namespace {

std::uint64_t microseconds_between(clock::time_point from, clock::time_point to) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(to - from).count());
}

marker_token token_of(const migration_row& row) { return {row.id, row.id, row.epoch, row.attempt}; }

// Generation N+1 with the set at its new owner, who is active from then on.
routing::shard_map::parts map_after(const routing::shard_map& map, const migration_row& row) {
  auto parts = map.with_owner(row.distribution, row.ranges, row.target);
  for (auto& shard : parts.shards) {
    if (shard.id == row.target) shard.state = routing::shard_state::active;
  }
  return parts;
}

}  // namespace

live_cutover::live_cutover(engine& e, migration_row& row, cutover_connections& connections, std::string& waiting_for,
                           std::optional<cutover_attempt> attempt)
    : engine_(e), row_(row), connections_(connections), waiting_for_(waiting_for), attempt_(attempt) {}

// Between two steps of an attempt; tests stop here.
task<void> live_cutover::done(cutover_step step) {
  const auto now = clock::now();
  const auto name = fmt::format("cutover.{}", number_of(step));
  note(name, microseconds_between(last_, now));
  last_ = now;
  PGROTOR_STOP_POINT(name);
  co_return;  // without test hooks nothing else makes it a coroutine
}

void live_cutover::note(std::string what, std::uint64_t value) {
  const auto state = std::string(to_string(state::cutting_over));
  times_.push_back({state, state, std::move(what), row_.attempt, value, ""});
}

task<refusal> live_cutover::begin_fence(milliseconds budget) {
  turn_.emplace(co_await engine_.catalog_turn.lock());
  next_ = map_after(*engine_.map(), row_);
  next_map_ = routing::shard_map::make(next_);
  const auto begun = co_await migration::begin_fence(*connections_.source, row_.id, attempt_->tables, attempt_->fingerprint, fence_lock_timeout, budget);
  if (begun.outcome == fence_outcome::done) co_return std::nullopt;
  turn_.reset();
  co_return begun.note;
}

task<bool> live_cutover::close_gates(milliseconds budget) {
  closed_at_ = last_ = clock::now();
  note("gate_closed_at", epoch_microseconds());
  const bool closed = co_await engine_.gates.close(row_.id, row_.attempt, budget, engine_.settings.hold_budget);
  if (closed) co_await done(cutover_step::close_gates);
  co_return closed;
}

task<refusal> live_cutover::fence(milliseconds budget) {
  const auto token = token_of(row_);
  attempt_->mover.expect_marker(token);
  const auto fenced = co_await migration::fence(*connections_.source, token, attempt_->tables, fence_lock_timeout, budget);
  if (fenced.outcome != fence_outcome::done) co_return fenced.note;
  co_await done(cutover_step::fence);
  co_return std::nullopt;
}

task<bool> live_cutover::wait_marker(clock::time_point until) {
  const auto end = co_await attempt_->mover.wait_marker(until);
  if (end) co_await done(cutover_step::wait_marker);
  co_return end.has_value();
}

task<void> live_cutover::settle_sequences() {
  co_await migration::settle_sequences(*connections_.source, *connections_.target, attempt_->sequences);
  co_await done(cutover_step::settle_sequences);
}

// Only what the catalog itself refuses has certainly not been done.
task<void> live_cutover::commit_switch() {
  const auto from = std::string(to_string(state::cutting_over)), to = std::string(to_string(state::switched));
  const journal_entry entry{from, to, "", row_.attempt, 0, fmt::format("generation {}", next_.number.value)};
  try {
    co_await engine_.book().commit_switch(row_, next_, entry);
  } catch (const superseded&) {
    throw;
  } catch (const pg::sql_error& error) {
    if (error.connection_lost) throw catalog_lost(error.what());
    throw;
  } catch (const std::exception& error) {
    throw catalog_lost(error.what());
  }
  co_await done(cutover_step::commit_switch);
  engine_.set_map(next_map_);
  turn_.reset();  // others may use the catalog however long the target takes; whatever map they make follows this one
}

task<void> live_cutover::open_target() {
  for (milliseconds wait{5};; wait = std::min(wait * 2, milliseconds(1'000))) {
    stop_trying();
    const bool open = co_await try_open_target();
    if (open) break;
    co_await sleep_for(wait);
  }
  co_await done(cutover_step::open_target);
}

// False when the target could not be reached or refused. The snapshot is good for the comparison when the register is found closed
// after it was taken: nothing has been written before it.
task<bool> live_cutover::try_open_target() {
  auto& [source, target, snapshot] = connections_;
  try {
    if (!target || target->broken()) target = co_await engine_.connect(row_.target);
    if (!snapshot || snapshot->broken()) snapshot = co_await engine_.connect(row_.target);
    if (!snapshot_taken_) {
      co_await take_snapshot(*snapshot);
      const auto then = co_await read_register(*snapshot, row_.id);
      if (then.open) co_return true;
    }
    snapshot_taken_ = true;
    const register_value open{row_.epoch, row_.attempt, true};
    co_await set_register(*target, row_.id, open);  // false: an earlier try came through
    co_return true;
  } catch (const pg::sql_error& error) {
    waiting_for_ = fmt::format("the target's register is not open yet: {}", error.what());
    log_warning("migration {}: step 5, {}", row_.id, waiting_for_);
    if (snapshot && snapshot->broken()) snapshot_taken_ = false;
    co_return false;
  }
}

task<void> live_cutover::open_gates() {
  co_await engine_.gates.publish(engine_.map());
  const auto seen = co_await engine_.gates.open(row_.id);
  const auto now = clock::now();
  note("gate_opened_at", epoch_microseconds());
  note("statements_held", seen.held_statements);
  if (attempt_) row_.pause_us = microseconds_between(closed_at_, now);
  co_await done(cutover_step::open_gates);
}

task<void> live_cutover::abandon_fence() {
  turn_.reset();
  co_await migration::abandon_fence(*connections_.source);
}

void live_cutover::forget_marker() { attempt_->mover.forget_marker(); }

task<void> live_cutover::reopen_source() {
  turn_.reset();
  auto& source = connections_.source;
  for (milliseconds wait{10};; wait = std::min(wait * 2, milliseconds(1'000))) {
    stop_trying();
    try {
      if (!source || source->broken()) source = co_await engine_.connect(row_.source);
      const auto now = co_await read_register(*source, row_.id);
      if (now.open && now.epoch == row_.epoch) co_return;
      const register_value open{row_.epoch, row_.attempt, true};  // greater than closed(epoch, attempt) and than any older epoch
      const bool moved = co_await set_register(*source, row_.id, open);
      if (moved) co_return;
    } catch (const pg::sql_error& error) {
      log_warning("migration {}: the source's register could not be opened again: {}", row_.id, error.what());
    }
    co_await sleep_for(wait);
  }
}

task<void> live_cutover::reopen_gates() { co_await engine_.gates.open(row_.id); }

void live_cutover::stop_trying() const {
  if (engine_.stopping) throw pg::interrupted("the coordinator ends");
}

}  // namespace migration
