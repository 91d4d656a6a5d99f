// One worker: a thread with its own io_context(1), sessions, pools, plan cache, map and gate. Workers share nothing but counters
// that are summed at scrape; everything that crosses threads goes by post. See gate.h for what the coordinator asks of workers.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "migration/pg/pg.h"
#include "migration/plan/columns.h"
#include "proxy/config/config.h"
#include "proxy/counters/counters.h"
#include "proxy/counters/load.h"
#include "routing/map/shard_map.h"

namespace migration {
class prepared_names;
class commit_recovery;
}

namespace proxy {

class commit_barrier;
class process_book;

class console;
struct worker_impl;
class tls_context;
class users;

// Of SHOW CLIENTS, SERVERS and POOLS.
namespace worker_columns {
using migration::columns::int8;
inline const migration::column_list clients{int8("id"), "user", "database", "application_name", "state", int8("connected_s"), int8("wait_us"), "shard",
                                            int8("server_pid"), int8("prepared"), "tls", "pinned"};
inline const migration::column_list servers{"user", "database", "shard", "state", int8("server_pid"), int8("connected_s"), int8("prepared"), "tls",
                                            int8("client"), "pinned"};
inline const migration::column_list pools{"user", "database", "shard", int8("cl_waiting"), int8("sv_active"), int8("sv_idle"), int8("sv_login"),
                                          int8("maxwait_us"), "pool_mode", int8("paused"), "shard_down", "made_equal", "unequal"};
}  // namespace worker_columns

enum class pool_command { pause, resume, reconnect, kill };

class worker {
 public:
  worker(int index, const config&, const users&);
  ~worker();
  // Before start(): the first map and the console. start() runs the io_context on a thread of its own.
  void set_console(console&);
  // Before start(): where names of prepared transactions are kept unique. Without it each shard looks after its own.
  void set_names(std::shared_ptr<migration::prepared_names>);
  void set_recoverer(std::shared_ptr<migration::commit_recovery>);
  void set_barrier(std::shared_ptr<commit_barrier>);
  void set_processes(std::shared_ptr<process_book>);
  // Before start(): all workers in order of index, so that a CancelRequest that reached another worker finds its client. Without it
  // a cancel only finds clients of the worker that received it.
  void set_peers(std::span<const std::unique_ptr<worker>>);
  void start();
  // What clients that connect from now on are offered; nullptr: no TLS. Any thread.
  void offer_tls(std::shared_ptr<const tls_context>);
  // SIGTERM: no new clients, idle clients get 57P01, open transactions run to their end within the configured time. Any thread.
  migration::task<void> drain();
  // Another process serves: no statement is sent to a shard from now on, and clients are told why and ended. Any thread.
  void retire(std::string why);
  void stop_and_join();

  // Takes over a non-blocking client socket that the listener accepted. Any thread; at once when it is the worker's own.
  void adopt(int client);

  // For SHOW CLIENTS, SERVERS, POOLS: rows made on the worker's own thread. Any thread may await them.
  migration::task<migration::answer> show(std::string what);
  // For /metrics: a copy made on the worker's own thread.
  migration::task<counters> read_counters();
  migration::task<load> read_load();

  // New settings for what may change while it runs, and new users. Any thread.
  migration::task<void> reconfigure(std::shared_ptr<const config>, std::shared_ptr<const users>);
  // PgBouncer's verbs, for one database or, with an empty name, for all. quiet() completes when no server connection of what is
  // paused is left, or nothing is paused any more. Any thread.
  migration::task<void> obey(pool_command, std::string database);
  migration::task<void> quiet(std::string database);

  int index() const noexcept;
  boost::asio::io_context& context() noexcept;

  worker_impl& state() noexcept { return *impl_; }  // worker_impl.h

 private:
  std::unique_ptr<worker_impl> impl_;
};

}  // namespace proxy
