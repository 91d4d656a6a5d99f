// A mutex for coroutines of one executor: the coordinator's catalog connection runs one operation at a time, while migrations and
// console commands take turns. Fair, no threads.
#pragma once

#include <deque>
#include <memory>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "migration/base/task.h"

namespace migration {

class async_mutex {
 public:
  // Unlocks when destroyed.
  class guard {
   public:
    explicit guard(async_mutex& owner) noexcept : owner_(&owner) {}
    guard(guard&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    guard& operator=(guard&&) = delete;
    ~guard() {
      if (owner_) owner_->unlock();
    }

   private:
    async_mutex* owner_;
  };

  task<guard> lock() {
    if (locked_) {
      const auto turn = std::make_shared<boost::asio::steady_timer>(co_await boost::asio::this_coro::executor, clock::time_point::max());
      waiting_.push_back(turn);
      co_await turn->async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));  // unlock() cancels it and leaves locked_ set
    }
    locked_ = true;
    co_return guard(*this);
  }
  bool busy() const noexcept { return locked_; }

 private:
  void unlock() noexcept {
    if (waiting_.empty()) {
      locked_ = false;
      return;
    }
    const auto next = std::move(waiting_.front());
    waiting_.pop_front();
    next->cancel();
  }

  bool locked_ = false;
  std::deque<std::shared_ptr<boost::asio::steady_timer>> waiting_;
};

}  // namespace migration
