// Golden values computed by PostgreSQL 15 with the expression of placement_sql; tests/integration/placement compares many more.
#include "routing/map/placement.h"

#include <doctest/doctest.h>

using namespace routing;

TEST_CASE("placement: integers hash as PostgreSQL hashes them, int2, int4 and int8 alike") {
  struct row {
    std::int64_t key, placement;
  };
  constexpr row rows[] = {
      {0, -4403592609991167795},
      {1, 5968994663651403477},
      {-1, -5017072347659237694},
      {5, -2840406021921404358},
      {42, 7363975540656877951},
      {32767, -6436696229286267413},
      {-32768, 5885242512097991578},
      {2147483647, -6050265599104649060},
      {-2147483648, 4938542303000433043},
      {2147483648, 4938542303000433043},
      {std::numeric_limits<std::int64_t>::max(), 4938542303000433043},
      {std::numeric_limits<std::int64_t>::min(), -6050265599104649060},
  };
  for (const auto& row : rows) {
    CAPTURE(row.key);
    CHECK(placement_of_int(row.key).number() == row.placement);
  }
}

TEST_CASE("placement: texts of every length modulo twelve") {
  struct row {
    std::string_view key;
    std::int64_t placement;
  };
  constexpr row rows[] = {
      {"", -5700645584453517373},
      {"a", -6705225459120232837},
      {"a ", 3566788156499709406},
      {"abc", 3628778498291917250},
      {"abcd", 4029384952263848046},
      {"abcdefgh", -7754745184861941070},
      {"abcdefghijk", -2046435308545367432},
      {"abcdefghijkl", -7876791541613377658},
      {"abcdefghijklm", -6785754114725280077},
      {"Grüße", 4311899274824463033},
      {"a'b", -310679101245922019},
      {"xyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyzxyz", -281194668036546310},
  };
  for (const auto& row : rows) {
    CAPTURE(row.key);
    CHECK(placement_of_text(row.key).number() == row.placement);
  }
}

TEST_CASE("placement: bpchar does not count blanks at the end") {
  CHECK(placement_of_bpchar("").number() == -5700645584453517373);
  CHECK(placement_of_bpchar("  ").number() == -5700645584453517373);
  CHECK(placement_of_bpchar("a").number() == -6705225459120232837);
  CHECK(placement_of_bpchar("a   ").number() == -6705225459120232837);
  CHECK(placement_of_bpchar(" a").number() == -4914483885741449242);
}

TEST_CASE("placement: text values are read as the input functions read them") {
  struct row {
    key_type type;
    std::string_view text;
    std::optional<std::int64_t> placement;
  };
  constexpr std::int64_t five = -2840406021921404358, uuid = 424513190990560493;
  const row rows[] = {
      {key_type::int8, "5", five},
      {key_type::int8, " \t\n+5 ", five},
      {key_type::int8, "005", five},
      {key_type::int8, "-1", -5017072347659237694},
      {key_type::int8, "-9223372036854775808", -6050265599104649060},
      {key_type::int8, "9223372036854775808", std::nullopt},
      {key_type::int8, "", std::nullopt},
      {key_type::int8, " ", std::nullopt},
      {key_type::int8, "+", std::nullopt},
      {key_type::int8, "+-5", std::nullopt},
      {key_type::int8, "- 5", std::nullopt},
      {key_type::int8, "5.0", std::nullopt},
      {key_type::int8, "5x", std::nullopt},
      {key_type::int8, "0x5", std::nullopt},
      {key_type::text, "a ", 3566788156499709406},
      {key_type::bpchar, "a ", -6705225459120232837},
      {key_type::uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", uuid},
      {key_type::uuid, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", uuid},
      {key_type::uuid, "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", uuid},
      {key_type::uuid, "a0eebc999c0b4ef8bb6d6bb9bd380a11", uuid},
      {key_type::uuid, "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", uuid},
      {key_type::uuid, "a0-eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", std::nullopt},
      {key_type::uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-", std::nullopt},
      {key_type::uuid, "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", std::nullopt},
      {key_type::uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", std::nullopt},
      {key_type::uuid, " a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", std::nullopt},
      {key_type::uuid, "{", std::nullopt},
      {key_type::uuid, "", std::nullopt},
  };
  for (const auto& row : rows) {
    CAPTURE(row.text);
    const auto value = placement_of_text_value(row.type, row.text);
    CHECK(value.has_value() == row.placement.has_value());
    if (value && row.placement) CHECK(value->number() == *row.placement);
  }
}

TEST_CASE("placement: binary values are big-endian integers, bytes of text and the sixteen bytes of a uuid") {
  using namespace std::string_view_literals;
  const auto five = placement_of_int(5), minus_one = placement_of_int(-1);
  CHECK(placement_of_binary_value(key_type::int8, "\0\5"sv) == five);
  CHECK(placement_of_binary_value(key_type::int8, "\0\0\0\5"sv) == five);
  CHECK(placement_of_binary_value(key_type::int8, "\0\0\0\0\0\0\0\5"sv) == five);
  CHECK(placement_of_binary_value(key_type::int8, "\xff\xff"sv) == minus_one);
  CHECK(placement_of_binary_value(key_type::int8, "\xff\xff\xff\xff\xff\xff\xff\xff"sv) == minus_one);
  CHECK(placement_of_binary_value(key_type::int8, ""sv) == std::nullopt);
  CHECK(placement_of_binary_value(key_type::int8, "\0\0\5"sv) == std::nullopt);
  CHECK(placement_of_binary_value(key_type::text, "abc"sv) == placement_of_text("abc"));
  CHECK(placement_of_binary_value(key_type::bpchar, "abc "sv) == placement_of_text("abc"));
  CHECK(placement_of_binary_value(key_type::uuid, "\xa0\xee\xbc\x99\x9c\x0b\x4e\xf8\xbb\x6d\x6b\xb9\xbd\x38\x0a\x11"sv)->number() ==
        424513190990560493);
  CHECK(placement_of_binary_value(key_type::uuid, "short"sv) == std::nullopt);
}

TEST_CASE("placement: the same value as SQL") {
  CHECK(placement_sql(key_type::int8, "\"a b\"") == "pg_catalog.hashint8extended(\"a b\"::pg_catalog.int8, 8816678312871386365)");
  CHECK(placement_sql(key_type::text, "k") == "pg_catalog.hashtextextended(k::pg_catalog.text, 8816678312871386365)");
  CHECK(placement_sql(key_type::bpchar, "k") == "pg_catalog.hashbpcharextended(k::pg_catalog.bpchar, 8816678312871386365)");
  CHECK(placement_sql(key_type::uuid, "k") == "pg_catalog.uuid_hash_extended(k::pg_catalog.uuid, 8816678312871386365)");
}
