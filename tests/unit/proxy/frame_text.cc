#include "frame_text.h"

#include <algorithm>

#include "protocol/backend.h"
#include "protocol/frontend.h"

namespace scripted {

namespace {

std::string name_of(std::string_view name) { return name.empty() ? "-" : std::string(name); }

std::string in_brackets(char type, std::string_view words) { return std::string(1, type) + "[" + std::string(words) + "]"; }

std::string sqlstate_of(std::string_view body) {
  const auto told = protocol::decode_notice(body);
  return told ? (told->severity == "FATAL" ? "FATAL " : "") + told->sqlstate : "malformed";
}

std::string columns_of(std::string_view body) {
  protocol::wire_reader in(body);
  std::string out;
  for (auto left = in.read<std::int16_t>(); left > 0; --left) {
    out += (out.empty() ? "" : ",") + std::string(in.read_cstring());
    in.read_bytes(18);
  }
  return out;
}

std::string cells_of(std::string_view body) {
  protocol::wire_reader in(body);
  std::string out;
  for (auto left = in.read<std::int16_t>(); left > 0; --left) {
    const auto size = in.read<std::int32_t>();
    out += out.empty() ? "" : ",";
    out += size < 0 ? "~" : std::string(in.read_bytes(static_cast<std::size_t>(size)));
  }
  return out;
}

std::string backend_message(char type, std::string_view body) {
  switch (type) {
    case 'T': return in_brackets(type, columns_of(body));
    case 'D': return in_brackets(type, cells_of(body));
    case 'C': return in_brackets(type, body.substr(0, body.size() - 1));
    case 'Z':
    case 'd': return in_brackets(type, body);
    case 'E':
    case 'N': return in_brackets(type, sqlstate_of(body));
    case 'S': {
      const auto told = protocol::decode_parameter_status(body);
      return in_brackets(type, std::string(told->name) + "=" + std::string(told->value));
    }
    case 'A': {
      protocol::wire_reader in(body);
      in.read<std::int32_t>();
      return in_brackets(type, in.read_cstring());
    }
    default: return std::string(1, type);
  }
}

std::string bind_text(std::string_view body) {
  const auto bind = protocol::decode_bind(body);
  auto words = name_of(bind->portal) + " " + name_of(bind->statement);
  for (const auto& value : bind->values) words += " " + (value ? std::string(*value) : "~");
  return words;
}

std::string frontend_message(char type, std::string_view body) {
  switch (type) {
    case 'Q': return in_brackets(type, protocol::decode_query(body)->sql);
    case 'P': {
      const auto parse = protocol::decode_parse(body);
      return in_brackets(type, name_of(parse->name) + " " + std::string(parse->sql));
    }
    case 'B': return in_brackets(type, bind_text(body));
    case 'D':
    case 'C': return in_brackets(type, std::string(1, body.front()) + " " + name_of(protocol::decode_describe(body)->name));
    case 'E': return in_brackets(type, name_of(protocol::decode_execute(body)->portal));
    case 'd': return in_brackets(type, body);
    case 'f': return in_brackets(type, protocol::decode_copy_fail(body)->reason);
    default: return std::string(1, type);
  }
}

std::string text_of(std::string_view frames, protocol::peer from, std::string (*one)(char, std::string_view)) {
  std::string out;
  while (!frames.empty()) {
    const auto frame = first_frame(frames, from);
    if (frame.empty()) return out + " half a message";
    out += (out.empty() ? "" : " ") + one(frame.front(), frame.substr(protocol::frame_header_size));
    frames.remove_prefix(frame.size());
  }
  return out;
}

}  // namespace

std::string backend_text(std::string_view frames) { return text_of(frames, protocol::peer::backend, backend_message); }
std::string frontend_text(std::string_view frames) { return text_of(frames, protocol::peer::frontend, frontend_message); }

std::string_view first_frame(std::string_view bytes, protocol::peer from) {
  protocol::frame_header header;
  const auto seen = protocol::read_header(bytes, from, protocol::max_frame_size, header);
  return seen == protocol::frame_error::none && header.size <= bytes.size() ? bytes.substr(0, header.size) : std::string_view();
}

std::vector<std::string> statements_of(std::string_view sql) {
  std::vector<std::string> all;
  std::string one;
  bool quoted = false;
  const auto end = [&] {
    const auto from = one.find_first_not_of(' ');
    if (from != std::string::npos) all.push_back(one.substr(from, one.find_last_not_of(' ') + 1 - from));
    one.clear();
  };
  for (const char c : sql) {
    if (c == '\'') quoted = !quoted;
    if (c == ';' && !quoted) end();
    else one.push_back(c);
  }
  end();
  return all;
}

}  // namespace scripted
