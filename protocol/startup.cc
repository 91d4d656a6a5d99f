// The untyped first packet of a connection (manual 55.2.1, 55.2.10 and 55.2.11), declared in protocol/frontend.h.
#include "protocol/frame_writer.h"
#include "protocol/frontend.h"
#include "protocol/wire.h"

namespace protocol {

namespace {

constexpr std::int32_t request_code(std::int32_t minor) { return (1234 << 16) | minor; }
constexpr std::int32_t cancel_code = request_code(5678);
constexpr std::int32_t ssl_code = request_code(5679);
constexpr std::int32_t gssenc_code = request_code(5680);
constexpr std::uint32_t min_startup_size = 8;

frame_error read_cancel(wire_reader reader, cancel_request& out) {
  out.pid = reader.read<std::int32_t>();
  out.key = reader.rest();
  return reader.ok() && out.key.size() >= min_cancel_key && out.key.size() <= max_cancel_key ? frame_error::none : frame_error::bad_length;
}

// Pairs of name and value, closed by an empty name which must be the packet's last byte.
frame_error read_parameters(wire_reader reader, startup& out) {
  while (true) {
    const auto name = reader.read_cstring();
    if (name.empty()) break;
    const auto value = reader.read_cstring();
    if (!reader.ok()) break;
    out.parameters.emplace_back(name, value);
  }
  return reader.done() ? frame_error::none : frame_error::unknown_type;
}

frame_error read_body(std::int32_t code, wire_reader reader, first_packet& out) {
  const auto empty = [&] { return reader.done() ? frame_error::none : frame_error::bad_length; };
  switch (code) {
    case cancel_code: out.kind = first_packet_kind::cancel; return read_cancel(reader, out.cancel);
    case ssl_code: out.kind = first_packet_kind::ssl_request; return empty();
    case gssenc_code: out.kind = first_packet_kind::gssenc_request; return empty();
    default: break;
  }
  // Any minor version of 3: a newer one is answered with NegotiateProtocolVersion, as PostgreSQL does.
  if (code >> 16 != protocol_3_0 >> 16) return frame_error::unknown_type;
  out.startup.version = code;
  return read_parameters(reader, out.startup);
}

}  // namespace

std::string_view startup::get(std::string_view name) const noexcept {
  // The last of several wins, as in PostgreSQL.
  for (auto it = parameters.rbegin(); it != parameters.rend(); ++it)
    if (it->first == name) return it->second;
  return {};
}

frame_error read_first_packet(std::string_view in, first_packet& out) {
  out = {};
  if (in.size() < sizeof(std::uint32_t)) return frame_error::need_more;
  const auto size = wire_reader(in).read<std::uint32_t>();
  if (size < min_startup_size || size > max_startup_size) return frame_error::bad_length;
  if (in.size() < size) return frame_error::need_more;
  wire_reader reader(in.substr(sizeof(std::uint32_t), size - sizeof(std::uint32_t)));
  const auto code = reader.read<std::int32_t>();
  out.size = size;
  return read_body(code, reader, out);
}

void append(std::string& out, const startup& message) {
  frame_writer frame(out);
  frame.integer(message.version);
  for (const auto& [name, value] : message.parameters) frame.cstring(name).cstring(value);
  frame.byte('\0').finish();
}

void append(std::string& out, const cancel_request& message) {
  frame_writer frame(out);
  frame.integer(cancel_code).integer(message.pid).bytes(message.key).finish();
}

void append_ssl_request(std::string& out) { frame_writer(out).integer(ssl_code).finish(); }
void append_gssenc_request(std::string& out) { frame_writer(out).integer(gssenc_code).finish(); }

}  // namespace protocol
