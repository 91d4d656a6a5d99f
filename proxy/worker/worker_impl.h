// What a worker's thread owns beside what it serves its sessions with (services.h): shared by worker*.cc and gate_controller.cc. Nothing
// in here is touched by another thread while the worker runs; everything that crosses comes by post (run_on).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "proxy/net/socket_sweep.h"
#include "proxy/session/services.h"
#include "proxy/shard/shard_keeper.h"
#include "proxy/worker/arrivals.h"
#include "proxy/worker/shard_side.h"
#include "proxy/worker/worker.h"

namespace proxy {

class session;

struct worker_impl final : services {
  worker_impl(int index, const config&, const users&);
  ~worker_impl();

  const int index;
  void reconfigure(const config&, std::shared_ptr<const users>);
  std::span<const std::unique_ptr<worker>> peers;  // a client's number names the worker
  void retire(const std::string& why);

  std::vector<wakeup*> drain_watchers;  // closings that wait for transactions to end
  void touching_transaction_ended() override;
  void release_held() { if (!lapsed()) held.release(); }

  // worker_shards.cc
  std::map<routing::shard_id, std::unique_ptr<shard_side>> sides;
  std::map<routing::shard_id, std::unique_ptr<shard_home>> homes;  // of the shards whose home this worker is
  worker_impl& home_of(routing::shard_id);
  shard_side& side_of(routing::shard_id);
  shard_home& home_here(routing::shard_id);
  void on_each(auto what);  // posts to every worker, this one included
  void settle_permits(routing::shard_id);
  void refresh_permits();
  void shard_failed(routing::shard_id, const protocol::notice& why, const server_target& tried);
  task<void> probe_until_back(routing::shard_id);

  // PAUSE, RESUME, RECONNECT, KILL; an empty name: every database.
  bool paused_all = false;
  std::set<std::string> paused_databases;
  bool paused(const std::string& database) const;
  void obey(pool_command, const std::string& database);
  bool quiet(const std::string& database) const;

  std::map<pool_key, std::unique_ptr<shard_pool>> pools;
  standard_ptr standard_for(const pool_key&) const;
  pool* find_or_make_pool(const pool_key&, const credentials&) override;
  void give_back(server_ptr) override;
  void cancel_on_server(server_connection&) override;
  void reset_and_give_back(server_ptr) override;

  std::map<std::int32_t, session*> sessions;  // by pid
  std::int32_t next_pid();
  std::size_t client_limit() const noexcept;
  arrivals arriving;                          // those of them that have not logged in, but for who has been told to go
  std::size_t inside = 0;                     // ... that have
  clock::time_point crowd_told{};             // that there were too many
  bool has_place(bool console) const noexcept override;
  void session_let_in(std::int32_t pid) override { arriving.gone(pid), ++inside; }
  void adopt(int client_socket);
  void make_room();
  bool stopping = false;
  std::vector<wakeup*> departure_watchers;  // drains that wait for sessions to end
  void session_ended(std::int32_t pid) override;
  void send_off();  // the clients that are left when a drain has no more time

  void tick();         // ten times a second
  void tick_second();  // old idle connections, unused pools
  void cancel(protocol::cancel_request) override;
  void signal(std::int32_t number, process_signal) override;

  // Last, so that what handlers refer to outlives them.
  boost::asio::io_context own_io{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};  // sockets and timers are this thread's own; posts may come from any
  socket_sweep& sweep = boost::asio::use_service<socket_sweep>(own_io);
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work;
  std::thread thread;

 private:
  void reach(std::int32_t number, auto what);
  task<void> cancel_and_return(server_connection&);
  task<void> reset_and_return(server_ptr);
  void drop_unused_pools();
  std::int32_t serial_;  // of the latest client, from anywhere on
  std::vector<server_ptr> awaiting_cancel_;  // given back while a cancel to them was under way
};

// Runs a coroutine on the worker's own thread; the caller resumes on its own.
template <typename T>
task<T> run_on(worker& where, task<T> what) {
  return boost::asio::co_spawn(where.context(), std::move(what), boost::asio::use_awaitable);
}

}  // namespace proxy
