// Whether a shard can be reached, as its home worker (permit_ledger.h) knows it for all workers. Clients of a shard that is down fail
// at once with the reason; one probe at a time finds out when it is back.
//
//   answering --failed()--> down --probe()--> probing --probe_failed()--> down, the pause doubled
//       ^                                        |
//       \------------- probe_answered() ---------/
//
// Plain state, no I/O; worker_shards.cc connects and tells the others.
#pragma once

#include <algorithm>
#include <chrono>

namespace proxy {

class shard_health {
 public:
  enum class state {
    answering,  // nothing is known against it
    down,       // connecting has failed; a pause is under way
    probing,    // one connection is being tried
  };
  static constexpr std::chrono::milliseconds first_pause{100}, longest_pause{1'000};

  // A worker could not connect. True: that is news, tell everybody and begin to probe.
  bool failed() noexcept {
    if (now_ != state::answering) return false;
    now_ = state::down;
    pause_ = first_pause;
    return true;
  }
  std::chrono::milliseconds pause() const noexcept { return pause_; }
  void probe() noexcept { now_ = state::probing; }
  void probe_failed() noexcept {
    now_ = state::down;
    pause_ = std::min(pause_ * 2, longest_pause);
  }
  void probe_answered() noexcept { now_ = state::answering; }
  state now() const noexcept { return now_; }

 private:
  state now_ = state::answering;
  std::chrono::milliseconds pause_ = first_pause;
};

}  // namespace proxy
