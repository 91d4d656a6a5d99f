#include "proxy/config/shard_address.h"

#include <libpq-fe.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "migration/pg/sslmode.h"

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

constexpr std::array<std::pair<std::string_view, sslmode>, 6> modes{{{"disable", sslmode::disable},
                                                                     {"allow", sslmode::allow},
                                                                     {"prefer", sslmode::prefer},
                                                                     {"require", sslmode::require},
                                                                     {"verify-ca", sslmode::verify_ca},
                                                                     {"verify-full", sslmode::verify_full}}};

constexpr std::array<std::pair<std::string_view, session_attrs>, 6> attributes{{{"any", session_attrs::any},
                                                                                {"read-write", session_attrs::read_write},
                                                                                {"read-only", session_attrs::read_only},
                                                                                {"primary", session_attrs::primary},
                                                                                {"standby", session_attrs::standby},
                                                                                {"prefer-standby", session_attrs::prefer_standby}}};

void read_attributes(shard_location& out, std::string_view value) {
  const auto* known = std::find_if(attributes.begin(), attributes.end(), [&](const auto& one) { return one.first == value; });
  if (known != attributes.end()) out.attrs = known->second;
  else out.error = fmt::format("target_session_attrs \"{}\" is none of any, read-write, read-only, primary, standby, prefer-standby", value);
}

// libpq's rules: as many host addresses as hosts, and one port or as many.
void check_counts(shard_location& out, std::size_t hosts, std::size_t addresses, std::size_t ports) {
  if (hosts > 0 && addresses > 0 && hosts != addresses) {
    out.error = fmt::format("could not match {} host names to {} hostaddr values", hosts, addresses);
  } else if (ports > 1 && ports != std::max(hosts, addresses)) {
    out.error = fmt::format("could not match {} port numbers to {} hosts", ports, std::max(hosts, addresses));
  }
}

bool is_port(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number > 0 && number < 65536;
}

// The rules of libpq: the root certificate is looked for in the home folder, and one that is named is used from `require` on.
void read_tls(shard_location& out, std::string_view mode) {
  const auto* known = std::find_if(modes.begin(), modes.end(), [&](const auto& one) { return one.first == mode; });
  if (known == modes.end()) {
    out.error = fmt::format("sslmode \"{}\" is none of disable, allow, prefer, require, verify-ca, verify-full", mode);
    return;
  }
  out.ssl = known->second;
  if (out.files.certificate.empty() != out.files.key.empty()) out.error = "sslcert and sslkey go together";
  if (out.ssl == sslmode::require && !out.files.ca.empty()) out.ssl = sslmode::verify_ca;
  if (out.ssl < sslmode::verify_ca) return out.files.ca.clear();
  const char* home = std::getenv("HOME");
  if (out.files.ca.empty() && home != nullptr) out.files.ca = std::string(home) + "/.postgresql/root.crt";
  if (out.files.ca.empty()) out.error = fmt::format("sslmode {} needs sslrootcert", mode);
}

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
  std::string hosts, addresses, mode, ports = "5432";
  for (const auto* option = options.get(); option->keyword; ++option) {
    const std::string_view name = option->keyword;
    if (!option->val || !*option->val) continue;
    if (name == "host") hosts = option->val;
    if (name == "hostaddr") addresses = option->val;
    if (name == "port") ports = option->val;
    if (name == "dbname") found.dbname = option->val;
    if (name == "target_session_attrs") read_attributes(found, option->val);
    if (name == "sslmode") mode = option->val;
    if (name == "channel_binding") {
      found.may_bind = std::string_view(option->val) != "disable";
      found.must_bind = std::string_view(option->val) == "require";
    }
    if (name == "sslrootcert") found.files.ca = option->val;
    if (name == "sslcert") found.files.certificate = option->val;
    if (name == "sslkey") found.files.key = option->val;
  }
  if (mode.empty()) mode = migration::default_sslmode(hosts, addresses);
  read_tls(found, mode);
  if (hosts.empty() && addresses.empty()) hosts = "/var/run/postgresql";
  const auto host = split(hosts), address = split(addresses), port = split(ports);
  check_counts(found, hosts.empty() ? 0 : host.size(), addresses.empty() ? 0 : address.size(), port.size());
  for (std::size_t i = 0; i < std::max(host.size(), address.size()); ++i) {
    shard_address one{i < host.size() ? host[i] : "", i < address.size() ? address[i] : "", nth(port, i)};
    if (one.port.empty()) one.port = "5432";
    if (!is_port(one.port)) found.error = fmt::format("invalid port number: \"{}\"", one.port);
    found.addresses.push_back(std::move(one));
  }
  return found;
}

bool fits(session_attrs wanted, bool in_hot_standby, bool read_only_by_default) noexcept {
  switch (wanted) {
    case session_attrs::any:
    case session_attrs::prefer_standby: return true;
    case session_attrs::read_write: return !in_hot_standby && !read_only_by_default;
    case session_attrs::read_only: return in_hot_standby || read_only_by_default;
    case session_attrs::primary: return !in_hot_standby;
    case session_attrs::standby: return in_hot_standby;
  }
  return false;
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
