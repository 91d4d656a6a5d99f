// Every decoder of protocol/frontend.h, on a stream of frames.
#include "protocol/frontend.h"

#include "frames.h"

using namespace protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::each_frame({reinterpret_cast<const char*>(data), size}, peer::frontend, [](char type, std::string_view frame) {
    const auto body = frame.substr(frame_header_size);
    switch (type) {
      case 'Q': return fuzz::round_trip(decode_query(body), frame);
      case 'P': return fuzz::round_trip(decode_parse(body), frame);
      case 'B': {
        bind front;
        const auto whole = decode_bind(body);
        for (const auto part : {body.size(), body.size() / 2, body.size() / 4}) {
          const auto needed = decode_bind_front(body.substr(0, part), 9, front);
          fuzz::require(needed == 0 || needed > part);
          fuzz::require(!whole || needed <= body.size());
        }
        return fuzz::round_trip(whole, frame);
      }
      case 'D': return fuzz::round_trip(decode_describe(body), frame);
      case 'C': return fuzz::round_trip(decode_close(body), frame);
      case 'E': return fuzz::round_trip(decode_execute(body), frame);
      case 'f': return fuzz::round_trip(decode_copy_fail(body), frame);
      case 'p':
        fuzz::round_trip(decode_password(body), frame);
        fuzz::round_trip(decode_sasl_response(body), frame);
        // No data and empty data are told apart on the wire but not here, so this one is decoded only.
        if (const auto initial = decode_sasl_initial_response(body)) fuzz::require(initial->data.size() <= body.size());
        return;
      default: return;
    }
  });
  return 0;
}
