// Every decoder of protocol/backend.h, on a stream of frames.
#include "protocol/backend.h"

#include "frames.h"

using namespace protocol;

namespace {

// Fields that notice does not know are lost on the first way, none on the second.
void notice_twice(std::string_view body) {
  const auto first = decode_notice(body);
  if (!first) return;
  std::string frame;
  append_error(frame, *first);
  const auto second = decode_notice(std::string_view(frame).substr(frame_header_size));
  fuzz::require(second && second->message == first->message && second->sqlstate == first->sqlstate && second->hint == first->hint);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::each_frame({reinterpret_cast<const char*>(data), size}, peer::backend, [](char type, std::string_view frame) {
    const auto body = frame.substr(frame_header_size);
    switch (type) {
      case 'R': return fuzz::round_trip(decode_authentication(body), frame);
      case 'K': return fuzz::round_trip(decode_backend_key_data(body), frame);
      case 'v': return fuzz::round_trip(decode_negotiate_protocol_version(body), frame);
      case 'S': return fuzz::round_trip(decode_parameter_status(body), frame);
      case 'Z': return fuzz::round_trip(decode_ready_for_query(body), frame);
      case 'C': return fuzz::round_trip(decode_command_complete(body), frame);
      case 'E':
      case 'N': return notice_twice(body);
      default: return;
    }
  });
  return 0;
}
