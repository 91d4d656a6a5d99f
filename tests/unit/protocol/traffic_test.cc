// golden/traffic.txt: sessions of psql and pgbench with PostgreSQL 15, every frame of them.
#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "golden.h"
#include "protocol/backend.h"
#include "protocol/frame.h"
#include "protocol/frontend.h"

using namespace protocol;
using protocol_test::hex;

namespace {

struct frame {
  peer from;
  bool first = false;  // the untyped first packet
  std::string bytes;
  char type() const { return first ? '\0' : bytes.front(); }
  std::string_view body() const { return std::string_view(bytes).substr(frame_header_size); }
};

std::vector<frame> captured() {
  std::vector<frame> out;
  bool first = true;
  for (const auto& line : protocol_test::read_golden("traffic.txt")) {
    if (line.words.at(0) != "F" && line.words.at(0) != "B") continue;
    const auto from = line.words[0] == "F" ? peer::frontend : peer::backend;
    out.push_back({from, first, hex(line.words.at(1))});
    first = from == peer::frontend && out.back().type() == 'X';
  }
  return out;
}

std::string same(const auto& decoded) {
  std::string out;
  if (decoded) append(out, *decoded);
  return out;
}

// The frame decoded and encoded again; empty when it could not be decoded.
std::string frontend_again(const frame& frame) {
  const auto body = frame.body();
  std::string out;
  switch (frame.type()) {
    case 'Q': return same(decode_query(body));
    case 'P': return same(decode_parse(body));
    case 'B': return same(decode_bind(body));
    case 'D': return same(decode_describe(body));
    case 'E': return same(decode_execute(body));
    case 'S': append_sync(out); return out;
    case 'X': append_terminate(out); return out;
    case 'p': return decode_sasl_initial_response(body) ? same(decode_sasl_initial_response(body)) : same(decode_sasl_response(body));
    default: return frame.bytes;  // COPY data passes as bytes
  }
}

std::string backend_again(const frame& frame) {
  const auto body = frame.body();
  std::string out;
  switch (frame.type()) {
    case 'R': return same(decode_authentication(body));
    case 'K': return same(decode_backend_key_data(body));
    case 'S': return same(decode_parameter_status(body));
    case 'Z': return same(decode_ready_for_query(body));
    case 'C': return same(decode_command_complete(body));
    case '1': append_parse_complete(out); return out;
    case '2': append_bind_complete(out); return out;
    case 'n': append_no_data(out); return out;
    default: return frame.bytes;  // rows pass as bytes; errors lose fields on purpose and have a test of their own
  }
}

}  // namespace

TEST_CASE("traffic: every frame has a header of its role and decodes to what encodes to the same bytes") {
  std::map<char, int> seen;
  for (const auto& frame : captured()) {
    CAPTURE(frame.bytes);
    if (frame.first) {
      first_packet packet;
      REQUIRE(read_first_packet(frame.bytes, packet) == frame_error::none);
      std::string again;
      append(again, packet.startup);
      CHECK(again == frame.bytes);
      CHECK(packet.startup.get("user") == "app");
      continue;
    }
    frame_header header;
    REQUIRE(read_header(frame.bytes, frame.from, 1 << 20, header) == frame_error::none);
    CHECK(header.size == frame.bytes.size());
    CHECK((frame.from == peer::frontend ? frontend_again(frame) : backend_again(frame)) == frame.bytes);
    ++seen[header.type];
  }
  for (const char type : std::string_view("RSKZQTDCNEPBEXGHdcp12n")) {
    CAPTURE(type);
    CHECK(seen[type] > 0);
  }
}

TEST_CASE("traffic: errors and notices of the server") {
  std::vector<notice> notices;
  for (const auto& frame : captured())
    if (frame.from == peer::backend && (frame.type() == 'E' || frame.type() == 'N')) {
      const auto decoded = decode_notice(frame.body());
      REQUIRE(decoded);
      notices.push_back(*decoded);
    }
  REQUIRE(notices.size() == 4);
  CHECK(notices[0].severity == "NOTICE");
  CHECK(notices[0].detail == "a detail");
  CHECK(notices[0].hint == "a hint");
  CHECK(notices[0].where == "PL/pgSQL function inline_code_block line 1 at RAISE");
  CHECK(notices[1].sqlstate == "23502");
  CHECK(notices[1].schema == "app");
  CHECK(notices[1].table == "t");
  CHECK(notices[1].column == "name");
  CHECK(notices[2].sqlstate == "23505");
  CHECK(notices[2].constraint == "t_pkey");
  CHECK(notices[3].sqlstate == "42601");
  CHECK(notices[3].position == "1");
}

TEST_CASE("traffic: the admin console's rows are laid out as the server's") {
  const row_column columns[] = {{"one", 23, 4}, {"nothing"}, {"empty"}, {"text"}};
  const std::optional<std::string> values[] = {"1", std::nullopt, "", "tête-à-tête"};
  std::string description, row;
  append_row_description(description, columns);
  append_data_row(row, values);
  bool seen_description = false, seen_row = false;
  for (const auto& frame : captured()) {
    seen_description |= frame.from == peer::backend && frame.bytes == description;
    seen_row |= frame.from == peer::backend && frame.bytes == row;
  }
  CHECK(seen_description);
  CHECK(seen_row);
}
