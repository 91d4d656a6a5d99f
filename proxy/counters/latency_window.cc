#include "proxy/counters/latency_window.h"

#include <algorithm>

namespace proxy {

void latency_window::add(clock::time_point now, std::uint64_t microseconds) noexcept {
  const auto number = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() / 100;
  auto& s = slices_[static_cast<std::size_t>(number) % slices_.size()];
  if (s.number != number) s = slice{number, 0, 0, 0};
  ++s.statements;
  s.sum_us += microseconds;
  s.worst_us = std::max(s.worst_us, microseconds);
}

migration::felt_latency latency_window::read(clock::time_point now) const noexcept {
  const auto number = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() / 100;
  migration::felt_latency felt;
  std::uint64_t sum = 0, worst = 0;
  for (const auto& s : slices_) {
    if (s.number <= number - static_cast<std::int64_t>(slices_.size())) continue;
    felt.statements += s.statements;
    sum += s.sum_us;
    worst = std::max(worst, s.worst_us);
  }
  felt.mean = std::chrono::microseconds(felt.statements == 0 ? 0 : sum / felt.statements);
  felt.worst = std::chrono::microseconds(worst);
  return felt;
}

}  // namespace proxy
