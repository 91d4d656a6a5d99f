// What the parts of the coordinator share: settings, gates, the catalog with its turn-taking, the current map, connections to
// shards, and what is counted. Lives as long as the coordinator; all on its thread except where said.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "migration/async_mutex.h"
#include "migration/catalog.h"
#include "migration/coordinator.h"
#include "migration/gates.h"

namespace migration {

struct engine {
  engine(boost::asio::any_io_executor executor_in, coordinator_settings settings_in, migration::gates& gates_in)
      : executor(std::move(executor_in)), settings(std::move(settings_in)), gates(gates_in) {}

  boost::asio::any_io_executor executor;
  coordinator_settings settings;
  migration::gates& gates;
  std::unique_ptr<migration::catalog> catalog;
  async_mutex catalog_turn;  // one catalog operation at a time; nobody keeps it while he works on a shard, but for a cutover's attempt
  bool stopping = false;     // the coordinator ends: what is tried until it works is given up
  async_mutex ownership_turn;  // what decides on ownership guards and sets them; taken before catalog_turn, never while it is held

  std::shared_ptr<const routing::shard_map> map() const {  // any thread
    const std::lock_guard lock(map_mutex_);
    return map_;
  }
  void set_map(std::shared_ptr<const routing::shard_map> next) {
    const std::lock_guard lock(map_mutex_);
    map_ = std::move(next);
  }

  // The catalog, with the turn taken. Between two connections to it there is none: throws as a lost connection.
  migration::catalog& book() const;
  pg::connect_options catalog_options() const;
  // How pgrotor itself logs in to a shard; the shard's DSN comes from the map.
  pg::connect_options shard_options(routing::shard_id) const;
  task<std::unique_ptr<pg::connection>> connect(routing::shard_id) const;
  std::string shard_name(routing::shard_id) const;

  std::atomic<std::uint64_t> active{0}, done{0}, failed{0}, cutovers{0}, cutover_retries{0};

 private:
  mutable std::mutex map_mutex_;
  std::shared_ptr<const routing::shard_map> map_;
};

// The cleanup ledger with a turn at the catalog for each call.
class ledger_in_turn : public ledger {
 public:
  explicit ledger_in_turn(engine& e) : engine_(e) {}
  task<void> write_ledger(std::uint64_t migration, std::vector<ledger_entry>) override;
  task<std::vector<ledger_entry>> read_ledger(std::uint64_t migration) override;
  task<void> strike_ledger(std::uint64_t migration, ledger_entry) override;

 private:
  engine& engine_;
};

// Waits on the coordinator's thread.
task<void> sleep_for(milliseconds);
std::uint64_t epoch_microseconds();

}  // namespace migration
