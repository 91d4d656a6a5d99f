#include "proxy/net/bind.h"

#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

namespace proxy {

namespace asio = boost::asio;
using asio::ip::tcp;

tcp::acceptor bind_endpoint(asio::io_context& io, const endpoint& where) try {
  const auto found = tcp::resolver(io).resolve(where.host, std::to_string(where.port), tcp::resolver::passive);
  const tcp::endpoint first = found.begin()->endpoint();
  tcp::acceptor acceptor(io, first.protocol());
  acceptor.set_option(tcp::acceptor::reuse_address(true));
  acceptor.bind(first);
  acceptor.listen();
  return acceptor;
} catch (const boost::system::system_error& error) {
  throw std::runtime_error(fmt::format("{}:{} cannot be listened on: {}", where.host, where.port, error.code().message()));
}

std::string to_string(const tcp::endpoint& where) {
  std::ostringstream out;
  out << where;
  return std::move(out).str();
}

}  // namespace proxy
