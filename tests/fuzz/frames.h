// Cuts a fuzz input into frames as a relay would, and the check that every target shares: what decodes must encode to the
// bytes it came from.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include "protocol/frame.h"

namespace fuzz {

inline void require(bool property) {
  if (!property) std::abort();
}

template <typename OnFrame>
void each_frame(std::string_view in, protocol::peer from, OnFrame on_frame) {
  protocol::frame_header header;
  while (protocol::read_header(in, from, 1 << 20, header) == protocol::frame_error::none) {
    require(header.size >= protocol::frame_header_size && header.size <= 1 << 20);
    if (in.size() < header.size) return;
    on_frame(header.type, in.substr(0, header.size));
    in.remove_prefix(header.size);
  }
}

template <typename Message>
void round_trip(const Message& decoded, std::string_view frame) {
  if (!decoded) return;
  std::string again;
  append(again, *decoded);
  require(again == frame);
}

}  // namespace fuzz
