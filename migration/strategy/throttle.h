// AIMD on the copy rate from what users feel (DESIGN 6, Throttle): halved when statements take much longer than before the copy,
// raised by a tenth when they do not. Pure; fed once a second.
#pragma once

#include <optional>
#include <string>

#include "migration/plan/gates.h"

namespace migration {

class throttle {
 public:
  // The first calls, made before the copy has begun, set what is normal.
  void learn(const felt_latency&) noexcept;
  // The factor for the next second, 0.1 <= f <= 1.
  double judge(const felt_latency&) noexcept;
  const std::string& reason() const noexcept { return reason_; }

 private:
  double normal_us_ = 0;
  int samples_ = 0;
  double factor_ = 1;
  std::string reason_;
};

}  // namespace migration
