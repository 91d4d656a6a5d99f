// ErrorResponse and NoticeResponse: lists of one-letter fields (manual 55.8), declared in protocol/backend.h.
#include "protocol/backend.h"
#include "protocol/frame_writer.h"
#include "protocol/wire.h"

namespace protocol {

namespace {

struct field {
  char code;
  std::string notice::*member;
};
// In the order in which PostgreSQL sends them.
constexpr field fields[] = {
    {'C', &notice::sqlstate}, {'M', &notice::message}, {'D', &notice::detail}, {'H', &notice::hint},       {'W', &notice::where},
    {'s', &notice::schema},   {'t', &notice::table},   {'c', &notice::column}, {'n', &notice::constraint}, {'P', &notice::position},
};

void store(notice& out, char code, std::string_view text) {
  for (const auto& known : fields)
    if (known.code == code) return static_cast<void>((out.*known.member).assign(text));
  out.others.push_back(code);
  append_cstring(out.others, text);
}

// Messages may quote what a client sent: a zero byte would end the field early and make the rest of it look like fields.
std::string_view printable(std::string_view text) { return text.substr(0, text.find('\0')); }

void append_fields(std::string& out, char type, const notice& message) {
  frame_writer frame(out, type);
  const auto severity = printable(message.severity);
  frame.byte('S').cstring(message.localized.empty() ? severity : printable(message.localized)).byte('V').cstring(severity);
  for (const auto& known : fields) {
    const auto text = printable(message.*known.member);
    if (!text.empty() || known.code == 'M') frame.byte(known.code).cstring(text);
  }
  frame.bytes(message.others).byte('\0').finish();
}

}  // namespace

std::optional<notice> decode_notice(std::string_view body) {
  wire_reader reader(body);
  notice message;
  std::string_view localized, plain;
  while (const char code = reader.read<char>()) {
    const auto text = reader.read_cstring();
    if (code == 'S') localized = text;
    else if (code == 'V') plain = text;
    else store(message, code, text);
  }
  if (!reader.done()) return std::nullopt;
  // V is S in English whatever lc_messages says; servers before 9.6 send S alone.
  if (!localized.empty()) message.severity = localized;
  if (!plain.empty()) message.severity = plain;
  if (localized != message.severity) message.localized = localized;
  return message;
}

void append_error(std::string& out, const notice& message) { append_fields(out, 'E', message); }
void append_notice(std::string& out, const notice& message) { append_fields(out, 'N', message); }

}  // namespace protocol
