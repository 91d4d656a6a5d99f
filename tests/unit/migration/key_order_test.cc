#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "migration/mover/key_order.h"
#include "protocol/wire.h"

using namespace migration;

namespace {

template <typename Int>
std::string big_endian(Int value) {
  std::string out;
  protocol::append_int(out, value);
  return out;
}

std::string key_of(std::uint32_t type, const std::string& value) {
  std::string key;
  REQUIRE(append_ordered(key, type, value));
  return key;
}

template <typename Int>
void check_ascending(std::uint32_t type, std::vector<Int> values) {
  for (std::size_t i = 1; i < values.size(); ++i) {
    CAPTURE(values[i]);
    CHECK(key_of(type, big_endian(values[i - 1])) < key_of(type, big_endian(values[i])));
  }
}

moving_table table_of(std::vector<moving_column> columns, std::vector<std::size_t> primary_key) {
  moving_table out;
  out.schema = "public";
  out.name = "t";
  out.columns = std::move(columns);
  out.primary_key = std::move(primary_key);
  return out;
}

}  // namespace

TEST_CASE("key_order: integers sort by value, negative ones first") {
  check_ascending<std::int16_t>(21, {-32768, -1, 0, 1, 255, 256, 32767});
  check_ascending<std::int32_t>(23, {std::numeric_limits<std::int32_t>::min(), -256, -1, 0, 1, 65536, std::numeric_limits<std::int32_t>::max()});
  check_ascending<std::int64_t>(20, {std::numeric_limits<std::int64_t>::min(), -5'000'000'000, -1, 0, 7, 5'000'000'000});
  check_ascending<std::int64_t>(1184, {std::numeric_limits<std::int64_t>::min(), -1, 0, 700'000'000'000'000, std::numeric_limits<std::int64_t>::max()});
  check_ascending<std::uint32_t>(26, {0, 1, 0x7fffffff, 0x80000000, 0xffffffff});
}

TEST_CASE("key_order: text of collation C sorts by bytes, a prefix first, zero bytes included") {
  const std::vector<std::string> ascending{"", std::string("\0", 1), std::string("\0\0", 2), std::string("\0a", 2), "a", std::string("a\0", 2),
                                           std::string("a\0b", 3), "aa", "b", "\xc3\xa9", "\xff"};
  for (std::size_t i = 1; i < ascending.size(); ++i) CHECK(key_of(17, ascending[i - 1]) < key_of(17, ascending[i]));
}

TEST_CASE("key_order: the first column decides, whatever follows a text") {
  const auto pair = [](const std::string& first, std::int64_t second) {
    auto key = key_of(25, first);
    REQUIRE(append_ordered(key, 20, big_endian(second)));
    return key;
  };
  CHECK(pair("a", std::numeric_limits<std::int64_t>::max()) < pair("aa", std::numeric_limits<std::int64_t>::min()));
  CHECK(pair("a", -1) < pair("a", 0));
  CHECK(pair("", 5) < pair(std::string("\0", 1), -5));
}

TEST_CASE("key_order: bytes that are not of the type are refused") {
  std::string key;
  CHECK_FALSE(append_ordered(key, 23, "abc"));
  CHECK_FALSE(append_ordered(key, 2950, "0123456789abcde"));
  CHECK_FALSE(append_ordered(key, 1700, "1"));
  CHECK(key.empty());
}

TEST_CASE("key_order: a primary key is sliced by its longest orderable prefix") {
  const moving_column number{"id", "bigint", 20, ""}, c_text{"code", "text", 25, "C"}, text{"name", "text", 25, "default"},
      german{"name", "text", 25, "de-x-icu"}, decimal{"price", "numeric", 1700, ""};
  using columns = std::vector<std::size_t>;
  CHECK(slicing_columns(table_of({number, c_text}, {0, 1}), false) == columns{0, 1});
  CHECK(slicing_columns(table_of({number, c_text}, {1, 0}), false) == columns{1, 0});
  CHECK(slicing_columns(table_of({number, text}, {0, 1}), false) == columns{0});
  CHECK(slicing_columns(table_of({number, text}, {0, 1}), true) == columns{0, 1});
  CHECK(slicing_columns(table_of({number, decimal, c_text}, {0, 1, 2}), true) == columns{0});
  CHECK(slicing_columns(table_of({german, number}, {0, 1}), true).empty());
}

TEST_CASE("key_order: a slice has its upper bound and not its lower") {
  const key_slice slice{"b", "d"};
  CHECK_FALSE(slice.contains("b"));
  CHECK(slice.contains("c"));
  CHECK(slice.contains("d"));
  CHECK_FALSE(slice.contains("da"));
  CHECK(key_slice{}.contains(""));
}
