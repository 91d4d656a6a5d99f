#include "migration/coordinator/migration_run.h"

#include <algorithm>
#include <tuple>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/base/log.h"
#include "migration/base/refused.h"
#include "migration/base/task.h"
#include "migration/base/test_hooks.h"
#include "migration/engine/settle_ownership.h"
#include "migration/engine/table_gate.h"
#include "migration/plan/planner.h"
#include "migration/shard/checks.h"
#include "migration/shard/guard.h"
#include "migration/shard/prepare.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr std::uint64_t small_backlog = 1u << 20;     // bytes of WAL: a cutover would reach the marker soon
constexpr milliseconds old_transaction{1'000};        // step 0 does not start while one older than this has touched the set
constexpr milliseconds check_budget{5'000};            // of the fence's checks, while nobody waits for them
constexpr milliseconds shortest_back_off{250}, longest_back_off{10'000};
constexpr int rest_after_miss = 40;  // times as long as the attempt took, or half of that: clients are held for a twentieth of the time at most

}  // namespace

bool waits_for_dba(const migration_row& row) noexcept {
  return row.state == state::paused || (row.state == state::switched && row.rows_differing.value_or(0) > 0);
}

// Shared with the mover's coroutine, which may end after the run object has let go of it.
struct migration_run::mover_slot {
  mover_slot(boost::asio::any_io_executor executor, mover_settings settings) : mover(std::move(executor), std::move(settings)) {}
  migration::mover mover;
  bool ended = false;
  std::exception_ptr error;
};

migration_run::migration_run(engine& e, migration_row row)
    : engine_(e), row_(std::move(row)), names_(row_.id), wake_(e.executor), strangers_(e) {}
migration_run::~migration_run() = default;

std::string migration_run::waiting_for() const {
  const auto strangers = strangers_.seen();
  return strangers.empty() || waiting_for_.empty() ? strangers + waiting_for_ : strangers + "; " + waiting_for_;
}

mover_progress migration_run::progress() const { return mover_ ? mover_->mover.progress() : last_progress_; }

routing::distribution migration_run::distribution() const { return *engine_.map()->find_distribution(row_.distribution); }

void migration_run::wish_pause() {
  using enum state;
  if (row_.state != copying && row_.state != catching_up && row_.state != ready) {
    refuse(protocol::sqlstate::wrong_state, fmt::format("migration {} is {} and cannot be paused", row_.id, to_string(row_.state)));
  }
  pause_ = true;
  wake_.cancel();
}

void refuse_cancel(const migration_row& row) {
  std::string hint;
  if (row.state == state::cutting_over) hint = "Try again: a cutover that misses its budget goes back to READY.";
  if (row.state == state::switched || row.state == state::cleaning) hint = "After the switch there is only forward.";
  if (is_undoing(row.state)) hint = fmt::format("It is being undone; SHOW MIGRATION {} tells what that waits for.", row.id);
  refuse(protocol::sqlstate::wrong_state, fmt::format("migration {} is {} and cannot be cancelled", row.id, to_string(row.state)), "", hint);
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

// It may be waiting for a lock or for old transactions.
void migration_run::interrupt_preparing() noexcept {
  if (row_.state != state::preparing) return;
  if (source_) source_->interrupt();
  if (target_) target_->interrupt();
}

void refuse_unless_it_can_cut_over(const migration_row& row) {
  if (before_switch(row.state)) return;
  refuse(protocol::sqlstate::wrong_state, fmt::format("migration {} is {} and cannot cut over", row.id, to_string(row.state)));
}

milliseconds cutover_budget(const coordinator_settings& settings, const migration_row& row) {
  return std::min(settings.cutover_budget, row.options.max_pause);
}

void migration_run::wish_cutover() {
  refuse_unless_it_can_cut_over(row_);
  cutover_ = true;
  wake_.cancel();
}

task<void> migration_run::run() {
  std::exception_ptr over;
  try {
    co_await run_steps();
  } catch (...) {
    over = std::current_exception();
  }
  co_await stop_mover();  // also when the catalog is lost: whoever comes after us has a mover of his own
  if (over) std::rethrow_exception(over);
}

task<void> migration_run::run_steps() {
  bool go_on = true;
  while (go_on && !stop_ && !waits_for_dba(row_) && !is_final(row_.state)) {
    auto found = co_await try_step();
    if (found) {
      go_on = co_await recover(std::move(*found));
    } else {
      waiting_for_.clear();
      back_off_ = {};
    }
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
    source_.reset();
    target_.reset();
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

task<bool> migration_run::recover(trouble found) {
  log_warning("migration {}: {}: {}", row_.id, to_string(row_.state), found.text);
  waiting_for_ = found.text;  // of a lost connection, or in a state from which there is only forward: try again
  const bool at_gate = row_.state == state::cutting_over || row_.state == state::switched;
  if (before_switch(row_.state) && !at_gate) {
    if (cancel_) {
      co_await wishes();
      co_return true;
    }
    if (found.fatal) {
      co_await fail(std::move(found));
      co_return true;
    }
  }
  co_await stop_mover();
  if (!at_gate) co_return stop_;  // the coordinator comes back to it, and may run others first
  back_off_ = std::clamp(back_off_ * 2, shortest_back_off, longest_back_off);
  co_await nap(jittered(back_off_));
  co_return true;
}

task<void> migration_run::step() {
  switch (row_.state) {
    case state::planned: co_return co_await go(state::preparing);
    case state::preparing: co_return co_await prepare_objects();
    case state::copying: co_return co_await follow_copy();
    case state::catching_up: co_return co_await catch_up();
    case state::verifying: co_return co_await verify_structure();
    case state::ready: co_return co_await wait_ready();
    case state::cutting_over: co_return co_await undo_attempt();  // found so after a restart
    case state::switched: co_return co_await after_switch();
    case state::cleaning: co_return co_await clean();
    case state::failing:
    case state::cancelling: co_return co_await undo();
    case state::done:
    case state::failed:
    case state::cancelled:
    case state::rolled_back:
    case state::paused: co_return;  // run() does not come here
  }
}

task<void> migration_run::go(state to, std::string note) {
  const auto from = row_.state;
  log_info("migration {}: {} -> {}{}{}", row_.id, to_string(from), to_string(to), note.empty() ? "" : ": ", note);
  journal_entry entry{std::string(to_string(from)), std::string(to_string(to)), "", row_.attempt, 0, std::move(note)};
  {
    const auto turn = co_await engine_.catalog_turn.lock();
    co_await engine_.book().advance(row_, from, to, std::move(entry));
  }
  const auto point = fmt::format("state.{}", to_string(row_.state));
  PGROTOR_STOP_POINT(point);
}

task<void> migration_run::fail(trouble why) {
  row_.error = fmt::format("{}; then run: RETRY MIGRATION {};", why.text, row_.id);
  row_.sqlstate = why.sqlstate;
  ++engine_.failed;
  co_await stop_mover();
  co_await go(state::failing, std::move(why.text));
}

// All or none: what is missing here would be neither moved nor compared, and yet be cleaned.
task<std::vector<moving_table>> migration_run::describe_tables() {
  const auto map = engine_.map();  // held: another may take its place while the shard is asked
  std::vector<moving_table> out;
  for (const auto& table : map->tables()) {
    if (table.distribution != row_.distribution) continue;
    auto described = co_await describe_table(*source_, table.schema, table.name, table.key_column);
    out.push_back(std::move(described));
    PGROTOR_STOP_POINT("table.described");
  }
  // The mover keeps its chunks by a table's place in this list: it must be the same in every process.
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return std::tie(a.schema, a.name) < std::tie(b.schema, b.name); });
  co_return out;
}

void migration_run::refuse_other_tables() const {
  const auto map = engine_.map();
  std::size_t known = 0, described = 0;
  for (const auto& table : map->tables()) {
    if (table.distribution != row_.distribution) continue;
    ++known;
    described += static_cast<std::size_t>(std::ranges::count_if(tables_, [&](const auto& t) { return t.schema == table.schema && t.name == table.name; }));
  }
  if (known == tables_.size() && known == described) return;
  refuse(protocol::sqlstate::wrong_state, fmt::format("migration {} knows {} of the {} tables of its distribution", row_.id, described, known),
         "The others would stay behind.");
}

task<void> migration_run::ensure_shards() {
  if (!source_ || source_->broken()) source_ = co_await engine_.connect(row_.source);
  if (!target_ || target_->broken()) target_ = co_await engine_.connect(row_.target);
  if (tables_.empty()) tables_ = co_await describe_tables();
  if (!announced_) {
    moving_set set{row_.id, row_.distribution, row_.ranges, row_.source, row_.target};
    co_await engine_.gates.announce(std::move(set));
    announced_ = true;
  }
  strangers_.start(row_, tables_);
}

task<void> migration_run::prepare_objects() {
  const bool elsewhere = co_await wishes();
  if (elsewhere) co_return;
  refuse_unless_owned(*engine_.map(), row_);
  const auto felt = co_await engine_.gates.latency();
  throttle_.learn(felt);
  co_await ensure_shards();
  co_await check_shard(*source_);
  co_await check_shard(*target_);
  const auto moving = distribution();
  co_await check_tables(*source_, *target_, moving, row_, tables_, engine_.settings.pg_dump);
  ledger_in_turn book(engine_);
  table_gate at_source(engine_, row_, row_.source, waiting_for_), at_target(engine_, row_, row_.target, waiting_for_);
  co_await prepare(book, *source_, *target_, moving, row_, tables_, engine_.settings.pg_dump, &at_source, &at_target);
  co_await settle_ownership(engine_, *source_, row_.source, &at_source);
  co_await settle_ownership(engine_, *target_, row_.target, &at_target);  // widened under the guard that PREPARE has just put up
  co_await align_all_sequences();
  co_await go(state::copying);
}

task<void> migration_run::align_all_sequences() {
  const auto pairs = co_await pair_sequences(*source_, *target_, tables_);
  if (pairs.empty()) co_return;
  std::map<std::string, std::int64_t> highest;
  const auto map = engine_.map();
  for (const auto& shard : map->shards()) {
    const auto connection = co_await engine_.connect(shard.id);
    co_await find_highest(*connection, tables_, highest);
  }
  co_await align_sequences(*source_, *target_, tables_, row_, highest);
}

task<void> migration_run::ensure_mover() {
  co_await ensure_shards();
  if (mover_ && !mover_->ended) co_return;
  refuse_unless_owned(*engine_.map(), row_);
  mover_settings settings;
  settings.migration = row_.id;
  settings.source = engine_.shard_options(row_.source);
  settings.target = engine_.shard_options(row_.target);
  settings.key_type = distribution().type;
  settings.ranges = row_.ranges;
  settings.tables = tables_;
  settings.names = names_;
  settings.max_rate = row_.options.max_rate;
  mover_ = std::make_shared<mover_slot>(engine_.executor, std::move(settings));
  auto running = mover_->mover.run();
  boost::asio::co_spawn(engine_.executor, std::move(running), [slot = mover_](std::exception_ptr error) {
    slot->error = error;
    slot->ended = true;
  });
}

task<void> migration_run::stop_mover() {
  if (!mover_) co_return;
  last_progress_ = mover_->mover.progress();
  mover_->mover.stop();
  while (!mover_->ended) co_await sleep_for(milliseconds(5));
  mover_.reset();
}

void migration_run::check_mover() const {
  if (!mover_->ended) return;
  if (mover_->error) std::rethrow_exception(mover_->error);
  throw std::runtime_error("the mover ended without being asked to");
}

task<void> migration_run::nap(milliseconds time) {
  wake_.expires_after(time);
  co_await wake_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
}

task<bool> migration_run::wishes() {
  if (stop_) co_return true;
  if (engine_.catalog_lost()) throw catalog_lost("the connection is lost");
  if (cancel_) {
    cancel_ = false;
    co_await stop_mover();
    co_await go(state::cancelling, "by a DBA");
    co_return true;
  }
  if (pause_) {
    pause_ = false;
    row_.resume_to = row_.state;
    co_await stop_mover();
    co_await go(state::paused, "by a DBA");
    co_return true;
  }
  co_return false;
}

task<void> migration_run::follow_copy() {
  co_await ensure_mover();
  auto next_second = clock::now() + std::chrono::seconds(1);
  while (!mover_->mover.progress().copied) {
    const bool elsewhere = co_await wishes();
    if (elsewhere) co_return;
    check_mover();
    if (clock::now() >= next_second) {
      next_second += std::chrono::seconds(1);
      const auto felt = co_await engine_.gates.latency();
      const double factor = throttle_.judge(felt);
      mover_->mover.set_throttle(factor, throttle_.reason());
    }
    co_await nap(engine_.settings.poll);
  }
  co_await go(state::catching_up, fmt::format("{} rows copied", progress().rows_copied));
}

task<void> migration_run::catch_up() {
  co_await ensure_mover();
  for (;;) {
    const bool elsewhere = co_await wishes();
    if (elsewhere) co_return;
    check_mover();
    const auto now = progress();
    if (now.copied && now.held_bytes == 0 && now.backlog() < small_backlog) break;
    co_await nap(engine_.settings.poll);
  }
  co_await go(state::verifying);
}

task<void> migration_run::verify_structure() {
  co_await ensure_mover();
  check_mover();
  const bool elsewhere = co_await wishes();
  if (elsewhere) co_return;
  co_await advance_sequences(*source_, *target_, tables_);
  co_await go(state::ready);
}

task<std::string> migration_run::in_the_way() {
  const auto now = progress();
  if (!now.copied || now.held_bytes > 0) co_return "changes are held for chunks that are not loaded";
  if (now.backlog() > small_backlog) co_return fmt::format("the target is {} bytes of WAL behind", now.backlog());
  const auto oldest = co_await engine_.gates.oldest(row_.id);
  if (oldest && oldest->age >= old_transaction) {
    const auto application = oldest->application.empty() ? std::string("unknown") : oldest->application;
    co_return fmt::format("client {} (user {}, application {}, server pid {}) has a transaction open on the moving set for {:.1f} s",
                          oldest->client, oldest->user, application, oldest->server_pid, static_cast<double>(oldest->age.count()) / 1000);
  }
  co_return co_await blockers(*source_, row_.id, tables_, old_transaction);
}

// The fingerprint speaks for the source; nobody has written the target's down.
task<void> migration_run::check_target() {
  problems here, found;
  for (const auto& table : tables_) {
    co_await check_table(*target_, table, here);
    co_await check_alike(*source_, *target_, table, found);
  }
  found.add_of(target_->where(), here);
  found.refuse_if_any(target_->where());
}

task<void> migration_run::wait_ready() {
  co_await ensure_mover();
  if (fingerprint_.empty()) fingerprint_ = co_await recorded_fingerprint(*source_, row_.id);
  const auto standing = co_await begin_fence(*source_, row_.id, tables_, fingerprint_, fence_lock_timeout, check_budget);
  if (standing.outcome == fence_outcome::done) {
    co_await abandon_fence(*source_);
  } else if (standing.outcome != fence_outcome::lock_missed) {
    refuse(protocol::sqlstate::wrong_state, fmt::format("the fence of migration {} cannot be trusted", row_.id), standing.note,
           "Settle definitions and triggers first.");
  }
  for (;;) {
    const bool elsewhere = co_await wishes();
    if (elsewhere) co_return;
    check_mover();
    if (row_.options.auto_cutover || cutover_) {
      waiting_for_ = co_await in_the_way();
      if (waiting_for_.empty()) break;
    }
    co_await nap(engine_.settings.poll);
  }
  co_await cut_over();
}

task<void> migration_run::cut_over() {
  refuse_unless_owned(*engine_.map(), row_);
  refuse_other_tables();
  co_await check_target();
  if (!snapshot_ || snapshot_->broken()) snapshot_ = co_await engine_.connect(row_.target);
  const auto sequences = co_await pair_sequences(*source_, *target_, tables_);
  co_await engine_.gates.warm(row_.id, milliseconds(2'000));
  {
    const auto turn = co_await engine_.catalog_turn.lock();
    co_await engine_.book().warm_switch();
  }
  ++row_.attempt;
  co_await go(state::cutting_over, fmt::format("attempt {}", row_.attempt));
  if (cancel_) co_return co_await go(state::ready, "not begun: it is being cancelled");  // asked for while that was written
  const auto began = clock::now();
  live_cutover steps(engine_, row_, {source_, target_, snapshot_}, waiting_for_, cutover_attempt{tables_, fingerprint_, sequences, mover_->mover});
  const auto why = co_await migration::cut_over(steps, cutover_budget(engine_.settings, row_));
  if (why) co_return co_await rest_after(*why, began);
  ++engine_.cutovers;
  opened_ = true;
  snapshot_taken_ = true;
  snapshot_first_ = steps.snapshot_first();
  const auto turn = co_await engine_.catalog_turn.lock();
  co_await engine_.book().journal(row_.id, steps.times());
}

// Of an attempt that was missed.
task<void> migration_run::rest_after(std::string why, clock::time_point began) {
  ++retries_;
  ++engine_.cutover_retries;
  std::string who;
  if (retries_ % 2 == 0) who = co_await blockers(*source_, row_.id, tables_, milliseconds(0));
  if (!who.empty()) why += "; in the way: " + who;
  co_await go(state::ready, why);
  waiting_for_ = why;
  const auto took = std::chrono::duration_cast<milliseconds>(clock::now() - began);
  miss_back_off_ = std::clamp(std::max(miss_back_off_ * 2, took * rest_after_miss), shortest_back_off, longest_back_off);
  co_await nap(jittered(miss_back_off_ / 2));
}

// Of a process that is gone: the register says nothing the catalog does not overrule.
task<void> migration_run::undo_attempt() {
  live_cutover steps(engine_, row_, {source_, target_, snapshot_}, waiting_for_);
  co_await go_back(steps);
  co_await go(state::ready, "the attempt was interrupted; the source is open again");
}

}  // namespace migration
