// Opens the connections of one pool and speaks to them (server_keeper.h). Sessions of a pool start with what those of the default shard
// start with (equal_settings.h): looked at with each login, and now and then on connections that are open, as postgresql.conf may be read
// again. Worker's thread only; lives with its pool.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/shard/pool.h"
#include "proxy/shard/server_keeper.h"
#include "proxy/state/equal_settings.h"

namespace proxy {

class shard_keeper;

// Of the pools of one user, database and set of startup parameters, one a shard.
struct standard_settings {
  std::optional<server_settings> values;  // of the default shard; none before its first login
  std::vector<shard_keeper*> keepers;
};
using standard_ptr = std::shared_ptr<standard_settings>;

class shard_keeper final : public server_keeper {
 public:
  shard_keeper(boost::asio::io_context&, shard_watch&, standard_ptr);
  ~shard_keeper();
  // Before anything else is called.
  void serve(pool& whose) { pool_ = &whose; }
  // Where to log in, from the current map; the secret of the latest client.
  void set_target(server_target target) { target_ = std::move(target); }
  const credentials& secret() const noexcept { return target_.secret; }
  void look_again() noexcept { looked_at_ = {}; }
  const standard_ptr& standard() const noexcept { return standard_; }
  // Startup parameters that make this shard's sessions start as the default shard's do, and what differs all the same.
  const text_pairs& made_equal() const noexcept { return given_; }
  const std::vector<std::string>& unequal() const noexcept { return told_; }

  const std::string& shard_name() const noexcept override { return target_.shard_name; }
  void open(clock::time_point deadline) override;
  void unreachable(const protocol::notice& why) override { watch_.failed(why, target_); }
  void start_anew() noexcept override { given_.clear(); }
  task<std::optional<protocol::notice>> refuses_login(wakeup&, clock::time_point deadline) override;
  task<bool> answers(server_connection&, const std::string& query, wakeup&, clock::time_point deadline) override;
  bool due_for_look(clock::time_point now) const noexcept override;
  task<bool> starts_as_now(server_connection&, wakeup&, clock::time_point deadline) override;
  bool watch(server_connection&) override;
  bool quiet(server_connection&, bool just_used) override;
  bool hold(server_connection&) override;

 private:
  task<void> open_one(clock::time_point deadline);
  task<open_result> open_equal(wakeup&, clock::time_point deadline);
  task<std::optional<server_settings>> ask_settings(server_connection&, wakeup&, clock::time_point deadline, protocol::notice& failed);
  bool accept_settings(server_settings, open_result&);
  void set_standard(server_settings);
  protocol::notice refused_start(const std::vector<std::string>& differences) const;

  boost::asio::io_context& io_;
  shard_watch& watch_;
  pool* pool_ = nullptr;
  server_target target_;
  const standard_ptr standard_;
  std::optional<server_settings> seen_;  // at the latest login
  clock::time_point looked_at_{};        // whether it is still so
  text_pairs given_;
  std::vector<std::string> told_;
};

// A pool and what opens its connections.
struct shard_pool {
  shard_pool(boost::asio::io_context& io, pool_key key, pool_limits limits, counters& counted, permit_desk& desk, shard_watch& watch,
             standard_ptr standard)
      : keeper(io, watch, std::move(standard)), servers(io, std::move(key), std::move(limits), counted, desk, watch, keeper) {
    keeper.serve(servers);
  }
  shard_keeper keeper;
  pool servers;
};

}  // namespace proxy
