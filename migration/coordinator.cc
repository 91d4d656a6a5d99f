#include "migration/coordinator.h"

#include <algorithm>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/coordinator_impl.h"
#include "migration/log.h"
#include "migration/prepare.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace asio = boost::asio;
namespace {

std::string conninfo_value(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\\' || c == '\'') out += '\\';
    out += c;
  }
  return out + "'";
}

}  // namespace

pg::connect_options engine::catalog_options() const {
  pg::connect_options options;
  options.dsn = settings.catalog_dsn;
  options.where = "catalog";
  options.application_name = "pgrotor coordinator";
  options.timeout = settings.operation_timeout;
  return options;
}

pg::connect_options engine::shard_options(routing::shard_id id) const {
  const auto* shard = map()->find_shard(id);
  if (!shard) refuse(protocol::sqlstate::undefined_object, fmt::format("shard {} is not in the map any more", id.value));
  pg::connect_options options;
  options.dsn = fmt::format("{} user={} password={}", shard->dsn, conninfo_value(settings.shard_user), conninfo_value(settings.shard_password));
  options.where = "shard " + shard->name;
  options.application_name = "pgrotor coordinator";
  options.timeout = settings.operation_timeout;
  return options;
}

task<std::unique_ptr<pg::connection>> engine::connect(routing::shard_id id) const {
  auto options = shard_options(id);
  co_return co_await pg::connection::open(executor, std::move(options));
}

std::string engine::shard_name(routing::shard_id id) const {
  const auto* shard = map()->find_shard(id);
  return shard ? shard->name : fmt::format("#{}", id.value);
}

task<void> sleep_for(milliseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

std::uint64_t epoch_microseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

coordinator::coordinator(asio::io_context& context, coordinator_settings settings, gates& gates)
    : impl_(std::make_unique<impl>(context, std::move(settings), gates)) {}
coordinator::~coordinator() = default;
task<void> coordinator::start() { co_await impl_->start(); }
task<void> coordinator::run() { co_await impl_->run(); }

void coordinator::stop() {
  asio::post(impl_->engine.executor, [inside = impl_.get()] {
    inside->stopping = true;
    inside->wake.cancel();
    if (inside->current) inside->current->wish_stop();
  });
}

task<answer> coordinator::execute(request wanted) {
  auto work = impl_->execute(std::move(wanted));
  co_return co_await asio::co_spawn(impl_->engine.executor, std::move(work), asio::use_awaitable);
}

std::shared_ptr<const routing::shard_map> coordinator::map() const { return impl_->engine.map(); }
asio::any_io_executor coordinator::executor() const { return impl_->engine.executor; }

coordinator::counts coordinator::read_counts() const noexcept {
  const auto& e = impl_->engine;
  return {e.active.load(), e.done.load(), e.failed.load(), e.cutovers.load(), e.cutover_retries.load()};
}

task<void> coordinator::impl::take_catalog() {
  engine.catalog.reset();
  auto options = engine.catalog_options();
  engine.catalog = co_await catalog::open(engine.executor, std::move(options));
  auto map = co_await engine.catalog->load_map();
  if (!map) refuse(protocol::sqlstate::wrong_state, "the catalog has no map", "", "Run pgrotor init with at least one [[shard]].");
  rows = co_await engine.catalog->load_migrations();
  engine.set_map(std::move(map));
}

task<void> coordinator::impl::start() {
  co_await take_catalog();
  for (const auto& row : rows) {
    if (!gate_starts_closed(row.state)) continue;
    moving_set set{row.id, row.distribution, row.ranges, row.source, row.target};
    co_await engine.gates.announce(std::move(set));
    co_await engine.gates.close(row.id, row.attempt, engine.settings.cutover_budget, engine.settings.hold_budget);
  }
  co_await engine.gates.publish(engine.map());
}

task<void> coordinator::impl::reconnect_catalog() {
  for (milliseconds wait{100}; !stopping; wait = std::min(wait * 2, milliseconds(5'000))) {
    try {
      co_await take_catalog();
      co_await engine.gates.publish(engine.map());
      log_info("catalog: connected again, epoch {}", engine.catalog->epoch());
      co_return;
    } catch (const std::exception& error) {
      log_warning("catalog: {}; traffic goes on under the cached map", error.what());
    }
    co_await sleep_for(wait);
  }
}

migration_row* coordinator::impl::next_row() {
  for (auto& row : rows) {
    const bool undo = std::find(to_undo.begin(), to_undo.end(), row.id) != to_undo.end();
    if (undo || (!waits_for_dba(row) && !is_final(row.state))) return &row;
  }
  return nullptr;
}

task<void> coordinator::impl::run_one(migration_row& row) {
  const auto id = row.id;
  engine.active = 1;
  current = std::make_shared<migration_run>(engine, row);
  std::exception_ptr error;
  try {
    co_await current->run();
  } catch (...) {
    error = std::current_exception();
  }
  engine.active = 0;
  const auto found = std::find_if(rows.begin(), rows.end(), [id](const migration_row& r) { return r.id == id; });
  if (found != rows.end()) *found = current->row();
  ended[id] = current->progress();
  current.reset();
  if (error) std::rethrow_exception(error);
  std::erase(to_undo, id);
  if (!stopping) co_await settle_shards();
}

task<void> coordinator::impl::run() {
  for (const auto& row : rows) {
    if (row.state == state::failed || row.state == state::cancelled) to_undo.push_back(row.id);
  }
  while (!stopping) {
    bool lost = false;
    try {
      if (auto* row = next_row()) {
        co_await run_one(*row);
      } else {
        wake.expires_after(std::chrono::seconds(1));
        co_await wake.async_wait(asio::as_tuple(asio::use_awaitable));
      }
    } catch (const catalog_lost& problem) {
      log_error("catalog: {}", problem.what());
      lost = true;
    } catch (const pg::sql_error& problem) {
      log_error("coordinator: {}", problem.what());
      lost = problem.where == "catalog" && problem.connection_lost;
    }
    if (lost) co_await reconnect_catalog();
  }
  engine.catalog.reset();  // gives the coordinator's lock back at once
}

task<void> coordinator::impl::settle_shards() {
  const auto map = engine.map();
  for (const auto& shard : map->shards()) {
    if (shard.state != routing::shard_state::draining) continue;
    const bool busy = std::any_of(rows.begin(), rows.end(), [&](const migration_row& row) {
      return row.source == shard.id && row.kind == "drain" && !is_final(row.state);
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
  const auto turn = co_await engine.catalog_turn.lock();
  auto parts = engine.map()->all();
  parts.number.value += 1;
  edit(parts);
  const auto next = routing::shard_map::make(parts);
  co_await engine.catalog->save_map(parts, std::move(reason));
  engine.set_map(next);
  co_await engine.gates.publish(next);
}

}  // namespace migration
