#include "protocol/frontend.h"

#include <algorithm>

#include "protocol/frame_writer.h"
#include "protocol/wire.h"

namespace protocol {

namespace {

// The message when the reader consumed its body exactly, as PostgreSQL's pq_getmsgend demands.
template <typename Message>
std::optional<Message> whole(const wire_reader& reader, Message&& message) {
  if (!reader.done()) return std::nullopt;
  return std::forward<Message>(message);
}

// A 16-bit count and that many integers. The count is checked against what is left before anything is reserved.
template <typename Int>
bool read_array(wire_reader& reader, std::vector<Int>& out) {
  const auto count = reader.read<std::uint16_t>();
  if (!reader.ok() || count > reader.rest().size() / sizeof(Int)) return false;
  out.reserve(count);
  for (std::uint16_t i = 0; i < count; ++i) out.push_back(reader.read<Int>());
  return true;
}

// The front of a Bind: what decode_bind_front() gives, of a body of `size` bytes that the reader is at the front of.
std::size_t read_bind_front(wire_reader& reader, std::size_t size, std::size_t count, bind& out) {
  const auto lacking = [&](std::size_t bytes) { return reader.rest().size() < bytes ? size - reader.rest().size() + bytes : 0; };
  out.formats.clear();
  out.values.clear();
  out.result_formats.clear();
  out.portal = reader.read_cstring();
  out.statement = reader.read_cstring();
  if (!reader.ok()) return size + 1;
  if (count == 0) return 0;
  if (const auto needed = lacking(2)) return needed;
  const auto formats = reader.read<std::uint16_t>();
  if (const auto needed = lacking(formats * sizeof(std::int16_t) + 2)) return needed;
  for (std::uint16_t i = 0; i < formats; ++i) out.formats.push_back(reader.read<std::int16_t>());
  const auto values = std::min<std::size_t>(reader.read<std::uint16_t>(), count);
  while (out.values.size() < values) {
    if (const auto needed = lacking(4)) return needed;
    const auto length = reader.read<std::int32_t>();
    if (length < -1) return std::string_view::npos;
    const auto bytes = static_cast<std::size_t>(std::max(length, 0));
    if (const auto needed = lacking(bytes)) return needed;
    if (length == -1) out.values.emplace_back();
    else out.values.emplace_back(reader.read_bytes(bytes));
  }
  return 0;
}

template <typename Message>
std::optional<Message> decode_named(std::string_view body) {
  wire_reader reader(body);
  Message message;
  message.kind = reader.read<char>();
  message.name = reader.read_cstring();
  if (message.kind != 'S' && message.kind != 'P') return std::nullopt;
  return whole(reader, std::move(message));
}

}  // namespace

std::int16_t bind::format_of(std::size_t parameter) const noexcept {
  if (formats.size() == 1) return formats.front();
  return parameter < formats.size() ? formats[parameter] : std::int16_t{0};
}

std::optional<query> decode_query(std::string_view body) {
  wire_reader reader(body);
  query message{reader.read_cstring()};
  return whole(reader, std::move(message));
}

std::optional<parse> decode_parse(std::string_view body) {
  wire_reader reader(body);
  parse message;
  message.name = reader.read_cstring();
  message.sql = reader.read_cstring();
  if (!read_array(reader, message.types)) return std::nullopt;
  return whole(reader, std::move(message));
}

bool decode_bind(std::string_view body, bind& out) {
  wire_reader reader(body);
  if (read_bind_front(reader, body.size(), std::string_view::npos, out) != 0 || !read_array(reader, out.result_formats)) return false;
  return reader.done();  // whether the number of formats fits is the server's to say
}

bool decode_bind_names(std::string_view body, bind& out) { return decode_bind_front(body, 0, out) == 0; }

std::size_t decode_bind_front(std::string_view body, std::size_t count, bind& out) {
  wire_reader reader(body);
  return read_bind_front(reader, body.size(), count, out);
}

std::optional<bind> decode_bind(std::string_view body) {
  bind message;
  if (!decode_bind(body, message)) return std::nullopt;
  return message;
}

std::optional<describe> decode_describe(std::string_view body) { return decode_named<describe>(body); }
std::optional<close> decode_close(std::string_view body) { return decode_named<close>(body); }

std::optional<execute> decode_execute(std::string_view body) {
  wire_reader reader(body);
  execute message;
  message.portal = reader.read_cstring();
  message.max_rows = reader.read<std::int32_t>();
  return whole(reader, std::move(message));
}

std::optional<copy_fail> decode_copy_fail(std::string_view body) {
  wire_reader reader(body);
  copy_fail message{reader.read_cstring()};
  return whole(reader, std::move(message));
}

std::optional<password> decode_password(std::string_view body) {
  wire_reader reader(body);
  password message{reader.read_cstring()};
  return whole(reader, std::move(message));
}

std::optional<sasl_initial_response> decode_sasl_initial_response(std::string_view body) {
  wire_reader reader(body);
  sasl_initial_response message;
  message.mechanism = reader.read_cstring();
  const auto length = reader.read<std::int32_t>();
  if (length < -1) return std::nullopt;
  if (length > 0) message.data = reader.read_bytes(static_cast<std::size_t>(length));
  return whole(reader, std::move(message));
}

std::optional<sasl_response> decode_sasl_response(std::string_view body) { return sasl_response{body}; }

void append(std::string& out, const query& message) { frame_writer(out, 'Q').cstring(message.sql).finish(); }

void append(std::string& out, const parse& message) {
  frame_writer frame(out, 'P');
  frame.cstring(message.name).cstring(message.sql).count(message.types.size());
  for (const auto type : message.types) frame.integer(type);
  frame.finish();
}

void append(std::string& out, const bind& message) {
  frame_writer frame(out, 'B');
  frame.cstring(message.portal).cstring(message.statement).count(message.formats.size());
  for (const auto format : message.formats) frame.integer(format);
  frame.count(message.values.size());
  for (const auto& value : message.values) {
    if (value) frame.sized(*value);
    else frame.integer(std::int32_t{-1});
  }
  frame.count(message.result_formats.size());
  for (const auto format : message.result_formats) frame.integer(format);
  frame.finish();
}

void append(std::string& out, const describe& message) { frame_writer(out, 'D').byte(message.kind).cstring(message.name).finish(); }
void append(std::string& out, const close& message) { frame_writer(out, 'C').byte(message.kind).cstring(message.name).finish(); }
void append(std::string& out, const execute& message) {
  frame_writer(out, 'E').cstring(message.portal).integer(message.max_rows).finish();
}
void append(std::string& out, const copy_fail& message) { frame_writer(out, 'f').cstring(message.reason).finish(); }
void append(std::string& out, const password& message) { frame_writer(out, 'p').cstring(message.value).finish(); }

void append(std::string& out, const sasl_initial_response& message) {
  frame_writer frame(out, 'p');
  frame.cstring(message.mechanism);
  if (message.data.empty()) frame.integer(std::int32_t{-1});
  else frame.sized(message.data);
  frame.finish();
}

void append(std::string& out, const sasl_response& message) { frame_writer(out, 'p').bytes(message.data).finish(); }

void append_sync(std::string& out) { append_empty(out, 'S'); }
void append_flush(std::string& out) { append_empty(out, 'H'); }
void append_terminate(std::string& out) { append_empty(out, 'X'); }

}  // namespace protocol
