#include "migration/shard/guard.h"

#include <doctest/doctest.h>

using namespace migration;
using routing::key_type;
using routing::lowest_placement;
using routing::placement;
using routing::placement_range;

namespace {

const std::string hash = "pg_catalog.hashint8extended(NEW.\"k\"::pg_catalog.int8, 8816678312871386365)";

std::string filter(const std::vector<placement_range>& ranges) { return placement_filter(key_type::int8, ranges, "NEW.\"k\""); }

}  // namespace

TEST_CASE("guard: the filter has a bound for each end that a range has, operators qualified") {
  CHECK(filter({{placement{-5}, placement{7}}}) ==
        "((" + hash + " OPERATOR(pg_catalog.>=) '-5'::pg_catalog.int8 AND " + hash + " OPERATOR(pg_catalog.<) '7'::pg_catalog.int8))");
  CHECK(filter({{lowest_placement, placement{7}}}) == "((" + hash + " OPERATOR(pg_catalog.<) '7'::pg_catalog.int8))");
  CHECK(filter({{placement{-5}, routing::end_of_placements}}) == "((" + hash + " OPERATOR(pg_catalog.>=) '-5'::pg_catalog.int8))");
  CHECK(filter({{lowest_placement, routing::end_of_placements}}) == "(true)");
  CHECK(filter({}) == "(false)");
}

TEST_CASE("guard: several ranges are alternatives") {
  CHECK(filter({{lowest_placement, placement{-5}}, {placement{5}, routing::end_of_placements}}) ==
        "((" + hash + " OPERATOR(pg_catalog.<) '-5'::pg_catalog.int8) OR (" + hash + " OPERATOR(pg_catalog.>=) '5'::pg_catalog.int8))");
}
