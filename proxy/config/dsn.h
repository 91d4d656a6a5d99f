// Connection strings of libpq: what the configuration checks in them, what may be shown, and how pgrotor's own role is added.
// Pure, any thread.
#pragma once

#include <string>
#include <string_view>

namespace proxy {

struct dsn_parts {
  std::string error;  // libpq's words when it cannot read the string; the rest is empty then
  std::string host, port, dbname, user, password;
};
dsn_parts parse_dsn(const std::string& dsn);
// Keyword/value form of what the string says, without its password.
std::string without_password(const std::string& dsn);
// A keyword/value string with a role added.
std::string with_role(const std::string& dsn, std::string_view user, std::string_view password);

}  // namespace proxy
