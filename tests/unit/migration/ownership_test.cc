#include "migration/shard/ownership.h"

#include <doctest/doctest.h>

#include "migration/plan/planner.h"

using namespace migration;
using routing::lowest_placement;
using routing::placement;
using routing::placement_range;
using routing::shard_id;

namespace {

// Three shards, the even thirds of small numbers: s1 below -10, s2 up to 10, s3 the rest.
routing::distribution thirds() {
  routing::distribution out;
  out.id.value = 1;
  out.ranges = {{{lowest_placement, placement{-10}}, shard_id{1}}, {{placement{-10}, placement{10}}, shard_id{2}}, {{placement{10}, routing::end_of_placements}, shard_id{3}}};
  return out;
}

migration_row moving(state now, std::uint32_t source, std::uint32_t target, placement_range range) {
  migration_row row;
  row.id = 1;
  row.distribution.value = 1;
  row.source.value = source;
  row.target.value = target;
  row.ranges = {range};
  row.state = now;
  return row;
}

std::string allowed(std::uint32_t shard, const std::vector<migration_row>& rows) { return to_string(allowed_ranges(thirds(), shard_id{shard}, rows)); }

}  // namespace

TEST_CASE("ownership: a shard may store what it owns, and nothing without ranges") {
  CHECK(allowed(2, {}) == "[-10, 10)");
  CHECK(allowed(3, {}) == "[10, )");
  CHECK(allowed(4, {}) == "");
}

TEST_CASE("ownership: a target may store the moving set from PREPARING on, until the migration has ended; a source gets nothing more") {
  const placement_range part{placement{-10}, placement{0}};
  struct row { state now; const char* target; };
  const row table[] = {{state::planned, ""},           {state::preparing, "[-10, 0)"}, {state::copying, "[-10, 0)"},  {state::catching_up, "[-10, 0)"},
                       {state::verifying, "[-10, 0)"}, {state::ready, "[-10, 0)"},     {state::cutting_over, "[-10, 0)"}, {state::switched, "[-10, 0)"},
                       {state::cleaning, "[-10, 0)"},  {state::paused, "[-10, 0)"},    {state::done, ""},             {state::failed, ""},
                       {state::failing, ""},           {state::cancelling, ""},
                       {state::cancelled, ""},         {state::rolled_back, ""}};
  for (const auto& row : table) {
    CAPTURE(to_string(row.now));
    const std::vector<migration_row> rows{moving(row.now, 2, 4, part)};
    CHECK(allowed(4, rows) == row.target);
    CHECK(allowed(2, rows) == "[-10, 10)");
    CHECK(allowed(3, rows) == "[10, )");
  }
}

TEST_CASE("ownership: sets of other distributions do not count, those of several migrations all do, and neighbours are merged") {
  auto other = moving(state::copying, 2, 4, {placement{-10}, placement{0}});
  other.distribution.value = 2;
  CHECK(allowed(4, {other}) == "");
  const auto next_to_it = moving(state::paused, 2, 3, {placement{0}, placement{10}});
  const auto apart = moving(state::copying, 1, 3, {lowest_placement, placement{-20}});
  CHECK(allowed(3, {next_to_it, apart}) == "[-9223372036854775808, -20), [0, )");
}

TEST_CASE("ownership: merging keeps the wider end, whatever the order") {
  const auto text = [](std::vector<placement_range> ranges) { return to_string(merged(std::move(ranges))); };
  CHECK(text({{placement{5}, placement{7}}, {placement{1}, placement{9}}}) == "[1, 9)");
  CHECK(text({{placement{1}, routing::end_of_placements}, {placement{5}, placement{7}}}) == "[1, )");
  CHECK(text({{placement{1}, placement{5}}, {placement{3}, routing::end_of_placements}}) == "[1, )");
  CHECK(text({{placement{5}, placement{7}}, {placement{1}, placement{4}}}) == "[1, 4), [5, 7)");
}
