// Framing of the PostgreSQL v3 protocol (manual 55.2.1): one type byte, a big-endian int32 that counts itself, the body.
// Startup packets have no type byte and are read by protocol/frontend.h. Callers: proxy sessions and servers.
// Pure functions over views; nothing is kept, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "protocol/wire.h"

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
inline constexpr std::uint32_t max_frame_size = 0x7fffffff;  // for who has no limit of its own

namespace detail {

// Type bytes by role (manual 55.7). Replication's CopyBoth ('W') is a backend's; its content travels in CopyData.
constexpr std::array<bool, 256> types_of(std::string_view letters) noexcept {
  std::array<bool, 256> known{};
  for (const char letter : letters) known[static_cast<unsigned char>(letter)] = true;
  return known;
}
inline constexpr auto frontend_types = types_of("BCDEFHPQSXcdfp");
inline constexpr auto backend_types = types_of("123ACDEGHIKNRSTVWZcdnstv");

}  // namespace detail

// Reads the five header bytes at the front of `in`. `max_size` bounds the whole frame. Never reads past `in`. Inline: once a message.
inline frame_error read_header(std::string_view in, peer from, std::uint32_t max_size, frame_header& out) noexcept {
  if (in.size() < frame_header_size) return frame_error::need_more;
  const auto& known = from == peer::frontend ? detail::frontend_types : detail::backend_types;
  if (!known[static_cast<unsigned char>(in.front())]) return frame_error::unknown_type;
  const auto length = load_int<std::uint32_t>(in.data() + 1);
  if (length < 4 || length >= max_size) return frame_error::bad_length;
  out = {in.front(), length + 1};
  return frame_error::none;
}

}  // namespace protocol
