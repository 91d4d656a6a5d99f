#include "routing/text/text_scanner.h"

#include <cstring>

namespace routing {

constexpr std::array<unsigned char, 256> text_scanner::classes_ = [] {
  std::array<unsigned char, 256> classes{};
  for (unsigned c = 0; c < classes.size(); ++c) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) classes[c] = blank;
    if (c >= '0' && c <= '9') classes[c] = digit | word_part;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80) classes[c] = word_start | word_part;
  }
  for (const unsigned char c : {'~', '!', '@', '#', '^', '&', '|', '`', '?', '+', '-', '*', '/', '%', '<', '>', '='}) classes[c] = symbol;
  for (const unsigned char c : {'\'', '"', ':', '.'}) classes[c] = other_start;
  classes['$'] = other_start | word_part;
  return classes;
}();

void text_scanner::skip_block_comment() noexcept {
  std::size_t depth = 0;
  do {
    if (*at_ == '/' && at(at_ + 1) == '*') {
      ++depth;
      at_ += 2;
    } else if (*at_ == '*' && at(at_ + 1) == '/') {
      --depth;
      at_ += 2;
    } else {
      ++at_;
    }
  } while (depth > 0 && at_ != end_);
}

void text_scanner::skip_comments() noexcept {
  for (;; at_ = past(at_, blank)) {
    if (at(at_) == '-' && at(at_ + 1) == '-') {
      while (at_ != end_ && *at_ != '\n' && *at_ != '\r') ++at_;
    } else if (at(at_) == '/' && at(at_ + 1) == '*') {
      skip_block_comment();
    } else {
      return;
    }
  }
}

const char* text_scanner::quoted_end(const char* open) const noexcept {
  for (const char* p = open + 1; p != end_; p += 2) {
    if (*p != *open) p = static_cast<const char*>(std::memchr(p, *open, static_cast<std::size_t>(end_ - p)));
    if (p == nullptr) break;
    if (at(p + 1) != *open) return p + 1;
  }
  return end_;
}

const char* text_scanner::escaped_end(const char* open) const noexcept {
  for (const char* p = open + 1; p != end_; ++p) {
    if (*p == '\\') {
      if (++p == end_) break;
    } else if (*p == *open) {
      if (at(p + 1) != *open) return p + 1;
      ++p;
    }
  }
  return end_;
}

token text_scanner::word() noexcept {
  const char c = static_cast<char>(*at_ | 0x20);
  const char* const behind = at_ + 1;
  if (at(behind) == '\'') {
    if (c == 'e') return take(token_kind::special_string, escaped_end(behind));
    if (c == 'n') return take(token_kind::special_string, string_end(behind));
    if (c == 'b' || c == 'x') return take(token_kind::special_string, quoted_end(behind));
  }
  if (c == 'u' && at(behind) == '&') {
    if (at(behind + 1) == '\'') return take(token_kind::special_string, quoted_end(behind + 1));
    if (at(behind + 1) == '"') return take(token_kind::quoted_word, quoted_end(behind + 1));
  }
  return take(token_kind::word, past(behind, word_part));
}

token text_scanner::number() noexcept {
  const char* end = past(at_, digit);
  bool whole = true;
  if (at(end) == '.' && at(end + 1) != '.') {
    whole = false;
    end = past(end + 1, digit);
  }
  if (at(end) == 'e' || at(end) == 'E') {
    const char* digits = end + 1;
    if (at(digits) == '+' || at(digits) == '-') ++digits;
    if (is(at(digits), digit)) {
      whole = false;
      end = past(digits, digit);
    }
  }
  return take(whole ? token_kind::integer : token_kind::number, end);
}

token text_scanner::dollar() noexcept {
  const char* end = at_ + 1;
  if (is(at(end), digit)) return take(token_kind::parameter, past(end, digit));
  if (is(at(end), word_start)) {
    while (is(at(end), word_part) && *end != '$') ++end;
  }
  if (at(end) != '$') return take(token_kind::punctuation, at_ + 1);
  const std::string_view tag(at_, static_cast<std::size_t>(end + 1 - at_)), rest(end + 1, static_cast<std::size_t>(end_ - end - 1));
  const auto close = rest.find(tag);
  return take(token_kind::special_string, close == rest.npos ? end_ : rest.data() + close + tag.size());
}

token text_scanner::operation() noexcept {
  const char* end = at_ + 1;
  for (; end != end_ && is(*end, symbol); ++end) {
    const bool comment = (*end == '-' && at(end + 1) == '-') || (*end == '/' && at(end + 1) == '*');
    if (comment) break;
  }
  return take(token_kind::operation, end);
}

token text_scanner::behind_comments() noexcept {
  if (*at_ == '-' || *at_ == '/') {
    skip_comments();
    if (at_ == end_) return {};
  }
  const char c = *at_;
  if (is(c, word_start)) return word();
  if (is(c, digit) || (c == '.' && is(at(at_ + 1), digit))) return number();
  if (is(c, symbol)) return operation();
  if (c == '\'') return take(token_kind::string, string_end(at_));
  if (c == '"') return take(token_kind::quoted_word, quoted_end(at_));
  if (c == '$') return dollar();
  if (c == ':' && at(at_ + 1) == ':') return take(token_kind::operation, at_ + 2);
  return take(token_kind::punctuation, at_ + 1);
}

}  // namespace routing
