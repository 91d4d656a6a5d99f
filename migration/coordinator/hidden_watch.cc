#include "migration/coordinator/hidden_watch.h"

#include <algorithm>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/base/log.h"

namespace migration {
namespace {

constexpr std::chrono::seconds between_looks{2};

struct outdated {};  // tables came or went while the shards were asked, or the catalog is lost

}  // namespace

hidden_watch::hidden_watch(engine& e, map_change change) : engine_(e), change_map_(std::move(change)), timer_(e.executor) {}

void hidden_watch::stop() {
  stopping_ = true;
  timer_.cancel();
}

task<void> hidden_watch::run() {
  while (!stopping_) {
    try {
      co_await look();
      failing_ = false;
    } catch (const outdated&) {
    } catch (const std::exception& error) {
      if (!failing_) log_warning("looking for views and functions over sharded tables: {}", error.what());
      failing_ = true;
      connections_.clear();
    }
    if (stopping_) break;
    timer_.expires_after(between_looks);
    co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  connections_.clear();
}

task<pg::connection*> hidden_watch::connection_to(routing::shard_id shard) {
  auto& known = connections_[shard];
  if (!known || known->broken()) known = co_await engine_.connect_to_read(shard);
  co_return known.get();
}

task<void> hidden_watch::look() {
  const auto map = engine_.map();
  std::erase_if(connections_, [&](const auto& each) { return !map->find_shard(each.first); });
  if (map->tables().empty()) co_return;
  std::string now = fmt::format("{}", map->schema_version().value);
  for (const auto& shard : map->shards()) {
    auto* connection = co_await connection_to(shard.id);
    now += " " + co_await hidden_fingerprint(*connection);
  }
  if (now == seen_ || stopping_) co_return;
  hidden_objects found;
  for (const auto& shard : map->shards()) {
    auto* connection = co_await connection_to(shard.id);
    auto here = co_await read_hidden(*connection, map->all(), nullptr);
    found.merge(std::move(here));
  }
  if (!found.same_as(map->all())) {
    auto edit = [this, &found, version = map->schema_version()](routing::shard_map::parts& parts) {
      if (parts.schema_version != version || !engine_.catalog) throw outdated{};
      parts.schema_version = parts.number;
      found.store(parts);
    };
    co_await change_map_(edit, "views or functions over sharded tables changed");
  }
  tell(std::move(found.attached));
  seen_ = std::move(now);
}

void hidden_watch::tell(std::vector<hidden_objects::attachment> found) {
  for (const auto& each : found) {
    if (std::ranges::find(attached_, each) != attached_.end()) continue;
    log_warning("table {}: {} touches {}: it does so on the shard of the row, which has only its own part of sharded tables and nothing of the default "
                "shard's; drop it on every shard unless it touches rows of the same shard key only", each.table, each.name, each.what);
  }
  attached_ = std::move(found);
}

}  // namespace migration
