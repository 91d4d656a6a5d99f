#include "protocol/frame_writer.h"

#include <doctest/doctest.h>

#include <stdexcept>

#include "golden.h"

using namespace protocol;
using protocol_test::hex;

TEST_CASE("frame_writer: frames follow each other in one buffer, each with its own length") {
  std::string out;
  frame_writer(out, 'Q').cstring("a").finish();
  frame_writer(out, 'S').finish();
  frame_writer(out).integer(std::int32_t{196608}).finish();
  CHECK(out == hex("51 00000006 6100  53 00000004  00000008 00030000"));
}

TEST_CASE("frame_writer: 65535 elements can be counted, one more leaves the buffer as it was") {
  std::string out = "before";
  frame_writer(out, 'D').count(65535).finish();
  CHECK(out == "before" + hex("44 00000006 ffff"));
  const auto kept = out;
  frame_writer frame(out, 'D');
  CHECK_THROWS_AS(frame.count(65536), std::length_error);
  CHECK(out == kept);
}
