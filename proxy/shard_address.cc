#include "proxy/shard_address.h"

#include <libpq-fe.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <memory>
#include <string_view>

namespace proxy {

namespace asio = boost::asio;
using asio::generic::stream_protocol;

namespace {

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> parts;
  while (true) {
    const auto comma = list.find(',');
    parts.emplace_back(list.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    list.remove_prefix(comma + 1);
  }
}

// libpq's rule: one port serves all hosts, otherwise there is one for each.
std::string nth(const std::vector<std::string>& parts, std::size_t index) { return parts.size() == 1 ? parts[0] : index < parts.size() ? parts[index] : ""; }

}  // namespace

shard_location parse_shard_dsn(const std::string& dsn) {
  shard_location found;
  char* message = nullptr;
  std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)> options(PQconninfoParse(dsn.c_str(), &message), &PQconninfoFree);
  if (!options) {
    found.error = message ? message : "out of memory";
    PQfreemem(message);
    return found;
  }
  std::string hosts, addresses, ports = "5432";
  for (const auto* option = options.get(); option->keyword; ++option) {
    const std::string_view name = option->keyword;
    if (!option->val || !*option->val) continue;
    if (name == "host") hosts = option->val;
    if (name == "hostaddr") addresses = option->val;
    if (name == "port") ports = option->val;
    if (name == "dbname") found.dbname = option->val;
  }
  if (hosts.empty() && addresses.empty()) hosts = "/var/run/postgresql";
  const auto host = split(hosts), address = split(addresses), port = split(ports);
  for (std::size_t i = 0; i < std::max(host.size(), address.size()); ++i) {
    shard_address one{i < host.size() ? host[i] : "", i < address.size() ? address[i] : "", nth(port, i)};
    if (one.port.empty()) one.port = "5432";
    found.addresses.push_back(std::move(one));
  }
  return found;
}

asio::awaitable<std::vector<stream_protocol::endpoint>> resolve(shard_address address) {
  std::vector<stream_protocol::endpoint> endpoints;
  const auto& name = address.hostaddr.empty() ? address.host : address.hostaddr;
  if (name.starts_with('/')) {
    endpoints.emplace_back(asio::local::stream_protocol::endpoint(name + "/.s.PGSQL." + address.port));
    co_return endpoints;
  }
  boost::system::error_code failed;
  const auto numeric = asio::ip::make_address(name, failed);
  if (!failed) {
    endpoints.emplace_back(asio::ip::tcp::endpoint(numeric, static_cast<unsigned short>(std::stoi(address.port))));
    co_return endpoints;
  }
  asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
  const auto results = co_await resolver.async_resolve(name, address.port, asio::redirect_error(asio::use_awaitable, failed));
  for (const auto& entry : results) endpoints.emplace_back(entry.endpoint());
  co_return endpoints;
}

}  // namespace proxy
