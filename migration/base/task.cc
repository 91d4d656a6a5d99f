#include "migration/base/task.h"

#include <random>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace migration {

task<void> sleep_for(milliseconds time) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, time);
  co_await timer.async_wait(boost::asio::use_awaitable);
}

milliseconds jittered(milliseconds base) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return base + milliseconds(std::uniform_int_distribution<milliseconds::rep>(0, base.count())(random));
}

}  // namespace migration
