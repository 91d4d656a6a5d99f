#include "migration/pg/sslmode.h"

#include <memory>

#include <boost/asio/ip/address.hpp>
#include <libpq-fe.h>

namespace migration {

namespace {

bool is_here(std::string_view host) {
  if (host.empty() || host == "localhost" || host.front() == '/' || host.front() == '@') return true;
  boost::system::error_code no_address;
  const auto address = boost::asio::ip::make_address(host, no_address);
  return !no_address && address.is_loopback();
}

bool all_here(std::string_view list) {
  while (true) {
    const auto comma = list.find(',');
    if (!is_here(list.substr(0, comma))) return false;
    if (comma == std::string_view::npos) return true;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace

std::string_view default_sslmode(std::string_view hosts, std::string_view addresses) {
  return all_here(addresses.empty() ? hosts : addresses) ? "prefer" : "verify-full";
}

std::string_view default_sslmode(const std::string& dsn) {
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(PQconninfoParse(dsn.c_str(), nullptr), &PQconninfoFree);
  std::string_view hosts, addresses;
  for (const auto* option = options.get(); option && option->keyword; ++option) {
    const std::string_view keyword = option->keyword;
    if (option->val && keyword == "host") hosts = option->val;
    if (option->val && keyword == "hostaddr") addresses = option->val;
  }
  return default_sslmode(hosts, addresses);
}

}  // namespace migration
