// WAL positions and the envelopes inside CopyData (manual 55.4), declared in protocol/pgoutput.h.
#include <charconv>
#include <system_error>

#include "protocol/pgoutput.h"
#include "protocol/wire.h"

namespace protocol {

namespace {

// One half of a position: up to eight hexadecimal digits, no sign, nothing else.
std::optional<std::uint32_t> parse_half(std::string_view text) {
  std::uint32_t half = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), half, 16);
  if (text.size() > 8 || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return half;
}

std::string to_hex(std::uint32_t half) {
  char text[8];
  const auto [end, error] = std::to_chars(text, text + sizeof text, half, 16);
  std::string out(text, end);
  for (char& digit : out)
    if (digit >= 'a') digit = static_cast<char>(digit - 'a' + 'A');
  return out;
}

std::optional<replication_message> read_xlog_data(wire_reader reader) {
  xlog_data out;
  out.start = {reader.read<std::uint64_t>()};
  out.server_end = {reader.read<std::uint64_t>()};
  out.server_time = reader.read<std::int64_t>();
  if (!reader.ok()) return std::nullopt;
  out.payload = reader.rest();
  return out;
}

std::optional<replication_message> read_keepalive(wire_reader reader) {
  keepalive out;
  out.server_end = {reader.read<std::uint64_t>()};
  out.server_time = reader.read<std::int64_t>();
  out.reply_requested = reader.read<std::uint8_t>() != 0;
  if (!reader.done()) return std::nullopt;
  return out;
}

}  // namespace

std::string to_string(lsn position) {
  return to_hex(static_cast<std::uint32_t>(position.value >> 32)) + '/' + to_hex(static_cast<std::uint32_t>(position.value & 0xffffffff));
}

std::optional<lsn> parse_lsn(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto high = parse_half(text.substr(0, slash));
  const auto low = parse_half(text.substr(slash + 1));
  if (!high || !low) return std::nullopt;
  return lsn{(std::uint64_t{*high} << 32) | *low};
}

std::optional<replication_message> decode_replication(std::string_view copy_data) {
  wire_reader reader(copy_data);
  switch (reader.read<char>()) {
    case 'w': return read_xlog_data(reader);
    case 'k': return read_keepalive(reader);
    default: return std::nullopt;
  }
}

std::string standby_status(lsn written, lsn flushed, lsn applied, std::int64_t now, bool reply_requested) {
  std::string out(1, 'r');
  append_int(out, written.value);
  append_int(out, flushed.value);
  append_int(out, applied.value);
  append_int(out, now);
  append_int(out, static_cast<std::uint8_t>(reply_requested));
  return out;
}

}  // namespace protocol
