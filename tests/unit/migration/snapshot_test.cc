#include <doctest/doctest.h>

#include "migration/mover/snapshot.h"

using migration::extend_xid;
using migration::parse_snapshot;
using migration::snapshot;
using migration::visible;

TEST_CASE("snapshot: the text of pg_current_snapshot is read") {
  CHECK(parse_snapshot("731:731:") == snapshot{731, 731, {}});
  CHECK(parse_snapshot("731:740:731,735,739") == snapshot{731, 740, {731, 735, 739}});
  CHECK(parse_snapshot("4294967300:4294967400:4294967300") == snapshot{4294967300, 4294967400, {4294967300}});
}

TEST_CASE("snapshot: what is no snapshot is refused") {
  for (const char* text : {"", "731", "731:", "731:740", "740:731:", "731:740:735,", "731:740:,", "731:740:735,731", "731:740:735 ", "a:b:"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_snapshot(text));
  }
}

TEST_CASE("snapshot: visible is what was over when it was taken") {
  const snapshot s{100, 110, {100, 105}};
  struct { std::uint32_t xid; bool seen; } rows[] = {{99, true}, {100, false}, {101, true}, {105, false}, {109, true}, {110, false}, {111, false}};
  for (const auto& row : rows) {
    CAPTURE(row.xid);
    CHECK(visible(row.xid, s) == row.seen);
  }
}

TEST_CASE("snapshot: 32-bit xids are read in the epoch nearest to the snapshot") {
  constexpr std::uint64_t epoch = std::uint64_t{1} << 32;
  CHECK(extend_xid(5, 7 * epoch + 10) == 7 * epoch + 5);
  CHECK(extend_xid(0xfffffff0u, 7 * epoch + 10) == 6 * epoch + 0xfffffff0u);
  CHECK(extend_xid(3, 6 * epoch + 0xfffffff0u) == 7 * epoch + 3);
  const snapshot s{7 * epoch - 4, 7 * epoch + 4, {7 * epoch + 1}};
  CHECK(visible(0xfffffff0u, s));
  CHECK(visible(0, s));
  CHECK_FALSE(visible(1, s));
  CHECK(visible(3, s));
  CHECK_FALSE(visible(4, s));
}
