// The HTTP side: GET (and HEAD) /metrics and /healthz, everything else 404 or 405. Requests are bounded in bytes and time, connections
// in number. Lives on main's io_context, one thread; what it answers comes from two functions, so that it knows no worker.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "migration/pg/pg.h"
#include "proxy/config/config.h"

namespace proxy {

struct health {
  bool ok = false;   // 200 or 503
  std::string text;  // "ok generation=7", "draining"
};

class http_server {
 public:
  struct answers {
    std::function<health()> healthz;
    std::function<migration::task<std::string>()> metrics;
  };
  // Binds and listens; throws std::runtime_error when it cannot. Answers from now on.
  http_server(boost::asio::io_context&, const endpoint&, answers);
  ~http_server();
  std::uint16_t port() const;
  // Closes listener and connections; main's thread.
  void stop();

 private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace proxy
