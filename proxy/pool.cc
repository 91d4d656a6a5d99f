#include "proxy/pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "proxy/errors.h"
#include "proxy/log.h"

namespace proxy {

pool::pool(boost::asio::io_context& io, pool_key key, pool_limits limits, counters& counted)
    : io_(io), key_(std::move(key)), limits_(limits), counters_(counted) {}

task<pool::acquired> pool::acquire(wakeup& wake, const bool& cancelled) {
  if (queue_.empty()) {
    acquired found;
    found.server = take_idle();
    if (found.server) co_return found;
    if (total_ < limits_.size) {
      ++total_;
      co_return co_await open(wake, clock::now() + limits_.connect_timeout);
    }
  }
  co_return co_await wait_in_queue(wake, cancelled);
}

// The caller has counted the connection in total_.
task<pool::acquired> pool::open(wakeup& wake, clock::time_point deadline) {
  ++opening_;
  open_result opened;
  try {
    opened = co_await open_server(io_, target_, wake, deadline);
  } catch (const std::exception& failure) {
    opened.failed = make_error(sqlstate::internal_error, fmt::format("cannot log in to shard {}", target_.shard_name), failure.what());
  }
  --opening_;
  acquired result;
  if (!opened.server) {
    --total_;
    ++counters_.servers_failed;
    log_warning("shard {}: {} ({})", target_.shard_name, opened.failed.message, opened.failed.detail);
    fail_queue(opened.failed);
    result.failed = std::move(opened.failed);
    co_return result;
  }
  ++counters_.servers_opened;
  ++counters_.servers_now;
  opened.server->home = this;
  opened.server->serial = ++next_serial_;
  opened.server->shard = key_.shard;
  parameters_ = opened.server->parameters;
  result.server = attach(std::move(opened.server));
  co_return result;
}

task<pool::acquired> pool::wait_in_queue(wakeup& wake, const bool& cancelled) {
  ++counters_.pool_waits;
  queue_.emplace_back();
  const auto place = std::prev(queue_.end());
  place->wake = &wake;
  place->since = clock::now();
  const auto deadline = place->since + limits_.wait;
  bool in_time = true;
  while (!place->settled() && !cancelled && in_time) in_time = co_await wake.wait(deadline);
  count_wait(place->since);
  acquired result;
  if (place->given) {
    result.server = attach(std::move(place->given));
  } else if (place->failed) {
    result.failed = std::move(*place->failed);
  } else if (place->may_open) {
    place->may_open = false;
    queue_.erase(place);
    co_return co_await open(wake, clock::now() + limits_.connect_timeout);
  } else if (cancelled) {
    result.failed = make_error(sqlstate::query_canceled, "canceling statement due to user request");
  } else {
    ++counters_.pool_timeouts;
    result.failed = make_error(
        sqlstate::too_many_connections, fmt::format("no server connection to shard {} became free in time", target_.shard_name),
        fmt::format("All {} connections of user {} were busy for {} ms.", limits_.size, key_.user, limits_.wait.count()),
        "Shorten transactions, or raise [pool] size or wait_ms.");
  }
  queue_.erase(place);
  co_return result;
}

void pool::count_wait(clock::time_point since) {
  counters_.pool_wait_us += static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - since).count());
}

server_ptr pool::take_idle() {
  while (!idle_.empty()) {
    auto server = std::move(idle_.back());
    idle_.pop_back();
    if (!server->socket.readable() && server->socket.quiet()) return attach(std::move(server));
    --total_;
    --counters_.servers_now;
  }
  return nullptr;
}

server_ptr pool::attach(server_ptr server) {
  attached_.push_back(server.get());
  return server;
}

void pool::release(server_ptr server) {
  if (server->unusable) return discard(std::move(server));
  std::erase(attached_, server.get());
  server->answers.clear();
  server->in.release_if_empty();
  server->idle_since = clock::now();
  for (auto& first : queue_) {
    if (first.settled()) continue;
    server->socket.listen(nullptr);
    first.given = std::move(server);
    return first.wake->notify();
  }
  server->socket.listen(server.get());
  server->socket.watch_read();
  idle_.push_back(std::move(server));
}

void pool::discard(server_ptr server) noexcept {
  std::erase(attached_, server.get());
  server->socket.close();
  server.reset();
  --counters_.servers_now;
  --total_;
  slot_freed();
}

// A connection may be opened again: by the first in the queue.
void pool::slot_freed() {
  for (auto& first : queue_) {
    if (first.settled()) continue;
    first.may_open = true;
    ++total_;
    return first.wake->notify();
  }
}

// What kept one from connecting keeps the others: they need not try one after the other.
void pool::fail_queue(const protocol::notice& why) {
  for (auto& one : queue_) {
    if (one.settled()) continue;
    one.failed = why;
    one.wake->notify();
  }
}

task<void> pool::warm(std::size_t count, clock::time_point deadline) {
  wakeup wake(io_);
  const auto wanted = std::min(count, limits_.size);
  while (total_ < wanted && clock::now() < deadline) {
    ++total_;
    auto opened = co_await open(wake, deadline);
    if (!opened.server) co_return;
    release(std::move(opened.server));
  }
}

void pool::idle_server_spoke(server_connection& server) {
  const auto found = std::find_if(idle_.begin(), idle_.end(), [&](const server_ptr& one) { return one.get() == &server; });
  if (found == idle_.end()) return;
  idle_.erase(found);
  --total_;
  --counters_.servers_now;
}

void pool::close_idle_since(clock::time_point since) {
  const auto closed = std::erase_if(idle_, [since](const server_ptr& one) { return one->idle_since < since; });
  total_ -= closed;
  counters_.servers_now -= closed;
}

std::chrono::microseconds pool::longest_wait() const noexcept {
  if (queue_.empty()) return {};
  return std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - queue_.front().since);
}

}  // namespace proxy
