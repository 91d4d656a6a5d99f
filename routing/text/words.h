// Names and words of SQL that is compared or written here, in no text that was parsed. Pure.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace routing {

// Alike but for the case of ASCII letters.
inline bool is_same_word(std::string_view left, std::string_view right) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), [&](char a, char b) { return lower(a) == lower(b); });
}

// An identifier in double quotes, as quote_ident() would write it if it always quoted.
inline std::string quoted_name(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) out.append(c == '"' ? 2 : 1, c);
  return out.append(1, '"');
}

}  // namespace routing
