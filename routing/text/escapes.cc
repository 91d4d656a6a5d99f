#include "routing/text/escapes.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "routing/text/text_scanner.h"

namespace routing {
namespace {

bool may_have_escapes(const token& t) noexcept {
  return t.kind == token_kind::string || (t.kind == token_kind::special_string && (t.text.front() | 0x20) == 'n');
}

// A number of up to `most` digits at the start of `text`, which is taken off.
std::uint32_t take_number(std::string_view& text, int base, std::size_t most) noexcept {
  std::uint32_t number = 0;
  const auto digits = text.substr(0, most);
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), number, base).ptr;
  text.remove_prefix(static_cast<std::size_t>(end - digits.data()));
  return number;
}

void append_utf8(std::string& out, std::uint32_t c) {
  const auto tail = [&](int shift) { out.push_back(static_cast<char>(0x80 | ((c >> shift) & 0x3f))); };
  if (c < 0x80) return out.push_back(static_cast<char>(c));
  if (c < 0x800) return out.push_back(static_cast<char>(0xc0 | c >> 6)), tail(0);
  if (c < 0x10000) return out.push_back(static_cast<char>(0xe0 | c >> 12)), tail(6), tail(0);
  out.push_back(static_cast<char>(0xf0 | (c >> 18 & 7))), tail(12), tail(6), tail(0);
}

// Of \u and \U; the second half of a surrogate pair stands behind the first.
std::uint32_t take_character(std::string_view& text, std::size_t digits) noexcept {
  const auto first = take_number(text, 16, digits);
  const bool half = first >= 0xd800 && first < 0xdc00 && text.size() > 2 && text[0] == '\\' && (text[1] | 0x20) == 'u';
  if (!half) return first;
  text.remove_prefix(1);
  const bool is_long = text.front() == 'U';
  text.remove_prefix(1);
  return 0x10000 + ((first & 0x3ff) << 10) + (take_number(text, 16, is_long ? 8 : 4) & 0x3ff);
}

// Behind a backslash; what it means is put behind `out`.
void take_escape(std::string_view& text, std::string& out) {
  const char c = text.front();
  if (c >= '0' && c <= '7') return out.push_back(static_cast<char>(take_number(text, 8, 3)));
  text.remove_prefix(1);
  const bool hex = !text.empty() && std::string_view("0123456789abcdefABCDEF").find(text.front()) != std::string_view::npos;
  if (c == 'x' && hex) return out.push_back(static_cast<char>(take_number(text, 16, 2)));
  if (c == 'u' || c == 'U') return append_utf8(out, take_character(text, c == 'u' ? 4 : 8));
  constexpr std::string_view letters = "bfnrt", meant = "\b\f\n\r\t";
  const auto known = letters.find(c);
  out.push_back(known == std::string_view::npos ? c : meant[known]);
}

// Between the quotes.
std::string meaning(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const bool escape = text.front() == '\\' && text.size() > 1, quote = text.starts_with("''");
    if (escape || quote) text.remove_prefix(1);
    if (escape) {
      take_escape(text, out);
    } else {
      out.push_back(text.front());
      text.remove_prefix(1);
    }
  }
  return out;
}

void append_standard(std::string& out, std::string_view literal) {
  const auto open = literal.find('\'') + 1;
  const auto end = out.size() + literal.size();
  out.append(literal.substr(0, open));
  for (const char c : meaning(literal.substr(open, literal.size() - open - 1))) out.append(c == '\'' ? 2 : 1, c == '\0' ? '?' : c);
  out.push_back('\'');
  out.resize(end, ' ');
}

void append_escaped(std::string& out, std::string_view literal) {
  for (const char c : literal) out.append(c == '\\' ? 2 : 1, c);
}

// `put` is called for the strings that matter and have a backslash.
template <class Put>
std::string rewritten(std::string_view sql, bool escapes, Put put) {
  std::string out;
  out.reserve(sql.size());
  text_scanner scanner(sql, escapes);
  const char* copied = sql.data();
  for (token t = scanner.next(); t.kind != token_kind::end; t = scanner.next()) {
    const bool closed = t.text.size() > 1 && t.text.back() == '\'';
    if (!may_have_escapes(t) || !closed || t.text.find('\\') == std::string_view::npos) continue;
    out.append(copied, t.text.data());
    put(out, t.text);
    copied = t.text.data() + t.text.size();
  }
  return out.append(copied, sql.data() + sql.size());
}

}  // namespace

bool is_ascii(std::string_view text) noexcept {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool has_ascii_names(std::string_view sql) noexcept {
  text_scanner scanner(sql);
  for (token t = scanner.next(); t.kind != token_kind::end; t = scanner.next()) {
    const bool name = t.kind == token_kind::word || t.kind == token_kind::quoted_word;
    if (name && !is_ascii(t.text)) return false;
  }
  return true;
}

// Up to the first of them, both readings find the same tokens.
bool means_one_thing(std::string_view sql) noexcept {
  text_scanner scanner(sql);
  for (token t = scanner.next(); t.kind != token_kind::end; t = scanner.next())
    if (may_have_escapes(t) && t.text.find('\\') != std::string_view::npos) return false;
  return true;
}

std::string without_escapes(std::string_view sql) { return rewritten(sql, true, append_standard); }

std::string with_escapes(std::string_view sql) { return rewritten(sql, false, append_escaped); }

}  // namespace routing
