#include "migration/coordinator/queue.h"

#include <set>

#include <doctest/doctest.h>

using namespace migration;

namespace {

migration_row row(std::uint64_t id, std::uint32_t source, std::uint32_t target, state s = state::planned) {
  migration_row out;
  out.id = id;
  out.source.value = source;
  out.target.value = target;
  out.state = s;
  return out;
}

// The ids in the order in which they would begin beside those that run.
std::vector<std::uint64_t> begun(const std::vector<migration_row>& rows, std::set<std::uint64_t> ids, std::size_t at_most,
                                 const std::set<std::uint64_t>& waiting = {}) {
  std::vector<std::uint64_t> out;
  for (;;) {
    std::vector<const migration_row*> running;
    for (const auto& each : rows) {
      if (ids.contains(each.id)) running.push_back(&each);
    }
    const auto* next = next_to_begin(rows, running, at_most, [&](const migration_row& one) { return !waiting.contains(one.id); });
    if (!next) return out;
    REQUIRE(ids.insert(next->id).second);
    out.push_back(next->id);
  }
}

using order = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("queue: one at a time, the lowest first, and no other as long as it runs") {
  const std::vector<migration_row> rows{row(1, 1, 2, state::done), row(2, 1, 2), row(3, 3, 4)};
  CHECK(begun(rows, {}, 1) == order{2});
  CHECK(begun(rows, {2}, 1).empty());
  CHECK(begun(rows, {}, 1, {2}) == order{3});  // a lost shard lets others pass
  CHECK(begun(rows, {}, 0).empty());
}

TEST_CASE("queue: several, unless they have a shard in common") {
  const std::vector<migration_row> rows{row(1, 1, 2), row(2, 1, 3), row(3, 4, 2), row(4, 2, 4), row(5, 5, 1), row(6, 3, 4), row(7, 5, 6)};
  CHECK(begun(rows, {}, 10) == order{1, 6, 7});
  CHECK(begun(rows, {}, 2) == order{1, 6});
  CHECK(begun(rows, {6, 7}, 10) == order{1});
}

TEST_CASE("queue: those whose gates are closed come first and above the limit, one a shard") {
  const std::vector<migration_row> rows{row(1, 1, 2), row(2, 3, 4, state::switched), row(3, 5, 6, state::cutting_over), row(4, 5, 7, state::cutting_over)};
  CHECK(begun(rows, {}, 1) == order{2, 3});
  CHECK(begun(rows, {1}, 1) == order{2, 3});
  CHECK(begun(rows, {1}, 1, {2}) == order{3});
}
