#include "protocol/frontend.h"

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "golden.h"

using namespace protocol;
using namespace std::string_literals;
using namespace std::string_view_literals;
using protocol_test::hex;

namespace {

std::string_view body_of(const std::string& frame) { return std::string_view(frame).substr(frame_header_size); }

template <typename Message>
std::string encoded(const Message& message) {
  std::string out;
  append(out, message);
  return out;
}

// Every proper prefix of a body must be refused, and so must a body with a byte too many.
template <typename Decode>
void check_bounds(const Decode& decode, std::string_view body) {
  for (std::size_t size = 0; size < body.size(); ++size) {
    CAPTURE(size);
    const std::string exact(body.substr(0, size));  // ends where its allocation ends: a sanitizer sees any read beyond
    CHECK_FALSE(decode(exact));
  }
  CHECK_FALSE(decode(std::string(body) + '\0'));
}

}  // namespace

TEST_CASE("frontend: Query") {
  const auto golden = hex("51 0000000d") + "SELECT 1\0"s;
  const auto message = decode_query(body_of(golden));
  REQUIRE(message);
  CHECK(message->sql == "SELECT 1");
  CHECK(encoded(*message) == golden);
  check_bounds(decode_query, body_of(golden));
}

TEST_CASE("frontend: Parse") {
  // name, sql, two types: int8 (20) and unspecified
  const auto golden = hex("50 0000001b") + "s1\0"s + "SELECT $1\0"s + hex("0002 00000014 00000000");
  const auto message = decode_parse(body_of(golden));
  REQUIRE(message);
  CHECK(message->name == "s1");
  CHECK(message->sql == "SELECT $1");
  CHECK(message->types == std::vector<std::uint32_t>{20, 0});
  CHECK(encoded(*message) == golden);
  check_bounds(decode_parse, body_of(golden));
}

TEST_CASE("frontend: Bind with values of every kind") {
  const auto golden = hex("42 00000028") + "p\0"s + "s1\0"s + hex("0003 0000 0001 0000")  // formats: text, binary, text
                      + hex("0003") + hex("00000003") + "abc" + hex("00000002 0007") + hex("ffffffff")
                      + hex("0001 0001");  // results: all binary
  const auto message = decode_bind(body_of(golden));
  REQUIRE(message);
  CHECK(message->portal == "p");
  CHECK(message->statement == "s1");
  REQUIRE(message->values.size() == 3);
  CHECK(message->values[0] == "abc"sv);
  CHECK(message->values[1] == "\0\7"sv);
  CHECK_FALSE(message->values[2]);
  CHECK(message->format_of(0) == 0);
  CHECK(message->format_of(1) == 1);
  CHECK(message->result_formats == std::vector<std::int16_t>{1});
  CHECK(encoded(*message) == golden);
  check_bounds([](std::string_view body) { return decode_bind(body); }, body_of(golden));
}

TEST_CASE("frontend: Bind decoded into a kept message holds nothing of the one before") {
  const auto first = hex("70 00 73 00  0001 0001  0002 00000001 61 00000001 62  0001 0001");
  const auto second = hex("00 00  0000  0001 ffffffff  0000");
  bind message;
  REQUIRE(decode_bind(first, message));
  CHECK(message.values.size() == 2);
  REQUIRE(decode_bind(second, message));
  CHECK(message.portal.empty());
  CHECK(message.formats.empty());
  CHECK(message.values == std::vector<std::optional<std::string_view>>{std::nullopt});
  CHECK(message.result_formats.empty());
  CHECK_FALSE(decode_bind(std::string_view(first).substr(0, first.size() - 1), message));
}

TEST_CASE("frontend: Bind's short forms of the format list") {
  bind message;
  CHECK(message.format_of(0) == 0);
  message.formats = {1};
  CHECK(message.format_of(0) == 1);
  CHECK(message.format_of(99) == 1);
  message.formats = {0, 1};
  CHECK(message.format_of(1) == 1);
  CHECK(message.format_of(2) == 0);
}

TEST_CASE("frontend: counts and lengths that lie are refused before memory is reserved") {
  const auto names = "\0\0"s;  // empty portal and statement, or empty name and SQL
  CHECK_FALSE(decode_parse(names + hex("ffff")));
  CHECK_FALSE(decode_parse(names + hex("0002 00000014")));
  CHECK_FALSE(decode_bind(names + hex("ffff")));
  CHECK_FALSE(decode_bind(names + hex("0000 ffff")));
  CHECK_FALSE(decode_bind(names + hex("0000 0001 7fffffff 61 0000")));
  CHECK_FALSE(decode_bind(names + hex("0000 0001 fffffffe 0000")));
  CHECK_FALSE(decode_bind(names + hex("0000 0001 80000000 0000")));
  CHECK_FALSE(decode_bind(names + hex("0000 0000 ffff")));
  // Two formats for one value, which the server refuses in its own words.
  CHECK(decode_bind(names + hex("0002 0000 0000 0001 ffffffff 0000")));
  CHECK(decode_bind(names + hex("0000 0000 0000")));
}

