#include "migration/base/refused.h"
#include "migration/plan/planner.h"

#include <doctest/doctest.h>

#include "migration/strategy/throttle.h"

using namespace migration;
using routing::placement;
using routing::placement_range;
using routing::shard_id;
using routing::shard_state;

namespace {

routing::shard_map::parts three_shards() {
  routing::shard_map::parts parts;
  parts.number = parts.schema_version = routing::generation{1};
  parts.default_shard = shard_id{2};
  parts.shards = {{shard_id{1}, "s1", "host=1", shard_state::active}, {shard_id{2}, "s2", "host=2", shard_state::active}, {shard_id{3}, "s3", "host=3", shard_state::active}};
  const auto map = routing::shard_map::make(parts);
  routing::distribution shop{routing::distribution_id{1}, "shop", routing::key_type::int8, even_ranges(*map)};
  parts.distributions.push_back(shop);
  return parts;
}

std::string refusal_of(auto&& call) {
  try {
    call();
  } catch (const refused& error) {
    return error.notice.sqlstate + " " + error.notice.message;
  }
  return "not refused";
}

// Every placement that `owned` covers is in exactly one of the planned rows: ends meet, nothing overlaps.
void check_cover(const std::vector<migration_row>& rows, placement_range whole) {
  std::vector<placement_range> all;
  for (const auto& row : rows) all.insert(all.end(), row.ranges.begin(), row.ranges.end());
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.lower < b.lower; });
  REQUIRE(!all.empty());
  CHECK(all.front().lower == whole.lower);
  CHECK(all.back().upper == whole.upper);
  for (std::size_t i = 1; i < all.size(); ++i) CHECK(all[i - 1].upper == all[i].lower);
}

}  // namespace

TEST_CASE("planner: a new distribution is spread evenly, without gap, the last range without upper bound") {
  const auto parts = three_shards();
  const auto& ranges = parts.distributions.front().ranges;
  REQUIRE(ranges.size() == 3);
  CHECK(ranges.front().range.lower == routing::lowest_placement);
  CHECK(ranges[0].range.upper == ranges[1].range.lower);
  CHECK(ranges[1].range.upper == ranges[2].range.lower);
  CHECK(ranges[2].range.upper == routing::end_of_placements);
  for (const auto& range : ranges) CHECK(share_of({range.range}) == doctest::Approx(1.0 / 3));
}

TEST_CASE("planner: a drain to two shards is two migrations of equal width that cover what the source owned") {
  const auto map = routing::shard_map::make(three_shards());
  const auto rows = plan_drain(*map, {}, drain_shard{"s1", {"s2", "s3"}, {{"max_rate", "20MB"}}});
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].source == shard_id{1});
  CHECK(rows[0].target == shard_id{2});
  CHECK(rows[1].target == shard_id{3});
  CHECK(rows[0].options.max_rate == 20u << 20);
  CHECK(share_of(rows[0].ranges) == doctest::Approx(share_of(rows[1].ranges)));
  check_cover(rows, map->distributions().front().ranges.front().range);
}

TEST_CASE("planner: a drain without targets goes to every other active shard; one with the last range keeps it open above") {
  const auto map = routing::shard_map::make(three_shards());
  const auto rows = plan_drain(*map, {}, drain_shard{"s3", {}, {}});
  REQUIRE(rows.size() == 2);
  check_cover(rows, map->distributions().front().ranges.back().range);
}

TEST_CASE("planner: a move over several owners is one migration an owner, the target's own part left out") {
  const auto map = routing::shard_map::make(three_shards());
  const auto rows = plan_move(*map, {}, move_range{placement_range{}, "shop", "s2", {}});
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].source == shard_id{1});
  CHECK(rows[1].source == shard_id{3});
  CHECK(share_of(rows[0].ranges) + share_of(rows[1].ranges) == doctest::Approx(2.0 / 3));
}

