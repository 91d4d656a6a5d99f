#include "migration/shard/equal_shards.h"

#include <doctest/doctest.h>

using migration::problems;
using migration::shard_facts;
using strings = std::vector<std::string>;

namespace {

strings messages(const problems& found) {
  strings out;
  for (const auto& one : found.all()) out.push_back(one.message);
  return out;
}

}  // namespace

TEST_CASE("equal_shards: what differs is refused, or told, by what it does to answers") {
  struct {
    const char* name;
    shard_facts standard, other;
    bool sorts;
    strings refused, told;
  } const table[] = {
      {"alike", {{"encoding", "", "UTF8"}}, {{"encoding", "", "UTF8"}}, true, {}, {}},
      {"encoding", {{"encoding", "", "UTF8"}}, {{"encoding", "", "LATIN1"}}, false, {"b has another encoding than a: LATIN1 instead of UTF8"}, {}},
      {"a locale that columns sort by", {{"locale", "", "C"}}, {{"locale", "", "de_DE"}}, true, {"b has another locale of the database than a: de_DE instead of C"}, {}},
      {"a locale that none sorts by", {{"locale", "", "C"}}, {{"locale", "", "de_DE"}}, false, {}, {"b has another locale of the database than a: de_DE instead of C"}},
      {"version of a locale", {{"locale version", "", "2.31"}}, {{"locale version", "", "2.36"}}, true, {},
       {"b has another version of the locale of the database than a: 2.36 instead of 2.31"}},
      {"labels of an enum", {{"type", "public.mood", "enum ('a')"}}, {{"type", "public.mood", "enum ('b')"}}, false,
       {"b has other types than a: public.mood enum ('b') instead of enum ('a')"}, {}},
      {"OIDs", {{"type oid", "public.mood", "16390"}}, {{"type oid", "public.mood", "16400"}}, false, {},
       {"b has other OIDs of types than a: public.mood 16400 instead of 16390"}},
      {"a type that is not there yet", {{"type", "public.mood", "enum ('a')"}, {"type oid", "public.mood", "16390"}}, {}, false, {},
       {"b lacks types of a: public.mood"}},
      {"extensions", {{"extension", "citext", "1.6"}, {"extension", "x", "1"}}, {{"extension", "citext", "1.5"}, {"extension", "more", "1"}}, false, {},
       {"b has other extensions than a: citext 1.5 instead of 1.6", "b lacks extensions of a: x"}},
      {"settings, both ways", {{"setting", "TimeZone", "'UTC'"}, {"setting", "app.x of role app", "'1'"}},
       {{"setting", "TimeZone", "'Asia/Tokyo'"}, {"setting", "app.y in the database", "'2'"}}, false, {},
       {"b has other settings than a: TimeZone 'Asia/Tokyo' instead of 'UTC'; app.x of role app none instead of '1'; app.y in the database '2' instead of none"}},
      {"a setting of superusers", {{"setting", "session_replication_role", "'origin'"}}, {{"setting", "session_replication_role", "'replica'"}}, false,
       {"b has other settings than a: session_replication_role 'replica' instead of 'origin'"}, {}},
      {"one that a superuser gave to a role", {}, {{"setting", "lo_compat_privileges of role app", "'on'"}}, false,
       {"b has other settings than a: lo_compat_privileges of role app 'on' instead of none"}, {}},
  };
  for (const auto& row : table) {
    CAPTURE(row.name);
    problems refused, told;
    migration::compare_facts("a", row.standard, "b", row.other, row.sorts, refused, told);
    CHECK(messages(refused) == row.refused);
    CHECK(messages(told) == row.told);
  }
}

TEST_CASE("equal_shards: of many differences some are named") {
  shard_facts a, b;
  for (int i = 0; i < 30; ++i) {
    a.push_back({"extension", "x" + std::to_string(i), "1"});
    b.push_back({"extension", "x" + std::to_string(i), "2"});
  }
  problems refused, told;
  migration::compare_facts("a", a, "b", b, false, refused, told);
  REQUIRE(told.all().size() == 1);
  CHECK(told.all().front().message.ends_with(" and 10 more"));
}
