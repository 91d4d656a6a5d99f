// Declared in migration/engine/engine.h.
#include "migration/engine/engine.h"

#include <algorithm>
#include <chrono>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/catalog/schema_version.h"
#include "migration/shard/identity.h"
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

// As good as a shard that is down: whoever wanted it tries again later.
pg::sql_error as_down(std::string where, protocol::notice why) {
  return {std::move(where), std::move(why.sqlstate), std::move(why.message), std::move(why.detail), std::move(why.hint), true};
}

[[noreturn]] void throw_lost(std::string why) {
  throw pg::sql_error("catalog", std::string(protocol::sqlstate::connection_failure), "the connection to the catalog is lost and is being made again",
                      std::move(why), "Retry; SHOW CATALOG says how it stands.", true);
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
  options.application_name = "pgrotor coordinator " + owner.process;  // by which a later process knows it: see sql/identity.sql
  if (!pass.process.empty()) options.greeting = enter_sql(pass, id);
  options.timeout = settings.operation_timeout;
  return options;
}

task<std::unique_ptr<pg::connection>> engine::connect(routing::shard_id id, milliseconds timeout) const {
  auto made = co_await connect_to_read(id, timeout);
  const auto found = co_await read_version(*made, schema_part::shard);
  const auto problem = version_problem(*made, schema_part::shard, found);
  if (problem) throw as_down(made->where(), *problem);
  co_return made;
}

task<std::unique_ptr<pg::connection>> engine::connect_to_read(routing::shard_id id, milliseconds timeout) const {
  auto options = shard_options(id);
  if (timeout.count() > 0) options.timeout = timeout;
  std::optional<protocol::notice> problem;
  try {
    co_return co_await pg::connection::open(executor, std::move(options));
  } catch (const pg::sql_error& error) {
    problem = greeting_problem(error.sqlstate);
    if (!problem) throw;
  }
  throw as_down("shard " + shard_name(id), *problem);
}

std::string engine::shard_name(routing::shard_id id) const {
  const auto* shard = map()->find_shard(id);
  return shard ? shard->name : fmt::format("#{}", id.value);
}

std::uint64_t epoch_microseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

catalog& engine::book() const {
  if (!catalog) throw_lost("");
  return *catalog;
}

void engine::demand_catalog() const {
  if (catalog_lost()) throw_lost(news().trouble);
}

task<void> engine::ping_catalog() {
  if (catalog_turn.busy() || catalog_lost()) co_return;
  const auto turn = co_await catalog_turn.lock();
  try {
    co_await catalog->ping();
  } catch (const pg::sql_error&) {
    // The connection knows that it is broken; the coordinator makes another one.
  }
}

task<void> ledger_in_turn::write_ledger(std::uint64_t migration, std::vector<ledger_entry> entries) {
  const auto turn = co_await engine_.catalog_turn.lock();
  co_await engine_.book().write_ledger(migration, std::move(entries));
}

task<std::vector<ledger_entry>> ledger_in_turn::read_ledger(std::uint64_t migration) {
  const auto turn = co_await engine_.catalog_turn.lock();
  co_return co_await engine_.book().read_ledger(migration);
}

task<void> ledger_in_turn::strike_ledger(std::uint64_t migration, ledger_entry entry) {
  const auto turn = co_await engine_.catalog_turn.lock();
  co_await engine_.book().strike_ledger(migration, std::move(entry));
}

term_news engine::news() const {
  const std::lock_guard lock(news_mutex_);
  auto out = news_;
  const auto left = lease->left();
  out.lease_left_seconds = std::max(0.0, std::chrono::duration<double>(left).count());
  if (out.now != term_news::state::lost) {
    out.now = left.count() <= 0 ? term_news::state::lapsed : out.catalog_up ? term_news::state::held : term_news::state::unsure;
  }
  if (!out.catalog_up) out.away_seconds = std::chrono::duration<double>(clock::now() - away_since_).count();
  return out;
}

void engine::tell(std::function<void(term_news&)> change) {
  const std::lock_guard lock(news_mutex_);
  const bool was_up = news_.catalog_up;
  change(news_);
  if (was_up && !news_.catalog_up) away_since_ = clock::now();
}

}  // namespace migration
