// A condition that coroutines of one executor wait for: notify() wakes all who wait; they look at their condition again. No threads,
// nothing is remembered: look first, then wait.
#pragma once

#include <list>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "migration/base/task.h"

namespace migration {

class wakeup {
 public:
  void notify() {
    for (auto* timer : waiting_) timer->cancel();
  }

  task<void> wait(clock::time_point until = clock::time_point::max()) {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, until);
    const membership mine(waiting_, &timer);
    co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }

 private:
  using timers = std::list<boost::asio::steady_timer*>;
  struct membership {
    membership(timers& all_in, boost::asio::steady_timer* timer) : all(all_in), place(all.insert(all.end(), timer)) {}
    ~membership() { all.erase(place); }
    membership(const membership&) = delete;
    membership& operator=(const membership&) = delete;
    timers& all;
    timers::iterator place;
  };
  timers waiting_;
};

}  // namespace migration
