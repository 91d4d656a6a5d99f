#include "routing/text/literal_form.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "routing/text/text_scanner.h"

namespace routing {
namespace {

constexpr std::uint32_t int8_oid = 20;
constexpr std::size_t surely_int8_digits = 18;
constexpr std::size_t copied_at_once = 16;
constexpr std::size_t spare = 40;       // more than a parameter, a blank and what is copied at once take
constexpr std::size_t kept = 1u << 20;  // of what a large text took

// A string right behind one of these is part of a typed literal or of an escape clause, and $n cannot stand there.
constexpr auto binding = std::to_array<std::string_view>({"date", "interval", "time", "timestamp", "timestamptz", "timetz", "uescape", "uuid",
                                                          "zone"});

bool binds_string(std::string_view word) noexcept {
  if (word.size() < 4 || word.size() > 11) return false;
  std::array<char, 11> lower{};
  std::transform(word.begin(), word.end(), lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return std::binary_search(binding.begin(), binding.end(), std::string_view(lower.data(), word.size()));
}

// "1a" is an error to PostgreSQL 15, and must stay one.
bool runs_into_word(const char* end_of_number, const char* end) noexcept {
  return end_of_number != end && text_scanner::starts_word(*end_of_number);
}

// What PREPARE makes keeps its literals.
bool prepares(std::string_view word) noexcept {
  constexpr std::string_view prepare = "prepare";
  return word.size() == prepare.size() &&
         std::equal(word.begin(), word.end(), prepare.begin(), [](char c, char p) { return (c | 32) == p; });
}

bool is_closed(std::string_view quoted) noexcept { return quoted.size() >= 2 && quoted.back() == '\''; }

// Short texts are copied together with what follows them up to `end`, as there is room for it: that takes no loop and no call.
char* copy(std::string_view text, const char* end, char* to) noexcept {
  if (text.size() == 1) {
    *to = text.front();
  } else if (text.size() <= copied_at_once && static_cast<std::size_t>(end - text.data()) >= copied_at_once) {
    std::memcpy(to, text.data(), copied_at_once);
  } else {
    std::memcpy(to, text.data(), text.size());
  }
  return to + text.size();
}

}  // namespace

// `at_most` bytes are unescaped in all.
std::string_view literal_form::unquoted(std::string_view quoted, std::size_t at_most) {
  const auto inside = quoted.substr(1, quoted.size() - 2);
  if (inside.find('\'') == std::string_view::npos) return inside;
  unescaped_.reserve(at_most);
  const auto start = unescaped_.size();
  for (std::size_t i = 0; i < inside.size(); ++i) {
    unescaped_.push_back(inside[i]);
    if (inside[i] == '\'') ++i;
  }
  return std::string_view(unescaped_).substr(start);
}

// Takes the form that ends at `end` to a larger buffer, where `more` fits behind it.
char* literal_form::grow(char* end, std::size_t more) {
  const auto used = static_cast<std::size_t>(end - buffer_.data());
  buffer_.resize(used + used / 2 + more);
  return buffer_.data() + used;
}

void literal_form::clear(std::size_t next_size) {
  size_ = 0;
  unescaped_.clear();
  for (auto* text : {&buffer_, &unescaped_})
    if (text->capacity() > kept && next_size < kept) std::string().swap(*text);
}

bool literal_form::read(std::string_view sql, parameters& literals) {
  clear(sql.size());
  literals.clear();
  const char* const end = sql.data() + sql.size();
  char *out = buffer_.data(), *limit = out + buffer_.size();
  text_scanner scanner(sql);
  std::string_view word;  // if the last token was one
  for (token t = scanner.next(); t.kind != token_kind::end; t = scanner.next()) {
    bool literal = false, glued = false;  // glued to the next token
    std::uint32_t type = unspecified_oid;
    switch (t.kind) {
      case token_kind::parameter: return false;
      case token_kind::word:
        if (prepares(t.text)) return false;
        break;
      case token_kind::string:
        literal = is_closed(t.text) && !binds_string(word);
        break;
      case token_kind::integer:
      case token_kind::number:
        glued = runs_into_word(t.text.data() + t.text.size(), end);
        literal = t.kind == token_kind::integer && t.text.size() <= surely_int8_digits && !glued;
        type = int8_oid;
        break;
      default: break;
    }
    word = t.kind == token_kind::word ? t.text : std::string_view();
    const auto most = spare + (literal ? 0 : t.text.size());
    if (static_cast<std::size_t>(limit - out) < most) {
      out = grow(out, most);
      limit = buffer_.data() + buffer_.size();
    }
    if (literal) {
      literals.push_back({t.kind == token_kind::string ? unquoted(t.text, sql.size()) : t.text, 0, type});
      *out++ = '$';
      out = std::to_chars(out, limit, literals.size()).ptr;
    } else {
      out = copy(t.text, end, out);
    }
    if (!glued) *out++ = ' ';
  }
  if (out != buffer_.data()) --out;  // the last blank
  size_ = static_cast<std::size_t>(out - buffer_.data());
  return true;
}

}  // namespace routing
