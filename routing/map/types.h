// Numbers of the routing vocabulary as strong types (DESIGN 1). Values, any thread.
#pragma once

#include <compare>
#include <cstdint>

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

}  // namespace routing
