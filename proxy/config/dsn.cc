#include "proxy/config/dsn.h"

#include <memory>

#include <fmt/format.h>
#include <libpq-fe.h>

namespace proxy {
namespace {

using options = std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)>;

options parse(const std::string& dsn, std::string& error) {
  char* message = nullptr;
  options parsed(PQconninfoParse(dsn.c_str(), &message), &PQconninfoFree);
  const std::unique_ptr<char, decltype(&PQfreemem)> owned(message, &PQfreemem);
  if (!parsed) error = message == nullptr ? "libpq cannot read it" : message;
  while (error.ends_with('\n')) error.pop_back();
  return parsed;
}

std::string quoted(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\\' || c == '\'') out.push_back('\\');
    out.push_back(c);
  }
  return out + "'";
}

bool is_plain(std::string_view value) { return !value.empty() && value.find_first_of(" \\'\t\n") == std::string_view::npos; }

}  // namespace

dsn_parts parse_dsn(const std::string& dsn) {
  dsn_parts parts;
  const auto parsed = parse(dsn, parts.error);
  for (const PQconninfoOption* option = parsed.get(); option != nullptr && option->keyword != nullptr; ++option) {
    if (option->val == nullptr) continue;
    const std::string_view keyword = option->keyword;
    if (keyword == "host" || (keyword == "hostaddr" && parts.host.empty())) parts.host = option->val;
    if (keyword == "port") parts.port = option->val;
    if (keyword == "dbname") parts.dbname = option->val;
    if (keyword == "user") parts.user = option->val;
    if (keyword == "password") parts.password = option->val;
  }
  return parts;
}

std::string without_password(const std::string& dsn) {
  std::string error, out;
  const auto parsed = parse(dsn, error);
  for (const PQconninfoOption* option = parsed.get(); option != nullptr && option->keyword != nullptr; ++option) {
    const std::string_view keyword = option->keyword;
    if (option->val == nullptr || keyword == "password" || keyword == "sslpassword") continue;
    out += fmt::format("{}{}={}", out.empty() ? "" : " ", keyword, is_plain(option->val) ? option->val : quoted(option->val));
  }
  return out;
}

std::string with_role(const std::string& dsn, std::string_view user, std::string_view password) {
  std::string out = fmt::format("{} user={}", dsn, quoted(user));
  if (!password.empty()) out += fmt::format(" password={}", quoted(password));
  return out;
}

}  // namespace proxy
