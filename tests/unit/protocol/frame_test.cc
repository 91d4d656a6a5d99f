#include "protocol/frame.h"

#include <doctest/doctest.h>

#include <string>

#include "golden.h"

using namespace protocol;
using protocol_test::hex;

namespace {

struct row {
  const char* name;
  peer from;
  std::string bytes;
  std::uint32_t max_size;
  frame_error error;
  std::uint32_t size;
};

}  // namespace

TEST_CASE("frame: a header gives type and whole size, or says what is wrong with it") {
  const row rows[] = {
      {"Sync", peer::frontend, hex("53 00000004"), 1024, frame_error::none, 5},
      {"Query whose body is still on its way", peer::frontend, hex("51 0000000d"), 1024, frame_error::none, 14},
      {"largest allowed", peer::frontend, hex("51 000003ff"), 1024, frame_error::none, 1024},
      {"one byte above", peer::frontend, hex("51 00000400"), 1024, frame_error::bad_length, 0},
      {"length does not count itself", peer::frontend, hex("51 00000003"), 1024, frame_error::bad_length, 0},
      {"length zero", peer::frontend, hex("51 00000000"), 1024, frame_error::bad_length, 0},
      {"negative length", peer::frontend, hex("51 ffffffff"), 0xffffffff, frame_error::bad_length, 0},
      {"largest length of all", peer::frontend, hex("51 fffffffe"), 0xffffffff, frame_error::none, 0xffffffff},
      {"limit of nothing", peer::frontend, hex("53 00000004"), 0, frame_error::bad_length, 0},
      {"an HTTP request", peer::frontend, "GET / HTTP/1.1", 1024, frame_error::unknown_type, 0},
      {"a TLS record", peer::frontend, hex("16 03010200"), 1024, frame_error::unknown_type, 0},
      {"a zero type byte", peer::frontend, hex("00 00000004"), 1024, frame_error::unknown_type, 0},
      {"DataRow from a backend", peer::backend, hex("44 00000006"), 1024, frame_error::none, 7},
      {"Query from a backend", peer::backend, hex("51 0000000d"), 1024, frame_error::unknown_type, 0},
      {"ReadyForQuery from a frontend", peer::frontend, hex("5a 00000005"), 1024, frame_error::unknown_type, 0},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    frame_header header;
    CHECK(read_header(row.bytes, row.from, row.max_size, header) == row.error);
    CHECK(header.size == row.size);
    if (row.error == frame_error::none) CHECK(header.type == row.bytes.front());
  }
}

TEST_CASE("frame: fewer than five bytes ask for more, whatever they are") {
  const auto bytes = hex("51 0000000d");
  frame_header header;
  for (std::size_t size = 0; size < frame_header_size; ++size)
    CHECK(read_header(std::string_view(bytes).substr(0, size), peer::frontend, 1024, header) == frame_error::need_more);
}

TEST_CASE("frame: each role may send the types of the manual and no others") {
  const auto known = [](peer from) {
    std::string types;
    for (int type = 0; type < 256; ++type) {
      frame_header header;
      auto bytes = hex("00 00000004");
      bytes.front() = static_cast<char>(type);
      if (read_header(bytes, from, 1024, header) == frame_error::none) types.push_back(static_cast<char>(type));
    }
    return types;
  };
  CHECK(known(peer::frontend) == "BCDEFHPQSXcdfp");
  CHECK(known(peer::backend) == "123ACDEGHIKNRSTVWZcdnstv");
}
