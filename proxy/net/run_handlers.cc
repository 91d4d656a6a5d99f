#include "proxy/net/run_handlers.h"

#include <exception>

#include "proxy/config/log.h"

namespace proxy {

void run_handlers(boost::asio::io_context& io, std::string_view thread) {
  while (true) {
    try {
      io.run();
      return;
    } catch (const std::exception& failure) {
      log_error("{}: a handler failed: {}", thread, failure.what());
    } catch (...) {
      log_error("{}: a handler failed", thread);
    }
  }
}

}  // namespace proxy
