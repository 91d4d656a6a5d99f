// How long this process may act on what it knows without hearing from the catalog. Counted from the *sending* of the renewal, by a clock
// that goes on while the machine sleeps; a process that was stopped therefore finds it run out before anybody else may have begun.
// Written by the term's keeper (term_keeper.h), read by any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>

namespace migration {

using boottime = std::chrono::nanoseconds;  // since boot, CLOCK_BOOTTIME: no system call where it is in the vDSO

inline boottime boottime_now() noexcept {
  struct timespec now {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

class lease {
 public:
  boottime left() const noexcept { return boottime(until_.load(std::memory_order_relaxed)) - boottime_now(); }
  bool runs() const noexcept { return left().count() > 0; }
  void renew(boottime until) noexcept { until_.store(until.count(), std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> until_{0};
};

}  // namespace migration
