#include <doctest/doctest.h>

#include "migration/plan/branch_gid.h"

using migration::branch_gid;

TEST_CASE("branch_gid: a name is read as it was written") {
  const std::string uuid = "0189f7ea-1b2c-7d3e-8f40-0123456789ab";
  const branch_gid one{uuid, {7}, 1, false}, locks{uuid, {4'294'967'295}, 12, true};
  CHECK(one.text() == "pgrotor_" + uuid + "_7_1");
  CHECK(locks.text() == "pgrotor_" + uuid + "_4294967295_12l");
  CHECK(branch_gid::parse(one.text()) == one);
  CHECK(branch_gid::parse(locks.text()) == locks);
}

TEST_CASE("branch_gid: anything else is somebody else's") {
  const std::string uuid = "0189f7ea-1b2c-7d3e-8f40-0123456789ab";
  const std::string others[] = {"", "pgrotor_", "pgrotor_" + uuid, "pgrotor_" + uuid + "_", "pgrotor_" + uuid + "_7", "pgrotor_" + uuid + "_7_",
                                "pgrotor_" + uuid + "_7_0", "pgrotor_" + uuid + "_7_01", "pgrotor_" + uuid + "_07_1", "pgrotor_" + uuid + "_7_1x",
                                "pgrotor_" + uuid + "_7_1ll", "pgrotor_" + uuid + "_-7_1", "pgrotor_" + uuid + "_+7_1", "pgrotor_" + uuid + "_ 7_1",
                                "pgrotor_" + uuid + "_4294967296_1", "pgrotor_" + uuid + "_7_1 ", "Pgrotor_" + uuid + "_7_1",
                                "pgrotor_0189F7EA-1b2c-7d3e-8f40-0123456789ab_7_1", "pgrotor_0189f7ea01b2c-7d3e-8f40-0123456789ab_7_1",
                                "pgrotor_0189f7eg-1b2c-7d3e-8f40-0123456789ab_7_1", "pgrotor_{0189f7e-1b2c-7d3e-8f40-0123456789ab_7_1"};
  for (const auto& text : others) {
    CAPTURE(text);
    CHECK(!branch_gid::parse(text));
  }
}
