// Where keys lie in their distribution: values in one order, ranges of them, and how the ranges of hash distributions are written as numbers
// (DESIGN 1). Values, any thread, nothing from the heap.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

namespace routing {

// A string of up to 22 bytes, ordered as memcmp orders them and the beginning of another before that one: the order of PostgreSQL for text
// in collation C and for uuid, and of numbers as their constructor writes them. That is all the router, gates and maps ask of a key, whatever
// the method of its distribution: a hash is such a value, the key itself is one for ranges and lists, once there are some.
//
// Of a longer key the first 22 bytes are kept, and it counts as longer than 22. Compared with a value that was not cut it lies where the whole
// key lies, so that it is found in the right range as long as no bound was cut: bounds of more than 22 bytes are to be refused (whole()).
// What the 22 bytes do not tell apart, no bound does: such keys have one owner, move together and wait at one gate. Longer bounds would
// put a pointer and an allocation into each statement's decision, to part keys that begin alike; and a list of keys, or a pin, which owns
// one key alone, has to have keys that fit.
//
// The bytes are big-endian in three words, so that comparing is comparing numbers, nearly always one.
class placement {
 public:
  static constexpr std::size_t capacity = 22;

  constexpr placement() noexcept = default;  // no bytes: below every other
  // Eight bytes in the order of signed numbers: a hash, or a key that is a number. int2, int4 and int8 agree.
  constexpr explicit placement(std::int64_t number) noexcept : words_{static_cast<std::uint64_t>(number) ^ sign, 0, sizeof(number)} {}
  static constexpr placement of_bytes(std::string_view key) noexcept {
    placement out;
    const auto kept = key.size() < capacity ? key.size() : capacity;
    for (std::size_t i = 0; i < kept; ++i) out.words_[i / 8] |= std::uint64_t{static_cast<unsigned char>(key[i])} << (56 - 8 * (i % 8));
    out.words_[2] |= key.size() < capacity + 1 ? key.size() : capacity + 1;
    return out;
  }
  static constexpr placement end() noexcept {  // above every key
    placement out;
    out.words_.fill(std::numeric_limits<std::uint64_t>::max());
    return out;
  }

  // What the constructor was given; of the lowest placement the lowest number.
  constexpr std::int64_t number() const noexcept { return static_cast<std::int64_t>(words_[0] ^ sign); }
  // False: it was cut, and is no bound.
  constexpr bool whole() const noexcept { return (words_[2] & 0xffff) != capacity + 1; }

  friend constexpr bool operator==(const placement& a, const placement& b) noexcept {
    return a.words_[0] == b.words_[0] && a.words_[1] == b.words_[1] && a.words_[2] == b.words_[2];
  }
  friend constexpr std::strong_ordering operator<=>(const placement& a, const placement& b) noexcept {
    if (a.words_[0] != b.words_[0]) return a.words_[0] <=> b.words_[0];
    if (a.words_[1] != b.words_[1]) return a.words_[1] <=> b.words_[1];
    return a.words_[2] <=> b.words_[2];
  }

 private:
  static constexpr std::uint64_t sign = std::uint64_t{1} << 63;
  std::array<std::uint64_t, 3> words_{};  // 22 bytes, then how many there are
};
static_assert(sizeof(placement) == 24);

inline constexpr placement lowest_placement{};
inline constexpr placement end_of_placements = placement::end();

// [lower, upper); every placement, unless bounds are given.
struct placement_range {
  placement lower = lowest_placement, upper = end_of_placements;
  constexpr bool contains(const placement& p) const noexcept { return lower <= p && p < upper; }
  constexpr bool empty() const noexcept { return upper <= lower; }
  constexpr bool overlaps(const placement_range& other) const noexcept { return lower < other.upper && other.lower < upper; }
  bool operator==(const placement_range&) const = default;
};

// A range of a hash distribution as the catalog, SQL on shards and the console have it: signed 64-bit numbers, whose lowest begins the first
// range; the last one has no upper bound, as 2^63-1 is a legal hash. Nothing else reads or makes such numbers.
struct hash_bounds {
  std::int64_t lower = std::numeric_limits<std::int64_t>::min();
  std::optional<std::int64_t> upper;
};
constexpr placement_range range_of_hashes(const hash_bounds& bounds) noexcept {
  placement_range range;
  if (bounds.lower != hash_bounds{}.lower) range.lower = placement(bounds.lower);
  if (bounds.upper) range.upper = placement(*bounds.upper);
  return range;
}
constexpr hash_bounds hashes_of_range(const placement_range& range) noexcept {
  hash_bounds bounds{range.lower.number(), std::nullopt};
  if (range.upper != end_of_placements) bounds.upper = range.upper.number();
  return bounds;
}

}  // namespace routing
