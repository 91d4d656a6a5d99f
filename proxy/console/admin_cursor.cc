#include "proxy/console/admin_cursor.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "proxy/config/edit_distance.h"
#include "proxy/console/admin_help.h"

namespace proxy {

std::string upper(std::string_view ascii) {
  std::string out(ascii);
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return out;
}

std::string admin_cursor::take() { return std::exchange(now_, lexer_.next()).text; }

bool admin_cursor::take_word(std::string_view lower) {
  if (!now_.is_word(lower)) return false;
  take();
  return true;
}

bool admin_cursor::take_symbol(char c) {
  if (!now_.is_symbol(c)) return false;
  take();
  return true;
}

std::string_view admin_cursor::take_rest() {
  const auto rest = sql_.substr(now_.offset + now_.raw.size());
  now_.type = admin_token::kind::end;
  lexer_ = admin_lexer({});
  return rest;
}

void admin_cursor::expect_word(std::string_view lower) {
  if (!take_word(lower)) fail(upper(lower));
}

void admin_cursor::expect_symbol(char c) {
  if (!take_symbol(c)) fail(std::string_view(&c, 1));
}

std::string admin_cursor::expect_name(std::string_view what) {
  if (!now_.is_name()) fail(what);
  return take();
}

std::string admin_cursor::expect_string(std::string_view what) {
  if (now_.type != admin_token::kind::string) fail(what);
  return take();
}

void admin_cursor::expect_end() {
  const bool separated = now_.is_symbol(';');
  while (take_symbol(';')) continue;
  if (at_end()) return;
  if (separated) fail_at(now_.position, "only one command at a time is accepted");
  fail("the end");
}

std::string admin_cursor::hint() const {
  const auto found = std::ranges::find(admin_helps(), command_, &admin_help::command);
  return found == admin_helps().end() ? "SHOW HELP lists every command." : fmt::format("The form is: {}", found->form);
}

void admin_cursor::fail(std::string_view expected) const { fail_at(now_.position, fmt::format("expected {}, found {}", expected, now_.shown())); }

void admin_cursor::fail_at(std::size_t position, std::string message) const { refuse_syntax(position, std::move(message), hint()); }

void admin_cursor::fail_unknown(std::string_view before, std::span<const std::string_view> words) const {
  if (at_end()) fail(fmt::format("one of {}", fmt::join(words, ", ")));
  const std::string unknown = upper(now_.raw);
  std::vector<std::string> near;
  for (const auto word : nearest(unknown, words, 3)) near.push_back(fmt::format("{}{}", before, word));
  const auto list = near.empty() ? std::string() : fmt::format("; nearest: {}", fmt::join(near, ", "));
  refuse_syntax(now_.position, fmt::format("unknown command {}{}{}", before, unknown, list), "SHOW HELP lists every command.");
}

}  // namespace proxy
