#include "protocol/backend.h"

#include <doctest/doctest.h>

#include <string>

#include "golden.h"
#include "protocol/frame.h"

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

}  // namespace

TEST_CASE("backend: Authentication") {
  const auto ok = hex("52 00000008 00000000");
  REQUIRE(decode_authentication(body_of(ok)));
  CHECK(decode_authentication(body_of(ok))->kind == static_cast<std::int32_t>(auth::ok));
  const auto sasl = hex("52 00000017 0000000a") + "SCRAM-SHA-256\0\0"s;  // a list of one mechanism
  const auto message = decode_authentication(body_of(sasl));
  REQUIRE(message);
  CHECK(message->kind == static_cast<std::int32_t>(auth::sasl));
  CHECK(message->data == "SCRAM-SHA-256\0\0"sv);
  CHECK(encoded(*message) == sasl);
  CHECK_FALSE(decode_authentication("\0\0\0"sv));
}

TEST_CASE("backend: BackendKeyData") {
  const auto golden = hex("4b 0000000c 0000303e c5d1c2ff");
  const auto message = decode_backend_key_data(body_of(golden));
  REQUIRE(message);
  CHECK(message->pid == 0x303e);
  CHECK(message->key == hex("c5d1c2ff"));
  CHECK(encoded(*message) == golden);
  CHECK_FALSE(decode_backend_key_data(body_of(golden).substr(1)));
  CHECK(decode_backend_key_data(hex("0000303e") + std::string(256, 'k'))->key.size() == 256);
  CHECK_FALSE(decode_backend_key_data(hex("0000303e") + std::string(257, 'k')));
}

TEST_CASE("backend: ParameterStatus") {
  const auto golden = hex("53 00000015") + "TimeZone\0"s + "Etc/UTC\0"s;
  const auto message = decode_parameter_status(body_of(golden));
  REQUIRE(message);
  CHECK(message->name == "TimeZone");
  CHECK(message->value == "Etc/UTC");
  CHECK(encoded(*message) == golden);
  CHECK_FALSE(decode_parameter_status("a\0b"sv));
  CHECK_FALSE(decode_parameter_status("a\0"sv));
  CHECK_FALSE(decode_parameter_status("a\0b\0c"sv));
}

TEST_CASE("backend: ReadyForQuery knows three states") {
  for (const char status : "ITE"sv) {
    const auto golden = hex("5a 00000005") + status;
    const auto message = decode_ready_for_query(body_of(golden));
    REQUIRE(message);
    CHECK(static_cast<char>(message->status) == status);
    CHECK(encoded(*message) == golden);
  }
  CHECK_FALSE(decode_ready_for_query("X"));
  CHECK_FALSE(decode_ready_for_query(""));
  CHECK_FALSE(decode_ready_for_query("II"));
}

TEST_CASE("backend: ParameterDescription") {
  CHECK(*decode_parameter_description(hex("0002 00000014 00000019")) == std::vector<std::uint32_t>{20, 25});
  CHECK(decode_parameter_description(hex("0000"))->empty());
  CHECK_FALSE(decode_parameter_description(hex("0002 00000014")));
  CHECK_FALSE(decode_parameter_description(hex("0000 00")));
  CHECK_FALSE(decode_parameter_description(""));
}

TEST_CASE("backend: CommandComplete") {
  const auto golden = hex("43 0000000f") + "INSERT 0 1\0"s;
  const auto message = decode_command_complete(body_of(golden));
  REQUIRE(message);
  CHECK(message->tag == "INSERT 0 1");
  CHECK(encoded(*message) == golden);
  CHECK_FALSE(decode_command_complete("INSERT 0 1"));
  CHECK_FALSE(decode_command_complete("A\0B\0"sv));
}

TEST_CASE("backend: RowDescription and DataRow of the admin console") {
  const row_column columns[] = {{"shard"}, {"rows", 20, 8}};
  std::string out;
  append_row_description(out, columns);
  //                             count  name            table    column type     size modifier format
  CHECK(out == hex("54 00000035 0002") + "shard\0"s + hex("00000000 0000 00000019 ffff ffffffff 0000") + "rows\0"s +
                   hex("00000000 0000 00000014 0008 ffffffff 0000"));
  out.clear();
  const std::optional<std::string> values[] = {"s1", std::nullopt, ""};
  append_data_row(out, values);
  CHECK(out == hex("44 00000014 0003 00000002") + "s1" + hex("ffffffff 00000000"));
}

TEST_CASE("backend: NegotiateProtocolVersion") {
  std::string out;
  append(out, negotiate_protocol_version{3 << 16, {"_pq_.x"}});
  CHECK(out == hex("76 00000013 00030000 00000001") + "_pq_.x\0"s);  // as PostgreSQL 15 sends it
  const auto back = decode_negotiate_protocol_version(body_of(out));
  REQUIRE(back);
  CHECK(back->newest == 3 << 16);
  CHECK(back->unknown_options == std::vector<std::string_view>{"_pq_.x"});
  CHECK(decode_negotiate_protocol_version(hex("00030000 00000000")));
  CHECK_FALSE(decode_negotiate_protocol_version(hex("00030000 00000001")));
  CHECK_FALSE(decode_negotiate_protocol_version(hex("00030000 7fffffff") + "x\0"s));
  CHECK_FALSE(decode_negotiate_protocol_version(hex("00030000 00000000 00")));
  CHECK_FALSE(decode_negotiate_protocol_version(hex("00030000")));
}

TEST_CASE("backend: messages without a body") {
  std::string out;
  append_parse_complete(out);
  append_bind_complete(out);
  append_close_complete(out);
  append_no_data(out);
  append_empty_query_response(out);
  CHECK(out == hex("31 00000004  32 00000004  33 00000004  6e 00000004  49 00000004"));
}
