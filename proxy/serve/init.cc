#include <algorithm>
#include <cstdio>

#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/catalog/catalog.h"
#include "migration/catalog/catalog_map.h"
#include "migration/shard/identity.h"
#include "migration/shard/prepare.h"
#include "proxy/net/wakeup.h"
#include "proxy/serve/commands.h"
#include "proxy/serve/reach.h"

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
    if (connection) {
      const auto shards = all_shards(config_, newest_);
      for (const auto& shard : shards) co_await prepare_shard(shard);
    }
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
      const auto made = co_await migration::init_catalog(*connection);
      fmt::print("catalog: {}\n", made.report.text());
      cluster_ = made.cluster;
      newest_ = co_await migration::read_map(*connection);
      if (newest_.number.value == 0) newest_.shards = first_map(config_).shards;
      co_return connection;
    } catch (const std::exception& error) {
      problems_.push_back(problem_line(config_, what, refusal_text(what, error)));
    }
    co_return nullptr;
  }

  task<void> prepare_shard(const shard_config& shard) {
    const auto what = shard_of(config_, shard);
    const auto connection = co_await try_open(config_, what, problems_);
    if (!connection) co_return;
    try {
      auto claim = claim_of(shard);
      const auto made = co_await migration::init_shard(*connection, std::move(claim));
      fmt::print("shard {}: {}\n", shard.name, made.text());
    } catch (const std::exception& error) {
      problems_.push_back(problem_line(config_, what, refusal_text(what, error)));
    }
  }

  // Those of the file that are not in the map get their number from ADD SHARD.
  std::optional<migration::shard_claim> claim_of(const shard_config& shard) const {
    migration::shard_claim claim{cluster_, std::nullopt, shard.name, {}};
    for (const auto& each : newest_.shards) claim.taken.push_back(each.id);
    const auto known = std::ranges::find(newest_.shards, shard.name, &routing::shard::name);
    if (known != newest_.shards.end()) claim.shard = known->id;
    return claim;
  }

  task<void> write_map(connection_ptr connection) {
    const auto what = catalog_of(config_);
    try {
      if (newest_.number.value > 0) {
        fmt::print("catalog: the map of generation {} stays as it is\n", newest_.number.value);
        tell_about_others(config_, newest_);
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
    auto owner = migration::make_term_owner(config_.catalog_lease);
    const auto catalog = co_await migration::catalog::open(executor, std::move(options), std::move(owner));
    const auto parts = first_map(config_);
    routing::shard_map::make(parts);
    co_await catalog->save_map(parts, "pgrotor init");
    co_await catalog->end_term();
    fmt::print("catalog: map of generation 1 written: {} shards, default shard {}\n", config_.shards.size(), config_.default_shard);
  }

  const config& config_;
  std::vector<std::string> problems_;
  migration::cluster_mark cluster_;
  routing::shard_map::parts newest_;  // number 0: there is none yet, and its shards are those of the first map
};

}  // namespace

int run_init(const std::string& config_path) {
  const config c = load_config(config_path);
  initializer work(c);
  run_to_end(work.run());
  return work.failed() ? 1 : 0;
}

}  // namespace proxy
