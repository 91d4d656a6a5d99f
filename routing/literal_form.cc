#include "routing/literal_form.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "routing/text_scanner.h"

namespace routing {
namespace {

constexpr std::uint32_t int8_oid = 20;
constexpr std::size_t surely_int8_digits = 18;
constexpr std::size_t kept = 1u << 20;  // of what a large text took

// A string right behind one of these is part of a typed literal or of an escape clause, and $n cannot stand there.
bool binds_string(std::string_view word) noexcept {
  constexpr auto binding = std::to_array<std::string_view>({"date", "interval", "time", "timestamp", "timestamptz", "timetz", "uescape", "uuid",
                                                            "zone"});
  if (word.size() > 11) return false;
  std::array<char, 11> lower{};
  std::transform(word.begin(), word.end(), lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return std::binary_search(binding.begin(), binding.end(), std::string_view(lower.data(), word.size()));
}

// "1a" is an error to PostgreSQL 15, and must stay one.
bool runs_into_word(std::string_view sql, std::string_view number) noexcept {
  const auto end = static_cast<std::size_t>(number.data() - sql.data()) + number.size();
  if (end >= sql.size()) return false;
  const auto c = static_cast<unsigned char>(sql[end]);
  return c == '_' || c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// What PREPARE makes keeps its literals.
bool prepares(std::string_view word) noexcept {
  constexpr std::string_view prepare = "prepare";
  return word.size() == prepare.size() &&
         std::equal(word.begin(), word.end(), prepare.begin(), [](char c, char p) { return (c | 32) == p; });
}

}  // namespace

std::string_view literal_form::unquoted(std::string_view quoted) {
  const auto inside = quoted.substr(1, quoted.size() - 2);
  if (inside.find('\'') == std::string_view::npos) return inside;
  const auto start = unescaped_.size();
  for (std::size_t i = 0; i < inside.size(); ++i) {
    unescaped_.push_back(inside[i]);
    if (inside[i] == '\'') ++i;
  }
  return std::string_view(unescaped_).substr(start);
}

void literal_form::replace(std::string_view value, std::uint32_t type, parameters& literals) {
  literals.push_back({value, 0, type});
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), literals.size()).ptr;
  form_.push_back('$');
  form_.append(digits.data(), end);
}

bool literal_form::read(std::string_view sql, parameters& literals) {
  for (auto* text : {&form_, &unescaped_}) {
    text->clear();
    if (text->capacity() > kept && sql.size() < kept) text->shrink_to_fit();
  }
  unescaped_.reserve(sql.size());
  literals.clear();
  text_scanner scanner(sql);
  bool string_is_bound = false, glued = false;
  for (token t = scanner.next(); t.kind != token_kind::end; t = scanner.next()) {
    if (t.kind == token_kind::parameter || (t.kind == token_kind::word && prepares(t.text))) return false;
    if (!form_.empty() && !glued) form_.push_back(' ');
    glued = (t.kind == token_kind::integer || t.kind == token_kind::number) && runs_into_word(sql, t.text);
    const bool closed = t.text.size() >= 2 && t.text.back() == '\'';
    if (t.kind == token_kind::string && closed && !string_is_bound) {
      replace(unquoted(t.text), unspecified_oid, literals);
    } else if (t.kind == token_kind::integer && t.text.size() <= surely_int8_digits && !glued) {
      replace(t.text, int8_oid, literals);
    } else {
      form_.append(t.text);
    }
    string_is_bound = t.kind == token_kind::word && binds_string(t.text);
  }
  return true;
}

}  // namespace routing
