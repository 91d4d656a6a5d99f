#include "protocol/backend.h"

#include <algorithm>

#include "protocol/frame.h"
#include "protocol/frame_writer.h"
#include "protocol/frontend.h"
#include "protocol/wire.h"

namespace protocol {

bool has_message(std::string_view frames, char type) {
  frame_header header;
  while (read_header(frames, peer::backend, max_frame_size, header) == frame_error::none) {
    if (header.type == type) return true;
    frames.remove_prefix(std::min<std::size_t>(header.size, frames.size()));
  }
  return false;
}

std::optional<authentication> decode_authentication(std::string_view body) {
  wire_reader reader(body);
  authentication message;
  message.kind = reader.read<std::int32_t>();
  if (!reader.ok()) return std::nullopt;
  message.data = reader.rest();
  return message;
}

std::optional<backend_key_data> decode_backend_key_data(std::string_view body) {
  wire_reader reader(body);
  backend_key_data message;
  message.pid = reader.read<std::int32_t>();
  message.key = reader.rest();
  if (!reader.ok() || message.key.size() < min_cancel_key || message.key.size() > max_cancel_key) return std::nullopt;
  return message;
}

std::optional<negotiate_protocol_version> decode_negotiate_protocol_version(std::string_view body) {
  wire_reader reader(body);
  negotiate_protocol_version message;
  message.newest = reader.read<std::int32_t>();
  const auto count = reader.read<std::uint32_t>();
  if (!reader.ok() || count > reader.rest().size()) return std::nullopt;
  for (std::uint32_t i = 0; i < count; ++i) message.unknown_options.push_back(reader.read_cstring());
  if (!reader.done()) return std::nullopt;
  return message;
}

std::optional<parameter_status> decode_parameter_status(std::string_view body) {
  wire_reader reader(body);
  parameter_status message;
  message.name = reader.read_cstring();
  message.value = reader.read_cstring();
  if (!reader.done()) return std::nullopt;
  return message;
}

std::optional<std::vector<std::uint32_t>> decode_parameter_description(std::string_view body) {
  wire_reader reader(body);
  const auto count = reader.read<std::uint16_t>();
  if (reader.rest().size() != count * sizeof(std::uint32_t)) return std::nullopt;
  std::vector<std::uint32_t> types(count);
  for (auto& type : types) type = reader.read<std::uint32_t>();
  return reader.done() ? std::optional(std::move(types)) : std::nullopt;
}

std::optional<ready_for_query> decode_ready_for_query(std::string_view body) {
  if (body.size() != 1) return std::nullopt;
  const auto status = static_cast<transaction_status>(body.front());
  switch (status) {
    case transaction_status::idle:
    case transaction_status::in_transaction:
    case transaction_status::failed: return ready_for_query{status};
  }
  return std::nullopt;
}

std::optional<command_complete> decode_command_complete(std::string_view body) {
  wire_reader reader(body);
  command_complete message{reader.read_cstring()};
  if (!reader.done()) return std::nullopt;
  return message;
}

void append(std::string& out, const authentication& message) {
  frame_writer(out, 'R').integer(message.kind).bytes(message.data).finish();
}

void append(std::string& out, const backend_key_data& message) {
  frame_writer(out, 'K').integer(message.pid).bytes(message.key).finish();
}

void append(std::string& out, const negotiate_protocol_version& message) {
  frame_writer frame(out, 'v');
  frame.integer(message.newest).integer(static_cast<std::int32_t>(message.unknown_options.size()));
  for (const auto option : message.unknown_options) frame.cstring(option);
  frame.finish();
}

void append(std::string& out, const parameter_status& message) {
  frame_writer(out, 'S').cstring(message.name).cstring(message.value).finish();
}

void append(std::string& out, const ready_for_query& message) {
  frame_writer(out, 'Z').byte(static_cast<char>(message.status)).finish();
}

void append(std::string& out, const command_complete& message) { frame_writer(out, 'C').cstring(message.tag).finish(); }

void append_row_description(std::string& out, std::span<const row_column> columns) {
  frame_writer frame(out, 'T');
  frame.count(columns.size());
  for (const auto& column : columns) {
    frame.cstring(column.name).integer(std::uint32_t{0}).integer(std::int16_t{0});  // of no table
    frame.integer(column.type).integer(column.type_size).integer(std::int32_t{-1});
    frame.integer(column.format);
  }
  frame.finish();
}

void append_data_row(std::string& out, std::span<const std::optional<std::string>> values) {
  frame_writer frame(out, 'D');
  frame.count(values.size());
  for (const auto& value : values) {
    if (value) frame.sized(*value);
    else frame.integer(std::int32_t{-1});
  }
  frame.finish();
}

void append_parse_complete(std::string& out) { append_empty(out, '1'); }
void append_bind_complete(std::string& out) { append_empty(out, '2'); }
void append_close_complete(std::string& out) { append_empty(out, '3'); }
void append_no_data(std::string& out) { append_empty(out, 'n'); }
void append_no_parameters(std::string& out) { frame_writer(out, 't').count(0).finish(); }
void append_portal_suspended(std::string& out) { append_empty(out, 's'); }
void append_empty_query_response(std::string& out) { append_empty(out, 'I'); }

}  // namespace protocol
