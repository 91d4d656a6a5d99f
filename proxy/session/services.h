// What a session may use of the worker on whose thread it runs, and ask of it: so that a session can be made without a worker, and a
// reader sees what there is between the two. worker_impl (worker_impl.h) is the one that serves; tests have their own. Everything here
// is touched by that one thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "migration/plan/gates.h"
#include "protocol/frontend.h"
#include "proxy/auth/users.h"
#include "proxy/config/config.h"
#include "proxy/counters/counters.h"
#include "proxy/counters/latency_window.h"
#include "proxy/gate/gate.h"
#include "proxy/gate/gate_queue.h"
#include "proxy/net/deadlines.h"
#include "proxy/net/tls.h"
#include "proxy/shard/process_book.h"
#include "proxy/shard/pool.h"
#include "proxy/state/inferred_types.h"
#include "proxy/state/prepared.h"
#include "proxy/transaction/commit_barrier.h"
#include "routing/route/plan_cache.h"

namespace migration {
class prepared_names;
class commit_recovery;
}

namespace proxy {

class console;

// What is there once for all workers. What the coordinator does for clients is nothing where there is none: each shard then looks after its own.
struct shared_desk {
  std::shared_ptr<migration::prepared_names> names;      // of prepared transactions
  std::shared_ptr<migration::commit_recovery> recovery;  // of transactions over several shards
  std::shared_ptr<commit_barrier> barrier = std::make_shared<commit_barrier>();
  std::shared_ptr<process_book> processes = std::make_shared<process_book>();
};

// What one client does to another, as pg_cancel_backend and pg_terminate_backend.
enum class process_signal { cancel, terminate };

struct services {
  services(boost::asio::io_context& io_in, const config& settings_in, std::shared_ptr<const users> accounts_in)
      : io(io_in), settings(settings_in), accounts(std::move(accounts_in)) {}
  services(const services&) = delete;
  services& operator=(const services&) = delete;

  boost::asio::io_context& io;
  config settings;
  std::shared_ptr<const users> accounts;  // a RELOAD brings others
  proxy::console* commands = nullptr;  // none: not ready
  shared_desk shared;
  std::shared_ptr<const tls_context> client_tls;  // for the next client; nullptr: none

  std::shared_ptr<const routing::shard_map> map;  // nullptr until the first is published
  struct {
    std::string dsn, name;
  } served;  // the default shard's database, as a client's login has last read it from its dsn
  routing::plan_cache plans;
  statement_registry statements;
  inferred_types inferred;
  std::vector<std::string> custom_settings;  // names that clients have used: what unknown code may have set
  // Of the message at hand; no session keeps anything in them while it waits.
  protocol::bind bind;
  routing::parameters literals;
  counters counted;
  deadline_list deadlines;
  latency_window latency;

  // What shards are shown at a login, and until when moving sets may be served without news from the catalog. Without a term: always.
  migration::term_pass pass;
  bool lapsed() const noexcept { return pass.lease && !pass.lease->runs(); }
  // Another process has begun a term: nothing may be sent to a shard any more.
  std::optional<protocol::notice> retired;
  bool draining = false;

  gate_book gate;
  gate_queue held{gate, counted};
  std::uint64_t routing_version = 0;  // moves when a decision that was made before may no longer hold
  std::uint64_t pools_version = 0;    // moves when a pool goes away: sessions remember where theirs are

  std::size_t gathered = 0;  // bytes of large messages and pipelines that sessions are reading or have read
  // Four of the largest: more of them at a time than a worker can make use of.
  std::size_t gather_limit() const noexcept { return settings.max_message_bytes * 4; }

  virtual pool* find_or_make_pool(const pool_key&, const credentials&) = 0;  // nullptr: too many pools, or no such shard
  virtual void give_back(server_ptr) = 0;  // to its pool, once no cancel is under way to it
  virtual void cancel_on_server(server_connection&) = 0;
  // A server that was kept for one client, which is gone or wants nothing of it any more. Closed where that cannot be undone.
  virtual void reset_and_give_back(server_ptr) = 0;
  virtual void cancel(protocol::cancel_request) = 0;
  virtual void signal(std::int32_t number, process_signal) = 0;  // a client of any worker
  virtual void touching_transaction_ended() = 0;
  // For one more client that has logged in; of the console there are more.
  virtual bool has_place(bool console) const noexcept = 0;
  virtual void session_let_in(std::int32_t pid) = 0;
  virtual void session_ended(std::int32_t pid) = 0;

 protected:
  ~services() = default;
};

}  // namespace proxy
