// What the parts of the coordinator share: settings, gates, the catalog with its turn-taking, the current map, connections to
// shards, and what is counted. Lives as long as the coordinator; all on its thread except where said.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "migration/base/async_mutex.h"
#include "migration/base/task.h"
#include "migration/catalog/catalog.h"
#include "migration/catalog/term_news.h"
#include "migration/engine/coordinator_settings.h"
#include "migration/plan/gates.h"

namespace migration {

class recoverer;

struct engine {
  engine(boost::asio::any_io_executor executor_in, coordinator_settings settings_in, migration::gates& gates_in)
      : executor(std::move(executor_in)), settings(std::move(settings_in)), gates(gates_in), owner(make_term_owner(settings.lease)) {}

  boost::asio::any_io_executor executor;
  coordinator_settings settings;
  migration::gates& gates;
  const term_owner owner;
  const std::shared_ptr<migration::lease> lease = std::make_shared<migration::lease>();
  term_pass pass;  // of the term that this process has or had last
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
  bool catalog_lost() const noexcept { return !catalog || catalog->connection().broken(); }
  // 08006 at once, for who does not want to wait for the connection.
  void demand_catalog() const;
  // Finds out whether the connection is still there, unless it is busy.
  task<void> ping_catalog();
  pg::connect_options catalog_options() const;
  // How pgrotor itself logs in to a shard; the shard's DSN comes from the map.
  pg::connect_options shard_options(routing::shard_id) const;
  // Throws sql_error also where schema pgrotor of the shard is of another version. `timeout` zero: the usual one.
  task<std::unique_ptr<pg::connection>> connect(routing::shard_id, milliseconds timeout = {}) const;
  // For who uses nothing of schema pgrotor there: any version is good.
  task<std::unique_ptr<pg::connection>> connect_to_read(routing::shard_id, milliseconds timeout = {}) const;
  std::string shard_name(routing::shard_id) const;

  term_news news() const;  // any thread
  void tell(std::function<void(term_news&)> change);

  std::shared_ptr<migration::recoverer> recovery;  // of transactions over several shards; never none

  std::atomic<std::uint64_t> active{0}, done{0}, failed{0}, cutovers{0}, cutover_retries{0};

 private:
  mutable std::mutex news_mutex_;
  term_news news_;
  clock::time_point away_since_;
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

std::uint64_t epoch_microseconds();

}  // namespace migration
