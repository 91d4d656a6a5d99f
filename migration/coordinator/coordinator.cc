#include "migration/coordinator/coordinator.h"

#include <algorithm>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/base/log.h"
#include "migration/base/refused.h"
#include "migration/base/task.h"
#include "migration/base/test_hooks.h"
#include "migration/coordinator/coordinator_impl.h"
#include "migration/coordinator/queue.h"
#include "migration/strategy/strategies.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace asio = boost::asio;
namespace {

constexpr milliseconds find_out_budget{15'000};  // of a command whose outcome is not known, before it is answered so
constexpr milliseconds idle_round{250};          // so soon a lost catalog connection is noticed while nothing moves

}  // namespace

coordinator::coordinator(asio::io_context& context, coordinator_settings settings, gates& gates)
    : impl_(std::make_shared<impl>(context, std::move(settings), gates)) {}
coordinator::~coordinator() = default;
task<void> coordinator::start() { co_await impl_->start(); }
task<void> coordinator::run() { co_await impl_->run(); }
task<void> coordinator::keep_term() { co_await impl_->keeper.run(); }
task<void> coordinator::look_at(routing::shard_id id) { co_await impl_->engine.connect(id); }
term_news coordinator::news() const { return impl_->engine.news(); }

void coordinator::stop() {
  asio::post(impl_->engine.executor, [inside = impl_.get()] {
    inside->stopping = inside->engine.stopping = true;
    inside->watch.stop();
    inside->engine.recovery->stop();
    inside->wake.cancel();
    for (const auto& [id, run] : inside->running) run->wish_stop();
  });
}

task<answer> coordinator::execute(request wanted) {
  auto work = impl_->execute(std::move(wanted));
  co_return co_await asio::co_spawn(impl_->engine.executor, std::move(work), asio::use_awaitable);
}

std::shared_ptr<const routing::shard_map> coordinator::map() const { return impl_->engine.map(); }
asio::any_io_executor coordinator::executor() const { return impl_->engine.executor; }
std::shared_ptr<prepared_names> coordinator::names() const { return impl_->gids; }
std::shared_ptr<commit_recovery> coordinator::recovery() const { return impl_->engine.recovery; }

coordinator::counts coordinator::read_counts() const noexcept {
  const auto& e = impl_->engine;
  return {e.active.load(), e.done.load(), e.failed.load(), e.cutovers.load(), e.cutover_retries.load(), e.recovery->waiting()};
}

task<std::vector<coordinator::migration_figures>> coordinator::read_migrations() {
  auto work = impl_->read_figures();
  co_return co_await asio::co_spawn(impl_->engine.executor, std::move(work), asio::use_awaitable);
}

task<void> coordinator::impl::take_catalog() {
  const bool again = !engine.pass.process.empty();
  engine.catalog.reset();
  auto options = engine.catalog_options();
  engine.catalog = co_await catalog::open(engine.executor, std::move(options), engine.owner, again);
  const auto epoch = engine.catalog->epoch();
  engine.lease->renew(engine.catalog->begun() + engine.owner.lease);
  engine.pass = {engine.catalog->cluster(), engine.owner.process, epoch, engine.lease};
  auto map = co_await engine.book().load_map();
  if (!map) refuse(protocol::sqlstate::wrong_state, "the catalog has no map", "", "Run pgrotor init with at least one [[shard]].");
  rows = co_await engine.book().load_migrations();
  engine.set_map(std::move(map));
  engine.tell([epoch, again](term_news& news) {
    news.catalog_up = true;
    news.epoch = epoch;
    news.reconnects += again ? 1 : 0;
    news.trouble.clear();
  });
  co_await engine.gates.enter(engine.pass);
}

task<void> coordinator::impl::start() {
  co_await take_catalog();
  for (const auto& row : rows) {
    if (!gate_starts_closed(row.state) || waits_for_dba(row)) continue;  // rows have been found to differ: the target has long been open
    moving_set set{row.id, row.distribution, row.ranges, row.source, row.target};
    co_await engine.gates.announce(std::move(set));
    co_await engine.gates.close(row.id, row.attempt, engine.settings.cutover_budget, engine.settings.hold_budget);
  }
  co_await engine.gates.publish(engine.map());
}

// With whoever comes first after a loss; the others find it done. The rows are read in any case: who lost the connection does not know theirs.
task<void> coordinator::impl::ensure_catalog() {
  const auto turn = co_await engine.catalog_turn.lock();
  if (engine.catalog && !engine.catalog->connection().broken()) {
    rows = co_await engine.book().load_migrations();
  } else {
    co_await take_catalog();
    co_await engine.gates.publish(engine.map());
    log_info("catalog: connected again, epoch {}", engine.book().epoch());
  }
  for (auto& row : rows) {
    if (row.state != state::planned || !forsaken.contains(row.job)) continue;
    journal_entry entry{"PLANNED", "CANCELLED", "", 0, 0, "its command was answered with an error"};
    co_await engine.book().advance(row, state::planned, state::cancelled, std::move(entry));
  }
}

task<void> coordinator::impl::reconnect_catalog() {
  std::string told;
  for (milliseconds wait{100}; !stopping; wait = std::min(wait * 2, milliseconds(2'000))) {
    std::string trouble;
    try {
      co_await ensure_catalog();
      co_return;
    } catch (const superseded&) {
      throw;
    } catch (const std::exception& error) {
      trouble = error.what();
    }
    if (std::exchange(told, trouble) != trouble) log_warning("{}; traffic goes on under the cached map", trouble);
    co_await sleep_for(jittered(wait / 2));
  }
}

// After a step whose answer was lost: connects anew, which ends the term in which it was asked for. It has been done by then, or never will be.
task<bool> coordinator::impl::find_out(std::function<task<bool>()> happened) {
  for (const auto until = clock::now() + find_out_budget; clock::now() < until && !stopping;) {
    try {
      co_await ensure_catalog();
      const auto turn = co_await engine.catalog_turn.lock();
      co_return co_await happened();
    } catch (const superseded&) {
      throw;
    } catch (const std::exception& error) {
      log_warning("{}", error.what());
    }
    co_await sleep_for(milliseconds(200));
  }
  refuse(protocol::sqlstate::transaction_unknown, "the connection to the catalog was lost, and it is not known whether the command was carried out",
         "The catalog cannot be reached.", "SHOW MIGRATIONS; and SHOW RANGES; tell when it can be.");
}

// One durable step of a command. Returns when it has been done; throws when it has not, and then it never will be. A step of which that is
// known is tried once more: the catalog may have been restarted long before anybody asked it for something.
task<void> coordinator::impl::for_certain(std::function<task<void>()> step, std::function<task<bool>()> happened) {
  std::string lost;
  for (int tries = 0; tries < 2; ++tries) {
    lost = co_await try_step(step);
    if (lost.empty()) co_return;
    const bool done = co_await find_out(happened);
    if (done) co_return;
  }
  refuse(protocol::sqlstate::connection_failure, "the connection to the catalog was lost: " + lost, "Nothing has been done.", "Try again.");
}

// Why it is not known whether the step was done; "" when it was.
task<std::string> coordinator::impl::try_step(const std::function<task<void>()>& step) {
  std::string lost;
  engine.demand_catalog();
  try {
    const auto turn = co_await engine.catalog_turn.lock();
    co_await step();
    if (!test_hooks::broken("lose_answer")) co_return lost;
    engine.catalog.reset();
    lost = "its answer was lost";
  } catch (const pg::sql_error& error) {
    if (error.where != "catalog" || !error.connection_lost) throw;
    lost = error.message;
  }
  co_return lost;
}

const migration_row* coordinator::impl::next_row() const {
  const auto now = clock::now();
  const auto may_begin = [&](const migration_row& row) {
    if (waits_for_dba(row) || changing.contains(row.id) || forsaken.contains(row.job)) return false;
    const auto waiting = aside.find(row.id);
    return waiting == aside.end() || waiting->second.until <= now;
  };
  std::vector<const migration_row*> now_running;
  for (const auto& [id, run] : running) now_running.push_back(&run->row());
  return next_to_begin(rows, now_running, engine.settings.migrations_at_once, may_begin);
}

std::shared_ptr<migration_run> coordinator::impl::run_of(std::uint64_t id) const {
  const auto found = running.find(id);
  return found == running.end() ? nullptr : found->second;
}

void coordinator::impl::begin(const migration_row& row) {
  auto run = std::make_shared<migration_run>(engine.executor, store, row, [this](migration_row& mine) { return make_strategy(engine, mine); });
  running.emplace(row.id, run);
  engine.active = running.size();
  auto following = follow(std::move(run));
  asio::co_spawn(engine.executor, std::move(following), [self = shared_from_this(), id = row.id](std::exception_ptr error) {
    self->running.erase(id);
    self->engine.active = self->running.size();
    if (error && !self->run_failed) self->run_failed = error;
    self->wake.cancel();
  });
}

task<void> coordinator::impl::follow(std::shared_ptr<migration_run> run) {
  const auto id = run->row().id;
  std::exception_ptr error;
  try {
    co_await run->run();
  } catch (...) {
    error = std::current_exception();
  }
  ended[id] = run->progress();
  if (error) std::rethrow_exception(error);  // the catalog knows better than the run's row, and is asked
  const auto found = std::find_if(rows.begin(), rows.end(), [id](const migration_row& r) { return r.id == id; });
  if (found != rows.end()) *found = run->row();
  if (is_final(run->row().state) || waits_for_dba(run->row())) aside.erase(id);
  else if (!stopping) step_aside(aside[id], run->waiting_for());
  if (!stopping) co_await settle_shards();
}

// They have been told to stop.
task<void> coordinator::impl::end_runs() {
  while (!running.empty()) {
    wake.expires_at(clock::time_point::max());
    co_await wake.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

void coordinator::impl::step_aside(waiting_row& row, std::string why) {
  row.wait = std::clamp(row.wait * 2, milliseconds(250), milliseconds(10'000));
  row.until = clock::now() + jittered(row.wait / 2);
  row.why = std::move(why);
}

// Until there may be something to do, or a command wakes us.
task<void> coordinator::impl::wait_for_work() {
  auto until = clock::now() + idle_round;
  for (const auto& [id, waiting] : aside) until = std::min(until, waiting.until);
  wake.expires_at(until);
  co_await wake.async_wait(asio::as_tuple(asio::use_awaitable));
  if (std::exchange(to_settle, false) && !stopping) co_await settle_shards();
}

task<void> coordinator::impl::work() {
  while (!stopping) {
    bool lost = engine.catalog_lost();
    try {
      if (run_failed) std::rethrow_exception(std::exchange(run_failed, nullptr));
      if (lost) {
        log_error("catalog: the connection is lost");
      } else if (const auto* row = next_row()) {
        begin(*row);
      } else {
        if (running.empty()) co_await guard_everywhere();
        co_await wait_for_work();
      }
    } catch (const catalog_lost& problem) {
      log_error("catalog: {}", problem.what());
      lost = true;
    } catch (const pg::sql_error& problem) {
      log_error("coordinator: {}", problem.what());
      lost = problem.where == "catalog" && problem.connection_lost;
    } catch (const refused& problem) {  // the catalog was away for too long while a shard was settled
      log_error("coordinator: {}", problem.notice.message);
      to_settle = true;
    }
    if (lost) co_await reconnect_catalog();
  }
}

task<void> coordinator::impl::run() {
  start_beside(watch.run());
  start_beside(engine.recovery->run());
  std::exception_ptr failed;
  try {
    co_await work();
    co_await end_runs();
  } catch (...) {
    failed = std::current_exception();  // told at once: who still runs uses the catalog, and may not delay what ends with the term
  }
  co_await end_beside();
  if (running.empty()) engine.catalog.reset();
  if (failed) std::rethrow_exception(failed);
  keeper.give_back();
}

void coordinator::impl::start_beside(task<void> part) {
  ++watching;
  asio::co_spawn(engine.executor, std::move(part), [this](std::exception_ptr failed) {
    log_failure("coordinator", failed);
    --watching;
    wake.cancel();
  });
}

task<void> coordinator::impl::end_beside() {
  watch.stop();
  engine.recovery->stop();
  while (watching > 0) {
    wake.expires_at(clock::time_point::max());
    co_await wake.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

task<void> coordinator::impl::settle_shards() {
  const auto map = engine.map();
  for (const auto& shard : map->shards()) {
    if (shard.state != routing::shard_state::draining) continue;
    const bool busy = std::any_of(rows.begin(), rows.end(), [&](const migration_row& row) {
      return row.source == shard.id && row.kind == migration_kind::drain && !is_final(row.state) && !is_undoing(row.state);
    });
    if (busy) continue;
    const bool owns = std::any_of(map->distributions().begin(), map->distributions().end(), [&](const routing::distribution& distribution) {
      return std::any_of(distribution.ranges.begin(), distribution.ranges.end(), [&](const auto& range) { return range.owner == shard.id; });
    });
    const auto next = owns ? routing::shard_state::active : routing::shard_state::drained;
    auto edit = [id = shard.id, next](routing::shard_map::parts& parts) {
      for (auto& each : parts.shards) {
        if (each.id == id) each.state = next;
      }
    };
    co_await change_map(edit, fmt::format("shard {} is {}", shard.name, routing::to_string(next)));
  }
}

task<void> coordinator::impl::change_map(std::function<void(routing::shard_map::parts&)> edit, std::string reason) {
  routing::shard_map::parts parts;
  const auto step = [&]() -> task<void> {
    parts = next_parts(edit);
    const auto next = routing::shard_map::make(parts);
    co_await engine.book().save_map(parts, reason);
    engine.set_map(next);
  };
  const auto happened = [&]() -> task<bool> { co_return co_await engine.book().has_map(parts); };
  co_await for_certain(step, happened);
  co_await engine.gates.publish(engine.map());
}

routing::shard_map::parts coordinator::impl::next_parts(const std::function<void(routing::shard_map::parts&)>& edit) const {
  auto parts = engine.map()->all();
  parts.number.value += 1;
  edit(parts);
  return parts;
}

}  // namespace migration
