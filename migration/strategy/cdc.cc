#include "migration/strategy/cdc.h"

#include <algorithm>
#include <tuple>

#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/base/test_hooks.h"
#include "migration/engine/recoverer.h"
#include "migration/engine/settle_ownership.h"
#include "migration/engine/table_gate.h"
#include "migration/plan/planner.h"
#include "migration/shard/checks.h"
#include "migration/shard/guard.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr std::uint64_t small_backlog = 1u << 20;  // bytes of WAL: a cutover would reach the marker soon
constexpr milliseconds old_transaction{1'000};     // no attempt while one older than this has touched the set
constexpr milliseconds check_budget{5'000};        // of the fence's checks, while nobody waits for them
constexpr milliseconds shortest_rest{250}, longest_rest{10'000};
constexpr int rest_after_miss = 40;  // times as long as the attempt took, or half of that: clients are held for a twentieth of the time at most

next_step go(state to, std::string note = "") { return {to, std::move(note), {}}; }

}  // namespace

milliseconds cutover_budget(const coordinator_settings& settings, const migration_row& row) {
  return std::min(settings.cutover_budget, row.options.max_pause);
}

// Shared with the mover's coroutine, which may end after the object that made it has let go of it.
struct cdc::mover_slot {
  mover_slot(boost::asio::any_io_executor executor, mover_settings settings) : mover(std::move(executor), std::move(settings)) {}
  migration::mover mover;
  bool ended = false;
  std::exception_ptr error;
};

cdc::cdc(engine& e, migration_row& row) : engine_(e), row_(row), names_(row.id), worked_in_(row.state), strangers_(e) {}
cdc::~cdc() = default;

std::string cdc::waiting_for() const {
  const auto strangers = strangers_.seen();
  return strangers.empty() || waiting_for_.empty() ? strangers + waiting_for_ : strangers + "; " + waiting_for_;
}

mover_progress cdc::progress() const { return mover_ ? mover_->mover.progress() : last_progress_; }

routing::distribution cdc::distribution() const { return *engine_.map()->find_distribution(row_.distribution); }

void cdc::interrupt() noexcept {
  if (shards_.source) shards_.source->interrupt();
  if (shards_.target) shards_.target->interrupt();
}

task<next_step> cdc::work() {
  if (std::exchange(worked_in_, row_.state) != row_.state) waiting_for_.clear();
  try {
    co_return co_await work_in_state();
  } catch (const pg::interrupted&) {
    shards_.source.reset();
    shards_.target.reset();
    throw;
  } catch (...) {  // what is thrown says what it waits for now
    waiting_for_.clear();
    throw;
  }
}

task<next_step> cdc::work_in_state() {
  switch (row_.state) {
    case state::planned: co_return go(state::preparing);
    case state::preparing: co_return co_await prepare_objects();
    case state::copying: co_return co_await follow_copy();
    case state::catching_up: co_return co_await catch_up();
    case state::verifying: co_return co_await verify_structure();
    case state::ready: co_return co_await wait_ready();
    case state::cutting_over: co_return co_await cut_over();
    case state::switched: co_return co_await after_switch();
    case state::cleaning: co_return co_await clean();
    case state::failing:
    case state::cancelling: co_return co_await undo();
    case state::done:
    case state::failed:
    case state::cancelled:
    case state::rolled_back:
    case state::paused: break;  // nothing runs then
  }
  throw std::logic_error(fmt::format("migration {} is {} and runs", row_.id, to_string(row_.state)));
}

task<void> cdc::stop_work() {
  fence_checked_ = false;
  co_await stop_mover();
}

// All or none: what is missing here would be neither moved nor compared, and yet be cleaned.
task<std::vector<moving_table>> cdc::describe_tables() {
  const auto map = engine_.map();  // held: another may take its place while the shard is asked
  std::vector<moving_table> out;
  for (const auto& table : map->tables()) {
    if (table.distribution != row_.distribution) continue;
    auto described = co_await describe_table(*shards_.source, table.schema, table.name, table.key_column);
    out.push_back(std::move(described));
    PGROTOR_STOP_POINT("table.described");
  }
  // The mover keeps its chunks by a table's place in this list: it must be the same in every process.
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return std::tie(a.schema, a.name) < std::tie(b.schema, b.name); });
  co_return out;
}

