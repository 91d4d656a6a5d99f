// Runs a coroutine of the coordinator to its end on an io_context of its own: its result, or what it throws.
#pragma once

#include <exception>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "migration/base/task.h"

template <typename T>
T run_task(boost::asio::io_context& io, migration::task<T> work) {
  using kept = std::conditional_t<std::is_void_v<T>, bool, T>;
  std::optional<kept> out;
  std::exception_ptr failed;
  if constexpr (std::is_void_v<T>) {
    boost::asio::co_spawn(io, std::move(work), [&](std::exception_ptr error) { failed = error, out = true; });
  } else {
    boost::asio::co_spawn(io, std::move(work), [&](std::exception_ptr error, T result) { failed = error, out = std::move(result); });
  }
  io.restart();
  while (!out && io.run_one() > 0) {
  }
  if (failed) std::rethrow_exception(failed);
  if (!out) throw std::logic_error("the coroutine waits for what never happens");
  if constexpr (!std::is_void_v<T>) return std::move(*out);
}

template <typename T>
T run_task(migration::task<T> work) {
  boost::asio::io_context io(1);
  return run_task(io, std::move(work));
}
