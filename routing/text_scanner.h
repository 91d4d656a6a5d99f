// Splits SQL text into tokens by PostgreSQL's lexical rules (manual 4.1, scan.l) with standard_conforming_strings on. Used to bound a
// text before parsing and to find its literals; no keyword has a meaning here. Views into the text, allocates nothing.
#pragma once

#include <cstddef>
#include <string_view>

namespace routing {

enum class token_kind {
  end,
  word,            // identifier or keyword, as written
  quoted_word,     // "..."
  integer,         // digits only
  number,          // any other number
  string,          // '...' without prefix; escapes only by doubled quotes
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
  explicit text_scanner(std::string_view sql) noexcept : sql_(sql) {}
  // An unterminated string, identifier or comment ends with the text.
  token next() noexcept;

 private:
  void skip_blanks() noexcept;
  void skip_block_comment() noexcept;
  token take(token_kind, std::size_t end) noexcept;
  token word() noexcept;
  token number() noexcept;
  token dollar() noexcept;
  token operation() noexcept;
  std::size_t quoted_end(std::size_t open, bool backslash_escapes) const noexcept;  // past the closing quote
  char at(std::size_t i) const noexcept { return i < sql_.size() ? sql_[i] : '\0'; }

  std::string_view sql_;
  std::size_t at_ = 0;
};

}  // namespace routing