void cdc::refuse_other_tables() const {
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

task<void> cdc::ensure_shards() {
  auto& [source, target, snapshot] = shards_;
  if (!source || source->broken()) source = co_await engine_.connect(row_.source);
  if (!target || target->broken()) target = co_await engine_.connect(row_.target);
  if (tables_.empty()) tables_ = co_await describe_tables();
  if (!announced_) {
    moving_set set{row_.id, row_.distribution, row_.ranges, row_.source, row_.target};
    co_await engine_.gates.announce(std::move(set));
    announced_ = true;
  }
  strangers_.start(row_, tables_);
}

task<next_step> cdc::prepare_objects() {
  refuse_unless_owned(*engine_.map(), row_);
  const auto felt = co_await engine_.gates.latency();
  throttle_.learn(felt);
  co_await ensure_shards();
  co_await check_shard(*shards_.source);
  co_await check_shard(*shards_.target);
  const auto moving = distribution();
  co_await check_tables(*shards_.source, *shards_.target, moving, row_, tables_, engine_.settings.pg_dump);
  ledger_in_turn book(engine_);
  table_gate at_source(engine_, row_, row_.source, waiting_for_), at_target(engine_, row_, row_.target, waiting_for_);
  co_await prepare(book, *shards_.source, *shards_.target, moving, row_, tables_, engine_.settings.pg_dump, &at_source, &at_target);
  co_await settle_ownership(engine_, *shards_.source, row_.source, &at_source);
  co_await settle_ownership(engine_, *shards_.target, row_.target, &at_target);  // widened under the guard that PREPARE has just put up
  co_await align_all_sequences();
  co_return go(state::copying);
}

task<void> cdc::align_all_sequences() {
  const auto pairs = co_await pair_sequences(*shards_.source, *shards_.target, tables_);
  if (pairs.empty()) co_return;
  std::map<std::string, std::int64_t> highest;
  const auto map = engine_.map();
  for (const auto& shard : map->shards()) {
    const auto connection = co_await engine_.connect(shard.id);
    co_await find_highest(*connection, tables_, highest);
  }
  co_await align_sequences(*shards_.source, *shards_.target, tables_, row_, highest);
}

task<void> cdc::ensure_mover() {
  co_await ensure_shards();
  if (mover_) co_return check_mover();
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
  throttled_at_ = clock::now();
  auto running = mover_->mover.run();
  boost::asio::co_spawn(engine_.executor, std::move(running), [slot = mover_](std::exception_ptr error) {
    slot->error = error;
    slot->ended = true;
  });
}

task<void> cdc::stop_mover() {
  if (!mover_) co_return;
  last_progress_ = mover_->mover.progress();
  mover_->mover.stop();
  while (!mover_->ended) co_await sleep_for(milliseconds(5));
  mover_.reset();
}

void cdc::check_mover() const {
  if (!mover_->ended) return;
  if (mover_->error) std::rethrow_exception(mover_->error);
  throw std::runtime_error("the mover ended without being asked to");
}

task<next_step> cdc::follow_copy() {
  co_await ensure_mover();
  const auto now = progress();
  if (now.copied) co_return go(state::catching_up, fmt::format("{} rows copied", now.rows_copied));
  if (clock::now() >= throttled_at_ + std::chrono::seconds(1)) {
    throttled_at_ = clock::now();
    const auto felt = co_await engine_.gates.latency();
    const double factor = throttle_.judge(felt);
    mover_->mover.set_throttle(factor, throttle_.reason());
  }
  co_return next_step{{}, "", engine_.settings.poll};
}

task<next_step> cdc::catch_up() {
  co_await ensure_mover();
  const auto now = progress();
  if (now.copied && now.held_bytes == 0 && now.backlog() < small_backlog) co_return go(state::verifying);
  co_return next_step{{}, "", engine_.settings.poll};
}

task<next_step> cdc::verify_structure() {
  co_await ensure_mover();
  co_await advance_sequences(*shards_.source, *shards_.target, tables_);
  co_return go(state::ready);
}

task<next_step> cdc::wait_ready() {
  co_await ensure_mover();
  if (!fence_checked_) co_await check_fence();
  fence_checked_ = true;
  if (row_.options.auto_cutover || asked_) {
    waiting_for_ = co_await in_the_way();
    if (waiting_for_.empty()) co_return co_await prepare_attempt();
  }
  co_return next_step{{}, "", engine_.settings.poll};
}

// That it could be begun now, so that nobody waits for an attempt that cannot succeed.
task<void> cdc::check_fence() {
  auto& source = *shards_.source;
  if (fingerprint_.empty()) fingerprint_ = co_await recorded_fingerprint(source, row_.id);
  const auto standing = co_await begin_fence(source, row_.id, tables_, fingerprint_, fence_lock_timeout, check_budget);
  if (standing.outcome == fence_outcome::done) {
    co_await abandon_fence(source);
  } else if (standing.outcome != fence_outcome::lock_missed) {
    refuse(protocol::sqlstate::wrong_state, fmt::format("the fence of migration {} cannot be trusted", row_.id), standing.note,
           "Settle definitions and triggers first.");
  }
}

task<std::string> cdc::in_the_way() {
  const auto now = progress();
  if (!now.copied || now.held_bytes > 0) co_return "changes are held for chunks that are not loaded";
  if (now.backlog() > small_backlog) co_return fmt::format("the target is {} bytes of WAL behind", now.backlog());
  const auto oldest = co_await engine_.gates.oldest(row_.id);
  if (oldest && oldest->age >= old_transaction) {
    const auto application = oldest->application.empty() ? std::string("unknown") : oldest->application;
    co_return fmt::format("client {} (user {}, application {}, server pid {}) has a transaction open on the moving set for {:.1f} s",
                          oldest->client, oldest->user, application, oldest->server_pid, static_cast<double>(oldest->age.count()) / 1000);
  }
  auto who = co_await blockers(*shards_.source, row_.id, tables_, old_transaction);
  if (!who.empty()) engine_.recovery->hasten(row_.source);  // it may be a transaction in doubt
  co_return who;
}

// The fingerprint speaks for the source; nobody has written the target's down.
task<void> cdc::check_target() {
  problems here, found;
  for (const auto& table : tables_) {
    co_await check_table(*shards_.target, table, here);
    co_await check_alike(*shards_.source, *shards_.target, table, found);
  }
  found.add_of(shards_.target->where(), here);
  found.refuse_if_any(shards_.target->where());
}

// All that can be done before the state says that an attempt is under way.
task<next_step> cdc::prepare_attempt() {
  refuse_unless_owned(*engine_.map(), row_);
  refuse_other_tables();
  co_await check_target();
  if (!shards_.snapshot || shards_.snapshot->broken()) shards_.snapshot = co_await engine_.connect(row_.target);
  sequences_ = co_await pair_sequences(*shards_.source, *shards_.target, tables_);
  co_await engine_.gates.warm(row_.id, milliseconds(2'000));
  {
    const auto turn = co_await engine_.catalog_turn.lock();
    co_await engine_.book().warm_switch();
  }
  ++row_.attempt;
  attempt_prepared_ = true;
  co_return go(state::cutting_over, fmt::format("attempt {}", row_.attempt));
}

task<next_step> cdc::cut_over() {
  if (!std::exchange(attempt_prepared_, false)) co_return co_await undo_attempt();
  fence_checked_ = false;
  const auto began = clock::now();
  live_cutover steps(engine_, row_, shards_, waiting_for_, cutover_attempt{tables_, fingerprint_, sequences_, mover_->mover});
  const auto why = co_await migration::cut_over(steps, cutover_budget(engine_.settings, row_));
  if (why) co_return co_await rest_after(*why, began);
  ++engine_.cutovers;
  opened_ = true;
  snapshot_taken_ = true;
  snapshot_first_ = steps.snapshot_first();
  const auto turn = co_await engine_.catalog_turn.lock();
  co_await engine_.book().journal(row_.id, steps.times());
  co_return next_step{};
}

// Of an attempt that was missed.
task<next_step> cdc::rest_after(std::string why, clock::time_point began) {
  ++engine_.cutover_retries;
  std::string who;
  if (++misses_ % 2 == 0) who = co_await blockers(*shards_.source, row_.id, tables_, milliseconds(0));
  if (!who.empty()) why += "; in the way: " + who;
  waiting_for_ = why;
  const auto took = std::chrono::duration_cast<milliseconds>(clock::now() - began);
  miss_back_off_ = std::clamp(std::max(miss_back_off_ * 2, took * rest_after_miss), shortest_rest, longest_rest);
  co_return next_step{state::ready, std::move(why), jittered(miss_back_off_ / 2)};
}

// Of a process that is gone, or one that threw: the register says nothing the catalog does not overrule.
task<next_step> cdc::undo_attempt() {
  live_cutover steps(engine_, row_, shards_, waiting_for_);
  co_await go_back(steps);
  co_return go(state::ready, "the attempt was interrupted; the source is open again");
}

}  // namespace migration
