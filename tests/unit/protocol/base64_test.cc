#include <doctest/doctest.h>

#include <string>

#include "protocol/scram.h"

using namespace protocol;
using namespace std::string_literals;

TEST_CASE("base64: the vectors of RFC 4648 section 10, both ways") {
  const std::pair<const char*, const char*> rows[] = {{"", ""},         {"f", "Zg=="},         {"fo", "Zm8="},       {"foo", "Zm9v"},
                                                      {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [raw, text] : rows) {
    CAPTURE(text);
    CHECK(base64_encode(raw) == text);
    REQUIRE(base64_decode(text));
    CHECK(*base64_decode(text) == raw);
  }
}

TEST_CASE("base64: every byte value survives") {
  std::string raw;
  for (int byte = 0; byte < 256; ++byte) raw.push_back(static_cast<char>(byte));
  CHECK(base64_decode(base64_encode(raw)) == raw);
  CHECK(base64_encode("\xfb\xff\xfe"s) == "+//+");
}

TEST_CASE("base64: only the canonical text of a value is accepted") {
  for (const std::string text : {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "====", "=", "Zg==Zg==", "Zm 9", "Zm9\n", "Zm9_", "Z=g="}) {
    CAPTURE(text);
    CHECK_FALSE(base64_decode(text));
  }
  CHECK_FALSE(base64_decode("Zm9\0"s));
  CHECK_FALSE(base64_decode("\xff\xff\xff\xff"s));
}
