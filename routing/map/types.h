// Strong types of the routing vocabulary (DESIGN 1). Values, any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <optional>

namespace routing {

struct shard_id {
  std::uint32_t value = 0;
  auto operator<=>(const shard_id&) const = default;
};
struct generation {
  std::uint64_t value = 0;
  auto operator<=>(const generation&) const = default;
};
struct distribution_id {
  std::uint32_t value = 0;
  auto operator<=>(const distribution_id&) const = default;
};
// A placement value: the seeded hash of a shard key.
struct placement {
  std::int64_t value = 0;
  auto operator<=>(const placement&) const = default;
};
inline constexpr placement lowest_placement{std::numeric_limits<std::int64_t>::min()};

// [lower, upper); no upper means that the highest placement is inside (2^63-1 is a legal hash).
struct placement_range {
  placement lower = lowest_placement;
  std::optional<placement> upper;
  bool contains(placement p) const noexcept { return lower <= p && (!upper || p < *upper); }
  bool operator==(const placement_range&) const = default;
};

}  // namespace routing