TEST_CASE("planner: a retry is planned against the map as it is, and a move takes rows only from who owns them") {
  auto parts = three_shards();
  const auto whole = parts.distributions.front().ranges;
  const auto map = routing::shard_map::make(parts);
  auto row = plan_move(*map, {}, move_range{whole[0].range, "shop", "s3", {{"max_rate", "1MB"}}}).front();
  row.id = 7;
  row.state = state::failed;
  row.attempt = 3;
  row.error = "why";
  const auto again = plan_retry(*map, {}, row);
  CHECK(again.state == state::planned);
  CHECK(again.id + again.attempt + again.error.size() == 0);
  CHECK(again.ranges == row.ranges);
  CHECK(again.options.max_rate == 1u << 20);
  refuse_unless_owned(*map, row);

  const auto elsewhere = routing::shard_map::make(map->with_owner(row.distribution, row.ranges, shard_id{2}));
  const auto refusal = [&](const routing::shard_map& now) {
    std::string text;
    try {
      plan_retry(now, {}, row);
    } catch (const refused& error) {
      text = error.notice.message + "|" + error.notice.detail + "|" + error.notice.hint;
    }
    return text;
  };
  const auto upper = std::to_string(whole[0].range.upper.number());
  CHECK(refusal(*elsewhere) == "shard \"s1\" does not own all of what migration 7 moves|[MINVALUE, " + upper +
                                   ") of distribution shop belongs to shard s2 by generation 2, so its rows are there.|Run: MOVE RANGE [MINVALUE, " +
                                   upper + ") OF shop TO s3;");
  const auto there = routing::shard_map::make(map->with_owner(row.distribution, row.ranges, shard_id{3}));
  CHECK(refusal(*there).ends_with("|SHOW RANGES; tells who owns what."));
  const std::vector<placement_range> one{{placement{-5'000'000'000'000'000'000}, placement{-4'999'999'999'999'999'999}}};
  const auto part = routing::shard_map::make(map->with_owner(row.distribution, one, shard_id{2}));
  CHECK(refusal(*part).ends_with("|Run: MOVE RANGE [-5000000000000000000, -4999999999999999999) OF shop TO s3;"));
  CHECK(refusal_of([&] { refuse_if_owned(*there, row, shard_id{3}); }).starts_with("55000 migration 7 must not delete rows from shard \"s3\", which owns"));
  CHECK(refusal_of([&] { refuse_if_owned(*part, row, shard_id{2}); }).starts_with("55000 migration 7 must not delete rows"));
  refuse_if_owned(*there, row, shard_id{1});
}

TEST_CASE("planner: what cannot be done is refused with the object's name") {
  const auto map = routing::shard_map::make(three_shards());
  CHECK(refusal_of([&] { plan_drain(*map, {}, drain_shard{"s9", {}, {}}); }) == "42704 shard \"s9\" does not exist");
  CHECK(refusal_of([&] { plan_drain(*map, {}, drain_shard{"s2", {}, {}}); }) == "55000 shard \"s2\" is the default shard and cannot be drained");
  CHECK(refusal_of([&] { plan_drain(*map, {}, drain_shard{"s1", {"s1"}, {}}); }) == "22023 shard \"s1\" cannot be drained to itself");
  CHECK(refusal_of([&] { plan_drain(*map, {}, drain_shard{"s1", {"s2", "s2"}, {}}); }) == "22023 shard \"s2\" is named twice");
  CHECK(refusal_of([&] { plan_move(*map, {}, move_range{placement_range{placement{5}, placement{5}}, "shop", "s2", {}}); }) ==
        "22023 the range is empty: its lower bound is not below its upper bound");
  CHECK(refusal_of([&] { plan_move(*map, {}, move_range{map->distributions().front().ranges[1].range, "shop", "s2", {}}); }) ==
        "55000 shard \"s2\" owns all of this range already");
  auto planned = plan_drain(*map, {}, drain_shard{"s1", {"s3"}, {}});
  planned.front().id = 7;
  CHECK(refusal_of([&] { plan_move(*map, planned, move_range{placement_range{}, "shop", "s2", {}}); }) ==
        "55000 migration 7 is moving a part of these placements");
  CHECK(refusal_of([&] { parse_options({{"strategy", "dual_write"}}); }) == "0A000 strategy \"dual_write\" is not in this version");
  CHECK(refusal_of([&] { parse_options({{"max_rate", "fast"}}); }) == "22023 option max_rate: \"fast\" is not a size");
  CHECK(refusal_of([&] { parse_options({{"speed", "1"}}); }) == "42601 unknown option \"speed\"");
}

TEST_CASE("throttle: halves while users feel the copy and recovers in tenths") {
  throttle t;
  t.learn({100, std::chrono::microseconds(1'000), {}});
  CHECK(t.judge({100, std::chrono::microseconds(1'500), {}}) == 1.0);
  CHECK(t.judge({100, std::chrono::microseconds(9'000), {}}) == 0.5);
  CHECK(t.reason() == "statements take 9.0 ms, 1.0 ms before the copy");
  CHECK(t.judge({100, std::chrono::microseconds(9'000), {}}) == 0.25);
  CHECK(t.judge({100, std::chrono::microseconds(1'000), {}}) == doctest::Approx(0.35));
  for (int i = 0; i < 10; ++i) t.judge({100, std::chrono::microseconds(1'000), {}});
  CHECK(t.reason().empty());
}
