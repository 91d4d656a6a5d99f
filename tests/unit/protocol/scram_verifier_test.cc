#include <doctest/doctest.h>

#include <string>

#include "golden.h"
#include "openssl_crypto.h"
#include "protocol/scram.h"

using namespace protocol;
using protocol_test::crypto_with_nonce;

namespace {

// Made by PostgreSQL 15 for the password "pencil".
std::string captured_verifier() { return protocol_test::read_golden("traffic.txt").front().words.at(1); }

}  // namespace

TEST_CASE("scram_verifier: PostgreSQL's text is read and written back") {
  const auto text = captured_verifier();
  const auto verifier = parse_scram_verifier(text);
  REQUIRE(verifier);
  CHECK(verifier->iterations == 4096);
  CHECK(verifier->salt.size() == 16);
  CHECK(format_scram_verifier(*verifier) == text);
}

TEST_CASE("scram_verifier: the same password and salt give what PostgreSQL stored") {
  const auto captured = parse_scram_verifier(captured_verifier());
  REQUIRE(captured);
  const auto made = make_scram_verifier(crypto_with_nonce(""), "pencil", captured->salt, captured->iterations);
  CHECK(format_scram_verifier(made) == captured_verifier());
  const auto other = make_scram_verifier(crypto_with_nonce(""), "pencils", captured->salt, captured->iterations);
  CHECK(other.stored_key != captured->stored_key);
}

TEST_CASE("scram_verifier: anything else is refused") {
  const auto good = captured_verifier();
  REQUIRE(parse_scram_verifier(good));
  CHECK_FALSE(parse_scram_verifier(""));
  CHECK_FALSE(parse_scram_verifier("md5" + std::string(32, '0')));
  CHECK_FALSE(parse_scram_verifier("pencil"));
  CHECK_FALSE(parse_scram_verifier(good + "x"));
  CHECK_FALSE(parse_scram_verifier(' ' + good));
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(parse_scram_verifier(std::string_view(good).substr(0, size)));
  }
  for (const std::string count : {"0", "-1", "+1", "1000001", "4294967296", "99999999999999999999", "", " 1", "0x10"}) {
    CAPTURE(count);
    auto text = good;
    text.replace(text.find("4096"), 4, count);
    CHECK_FALSE(parse_scram_verifier(text));
  }
}
