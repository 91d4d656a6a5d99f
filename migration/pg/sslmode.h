// Which sslmode a connection string has that names none: libpq's own (prefer) where the bytes stay on this machine, verify-full to
// everywhere else. Used for control connections (pg.cc) and by the proxy for those of clients. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

namespace migration {

// `hosts` and `addresses` as in libpq's host and hostaddr, lists included; an address counts instead of its name.
std::string_view default_sslmode(std::string_view hosts, std::string_view addresses);
// The same for a connection string; libpq reads what it says of hosts.
std::string_view default_sslmode(const std::string& dsn);

}  // namespace migration
