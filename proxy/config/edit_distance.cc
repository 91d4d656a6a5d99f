#include "proxy/config/edit_distance.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace proxy {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) now[j] = std::min(now[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, now);
  }
  return last[b.size()];
}

std::vector<std::string_view> nearest(std::string_view name, std::span<const std::string_view> names, std::size_t count) {
  std::vector<std::pair<std::size_t, std::string_view>> candidates;
  for (const auto candidate : names) {
    const std::size_t distance = edit_distance(name, candidate);
    if (2 * distance < std::max(name.size(), candidate.size())) candidates.emplace_back(distance, candidate);
  }
  std::ranges::stable_sort(candidates, {}, [](const auto& c) { return c.first; });
  std::vector<std::string_view> out;
  for (std::size_t i = 0; i < std::min(count, candidates.size()); ++i) out.push_back(candidates[i].second);
  return out;
}

}  // namespace proxy
