#include "migration/mover/snapshot.h"

#include <algorithm>
#include <charconv>

namespace migration {
namespace {

std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

bool take_mark(std::string_view& text, char mark) {
  if (text.empty() || text.front() != mark) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::optional<snapshot> parse_snapshot(std::string_view text) {
  snapshot out;
  const auto xmin = take_number(text);
  if (!xmin || !take_mark(text, ':')) return std::nullopt;
  const auto xmax = take_number(text);
  if (!xmax || !take_mark(text, ':') || *xmin > *xmax) return std::nullopt;
  while (!text.empty()) {
    const auto xid = take_number(text);
    if (!xid || (!out.running.empty() && *xid <= out.running.back())) return std::nullopt;
    out.running.push_back(*xid);
    if (!text.empty() && (!take_mark(text, ',') || text.empty())) return std::nullopt;
  }
  out.xmin = *xmin;
  out.xmax = *xmax;
  return out;
}

std::uint64_t extend_xid(std::uint32_t xid, std::uint64_t near) noexcept {
  const auto distance = static_cast<std::int32_t>(xid - static_cast<std::uint32_t>(near));
  return near + static_cast<std::uint64_t>(static_cast<std::int64_t>(distance));
}

bool visible(std::uint32_t xid, const snapshot& s) noexcept {
  const auto full = extend_xid(xid, s.xmax);
  if (full < s.xmin) return true;
  return full < s.xmax && !std::binary_search(s.running.begin(), s.running.end(), full);
}

}  // namespace migration
