// Accepts client connections and hands each on, on the thread of the io_context that it is given: main's, which deals them out to the
// workers in turn, or that of the only worker, which then needs no other thread to tell it of them.
#pragma once

#include <functional>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>

#include "proxy/config/config.h"
#include "proxy/config/tcp_options.h"

namespace proxy {

class listener {
 public:
  // Gets each accepted socket, non-blocking and with the options below; it owns the handle from then on. The thread of the io_context.
  using taker = std::function<void(int)>;

  // Binds and listens; throws std::runtime_error when it cannot. Accepts from now on. This and what follows: one thread, any.
  listener(boost::asio::io_context&, const endpoint&, const tcp_options&, taker);
  ~listener();
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;
  const std::string& address() const noexcept;
  // Of clients that connect from now on.
  void set_options(const tcp_options&) noexcept;
  // Whoever connects from now on is refused.
  void stop();

 private:
  struct impl;
  boost::intrusive_ptr<impl> impl_;
};

}  // namespace proxy
