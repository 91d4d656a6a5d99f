// What a worker's thread owns: shared by worker.cc, gate_controller.cc and the sessions. Nothing in here is touched by another thread
// while the worker runs; everything that crosses comes by post (run_on).
#pragma once

#include <array>
#include <cstdint>
#include <list>
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

#include "protocol/frontend.h"
#include "proxy/config.h"
#include "proxy/counters.h"
#include "proxy/deadlines.h"
#include "proxy/gate.h"
#include "proxy/inferred_types.h"
#include "proxy/pool.h"
#include "proxy/prepared.h"
#include "proxy/shard_side.h"
#include "proxy/socket_sweep.h"
#include "proxy/tls.h"
#include "proxy/users.h"
#include "proxy/worker.h"
#include "routing/plan_cache.h"

namespace proxy {

class session;

// Statement latency of the last second, in slices of 100 ms.
class latency_window {
 public:
  void add(clock::time_point now, std::uint64_t microseconds) noexcept;
  migration::felt_latency read(clock::time_point now) const noexcept;

 private:
  struct slice {
    std::int64_t number = -1;
    std::uint64_t statements = 0, sum_us = 0, worst_us = 0;
  };
  std::array<slice, 10> slices_{};
};

// A statement that waits at the gate.
struct gate_waiter {
  wakeup* wake = nullptr;
  touch_bits bits = 0;
  clock::time_point since;
  bool released = false;
};

struct worker::impl {
  impl(int index, const config&, const users&);
  ~impl();

  const int index;
  config settings;
  std::shared_ptr<const users> accounts;
  void reconfigure(const config&, std::shared_ptr<const users>);
  admin* console = nullptr;
  std::shared_ptr<migration::prepared_names> prepared_names;
  std::shared_ptr<const tls_context> client_tls;  // for the next client; nullptr: none
  std::span<const std::unique_ptr<worker>> peers;  // for CancelRequest: the pid names the worker

  std::shared_ptr<const routing::shard_map> map;  // nullptr until the first is published
  routing::plan_cache plans;
  statement_registry statements;
  inferred_types inferred;
  // Of the message at hand; no session keeps anything in them while it waits.
  protocol::bind bind;
  routing::parameters literals;
  std::vector<std::string> custom_settings;  // names that clients have used: what unknown code may have set
  counters counted;
  deadline_list deadlines;
  latency_window latency;

  // What shards are shown at a login, and until when moving sets may be served without news from the catalog. Without a term: always.
  migration::term_pass pass;
  bool lapsed() const noexcept { return pass.lease && !pass.lease->runs(); }
  // Another process has begun a term: nothing may be sent to a shard any more.
  std::optional<protocol::notice> retired;
  void retire(const std::string& why);

  // The gate. `routing_version` moves when a decision that was made before may no longer hold.
  gate_book gate;
  std::list<gate_waiter> gate_queue;
  std::uint64_t routing_version = 0;
  std::chrono::milliseconds hold_budget;
  struct hold_report {
    std::uint64_t held = 0;
    std::chrono::microseconds longest{};
    std::vector<int> blocking_clients;
  };
  std::map<std::uint64_t, hold_report> hold_reports;      // of the current or last closing, by set
  std::vector<wakeup*> drain_watchers;                    // closings that wait for transactions to end
  void touching_transaction_ended();
  void release_waiters();
  void count_hold(touch_bits, clock::time_point since);

  // worker_shards.cc
  std::map<routing::shard_id, std::unique_ptr<shard_side>> sides;
  std::map<routing::shard_id, std::unique_ptr<shard_home>> homes;  // of the shards whose home this worker is
  impl& home_of(routing::shard_id);
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

  std::map<pool_key, std::unique_ptr<pool>> pools;
  std::uint64_t pools_version = 0;  // moves when a pool goes away: sessions remember where theirs are
  standard_ptr standard_for(const pool_key&) const;
  pool* find_or_make_pool(const pool_key&, const credentials&);  // nullptr: too many pools, or no such shard
  void give_back(server_ptr);  // to its pool, once no cancel is under way to it
  void cancel_on_server(server_connection&);
  // A server that was kept for one client, which is gone or wants nothing of it any more. Closed where that cannot be undone.
  void reset_and_give_back(server_ptr);

  std::map<std::int32_t, session*> sessions;  // by pid
  std::int32_t next_pid();
  std::size_t client_limit() const noexcept;
  std::size_t gathered = 0;  // bytes of large messages and pipelines that sessions are reading or have read
  std::size_t gather_limit() const noexcept;
  void adopt(int client_socket);
  bool draining = false, stopping = false;
  std::vector<wakeup*> departure_watchers;  // drains that wait for sessions to end
  void session_ended(std::int32_t pid);
  void send_off();  // the clients that are left when a drain has no more time

  void attempt(session&, auto what);
  void tick();         // ten times a second
  void tick_second();  // old idle connections, unused pools
  void cancel(protocol::cancel_request);

  // Last, so that what handlers refer to outlives them.
  boost::asio::io_context io{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};  // sockets and timers are this thread's own; posts may come from any
  socket_sweep& sweep = boost::asio::use_service<socket_sweep>(io);
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work;
  std::thread thread;

 private:
  task<void> cancel_and_return(server_connection&);
  task<void> reset_and_return(server_ptr);
  void drop_unused_pools();
  std::int32_t pid_serial_ = 0;
  std::vector<server_ptr> awaiting_cancel_;  // given back while a cancel to them was under way
};

// Logs what a coroutine that nobody waits for ended with.
void log_failure(std::string_view what, std::exception_ptr);

// Runs a coroutine on the worker's own thread; the caller resumes on its own.
template <typename T>
task<T> run_on(worker& where, task<T> what) {
  return boost::asio::co_spawn(where.context(), std::move(what), boost::asio::use_awaitable);
}

}  // namespace proxy
