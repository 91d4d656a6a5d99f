#include "proxy/listener.h"

#include <chrono>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "migration/pg.h"
#include "proxy/bind.h"
#include "proxy/log.h"

namespace proxy {

namespace asio = boost::asio;
using asio::ip::tcp;

struct listener::impl : std::enable_shared_from_this<listener::impl> {
  impl(asio::io_context& io, const endpoint& where, taker given) : acceptor(bind_endpoint(io, where)), take(std::move(given)), pause(io) {}

  static migration::task<void> accept(std::shared_ptr<impl> self) {
    constexpr auto as_tuple_awaitable = asio::as_tuple(asio::use_awaitable);
    while (self->acceptor.is_open()) {
      auto [error, socket] = co_await self->acceptor.async_accept(as_tuple_awaitable);
      if (error == asio::error::operation_aborted) co_return;
      if (error) {  // no file descriptor left: clients wait in the backlog instead of a loop spinning
        self->report(error);
        self->pause.expires_after(std::chrono::milliseconds(100));
        co_await self->pause.async_wait(as_tuple_awaitable);
        continue;
      }
      self->hand_over(std::move(socket));
    }
  }

  void hand_over(tcp::socket socket) {
    boost::system::error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    const auto handle = socket.release(ignored);
    if (!ignored) take(handle);
  }

  // Once a second at most: a flood of clients must not become a flood of log lines.
  void report(const boost::system::error_code& error) {
    const auto now = std::chrono::steady_clock::now();
    if (now - reported < std::chrono::seconds(1)) return;
    reported = now;
    log_warning("listener: a client could not be accepted: {}", error.message());
  }

  tcp::acceptor acceptor;
  taker take;
  asio::steady_timer pause;
  std::chrono::steady_clock::time_point reported{};
};

listener::listener(asio::io_context& io, const endpoint& where, taker take) : impl_(std::make_shared<impl>(io, where, std::move(take))) {
  asio::co_spawn(io, impl::accept(impl_), [](std::exception_ptr failed) {
    if (failed) log_error("listener: ended by an unexpected error");
  });
}

listener::~listener() { stop(); }

std::string listener::address() const { return to_string(impl_->acceptor.local_endpoint()); }

void listener::stop() {
  boost::system::error_code ignored;
  impl_->acceptor.close(ignored);
  impl_->pause.cancel();
}

}  // namespace proxy
