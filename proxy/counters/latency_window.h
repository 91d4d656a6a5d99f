// Statement latency as clients of one worker felt it, for the throttle of moves (migration/plan/gates.h). Worker's thread only.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "migration/plan/gates.h"

namespace proxy {

// Statement latency of the last second, in slices of 100 ms.
class latency_window {
 public:
  using clock = std::chrono::steady_clock;
  void add(clock::time_point now, std::uint64_t microseconds) noexcept;
  migration::felt_latency read(clock::time_point now) const noexcept;

 private:
  struct slice {
    std::int64_t number = -1;
    std::uint64_t statements = 0, sum_us = 0, worst_us = 0;
  };
  std::array<slice, 10> slices_{};
};

}  // namespace proxy
