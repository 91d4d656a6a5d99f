// What a worker has open and waiting by pool, and which shards it finds down: copied on its own thread for /metrics, where the workers' are
// added up (metrics.cc).
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>

namespace proxy {

struct pool_load {
  std::uint64_t active = 0, idle = 0, opening = 0, waiting = 0;
};

struct load {
  static constexpr std::size_t most_pools = 500;                                      // what comes behind them is added up as one of them
  std::map<std::tuple<std::string, std::string, std::string>, pool_load> pools;       // by shard, user, database
  std::set<std::string> down;                                                         // shards
  void add(const std::string& shard, const std::string& user, const std::string& database, const pool_load&);
  load& operator+=(const load&);
};

}  // namespace proxy
