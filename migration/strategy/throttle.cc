#include "migration/strategy/throttle.h"

#include <algorithm>

#include <fmt/format.h>

namespace migration {
namespace {
constexpr double slack_us = 2'000;  // below this nobody feels a difference
constexpr double tolerated = 3;     // times the normal mean
constexpr double floor_factor = 0.1, raise = 0.1, cut = 0.5;
}  // namespace

void throttle::learn(const felt_latency& felt) noexcept {
  if (felt.statements == 0) return;
  normal_us_ = (normal_us_ * samples_ + static_cast<double>(felt.mean.count())) / (samples_ + 1);
  ++samples_;
}

double throttle::judge(const felt_latency& felt) noexcept {
  const auto mean = static_cast<double>(felt.mean.count());
  const bool slow = samples_ > 0 && felt.statements > 0 && mean > normal_us_ * tolerated + slack_us;
  factor_ = slow ? std::max(floor_factor, factor_ * cut) : std::min(1.0, factor_ + raise);
  reason_ = factor_ < 1 ? fmt::format("statements take {:.1f} ms, {:.1f} ms before the copy", mean / 1000, normal_us_ / 1000) : "";
  return factor_;
}

}  // namespace migration
