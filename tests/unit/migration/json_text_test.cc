#include "migration/base/json_text.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include <doctest/doctest.h>

using namespace migration;

TEST_CASE("json_text: strings are escaped, bytes above ASCII stay") {
  CHECK(json_string("plain") == "\"plain\"");
  CHECK(json_string("a\"b\\c") == R"("a\"b\\c")");
  CHECK(json_string(std::string("\n\t\x01", 3)) == R"("\u000a\u0009\u0001")");
  CHECK(json_string("Zürich") == "\"Zürich\"");
}

TEST_CASE("json_text: objects and arrays") {
  json_object row;
  row.text("a", "x").number("b", std::numeric_limits<std::int64_t>::min()).number("c", true).optional_number("d", std::optional<int>());
  row.optional_number("e", std::optional<int>(5)).raw("f", "[1]");
  CHECK(row.take() == R"({"a":"x","b":-9223372036854775808,"c":true,"d":null,"e":5,"f":[1]})");
  CHECK(json_object().take() == "{}");
  CHECK(json_array(std::vector<std::string>{"x", "y\""}, json_string) == R"(["x","y\""])");
  CHECK(json_array(std::vector<std::string>{}, json_string) == "[]");
}
