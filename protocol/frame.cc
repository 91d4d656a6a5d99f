#include "protocol/frame.h"

#include "protocol/wire.h"

namespace protocol {

namespace {

// Type bytes by role (manual 55.7). Replication's CopyBoth ('W') is a backend's; its content travels in CopyData.
constexpr std::string_view frontend_types = "BCDEFHPQSXcdfp";
constexpr std::string_view backend_types = "123ACDEGHIKNRSTVWZcdnstv";

}  // namespace

frame_error read_header(std::string_view in, peer from, std::uint32_t max_size, frame_header& out) noexcept {
  if (in.size() < frame_header_size) return frame_error::need_more;
  wire_reader reader(in);
  const char type = reader.read<char>();
  const auto length = reader.read<std::uint32_t>();
  const auto known = from == peer::frontend ? frontend_types : backend_types;
  if (known.find(type) == std::string_view::npos) return frame_error::unknown_type;
  if (length < 4 || length >= max_size) return frame_error::bad_length;
  out = {type, length + 1};
  return frame_error::none;
}

}  // namespace protocol
