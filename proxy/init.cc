#include <algorithm>
#include <cstdio>

#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/catalog.h"
#include "migration/catalog_map.h"
#include "migration/prepare.h"
#include "proxy/commands.h"
#include "proxy/reach.h"
#include "proxy/wakeup.h"

namespace proxy {
namespace {

using connection_ptr = std::unique_ptr<migration::pg::connection>;

routing::shard_map::parts first_map(const config& c) {
  routing::shard_map::parts parts;
  parts.number.value = parts.schema_version.value = 1;
  std::uint32_t id = 0;
  for (const auto& shard : c.shards) {
    parts.shards.push_back({routing::shard_id{++id}, shard.name, shard.dsn, routing::shard_state::active});
    if (shard.name == c.default_shard) parts.default_shard.value = id;
  }
  return parts;
}

// What the file names and the newest map does not have: such a shard is added online, by the console.
void tell_about_others(const config& c, const routing::shard_map::parts& newest) {
  for (const auto& shard : c.shards) {
    const bool known = std::any_of(newest.shards.begin(), newest.shards.end(), [&](const auto& other) { return other.name == shard.name; });
    if (!known) fmt::print("shard {} is prepared but not in the map; add it in the console: ADD SHARD {} '{}'\n", shard.name, shard.name, shard.dsn);
  }
}

class initializer {
 public:
  explicit initializer(const config& c) : config_(c) {}

  task<void> run() {
    auto connection = co_await prepare_catalog();  // not a member: it must not outlive the io_context that runs this
    for (const auto& shard : config_.shards) co_await prepare_shard(shard);
    if (problems_.empty()) co_await write_map(std::move(connection));
    for (const auto& problem : problems_) fmt::print(stderr, "{}\n", problem);
  }
  bool failed() const { return !problems_.empty(); }

 private:
  task<connection_ptr> prepare_catalog() {
    const auto what = catalog_of(config_);
    auto connection = co_await try_open(config_, what, problems_);
    if (!connection) co_return nullptr;
    try {
      co_await migration::init_catalog(*connection);
      fmt::print("catalog: schema pgrotor is in place\n");
    } catch (const std::exception& error) {
      problems_.push_back(problem_line(config_, what, refusal_text(what, error)));
    }
    co_return connection;
  }

  task<void> prepare_shard(const shard_config& shard) {
    const auto what = shard_of(config_, shard);
    const auto connection = co_await try_open(config_, what, problems_);
    if (!connection) co_return;
    try {
      co_await migration::init_shard(*connection);
      fmt::print("shard {}: schema pgrotor is in place\n", shard.name);
    } catch (const std::exception& error) {
      problems_.push_back(problem_line(config_, what, refusal_text(what, error)));
    }
  }

  task<void> write_map(connection_ptr connection) {
    const auto what = catalog_of(config_);
    try {
      const auto newest = co_await migration::read_map(*connection);
      if (newest.number.value > 0) {
        fmt::print("catalog: the map of generation {} stays as it is\n", newest.number.value);
        tell_about_others(config_, newest);
        co_return;
      }
      connection.reset();
      co_await write_first_map(what);
    } catch (const std::exception& error) {
      problems_.push_back(problem_line(config_, what, refusal_text(what, error)));
    }
  }

  task<void> write_first_map(const reachable& what) {
    if (config_.shards.empty()) {
      problems_.push_back(fmt::format("{}: shard: the catalog is empty and the file names no [[shard]] for the first map", config_.path));
      co_return;
    }
    const auto executor = co_await boost::asio::this_coro::executor;
    auto options = options_for(what, config_);
    const auto catalog = co_await migration::catalog::open(executor, std::move(options));
    const auto parts = first_map(config_);
    routing::shard_map::make(parts);
    co_await catalog->save_map(parts, "pgrotor init");
    fmt::print("catalog: map of generation 1 written: {} shards, default shard {}\n", config_.shards.size(), config_.default_shard);
  }

  const config& config_;
  std::vector<std::string> problems_;
};

}  // namespace

int run_init(const std::string& config_path) {
  const config c = load_config(config_path);
  initializer work(c);
  run_to_end(work.run());
  return work.failed() ? 1 : 0;
}

}  // namespace proxy
