#include "migration/base/problems.h"

#include <doctest/doctest.h>

using namespace migration;

TEST_CASE("problems: none is no refusal, one is itself, several are told together") {
  problems found;
  found.refuse_if_any("shard s1");
  found.add("42501", "role pgrotor lacks rights", "Missing: x.", "Run: GRANT x TO pgrotor;");
  try {
    found.refuse_if_any("shard s1");
    FAIL("not refused");
  } catch (const refused& refusal) {
    CHECK(refusal.notice.sqlstate == "42501");
    CHECK(refusal.notice.message == "role pgrotor lacks rights");
    CHECK(refusal.notice.hint == "Run: GRANT x TO pgrotor;");
    CHECK(std::string(refusal.what()) == "role pgrotor lacks rights");
  }
  found.add("55000", "wal_level is replica", "", "Run: ALTER SYSTEM SET wal_level = logical;");
  try {
    found.refuse_if_any("shard s1");
    FAIL("not refused");
  } catch (const refused& refusal) {
    CHECK(refusal.notice.sqlstate == "42501");
    CHECK(refusal.notice.message == "shard s1: 2 things are in the way");
    CHECK(refusal.notice.detail == "role pgrotor lacks rights: Missing: x.\nwal_level is replica");
    CHECK(refusal.notice.hint == "Run: GRANT x TO pgrotor;\nRun: ALTER SYSTEM SET wal_level = logical;");
  }
}
