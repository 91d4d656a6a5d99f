// The order of placements is that of PostgreSQL's types; tests/integration/placement_test.py compares them with a server's own ORDER BY.
#include "routing/map/placement_range.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace routing {
namespace {

using namespace std::string_literals;
constexpr auto least = std::numeric_limits<std::int64_t>::min();
constexpr auto most = std::numeric_limits<std::int64_t>::max();

// Comparisons cost nothing at run time where they need not.
static_assert(placement(-1) < placement(0) && placement(least) < placement(most) && placement(5).number() == 5);
static_assert(lowest_placement < placement(least) && placement(most) < end_of_placements);
static_assert(std::is_trivially_copyable_v<placement>);

int sign_of(std::strong_ordering order) { return order < 0 ? -1 : order > 0 ? 1 : 0; }
int sign_of(int order) { return order < 0 ? -1 : order > 0 ? 1 : 0; }

// Strings that often begin alike, of every length around the capacity, with zero bytes and high ones.
std::string some_bytes(std::mt19937_64& random) {
  static constexpr std::string_view letters("\0\0ab\x7f\x80\xff\xff", 8);
  std::string out(random() % 3 == 0 ? random() % 40 : placement::capacity - 2 + random() % 5, 'a');
  const auto from = out.empty() || random() % 4 == 0 ? 0 : out.size() - random() % std::min<std::size_t>(out.size(), 4) - 1;
  for (auto i = from; i < out.size(); ++i) out[i] = letters[random() % letters.size()];
  return out;
}

TEST_CASE("placement: numbers keep their order and come back") {
  std::mt19937_64 random(20);
  for (int i = 0; i < 20'000; ++i) {
    const auto shift = random() % 64;
    const auto a = static_cast<std::int64_t>(random()) >> shift, b = random() % 3 == 0 ? a + 1 - static_cast<int>(random() % 3) : static_cast<std::int64_t>(random()) >> shift;
    CAPTURE(a);
    CAPTURE(b);
    REQUIRE(sign_of(placement(a) <=> placement(b)) == sign_of(a <=> b));
    REQUIRE((placement(a) == placement(b)) == (a == b));
    REQUIRE(placement(a).number() == a);
  }
}

TEST_CASE("placement: values that fit are ordered as memcmp orders them, the beginning of another first") {
  std::mt19937_64 random(21);
  int equal = 0;
  for (int i = 0; i < 30'000; ++i) {
    const auto a = some_bytes(random).substr(0, placement::capacity), b = some_bytes(random).substr(0, placement::capacity);
    CAPTURE(a);
    CAPTURE(b);
    REQUIRE(sign_of(placement::of_bytes(a) <=> placement::of_bytes(b)) == sign_of(a.compare(b)));
    REQUIRE((placement::of_bytes(a) == placement::of_bytes(b)) == (a == b));
    REQUIRE(placement::of_bytes(a).whole());
    equal += a == b;
  }
  CHECK(equal > 0);
}

TEST_CASE("placement: a key of any length lies on the right side of every bound that fits") {
  std::mt19937_64 random(22);
  int cut = 0;
  for (int i = 0; i < 30'000; ++i) {
    const auto key = some_bytes(random), bound = some_bytes(random).substr(0, placement::capacity);
    const auto value = placement::of_bytes(key);
    CAPTURE(key);
    CAPTURE(bound);
    REQUIRE(sign_of(value <=> placement::of_bytes(bound)) == sign_of(key.compare(bound)));
    REQUIRE(value.whole() == (key.size() <= placement::capacity));
    cut += !value.whole();
  }
  CHECK(cut > 0);
}

TEST_CASE("placement: keys that begin alike for 22 bytes and go on are one placement, above the 22 bytes alone") {
  const std::string begin(placement::capacity, '\xff');
  CHECK(placement::of_bytes(begin + "a") == placement::of_bytes(begin + "bcd"));
  CHECK(placement::of_bytes(begin) < placement::of_bytes(begin + "\0"s));
  CHECK(placement::of_bytes(begin + "a") < end_of_placements);
  CHECK(end_of_placements.whole());
}

TEST_CASE("placement: nothing is below the lowest and nothing reaches the end") {
  std::mt19937_64 random(23);
  CHECK(placement::of_bytes("") == lowest_placement);
  for (int i = 0; i < 10'000; ++i) {
    const auto value = placement::of_bytes(some_bytes(random));
    REQUIRE(placement_range{}.contains(value));
    REQUIRE(placement_range{value, end_of_placements}.contains(value));
    REQUIRE_FALSE(placement_range{lowest_placement, value}.contains(value));
  }
}

TEST_CASE("placement_range: contains, empty and overlaps are those of half-open intervals") {
  std::vector<placement> all{lowest_placement, placement(least), placement(-1), placement(0), placement(7), placement(most), end_of_placements};
  REQUIRE(std::is_sorted(all.begin(), all.end()));
  const auto inside = [&](const placement_range& range) {
    std::vector<placement> out;
    std::copy_if(all.begin(), all.end() - 1, std::back_inserter(out), [&](const auto& p) { return range.contains(p); });
    return out;
  };
  for (const auto& a : all) {
    for (const auto& b : all) {
      const placement_range one{a, b};
      CHECK(one.empty() == inside(one).empty());
      for (const auto& c : all) {
        const placement_range other{a, c}, another{c, b};
        if (!one.empty() && !other.empty()) CHECK(one.overlaps(other));
        if (!other.empty() && !another.empty()) CHECK_FALSE(other.overlaps(another));
      }
    }
  }
}

TEST_CASE("hash_bounds: a range of hashes is two numbers, and the same range again") {
  for (const std::int64_t lower : {least, least + 1, std::int64_t{-1}, std::int64_t{0}, most}) {
    for (const std::optional<std::int64_t> upper : {std::optional<std::int64_t>(), std::optional<std::int64_t>(0), std::optional(most)}) {
      const auto range = range_of_hashes({lower, upper});
      const auto again = hashes_of_range(range);
      CHECK(again.lower == lower);
      CHECK(again.upper == upper);
      CHECK(range.contains(placement(lower)) == (!upper || lower < *upper));
    }
  }
  CHECK(range_of_hashes({}) == placement_range{});
  CHECK(range_of_hashes({}).contains(placement(most)));
}

}  // namespace
}  // namespace routing
