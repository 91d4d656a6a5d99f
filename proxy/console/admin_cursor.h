// Where the admin parser stands in a statement: takes what it expects or refuses with what it found, where, and the form of the
// command under way. Used by admin_parser.cc only, on the stack.
#pragma once

#include <charconv>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "proxy/console/admin_lexer.h"

namespace proxy {

std::string upper(std::string_view ascii);

class admin_cursor {
 public:
  explicit admin_cursor(std::string_view sql) : sql_(sql), lexer_(sql), now_(lexer_.next()) {}

  const admin_token& now() const noexcept { return now_; }
  bool at_end() const noexcept { return now_.type == admin_token::kind::end; }
  std::string take();  // the text of the token under the cursor
  bool take_word(std::string_view lower);
  bool take_symbol(char);
  // The text behind the token under the cursor, unread; the cursor then stands at the end.
  std::string_view take_rest();

  void expect_word(std::string_view lower);
  void expect_symbol(char);
  std::string expect_name(std::string_view what);
  std::string expect_string(std::string_view what);
  template <typename Int>
  Int expect_integer(std::string_view what) {
    Int value{};
    std::string_view digits = now_.text;
    if (digits.starts_with('+')) digits.remove_prefix(1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (now_.type != admin_token::kind::number || error != std::errc{} || end != digits.data() + digits.size()) fail(what);
    take();
    return value;
  }
  // Nothing but semicolons up to the end.
  void expect_end();

  // Names the command for hints, as in admin_helps().
  void command(std::string words) { command_ = std::move(words); }
  [[noreturn]] void fail(std::string_view expected) const;
  [[noreturn]] void fail_at(std::size_t position, std::string message) const;
  // The word under the cursor is none of `words`, which may follow `before` ("SHOW " or nothing).
  [[noreturn]] void fail_unknown(std::string_view before, std::span<const std::string_view> words) const;

 private:
  std::string hint() const;

  std::string_view sql_;
  admin_lexer lexer_;
  admin_token now_;
  std::string command_;
};

}  // namespace proxy
