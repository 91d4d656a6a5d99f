// Words of an admin console statement: identifiers, strings, numbers and punctuation with their positions. Comments are blanks.
// Used by admin_cursor.h only; views point into the statement's text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace proxy {

struct admin_token {
  enum class kind {
    word,    // unquoted identifier or keyword; `text` folded to lower case
    quoted,  // "identifier" as written
    string,  // 'text'
    number,  // digits with an optional sign and unit: 7, -12, 20MB
    symbol,  // one character: [ ] ( ) , . = ;
    end,
  };
  kind type = kind::end;
  std::string text;
  std::string_view raw;      // as written, for messages
  std::size_t position = 1;  // of its first character, counted from 1 in characters, as PostgreSQL's error field P
  std::size_t offset = 0;    // of its first byte

  bool is_word(std::string_view lower) const { return type == kind::word && text == lower; }
  bool is_symbol(char c) const { return type == kind::symbol && text.front() == c; }
  bool is_name() const { return type == kind::word || type == kind::quoted; }
  // For messages: what was found, in quotes, or "the end".
  std::string shown() const;
};

// One token at a time: what follows EXPLAIN ROUTE is not the console's language and is never read. Throws migration::refused (42601)
// for an unfinished string, name or comment and for stray characters; after the last token comes `end`, for ever.
class admin_lexer {
 public:
  explicit admin_lexer(std::string_view sql) : sql_(sql) {}
  admin_token next();

 private:
  char at(std::size_t ahead) const { return at_ + ahead < sql_.size() ? sql_[at_ + ahead] : '\0'; }
  void step();
  void skip_blanks();
  void skip_comment();
  void word(admin_token&);
  void number(admin_token&);
  void quoted(admin_token&, char quote);

  std::string_view sql_;
  std::size_t at_ = 0, position_ = 1;
};

// The refusal every error of the console's grammar is made of.
[[noreturn]] void refuse_syntax(std::size_t position, std::string message, std::string hint = {});

}  // namespace proxy
