#include "migration/engine/prepared_names.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/shard/prepare.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace asio = boost::asio;
namespace {

[[noreturn]] void in_use(std::string_view name, std::string detail) {
  refuse(protocol::sqlstate::duplicate_object, fmt::format("transaction identifier \"{}\" is already in use", name), std::move(detail));
}

[[noreturn]] void not_told(std::string_view name, std::string_view shard, const pg::sql_error& why) {
  refuse(why.sqlstate.empty() ? protocol::sqlstate::connection_failure : std::string_view(why.sqlstate),
         fmt::format("cannot tell whether shard {} has prepared transaction \"{}\"", shard, name), why.message,
         "A name must be unique on all shards: prepare it when that one answers.");
}

}  // namespace

prepared_names::claim::~claim() {
  if (!who_) return;
  const auto& executor = who_->engine_.executor;
  asio::post(executor, [who = std::move(who_), name = std::move(name_)] { who->taken_.erase(name); });
}

task<prepared_names::claim> prepared_names::take(std::string name, std::optional<routing::shard_id> but) {
  auto work = take_here(std::move(name), but);
  co_return co_await asio::co_spawn(engine_.executor, std::move(work), asio::use_awaitable);
}

task<prepared_names::claim> prepared_names::take_here(std::string name, std::optional<routing::shard_id> but) {
  const auto self = shared_from_this();  // until the last turn has been given back
  if (!taken_.insert(name).second) in_use(name, "Another client is preparing a transaction of that name.");
  claim mine(self, name);
  const auto map = engine_.map();
  std::erase_if(shards_, [&](const auto& each) { return !map->find_shard(each.first) && !each.second.turn.busy(); });
  for (const auto& shard : map->shards()) {
    if (shard.id == but) continue;
    bool there = false;
    try {
      there = co_await has(shard.id, name);
    } catch (const pg::sql_error& error) {
      not_told(name, shard.name, error);
    }
    if (there) in_use(name, fmt::format("Shard {} has a prepared transaction of that name.", shard.name));
  }
  co_return std::move(mine);
}

// Those who waited for their turn while a shard was found not to answer do not try it anew one after the other.
task<bool> prepared_names::has(routing::shard_id id, std::string name) {
  const auto began = clock::now();
  auto& shard = shards_[id];
  const auto turn = co_await shard.turn.lock();
  if (shard.failed && shard.failed_at >= began) std::rethrow_exception(shard.failed);
  try {
    co_return co_await ask(shard, id, std::move(name));
  } catch (...) {
    shard.failed = std::current_exception();
    shard.failed_at = clock::now();
  }
  shard.connection.forget();
  std::rethrow_exception(shard.failed);
}

task<bool> prepared_names::ask(asked_shard& shard, routing::shard_id id, std::string name) {
  const auto connect = [&] { return engine_.connect_to_read(id, engine_.settings.question_timeout); };
  const auto question = [&](pg::connection& there) {
    pg::text_params params{name};
    return there.exec("SELECT FROM pg_catalog.pg_prepared_xacts WHERE gid = $1", std::move(params));
  };
  const auto found = co_await shard.connection.ask<pg::result>(connect, question);
  co_return found.rows() > 0;
}

}  // namespace migration
