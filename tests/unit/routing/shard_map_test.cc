#include "routing/map/shard_map.h"

#include <doctest/doctest.h>

#include <stdexcept>

#include "sample_map.h"

using namespace routing;

namespace {

constexpr std::int64_t top = std::numeric_limits<std::int64_t>::max();

shard_map::parts two_halves() {
  auto p = sample::parts();
  p.tables.clear();
  p.distributions.resize(1);
  p.distributions[0].ranges = {{{lowest_placement, placement{0}}, sample::s1}, {{placement{0}, end_of_placements}, sample::s2}};
  return p;
}

std::string failure(shard_map::parts p) {
  try {
    shard_map::make(std::move(p));
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("shard_map: a placement belongs to the range that holds it, the highest hash included") {
  const auto map = shard_map::make(two_halves());
  const auto& d = *map->find_distribution(sample::shop);
  CHECK(d.owner_of(lowest_placement) == sample::s1);
  CHECK(d.owner_of(placement(-1)) == sample::s1);
  CHECK(d.owner_of(placement(0)) == sample::s2);
  CHECK(d.owner_of(placement(top)) == sample::s2);
}

TEST_CASE("shard_map: what is wrong with a map is named") {
  struct row {
    const char* message;
    void (*spoil)(shard_map::parts&);
  };
  const row rows[] = {
      {"distribution \"shop\" has a gap between 0 and 5", [](auto& p) { p.distributions[0].ranges[1].range.lower = placement{5}; }},
      {"distribution \"shop\" has an overlap between 0 and -5", [](auto& p) { p.distributions[0].ranges[1].range.lower = placement{-5}; }},
      {"distribution \"shop\" has no range from 9 upward", [](auto& p) { p.distributions[0].ranges[1].range.upper = placement{9}; }},
      {"distribution \"shop\" is by range: this version knows distributions by hash only",
       [](auto& p) { p.distributions[0].method = distribution_method::range; }},
      {"distribution \"shop\" is by list: this version knows distributions by hash only",
       [](auto& p) { p.distributions[0].method = distribution_method::list; }},
      {"distribution \"shop\" has an empty range at 0", [](auto& p) { p.distributions[0].ranges[1].range.upper = placement{0}; }},
      {"distribution \"shop\" has no ranges", [](auto& p) { p.distributions[0].ranges.clear(); }},
      {"distribution \"shop\" has a range at 0 owned by unknown shard 9", [](auto& p) { p.distributions[0].ranges[1].owner = {9}; }},
      {"the default shard 9 is not in the map", [](auto& p) { p.default_shard = {9}; }},
      {"shard name \"s1\" is given twice", [](auto& p) { p.shards[1].name = "s1"; }},
      {"shard id 1 is given twice", [](auto& p) { p.shards[1].id = {1}; }},
      {"table \"a.b\" is in unknown distribution 9", [](auto& p) { p.tables = {{"a", "b", distribution_id{9}, "k", 20, {}}}; }},
      {"table \"a.b\": type 701 cannot be a shard key", [](auto& p) { p.tables = {{"a", "b", sample::shop, "k", 701, {}}}; }},
      {"table \"a.b\" has a shard key of type text, its distribution \"shop\" is of int8",
       [](auto& p) { p.tables = {{"a", "b", sample::shop, "k", 25, {}}}; }},
      {"table \"a.b\" has no column \"k\"", [](auto& p) { p.tables = {{"a", "b", sample::shop, "k", 20, {"x"}}}; }},
      {"table \"a.b\" is given twice", [](auto& p) { p.tables = {{"a", "b", {}, "", 0, {}}, {"a", "b", {}, "", 0, {}}}; }},
  };
  CHECK(failure(two_halves()).empty());
  for (const auto& row : rows) {
    auto p = two_halves();
    row.spoil(p);
    CHECK(failure(p) == row.message);
  }
}

TEST_CASE("shard_map: moved ranges are cut out and neighbours with one owner are merged") {
  const auto map = shard_map::make(two_halves());
  const auto ranges_after = [&](std::vector<placement_range> moved, shard_id to) {
    auto next = map->with_owner(sample::shop, moved, to);
    CHECK(next.number.value == map->number().value + 1);
    CHECK(next.schema_version == map->schema_version());
    return shard_map::make(std::move(next))->find_distribution(sample::shop)->ranges;
  };
  const auto is = [](const owned_range& r, std::int64_t lower, const placement& upper, shard_id owner) {
    return r.range.lower.number() == lower && r.range.upper == upper && r.owner == owner;
  };
  SUBCASE("a piece from the middle") {
    const auto r = ranges_after({{placement{-10}, placement{-5}}}, sample::s3);
    REQUIRE(r.size() == 4);
    CHECK(is(r[0], lowest_placement.number(), placement{-10}, sample::s1));
    CHECK(is(r[1], -10, placement{-5}, sample::s3));
    CHECK(is(r[2], -5, placement{0}, sample::s1));
    CHECK(is(r[3], 0, end_of_placements, sample::s2));
  }
  SUBCASE("a piece across a boundary, to the upper neighbour") {
    const auto r = ranges_after({{placement{-10}, placement{10}}}, sample::s2);
    REQUIRE(r.size() == 2);
    CHECK(is(r[0], lowest_placement.number(), placement{-10}, sample::s1));
    CHECK(is(r[1], -10, end_of_placements, sample::s2));
  }
  SUBCASE("everything") {
    const auto r = ranges_after({{lowest_placement, end_of_placements}}, sample::s3);
    REQUIRE(r.size() == 1);
    CHECK(is(r[0], lowest_placement.number(), end_of_placements, sample::s3));
  }
  SUBCASE("two pieces, given in any order") {
    const auto r = ranges_after({{placement{100}, end_of_placements}, {lowest_placement, placement{-100}}}, sample::s3);
    REQUIRE(r.size() == 4);
    CHECK(is(r[0], lowest_placement.number(), placement{-100}, sample::s3));
    CHECK(is(r[3], 100, end_of_placements, sample::s3));
  }
  SUBCASE("there and back is the map of before") {
    const placement_range piece{placement{-10}, placement{10}};
    const auto there = shard_map::make(map->with_owner(sample::shop, std::span(&piece, 1), sample::s3));
    const placement_range left{placement{-10}, placement{0}}, right{placement{0}, placement{10}};
    const auto half = shard_map::make(there->with_owner(sample::shop, std::span(&left, 1), sample::s1));
    const auto back = half->with_owner(sample::shop, std::span(&right, 1), sample::s2);
    REQUIRE(back.distributions[0].ranges.size() == 2);
    CHECK(back.number.value == map->number().value + 3);
  }
  SUBCASE("bad requests throw") {
    const placement_range empty{placement{5}, placement{5}}, some{placement{5}, placement{6}};
    CHECK_THROWS_AS(map->with_owner(sample::shop, std::span(&empty, 1), sample::s1), std::invalid_argument);
    CHECK_THROWS_AS(map->with_owner(sample::shop, std::span(&some, 1), shard_id{9}), std::invalid_argument);
    CHECK_THROWS_AS(map->with_owner(distribution_id{9}, std::span(&some, 1), sample::s1), std::invalid_argument);
  }
}

TEST_CASE("shard_map: tables are found by name, a name in two schemas is ambiguous without one") {
  const auto map = sample::map();
  bool ambiguous = true;
  CHECK(map->find_table("", "orders", ambiguous)->name == "orders");
  CHECK_FALSE(ambiguous);
  CHECK(map->find_table("crm", "orders", ambiguous) == nullptr);
  CHECK_FALSE(ambiguous);
  CHECK(map->find_table("", "twins", ambiguous) == nullptr);
  CHECK(ambiguous);
  CHECK(map->find_table("crm", "twins", ambiguous)->schema == "crm");
  CHECK_FALSE(ambiguous);
  CHECK(map->is_dependent_view("", "order_totals"));
  CHECK(map->is_dependent_view("public", "order_totals"));
  CHECK_FALSE(map->is_dependent_view("crm", "order_totals"));
}
