#include "proxy/net/watched_socket.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include <boost/version.hpp>

static_assert(BOOST_VERSION / 100 == 1081, "written for the reactor of Boost 1.81; look at epoll_reactor.hpp before you raise this");

namespace proxy {

using boost::asio::detail::reactor;

namespace {

// The reactor notes what epoll said of a socket where all of its operations keep their results.
struct result_of : boost::asio::detail::operation {
  static constexpr auto where = &result_of::task_result_;
};

}  // namespace

watched_socket::operation::operation(watched_socket& s, side w)
    : reactor_op({}, &operation::is_ready, &operation::complete), socket(s), which(w) {}

// An event that found nobody watching is known to the reactor only as "try it": poll() tells whether there is anything left of it.
// `done_and_exhausted` makes it forget such an event.
boost::asio::detail::reactor_op::status watched_socket::operation::is_ready(reactor_op* base) {
  const auto& self = *static_cast<operation*>(base);
  if (self.from_reactor) return done_and_exhausted;
  if (self.is_first) return not_done;
  pollfd asked{self.socket.native_, static_cast<short>(self.which == side::read ? POLLIN : POLLOUT), 0};
  return ::poll(&asked, 1, 0) > 0 ? done_and_exhausted : not_done;
}

void watched_socket::operation::complete(void* owner, boost::asio::detail::operation* base, const boost::system::error_code&, std::size_t) {
  auto& self = *static_cast<operation*>(base);
  const auto alive = std::move(self.alive);
  if (!owner) return;  // the io_context is being destroyed
  alive->suspect_ = false;
  if (!self.ec_) return alive->on_event(self.which);
  if (std::exchange(self.again, false)) alive->watch(self.which);
}

watched_socket::watched_socket(boost::asio::io_context& io)
    : reactor_(boost::asio::use_service<reactor>(io)), sweep_(boost::asio::use_service<socket_sweep>(io)), read_(*this, side::read), write_(*this, side::write) {
  reactor_.init_task();
}

short watched_socket::awaited() const noexcept {
  return static_cast<short>((read_.alive ? POLLIN : 0) | (write_.alive ? POLLOUT : 0));
}

void watched_socket::close() noexcept {
  if (!is_open()) return;
  read_.again = write_.again = false;
  unlink();
  reactor_.deregister_descriptor(native_, registered_, true);
  ::close(std::exchange(native_, -1));
  reactor_.cleanup_descriptor_data(registered_);
}

void watched_socket::watch(side which) {
  if (!is_open()) return watch_without_socket(which);
  auto& one = which == side::read ? read_ : write_;
  if (one.alive) {
    one.again = static_cast<bool>(one.ec_);
    return;
  }
  one.alive = this;
  one.ec_ = {};
  one.from_reactor = false;
  one.is_first = !registered_;
  if (one.is_first && reactor_.register_descriptor(native_, registered_) != 0) {
    reactor_.deregister_descriptor(native_, registered_, true);
    reactor_.cleanup_descriptor_data(registered_);
    ::shutdown(native_, SHUT_RDWR);  // who reads or writes now is told
    return reactor_.post_immediate_completion(&one, false);
  }
  if (one.is_first) sweep_.enter(*this);
  reactor_.start_op(which == side::read ? reactor::read_op : reactor::write_op, native_, registered_, &one, false, true);
  one.from_reactor = true;
}

bool watched_socket::has_ended() const noexcept {
  if (!registered_) return false;  // registering tells of an end that is there already
  const auto* base = (const boost::asio::detail::operation*)registered_;  // a private base: only this cast reaches it
  return (base->*result_of::where & (EPOLLHUP | EPOLLERR)) != 0;
}

}  // namespace proxy
