#include "migration/catalog/catalog_map.h"

#include <doctest/doctest.h>

using namespace migration;

namespace {

routing::shard_map::parts small_map() {
  routing::shard_map::parts parts;
  parts.number.value = 3;
  parts.schema_version.value = 2;
  parts.default_shard.value = 1;
  for (const auto& [id, name] : {std::pair(1u, "s1"), std::pair(2u, "s2")}) {
    routing::shard shard;
    shard.id.value = id;
    shard.name = name;
    shard.dsn = "host=h";
    parts.shards.push_back(shard);
  }
  routing::distribution shop;
  shop.id.value = 1;
  shop.name = "shop";
  shop.ranges = {{{routing::lowest_placement, routing::placement{0}}, routing::shard_id{1}}, {{routing::placement{0}, routing::end_of_placements}, routing::shard_id{2}}};
  parts.distributions = {shop};
  parts.dependent_views = {"a.b", "a.c"};
  return parts;
}

}  // namespace

TEST_CASE("catalog_map: the canonical text does not depend on the order of the parts, but on all of them") {
  const auto one = map_json(small_map());
  auto shuffled = small_map();
  std::swap(shuffled.shards[0], shuffled.shards[1]);
  std::swap(shuffled.distributions[0].ranges[0], shuffled.distributions[0].ranges[1]);
  std::swap(shuffled.dependent_views[0], shuffled.dependent_views[1]);
  CHECK(map_json(shuffled) == one);
  CHECK(map_checksum(one).size() == 16);
  auto other = small_map();
  other.distributions[0].ranges[1].owner.value = 1;
  CHECK(map_checksum(map_json(other)) != map_checksum(one));
  other = small_map();
  other.shards[1].state = routing::shard_state::draining;
  CHECK(map_checksum(map_json(other)) != map_checksum(one));
  other = small_map();
  other.hidden.push_back({routing::hidden_access::by::call, "a", "f", true, "table \"a.b\""});
  CHECK(map_checksum(map_json(other)) != map_checksum(one));
}

TEST_CASE("catalog_map: the checksum is FNV-1a") {
  CHECK(map_checksum("") == "cbf29ce484222325");
  CHECK(map_checksum("a") == "af63dc4c8601ec8c");
}
