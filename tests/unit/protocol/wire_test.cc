#include "protocol/wire.h"

#include <doctest/doctest.h>

#include <limits>

#include "golden.h"

using namespace protocol;
using protocol_test::hex;

TEST_CASE("wire: integers are big-endian and keep their sign") {
  const auto bytes = hex("ff 8000 7fffffff ffffffff fffffffffffffffe");
  wire_reader reader(bytes);
  CHECK(reader.read<std::uint8_t>() == 255);
  CHECK(reader.read<std::int16_t>() == std::numeric_limits<std::int16_t>::min());
  CHECK(reader.read<std::int32_t>() == std::numeric_limits<std::int32_t>::max());
  CHECK(reader.read<std::uint32_t>() == 0xffffffffu);
  CHECK(reader.read<std::int64_t>() == -2);
  CHECK(reader.done());
}

TEST_CASE("wire: appended integers read back") {
  std::string out;
  append_int(out, std::int16_t{-1});
  append_int(out, std::numeric_limits<std::int64_t>::min());
  append_int(out, std::uint32_t{0x01020304});
  CHECK(out == hex("ffff 8000000000000000 01020304"));
}

TEST_CASE("wire: after a short read everything fails, even what would fit") {
  const auto bytes = hex("0102 03");
  wire_reader reader(bytes);
  CHECK(reader.read<std::uint32_t>() == 0);
  CHECK_FALSE(reader.ok());
  CHECK(reader.read<std::uint8_t>() == 0);
  CHECK(reader.read_bytes(0).empty());
  CHECK_FALSE(reader.done());
}

TEST_CASE("wire: a string without its zero and a count beyond the end are refused") {
  wire_reader unterminated(std::string_view("abc"));
  CHECK(unterminated.read_cstring().empty());
  CHECK_FALSE(unterminated.ok());
  wire_reader short_bytes(std::string_view("abc"));
  CHECK(short_bytes.read_bytes(std::numeric_limits<std::size_t>::max()).empty());
  CHECK_FALSE(short_bytes.ok());
}
