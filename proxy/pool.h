// Server connections of one worker for one (user, database, startup parameters, shard). Bounded; sessions queue in order of arrival and
// with a time limit; idle connections are watched, and one that breaks is thrown away. Worker's thread only.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/counters.h"
#include "proxy/server_connection.h"

namespace proxy {

struct pool_key {
  std::string user, database;
  text_pairs parameters;
  routing::shard_id shard;
  auto operator<=>(const pool_key&) const = default;
};

// What a pool needs of its worker.
struct pool_limits {
  std::size_t size = 1;
  std::chrono::milliseconds wait{}, connect_timeout{};
};

class pool {
 public:
  struct acquired {
    server_ptr server;
    protocol::notice failed;  // when there is no server
  };

  pool(boost::asio::io_context&, pool_key, pool_limits, counters&);
  // Where to log in, from the current map; the secret of the latest client.
  void set_target(server_target target) { target_ = std::move(target); }

  // Waits at most the pool's limit. `wake` is the session's; `cancelled` becoming true (with a notify) ends the wait with 57014.
  task<acquired> acquire(wakeup& wake, const bool& cancelled);
  // A connection whose transaction is over: to the first in the queue, else idle. One that is unusable is closed.
  void release(server_ptr);
  void discard(server_ptr) noexcept;
  // Opens connections until there are `count`, or the deadline passes.
  task<void> warm(std::size_t count, clock::time_point deadline);
  void idle_server_spoke(server_connection&);
  // Closes connections that have been idle since before.
  void close_idle_since(clock::time_point);
  // After RECONNECT or a changed DSN: nothing idle is kept.
  void close_idle() { close_idle_since(clock::time_point::max()); }

  const credentials& secret() const noexcept { return target_.secret; }
  const pool_key& key() const noexcept { return key_; }
  std::size_t total() const noexcept { return total_; }
  std::size_t idle() const noexcept { return idle_.size(); }
  std::size_t waiting() const noexcept { return queue_.size(); }
  std::size_t opening() const noexcept { return opening_; }
  std::chrono::microseconds longest_wait() const noexcept;
  const std::vector<server_ptr>& idle_servers() const noexcept { return idle_; }
  const std::vector<server_connection*>& attached_servers() const noexcept { return attached_; }
  // What servers of this pool told at login; empty before the first.
  const text_pairs& parameters() const noexcept { return parameters_; }
  bool unused() const noexcept { return total_ == 0 && queue_.empty(); }

 private:
  struct waiter {
    wakeup* wake = nullptr;
    clock::time_point since;
    server_ptr given;
    bool may_open = false;
    std::optional<protocol::notice> failed;
    bool settled() const noexcept { return given || may_open || failed; }
  };
  using queue = std::list<waiter>;

  task<acquired> open(wakeup&, clock::time_point deadline);
  task<acquired> wait_in_queue(wakeup&, const bool& cancelled);
  server_ptr take_idle();
  server_ptr attach(server_ptr);
  void slot_freed();
  void fail_queue(const protocol::notice&);
  void count_wait(clock::time_point since);

  boost::asio::io_context& io_;
  pool_key key_;
  pool_limits limits_;
  counters& counters_;
  server_target target_;
  std::vector<server_ptr> idle_;  // most recently used last
  std::vector<server_connection*> attached_;
  queue queue_;
  std::size_t total_ = 0;    // idle, attached, being opened, promised to one in the queue
  std::size_t opening_ = 0;
  text_pairs parameters_;
  std::uint64_t next_serial_ = 0;
};

}  // namespace proxy
