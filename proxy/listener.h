// Accepts client connections and deals them out to the workers in turn. Main's io_context and thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "proxy/config.h"

namespace proxy {

class listener {
 public:
  // Gets each accepted socket, with TCP_NODELAY and keepalive on; it owns the handle from then on.
  using taker = std::function<void(boost::asio::ip::tcp::socket::native_handle_type)>;

  // Binds and listens; throws std::runtime_error when it cannot. Accepts from now on.
  listener(boost::asio::io_context&, const endpoint&, taker);
  ~listener();
  std::string address() const;
  void stop();

 private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace proxy
