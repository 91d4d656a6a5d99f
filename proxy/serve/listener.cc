#include "proxy/serve/listener.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "proxy/config/log.h"
#include "proxy/net/bind.h"
#include "proxy/net/receive.h"
#include "proxy/net/watched_socket.h"

namespace proxy {

namespace asio = boost::asio;

namespace {
constexpr int clients_in_a_row = 64;  // then whoever else runs on this thread has a turn
}

struct listener::impl final : watched_socket {
  impl(asio::io_context& context, const endpoint& where, taker given) : watched_socket(context), io(context), take(std::move(given)), pause(context) {
    asio::io_context here;  // the one given may be running already, on a thread of its own
    auto bound = bind_endpoint(here, where);
    address = to_string(bound.local_endpoint());
    const int listening = bound.release();
    ::fcntl(listening, F_SETFL, O_NONBLOCK);
    ::fcntl(listening, F_SETFD, FD_CLOEXEC);
    open(listening);
  }

  void accept_soon() {
    asio::post(io, [me = boost::intrusive_ptr(this)] { me->accept(); });
  }
  void on_event(side) override { accept(); }

  void accept() {
    for (int more = clients_in_a_row; more > 0 && !ending; --more) {
      const int client = ::accept4(native(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client >= 0) take(client);
      else if (errno == EAGAIN) return watch(side::read);
      else if (errno != EINTR && errno != ECONNABORTED && !ending) return rest(errno);
    }
    if (!ending) accept_soon();
  }

  // No file descriptor is left, or no memory: clients wait in the backlog instead of a loop spinning.
  void rest(int error) {
    report(error);
    pause.expires_after(std::chrono::milliseconds(100));
    pause.async_wait([me = boost::intrusive_ptr(this)](const boost::system::error_code& cancelled) {
      if (!cancelled) me->accept();
    });
  }

  // Once a second at most: a flood of clients must not become a flood of log lines.
  void report(int error) {
    const auto now = std::chrono::steady_clock::now();
    if (now - reported < std::chrono::seconds(1)) return;
    reported = now;
    log_warning("listener: a client could not be accepted: {}", boost::system::system_category().message(error));
  }

  asio::io_context& io;
  taker take;
  std::string address;
  std::atomic<bool> ending = false;
  asio::steady_timer pause;
  std::chrono::steady_clock::time_point reported{};
};

listener::listener(asio::io_context& io, const endpoint& where, const tcp_options& options, taker take)
    : impl_(new impl(io, where, std::move(take))) {
  ask_for_rest(impl_->native());
  set_options(options);
  impl_->accept_soon();
}

listener::~listener() { stop(); }

const std::string& listener::address() const noexcept { return impl_->address; }

void listener::set_options(const tcp_options& options) noexcept {
  if (!impl_->ending) set_tcp_options(impl_->native(), options);
}

// The socket stays the other thread's to close, but takes nobody from here on.
void listener::stop() {
  if (impl_->ending.exchange(true)) return;
  ::shutdown(impl_->native(), SHUT_RDWR);
  asio::post(impl_->io, [me = impl_] {
    me->pause.cancel();
    me->close();
  });
}

}  // namespace proxy
