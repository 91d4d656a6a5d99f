#include "proxy/state/inferred_types.h"

#include <doctest/doctest.h>

using proxy::inferred_types;

TEST_CASE("inferred_types: known by text and declared types, for a while") {
  inferred_types known;
  const inferred_types::clock::time_point start{};
  known.remember("app", "SELECT $1", {}, {25}, start);
  REQUIRE(known.find("app", "SELECT $1", {}, start));
  CHECK(*known.find("app", "SELECT $1", {}, start) == std::vector<std::uint32_t>{25});
  CHECK_FALSE(known.find("app", "SELECT $1", {20}, start));
  CHECK_FALSE(known.find("app", "SELECT $2", {}, start));
  CHECK_FALSE(known.find("other", "SELECT $1", {}, start));
  CHECK(known.find("app", "SELECT $1", {}, start + inferred_types::valid_for));
  CHECK_FALSE(known.find("app", "SELECT $1", {}, start + inferred_types::valid_for + std::chrono::seconds(1)));
}

TEST_CASE("inferred_types: bounded") {
  inferred_types known;
  for (std::size_t i = 0; i <= inferred_types::most; ++i) known.remember("app", std::to_string(i), {}, {20}, {});
  CHECK_FALSE(known.find("app", "0", {}, {}));
  CHECK(known.find("app", std::to_string(inferred_types::most), {}, {}));
}
