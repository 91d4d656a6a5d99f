#include "routing/text_scanner.h"

#include <algorithm>

namespace routing {
namespace {

bool is_blank(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool starts_word(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
bool continues_word(char c) noexcept { return starts_word(c) || is_digit(c) || c == '$'; }
bool is_operator(char c) noexcept { return c != '\0' && std::string_view("~!@#^&|`?+-*/%<>=").find(c) != std::string_view::npos; }

}  // namespace

token text_scanner::take(token_kind kind, std::size_t end) noexcept {
  end = std::min(end, sql_.size());
  const token t{kind, sql_.substr(at_, end - at_)};
  at_ = end;
  return t;
}

void text_scanner::skip_block_comment() noexcept {
  std::size_t depth = 0;
  do {
    if (at(at_) == '/' && at(at_ + 1) == '*') {
      ++depth;
      at_ += 2;
    } else if (at(at_) == '*' && at(at_ + 1) == '/') {
      --depth;
      at_ += 2;
    } else {
      ++at_;
    }
  } while (depth > 0 && at_ < sql_.size());
}

void text_scanner::skip_blanks() noexcept {
  while (at_ < sql_.size()) {
    const char c = sql_[at_];
    if (is_blank(c)) {
      ++at_;
    } else if (c == '-' && at(at_ + 1) == '-') {
      while (at_ < sql_.size() && sql_[at_] != '\n' && sql_[at_] != '\r') ++at_;
    } else if (c == '/' && at(at_ + 1) == '*') {
      skip_block_comment();
    } else {
      return;
    }
  }
}

std::size_t text_scanner::quoted_end(std::size_t open, bool backslash_escapes) const noexcept {
  const char quote = sql_[open];
  for (std::size_t i = open + 1; i < sql_.size(); ++i) {
    if (backslash_escapes && sql_[i] == '\\') {
      ++i;
    } else if (sql_[i] == quote) {
      if (at(i + 1) != quote) return i + 1;
      ++i;
    }
  }
  return sql_.size();
}

token text_scanner::word() noexcept {
  const char c = static_cast<char>(sql_[at_] | 0x20);
  if (at(at_ + 1) == '\'') {
    if (c == 'e') return take(token_kind::special_string, quoted_end(at_ + 1, true));
    if (c == 'b' || c == 'x' || c == 'n') return take(token_kind::special_string, quoted_end(at_ + 1, false));
  }
  if (c == 'u' && at(at_ + 1) == '&') {
    if (at(at_ + 2) == '\'') return take(token_kind::special_string, quoted_end(at_ + 2, false));
    if (at(at_ + 2) == '"') return take(token_kind::quoted_word, quoted_end(at_ + 2, false));
  }
  std::size_t end = at_ + 1;
  while (continues_word(at(end))) ++end;
  return take(token_kind::word, end);
}

token text_scanner::number() noexcept {
  std::size_t end = at_;
  while (is_digit(at(end))) ++end;
  bool whole = true;
  if (at(end) == '.' && at(end + 1) != '.') {
    whole = false;
    ++end;
    while (is_digit(at(end))) ++end;
  }
  if (at(end) == 'e' || at(end) == 'E') {
    std::size_t digits = end + 1;
    if (at(digits) == '+' || at(digits) == '-') ++digits;
    if (is_digit(at(digits))) {
      whole = false;
      end = digits;
      while (is_digit(at(end))) ++end;
    }
  }
  return take(whole ? token_kind::integer : token_kind::number, end);
}

token text_scanner::dollar() noexcept {
  std::size_t end = at_ + 1;
  if (is_digit(at(end))) {
    while (is_digit(at(end))) ++end;
    return take(token_kind::parameter, end);
  }
  if (starts_word(at(end))) {
    while (continues_word(at(end)) && at(end) != '$') ++end;
  }
  if (at(end) != '$') return take(token_kind::punctuation, at_ + 1);
  const auto tag = sql_.substr(at_, end + 1 - at_);
  const auto close = sql_.find(tag, end + 1);
  return take(token_kind::special_string, close == std::string_view::npos ? sql_.size() : close + tag.size());
}

token text_scanner::operation() noexcept {
  std::size_t end = at_ + 1;
  while (is_operator(at(end))) {
    const bool comment = (at(end) == '-' && at(end + 1) == '-') || (at(end) == '/' && at(end + 1) == '*');
    if (comment) break;
    ++end;
  }
  return take(token_kind::operation, end);
}

token text_scanner::next() noexcept {
  skip_blanks();
  if (at_ >= sql_.size()) return {};
  const char c = sql_[at_];
  if (starts_word(c)) return word();
  if (is_digit(c) || (c == '.' && is_digit(at(at_ + 1)))) return number();
  if (c == '\'') return take(token_kind::string, quoted_end(at_, false));
  if (c == '"') return take(token_kind::quoted_word, quoted_end(at_, false));
  if (c == '$') return dollar();
  if (c == ':' && at(at_ + 1) == ':') return take(token_kind::operation, at_ + 2);
  if (is_operator(c)) return operation();
  return take(token_kind::punctuation, at_ + 1);
}

}  // namespace routing
