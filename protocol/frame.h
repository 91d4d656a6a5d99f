// Framing of the PostgreSQL v3 protocol (manual 55.2.1): one type byte, a big-endian int32 that counts itself, the body.
// Startup packets have no type byte and are read by protocol/frontend.h. Callers: proxy sessions and servers.
// Pure functions over views; nothing is kept, any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace protocol {

// A header that has been seen. `size` counts the whole frame: type byte, length word and body.
struct frame_header {
  char type = 0;
  std::uint32_t size = 0;
};

enum class frame_error {
  none,          // header is valid
  need_more,     // fewer than five bytes
  bad_length,    // length below 4, or above the limit that the caller gave
  unknown_type,  // the type byte is none that the peer's role may send
};

enum class peer { frontend, backend };

inline constexpr std::uint32_t frame_header_size = 5;

// Reads the five header bytes at the front of `in`. `max_size` bounds the whole frame. Never reads past `in`.
frame_error read_header(std::string_view in, peer from, std::uint32_t max_size, frame_header& out) noexcept;

}  // namespace protocol
