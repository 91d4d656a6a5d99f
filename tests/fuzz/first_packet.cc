// The first packet of a connection, from anybody at all.
#include "frames.h"
#include "protocol/frontend.h"

using namespace protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view in{reinterpret_cast<const char*>(data), size};
  first_packet packet;
  if (read_first_packet(in, packet) != frame_error::none) return 0;
  fuzz::require(packet.size >= 8 && packet.size <= max_startup_size && packet.size <= size);
  std::string again;
  switch (packet.kind) {
    case first_packet_kind::startup: append(again, packet.startup); break;
    case first_packet_kind::cancel: append(again, packet.cancel); break;
    case first_packet_kind::ssl_request: append_ssl_request(again); break;
    case first_packet_kind::gssenc_request: append_gssenc_request(again); break;
  }
  fuzz::require(again == in.substr(0, packet.size));
  return 0;
}
