// What one coroutine of a worker waits on: several things at once (client, shard, gate, pool, deadline) that all say the same, "look
// again". Waiting makes no system call and, once its alarm exists, allocates nothing. Worker's thread only.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace proxy {

using clock = std::chrono::steady_clock;
template <typename T>
using task = boost::asio::awaitable<T>;

class readiness_listener {
 public:
  virtual void on_ready() = 0;

 protected:
  ~readiness_listener() = default;
};

class waiting_room;

class wakeup final : public readiness_listener {
 public:
  explicit wakeup(boost::asio::io_context&);
  ~wakeup();
  wakeup(const wakeup&) = delete;
  wakeup& operator=(const wakeup&) = delete;

  // The waiter goes on after the caller has suspended or returned. A notify() before wait() is not lost.
  void notify();
  // From the reactor, where nobody else's turn is interrupted: the waiter goes on at once.
  void on_ready() override;
  // False when the deadline passed first.
  task<bool> wait(clock::time_point deadline = clock::time_point::max());
  // Gives back what waits with a deadline keep for the next one.
  void forget_alarm() noexcept;

 private:
  friend class waiting_room;
  using handler = boost::asio::async_result<boost::asio::use_awaitable_t<>, void()>::handler_type;
  struct alarm;

  void set_alarm(clock::time_point deadline);
  void resume();
  void enter(handler);
  handler leave();

  boost::asio::io_context& io_;
  waiting_room& room_;
  std::optional<handler> waiter_;  // owns the coroutine
  wakeup *previous_ = nullptr, *next_ = nullptr;  // in the room, while there is a waiter
  std::shared_ptr<alarm> alarm_;
  bool notified_ = false;
};

}  // namespace proxy
