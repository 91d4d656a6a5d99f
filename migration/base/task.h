// The words that every coroutine of the coordinator uses: what one returns, the clock of its deadlines, and a wait without a condition.
#pragma once

#include <chrono>

#include <boost/asio/awaitable.hpp>

namespace migration {

template <typename T>
using task = boost::asio::awaitable<T>;
using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Waits without blocking the thread, on the executor of who asks.
task<void> sleep_for(milliseconds);
// 1x to 2x of `base`, so that two who collide do not collide again. Any thread.
milliseconds jittered(milliseconds base);

}  // namespace migration