TEST_CASE("frontend: the front of a Bind says how much of it is needed") {
  bind message;
  message.portal = "p";
  message.statement = "s";
  message.formats = {1, 0};
  message.values = {"abc", std::nullopt, std::string_view("0123456789")};
  const auto frame = encoded(message);
  const auto body = body_of(frame);
  const std::size_t ends[] = {4, 19, 23, 37};  // of the names, and of each value
  bind front;
  for (std::size_t count = 0; count <= 3; ++count) {
    for (std::size_t there = 0; there <= body.size(); ++there) {
      CAPTURE(count);
      CAPTURE(there);
      const std::string exact(body.substr(0, there));
      const auto needed = decode_bind_front(exact, count, front);
      CHECK((needed == 0) == (there >= ends[count]));
      CHECK((needed == 0 || (needed > there && needed <= ends[count])));
      CHECK((needed > 0 || front.values.size() == count));
    }
  }
  CHECK(decode_bind_front(body, 9, front) == 0);  // it has three
  CHECK(front.statement == "s");
  CHECK(front.format_of(0) == 1);
  CHECK(front.values == message.values);
}

TEST_CASE("frontend: the front of a malformed Bind needs more than there is") {
  const auto names = "\0\0"s;
  bind front;
  for (const auto& body : {"\0a"s, names, names + hex("ffff"), names + hex("0000 0001 7fffffff 61"), names + hex("0000 0001 fffffffe 0000")}) {
    CAPTURE(body);
    CHECK(decode_bind_front(body, 1, front) > body.size());
  }
  CHECK(decode_bind_front(names + hex("ffff"), 0, front) == 0);
}

TEST_CASE("frontend: 65535 parameters, the most that the count can say") {
  bind message;
  message.values.resize(65535);
  const auto frame = encoded(message);
  const auto decoded = decode_bind(body_of(frame));
  REQUIRE(decoded);
  CHECK(decoded->values.size() == 65535);
  message.values.emplace_back();
  CHECK_THROWS_AS(encoded(message), std::length_error);
}

TEST_CASE("frontend: Describe and Close name a statement or a portal") {
  const auto golden = hex("44 00000008") + "Ss1\0"s;
  const auto message = decode_describe(body_of(golden));
  REQUIRE(message);
  CHECK(message->kind == 'S');
  CHECK(message->name == "s1");
  CHECK(encoded(*message) == golden);
  check_bounds(decode_describe, body_of(golden));
  CHECK_FALSE(decode_describe("Xs1\0"sv));

  const auto close_golden = hex("43 00000006") + "P\0"s;
  const auto closed = decode_close(body_of(close_golden));
  REQUIRE(closed);
  CHECK(closed->kind == 'P');
  CHECK(closed->name.empty());
  CHECK(encoded(*closed) == close_golden);
  check_bounds(decode_close, body_of(close_golden));
}

TEST_CASE("frontend: Execute") {
  const auto golden = hex("45 0000000a 70 00 00000064");
  const auto message = decode_execute(body_of(golden));
  REQUIRE(message);
  CHECK(message->portal == "p");
  CHECK(message->max_rows == 100);
  CHECK(encoded(*message) == golden);
  check_bounds(decode_execute, body_of(golden));
}

TEST_CASE("frontend: CopyFail and password") {
  const auto fail = hex("66 00000008") + "bad\0"s;
  CHECK(decode_copy_fail(body_of(fail))->reason == "bad");
  CHECK(encoded(*decode_copy_fail(body_of(fail))) == fail);
  check_bounds(decode_copy_fail, body_of(fail));
  const auto secret = hex("70 0000000b") + "pencil\0"s;
  CHECK(decode_password(body_of(secret))->value == "pencil");
  CHECK(encoded(*decode_password(body_of(secret))) == secret);
  check_bounds(decode_password, body_of(secret));
}

TEST_CASE("frontend: SASL messages") {
  const auto golden = hex("70 0000001a") + "SCRAM-SHA-256\0"s + hex("00000004") + "n,,x";
  const auto initial = decode_sasl_initial_response(body_of(golden));
  REQUIRE(initial);
  CHECK(initial->mechanism == "SCRAM-SHA-256");
  CHECK(initial->data == "n,,x");
  CHECK(encoded(*initial) == golden);
  check_bounds(decode_sasl_initial_response, body_of(golden));

  const auto without = hex("70 0000000a") + "M\0"s + hex("ffffffff");
  REQUIRE(decode_sasl_initial_response(body_of(without)));
  CHECK(encoded(*decode_sasl_initial_response(body_of(without))) == without);
  CHECK_FALSE(decode_sasl_initial_response("M\0\xff\xff\xff\xfe"sv));

  const auto later = hex("70 00000007") + "c=b";
  CHECK(decode_sasl_response(body_of(later))->data == "c=b");
  CHECK(encoded(*decode_sasl_response(body_of(later))) == later);
}

TEST_CASE("frontend: messages without a body") {
  std::string out;
  append_sync(out);
  append_flush(out);
  append_terminate(out);
  CHECK(out == hex("53 00000004  48 00000004  58 00000004"));
}
