// A listening TCP socket for a configured endpoint: used by the client listener and the HTTP server at start.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include "proxy/config/config.h"

namespace proxy {

// Resolves the host, binds its first address and listens. Throws std::runtime_error with address and reason.
boost::asio::ip::tcp::acceptor bind_endpoint(boost::asio::io_context&, const endpoint&);
std::string to_string(const boost::asio::ip::tcp::endpoint&);  // 127.0.0.1:6432, [::1]:6432

}  // namespace proxy
