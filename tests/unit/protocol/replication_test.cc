#include <doctest/doctest.h>

#include <string>
#include <variant>

#include "golden.h"
#include "protocol/pgoutput.h"

using namespace protocol;
using namespace std::string_view_literals;
using protocol_test::hex;

TEST_CASE("replication: positions are read and written as PostgreSQL writes them") {
  CHECK(to_string(lsn{}) == "0/0");
  CHECK(to_string(lsn{0x1A002B3C4D}) == "1A/2B3C4D");
  CHECK(to_string(lsn{~std::uint64_t{0}}) == "FFFFFFFF/FFFFFFFF");
  CHECK(parse_lsn("0/0") == lsn{});
  CHECK(parse_lsn("1A/2B3C4D") == lsn{0x1A002B3C4D});
  CHECK(parse_lsn("1a/002b3c4d") == lsn{0x1A002B3C4D});
  CHECK(parse_lsn("FFFFFFFF/FFFFFFFF") == lsn{~std::uint64_t{0}});
  for (const auto text : {"", "/", "1", "1/", "/1", "1/2/3", "-1/2", "1/-2", "0x1/2", "100000000/0", "0/000000001", " 1/2", "1/2 ", "g/0"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_lsn(text));
  }
}

TEST_CASE("replication: XLogData") {
  // start 0/1545DB0, server end 0/1545F60, time 1, payload
  const auto golden = hex("77 0000000001545db0 0000000001545f60 0000000000000001") + "payload";
  const auto message = decode_replication(golden);
  REQUIRE(message);
  const auto* data = std::get_if<xlog_data>(&*message);
  REQUIRE(data);
  CHECK(to_string(data->start) == "0/1545DB0");
  CHECK(to_string(data->server_end) == "0/1545F60");
  CHECK(data->server_time == 1);
  CHECK(data->payload == "payload");
  for (std::size_t size = 0; size < 25; ++size) CHECK_FALSE(decode_replication(golden.substr(0, size)));
}

TEST_CASE("replication: keepalive") {
  const auto golden = hex("6b 0000000001545f60 ffffffffffffffff 01");
  const auto message = decode_replication(golden);
  REQUIRE(message);
  const auto* alive = std::get_if<keepalive>(&*message);
  REQUIRE(alive);
  CHECK(alive->server_end == lsn{0x1545f60});
  CHECK(alive->server_time == -1);
  CHECK(alive->reply_requested);
  for (std::size_t size = 0; size < golden.size(); ++size) CHECK_FALSE(decode_replication(golden.substr(0, size)));
  CHECK_FALSE(decode_replication(golden + "x"));
  CHECK_FALSE(decode_replication("x"));
}

TEST_CASE("replication: what a walsender sent, and the status update that it answered") {
  const auto lines = protocol_test::read_golden("replication.txt");
  REQUIRE(lines.size() >= 3);
  const auto& sent = lines[lines.size() - 2];
  CHECK(standby_status({0x10203}, {0x10202}, {0x10201}, 765432100000000, true) == hex(sent.words.at(0)));
  std::string tags, without_position;
  lsn end{};
  for (const auto& line : lines) {
    if (&line == &sent) continue;
    const auto bytes = hex(line.words.at(0));
    const auto message = decode_replication(bytes);
    REQUIRE(message);
    if (const auto* data = std::get_if<xlog_data>(&*message)) {
      REQUIRE(pgoutput::decode(data->payload));
      tags.push_back(data->payload.front());
      if (data->start == lsn{}) without_position.push_back(data->payload.front());
    } else {
      CHECK(std::get<keepalive>(*message).server_end >= end);
      end = std::get<keepalive>(*message).server_end;
    }
  }
  CHECK(tags == "BRICBOIC");
  // Only the last of what one change writes has a position: not Relation, and not Begin when Origin follows it.
  CHECK(without_position == "RB");
}
