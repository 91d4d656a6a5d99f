#include "proxy/console/admin_lexer.h"

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/shard/prepare.h"
#include "protocol/sqlstate.h"

namespace proxy {
namespace {

using kind = admin_token::kind;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
// Bytes of characters beyond ASCII are letters, as in PostgreSQL.
bool starts_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80; }
bool in_word(char c) { return starts_word(c) || is_digit(c) || c == '$'; }
bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

std::string unexpected(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f ? fmt::format("unexpected character \\x{:02x}", byte) : fmt::format("unexpected character {}", c);
}

}  // namespace

std::string admin_token::shown() const { return type == kind::end ? "the end" : fmt::format("\"{}\"", raw); }

void admin_lexer::step() {
  if ((static_cast<unsigned char>(sql_[at_]) & 0xc0) != 0x80) ++position_;
  ++at_;
}

void admin_lexer::skip_blanks() {
  while (at_ < sql_.size()) {
    if (is_one_of(at(0), " \t\r\n\f\v")) {
      step();
    } else if (at(0) == '-' && at(1) == '-') {
      while (at_ < sql_.size() && at(0) != '\n') step();
    } else if (at(0) == '/' && at(1) == '*') {
      skip_comment();
    } else {
      return;
    }
  }
}

void admin_lexer::skip_comment() {
  const std::size_t close = sql_.find("*/", at_ + 2);
  if (close == std::string_view::npos) refuse_syntax(position_, "a comment is not closed; expected */");
  while (at_ < close + 2) step();
}

admin_token admin_lexer::next() {
  skip_blanks();
  admin_token token;
  token.position = position_;
  token.offset = at_;
  if (at_ == sql_.size()) return token;
  const char c = at(0);
  if (starts_word(c)) {
    word(token);
  } else if (is_digit(c) || (is_one_of(c, "+-") && is_digit(at(1)))) {
    number(token);
  } else if (is_one_of(c, "'\"")) {
    quoted(token, c);
  } else if (is_one_of(c, "[](),.=;")) {
    token.type = kind::symbol;
    token.text = c;
    step();
  } else {
    refuse_syntax(position_, unexpected(c));
  }
  token.raw = sql_.substr(token.offset, at_ - token.offset);
  return token;
}

void admin_lexer::word(admin_token& token) {
  token.type = kind::word;
  for (; at_ < sql_.size() && in_word(at(0)); step()) {
    const char c = at(0);
    token.text.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
  }
}

void admin_lexer::number(admin_token& token) {
  token.type = kind::number;
  do {
    token.text.push_back(at(0));
    step();
  } while (at_ < sql_.size() && in_word(at(0)));
}

void admin_lexer::quoted(admin_token& token, char quote) {
  token.type = quote == '"' ? kind::quoted : kind::string;
  for (step(); at_ < sql_.size(); step()) {
    if (at(0) == quote) {
      step();
      if (at(0) != quote || at_ == sql_.size()) {
        if (token.text.empty() && quote == '"') refuse_syntax(token.position, "a quoted name is empty");
        return;
      }
    }
    token.text.push_back(at(0));
  }
  refuse_syntax(token.position, quote == '"' ? "a quoted name is not closed; expected \"" : "a string is not closed; expected '");
}

void refuse_syntax(std::size_t position, std::string message, std::string hint) {
  protocol::notice notice;
  notice.sqlstate = protocol::sqlstate::syntax_error;
  notice.message = std::move(message);
  notice.hint = std::move(hint);
  notice.position = std::to_string(position);
  throw migration::refused(std::move(notice));
}

}  // namespace proxy
