#include "protocol/pgoutput.h"

#include "protocol/wire.h"

namespace protocol::pgoutput {

namespace {

lsn read_lsn(wire_reader& reader) { return {reader.read<std::uint64_t>()}; }
std::uint32_t read_xid(wire_reader& reader, bool in_stream) { return in_stream ? reader.read<std::uint32_t>() : 0; }

// The change when the reader consumed the message exactly.
template <typename Message>
std::optional<change> whole(const wire_reader& reader, Message&& message) {
  if (!reader.done()) return std::nullopt;
  return change(std::forward<Message>(message));
}

std::optional<value> read_value(wire_reader& reader) {
  value out{static_cast<value_kind>(reader.read<char>()), {}};
  switch (out.kind) {
    case value_kind::null:
    case value_kind::unchanged_toast: return out;
    case value_kind::text:
    case value_kind::binary: break;
    default: return std::nullopt;
  }
  const auto length = reader.read<std::int32_t>();
  if (length < 0) return std::nullopt;
  out.data = reader.read_bytes(static_cast<std::size_t>(length));
  return out;
}

// TupleData. Each column takes a byte at least, which bounds what a lying count can reserve.
bool read_tuple(wire_reader& reader, tuple& out) {
  const auto count = reader.read<std::uint16_t>();
  if (count > reader.rest().size()) return false;
  out.reserve(count);
  for (std::uint16_t i = 0; i < count; ++i) {
    const auto column = read_value(reader);
    if (!column) return false;
    out.push_back(*column);
  }
  return reader.ok();
}

std::optional<change> read_begin(wire_reader reader) {
  begin out;
  out.final_lsn = read_lsn(reader);
  out.commit_time = reader.read<std::int64_t>();
  out.xid = reader.read<std::uint32_t>();
  return whole(reader, out);
}

// What Commit and Stream Commit have in common.
template <typename Message>
void read_commit_fields(wire_reader& reader, Message& out) {
  out.flags = reader.read<std::uint8_t>();
  out.commit_lsn = read_lsn(reader);
  out.end_lsn = read_lsn(reader);
  out.commit_time = reader.read<std::int64_t>();
}

std::optional<change> read_commit(wire_reader reader) {
  commit out;
  read_commit_fields(reader, out);
  return whole(reader, out);
}

std::optional<change> read_stream_commit(wire_reader reader) {
  stream_commit out;
  out.xid = reader.read<std::uint32_t>();
  read_commit_fields(reader, out);
  return whole(reader, out);
}

std::optional<change> read_origin(wire_reader reader) {
  origin out;
  out.origin_lsn = read_lsn(reader);
  out.name = reader.read_cstring();
  return whole(reader, out);
}

relation_column read_column(wire_reader& reader) {
  relation_column out;
  out.part_of_key = (reader.read<std::uint8_t>() & 1) != 0;
  out.name = reader.read_cstring();
  out.type = reader.read<std::uint32_t>();
  out.type_modifier = reader.read<std::int32_t>();
  return out;
}

std::optional<change> read_relation(wire_reader reader, bool in_stream) {
  constexpr std::size_t smallest_column = 10;  // flags, empty name, type, modifier
  relation out;
  out.xid = read_xid(reader, in_stream);
  out.id = reader.read<std::uint32_t>();
  out.schema = reader.read_cstring();
  out.name = reader.read_cstring();
  out.replica_identity = reader.read<char>();
  const auto count = reader.read<std::uint16_t>();
  if (count > reader.rest().size() / smallest_column) return std::nullopt;
  out.columns.reserve(count);
  for (std::uint16_t i = 0; i < count; ++i) out.columns.push_back(read_column(reader));
  return whole(reader, std::move(out));
}

std::optional<change> read_type(wire_reader reader, bool in_stream) {
  type out;
  out.xid = read_xid(reader, in_stream);
  out.id = reader.read<std::uint32_t>();
  out.schema = reader.read_cstring();
  out.name = reader.read_cstring();
  return whole(reader, out);
}

std::optional<change> read_insert(wire_reader reader, bool in_stream) {
  insert out;
  out.xid = read_xid(reader, in_stream);
  out.relation = reader.read<std::uint32_t>();
  if (reader.read<char>() != 'N' || !read_tuple(reader, out.new_row)) return std::nullopt;
  return whole(reader, std::move(out));
}

std::optional<change> read_update(wire_reader reader, bool in_stream) {
  update out;
  out.xid = read_xid(reader, in_stream);
  out.relation = reader.read<std::uint32_t>();
  auto part = reader.read<char>();
  if (part == 'K' || part == 'O') {
    out.old_kind = part;
    if (!read_tuple(reader, out.old_row)) return std::nullopt;
    part = reader.read<char>();
  }
  if (part != 'N' || !read_tuple(reader, out.new_row)) return std::nullopt;
  return whole(reader, std::move(out));
}

std::optional<change> read_delete(wire_reader reader, bool in_stream) {
  delete_ out;
  out.xid = read_xid(reader, in_stream);
  out.relation = reader.read<std::uint32_t>();
  out.old_kind = reader.read<char>();
  if ((out.old_kind != 'K' && out.old_kind != 'O') || !read_tuple(reader, out.old_row)) return std::nullopt;
  return whole(reader, std::move(out));
}

std::optional<change> read_truncate(wire_reader reader, bool in_stream) {
  truncate out;
  out.xid = read_xid(reader, in_stream);
  const auto count = reader.read<std::uint32_t>();
  out.options = reader.read<std::uint8_t>();
  if (count > reader.rest().size() / sizeof(std::uint32_t)) return std::nullopt;
  out.relations.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) out.relations.push_back(reader.read<std::uint32_t>());
  return whole(reader, std::move(out));
}

std::optional<change> read_message(wire_reader reader, bool in_stream) {
  message out;
  out.xid = read_xid(reader, in_stream);
  out.transactional = (reader.read<std::uint8_t>() & 1) != 0;
  out.position = read_lsn(reader);
  out.prefix = reader.read_cstring();
  out.content = reader.read_bytes(reader.read<std::uint32_t>());
  return whole(reader, out);
}

std::optional<change> read_stream_start(wire_reader reader) {
  stream_start out;
  out.xid = reader.read<std::uint32_t>();
  out.first_segment = reader.read<std::uint8_t>() == 1;
  return whole(reader, out);
}

std::optional<change> read_stream_abort(wire_reader reader) {
  stream_abort out;
  out.xid = reader.read<std::uint32_t>();
  out.subtransaction = reader.read<std::uint32_t>();
  return whole(reader, out);
}

}  // namespace

std::optional<change> decode(std::string_view payload, bool in_stream) {
  wire_reader reader(payload);
  switch (reader.read<char>()) {
    case 'B': return read_begin(reader);
    case 'C': return read_commit(reader);
    case 'O': return read_origin(reader);
    case 'R': return read_relation(reader, in_stream);
    case 'Y': return read_type(reader, in_stream);
    case 'I': return read_insert(reader, in_stream);
    case 'U': return read_update(reader, in_stream);
    case 'D': return read_delete(reader, in_stream);
    case 'T': return read_truncate(reader, in_stream);
    case 'M': return read_message(reader, in_stream);
    case 'S': return read_stream_start(reader);
    case 'E': return whole(reader, stream_stop{});
    case 'c': return read_stream_commit(reader);
    case 'A': return read_stream_abort(reader);
    default: return std::nullopt;
  }
}

}  // namespace protocol::pgoutput
