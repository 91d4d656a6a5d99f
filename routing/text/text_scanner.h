// Splits SQL text into tokens by PostgreSQL's lexical rules (manual 4.1, scan.l). Used to bound a text before parsing and to find its
// literals; no keyword has a meaning here. Views into the text, allocates nothing.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace routing {

enum class token_kind {
  end,
  word,            // identifier or keyword, as written
  quoted_word,     // "..."
  integer,         // digits only
  number,          // any other number
  string,          // '...' without prefix
  special_string,  // E'', B'', X'', N'', U&'', $tag$...$tag$: left as they are
  parameter,       // $1
  operation,       // a run of operator characters, or ::
  punctuation,     // one of ( ) [ ] , ; . : and anything else
};

struct token {
  token_kind kind = token_kind::end;
  std::string_view text;  // with quotes
};

class text_scanner {
 public:
  // `escapes`: standard_conforming_strings is off.
  explicit text_scanner(std::string_view sql, bool escapes = false) noexcept : at_(sql.data()), end_(at_ + sql.size()), escapes_(escapes) {}
  // An unterminated string, identifier or comment ends with the text.
  token next() noexcept;
  static bool starts_word(char c) noexcept { return is(c, word_start); }

 private:
  // What a character can be part of; 0: a token by itself, whatever follows it.
  enum char_class : unsigned char { blank = 1, digit = 2, word_start = 4, word_part = 8, symbol = 16, other_start = 32 };
  static const std::array<unsigned char, 256> classes_;
  static unsigned class_of(char c) noexcept { return classes_[static_cast<unsigned char>(c)]; }
  static bool is(char c, char_class of) noexcept { return (class_of(c) & of) != 0; }

  void skip_comments() noexcept;  // and blanks
  void skip_block_comment() noexcept;
  token take(token_kind, const char* end) noexcept;
  token behind_comments() noexcept;  // any token; it may have comments in front
  token word() noexcept;
  token number() noexcept;
  token dollar() noexcept;
  token operation() noexcept;
  const char* past(const char* from, char_class) const noexcept;  // the first character that is of another class
  const char* quoted_end(const char* open) const noexcept;        // past the closing quote
  const char* string_end(const char* open) const noexcept { return escapes_ ? escaped_end(open) : quoted_end(open); }
  const char* escaped_end(const char* open) const noexcept;       // the same where a backslash escapes
  char at(const char* p) const noexcept { return p != end_ ? *p : '\0'; }

  const char *at_, *end_;
  bool escapes_;
};

// Most tokens of a text are found without a call.
inline token text_scanner::next() noexcept {
  at_ = past(at_, blank);
  if (at_ == end_) return {};
  const unsigned of = class_of(*at_);
  if (of == 0) return take(token_kind::punctuation, at_ + 1);
  if ((of & word_start) != 0) {
    const char* const end = past(at_ + 1, word_part);
    if (end - at_ > 1) return take(token_kind::word, end);  // one letter may be the prefix of a string
  }
  if ((of & digit) != 0) {
    const char* const end = past(at_ + 1, digit);
    if (at(end) != '.' && !is(at(end), word_start)) return take(token_kind::integer, end);
  }
  const token t = behind_comments();
  return {t.kind, t.text};  // a copy of its parts, or g++ keeps the tokens above in memory too
}

inline token text_scanner::take(token_kind kind, const char* end) noexcept {
  const token t{kind, {at_, static_cast<std::size_t>(end - at_)}};
  at_ = end;
  return t;
}

inline const char* text_scanner::past(const char* from, char_class of) const noexcept {
  while (from != end_ && is(*from, of)) ++from;
  return from;
}

}  // namespace routing
