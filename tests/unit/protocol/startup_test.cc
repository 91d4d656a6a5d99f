#include <doctest/doctest.h>

#include <string>

#include "golden.h"
#include "protocol/frontend.h"
#include "protocol/wire.h"

using namespace protocol;
using namespace std::string_literals;
using namespace std::string_view_literals;
using protocol_test::hex;

namespace {

// length, version 3.0, user=app, database=shop, options=(empty), end of the list
const std::string golden_startup =
    hex("00000029 00030000") + "user\0app\0"s + "database\0shop\0"s + "options\0\0"s + hex("00");

frame_error read(std::string_view bytes) {
  first_packet packet;
  return read_first_packet(bytes, packet);
}

// A startup packet around these parameter bytes, with the right length.
std::string packet_of(std::string_view parameters, std::string_view code = "\0\3\0\0"sv) {
  std::string out;
  append_int(out, static_cast<std::uint32_t>(8 + parameters.size()));
  return out.append(code).append(parameters);
}

}  // namespace

TEST_CASE("startup: one-byte pieces ask for more until the last, then give the parameters in order") {
  first_packet packet;
  for (std::size_t size = 0; size < golden_startup.size(); ++size) {
    CAPTURE(size);
    REQUIRE(read_first_packet(std::string_view(golden_startup).substr(0, size), packet) == frame_error::need_more);
  }
  REQUIRE(read_first_packet(golden_startup, packet) == frame_error::none);
  CHECK(packet.kind == first_packet_kind::startup);
  CHECK(packet.size == golden_startup.size());
  CHECK(packet.startup.version == protocol_3_0);
  using pair = std::pair<std::string, std::string>;
  CHECK(packet.startup.parameters == std::vector<pair>{{"user", "app"}, {"database", "shop"}, {"options", ""}});
  CHECK(packet.startup.get("database") == "shop");
  CHECK(packet.startup.get("absent").empty());
}

TEST_CASE("startup: encode writes the same bytes") {
  startup message;
  message.parameters = {{"user", "app"}, {"database", "shop"}, {"options", ""}};
  std::string out;
  append(out, message);
  CHECK(out == golden_startup);
}

TEST_CASE("startup: what follows the packet is not read") {
  first_packet packet;
  REQUIRE(read_first_packet(golden_startup + "Q", packet) == frame_error::none);
  CHECK(packet.size == golden_startup.size());
}

TEST_CASE("startup: requests without parameters") {
  first_packet packet;
  REQUIRE(read_first_packet(hex("00000008 04d2162f"), packet) == frame_error::none);
  CHECK(packet.kind == first_packet_kind::ssl_request);
  REQUIRE(read_first_packet(hex("00000008 04d21630"), packet) == frame_error::none);
  CHECK(packet.kind == first_packet_kind::gssenc_request);
  CHECK(packet.size == 8);
  std::string out;
  append_ssl_request(out);
  append_gssenc_request(out);
  CHECK(out == hex("00000008 04d2162f 00000008 04d21630"));
}

TEST_CASE("startup: CancelRequest") {
  const auto golden = hex("00000010 04d2162e 00002577 f6b75386");
  first_packet packet;
  REQUIRE(read_first_packet(golden, packet) == frame_error::none);
  CHECK(packet.kind == first_packet_kind::cancel);
  CHECK(packet.cancel.pid == 0x2577);
  CHECK(packet.cancel.key == hex("f6b75386"));
  std::string out;
  append(out, packet.cancel);
  CHECK(out == golden);
}

TEST_CASE("startup: cancel keys of protocol 3.2 have 4 to 256 bytes") {
  for (const std::size_t size : {3u, 4u, 32u, 256u, 257u}) {
    CAPTURE(size);
    cancel_request request{7, std::string(size, 'k')};
    std::string bytes;
    append(bytes, request);
    first_packet packet;
    const auto seen = read_first_packet(bytes, packet);
    REQUIRE(seen == (size >= 4 && size <= 256 ? frame_error::none : frame_error::bad_length));
    if (seen == frame_error::none) CHECK(packet.cancel.key == request.key);
  }
}

TEST_CASE("startup: the length is judged from its four bytes, before anything is waited for") {
  CHECK(read(hex("00000007")) == frame_error::bad_length);
  CHECK(read(hex("00000000")) == frame_error::bad_length);
  CHECK(read(hex("00002711")) == frame_error::bad_length);  // 10,001
  CHECK(read(hex("00002710")) == frame_error::need_more);   // 10,000
  CHECK(read(hex("ffffffff")) == frame_error::bad_length);
  CHECK(read("GET / HTTP/1.1\r\n") == frame_error::bad_length);
  CHECK(read(hex("160301020001")) == frame_error::bad_length);
}

TEST_CASE("startup: malformed packets") {
  struct row {
    const char* name;
    std::string bytes;
    frame_error error;
  };
  const row rows[] = {
      {"no parameters at all", packet_of("\0"sv), frame_error::none},
      {"version 3.2", packet_of("\0"sv, "\0\3\0\2"sv), frame_error::none},
      {"version 2.0", packet_of("\0"sv, "\0\2\0\0"sv), frame_error::unknown_type},
      {"version 4.0", packet_of("\0"sv, "\0\4\0\0"sv), frame_error::unknown_type},
      {"unknown request code", packet_of("", hex("04d21631")), frame_error::unknown_type},
      {"no terminator", packet_of(""), frame_error::unknown_type},
      {"name without value", packet_of("user\0"sv), frame_error::unknown_type},
      {"name that does not end", packet_of("user"), frame_error::unknown_type},
      {"value that does not end", packet_of("user\0app"sv), frame_error::unknown_type},
      {"list that does not end", packet_of("user\0app\0"sv), frame_error::unknown_type},
      {"bytes after the end of the list", packet_of("user\0app\0\0x"sv), frame_error::unknown_type},
      {"SSLRequest with a body", packet_of("x", hex("04d2162f")), frame_error::bad_length},
      {"CancelRequest too short", packet_of("\0\0\0\0"sv, hex("04d2162e")), frame_error::bad_length},
      {"CancelRequest too long", packet_of(std::string(261, 'k'), hex("04d2162e")), frame_error::bad_length},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(read(row.bytes) == row.error);
  }
}

TEST_CASE("startup: of a parameter sent twice the last counts, as in PostgreSQL") {
  first_packet packet;
  REQUIRE(read_first_packet(packet_of("user\0a\0user\0b\0\0"sv), packet) == frame_error::none);
  CHECK(packet.startup.get("user") == "b");
}
