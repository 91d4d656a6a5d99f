// PostgreSQL's snapshots as pg_current_snapshot() prints them, and the visibility rule of SVB (DESIGN 6). Pure, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace migration {

// Transactions below xmin are over; from xmax on none had begun; `running` are those in between that were not over, ascending.
struct snapshot {
  std::uint64_t xmin = 0, xmax = 0;
  std::vector<std::uint64_t> running;
  bool operator==(const snapshot&) const = default;
};

// "xmin:xmax:xid,xid,..." with 64-bit xids. nullopt: not a snapshot.
std::optional<snapshot> parse_snapshot(std::string_view text);

// The 64-bit xid that lies within 2^31 of `near`; the stream carries 32 bits only.
std::uint64_t extend_xid(std::uint32_t xid, std::uint64_t near) noexcept;

// Whether a committed transaction (its top-level xid, as Begin carries it) is seen by the snapshot.
bool visible(std::uint32_t xid, const snapshot&) noexcept;

}  // namespace migration
