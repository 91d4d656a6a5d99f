#include "proxy/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cerrno>

namespace proxy {

namespace asio = boost::asio;
using asio::generic::stream_protocol;

void wakeup::notify() {
  notified_ = true;
  timer_.cancel();
}

task<bool> wakeup::wait(clock::time_point deadline) {
  while (!notified_) {
    if (clock::now() >= deadline) co_return false;
    timer_.expires_at(deadline);
    boost::system::error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  notified_ = false;
  co_return true;
}

namespace {

void set_options(int native, int family) {
  if (family == AF_UNIX) return;
  const int on = 1;
  ::setsockopt(native, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(native, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  // A peer that vanished without a word is noticed within a minute and a half, also while bytes to it are unacknowledged.
  const int idle = 60, between = 10, probes = 3, unacknowledged_ms = 90'000;
  ::setsockopt(native, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  ::setsockopt(native, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof between);
  ::setsockopt(native, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  ::setsockopt(native, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
}

}  // namespace

stream::stream(asio::io_context& io) : state_(std::make_shared<state>(io)) {}

stream::stream(asio::io_context& io, int connected_socket) : stream(io) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  ::getsockname(connected_socket, reinterpret_cast<sockaddr*>(&address), &length);
  state_->socket.assign(stream_protocol(address.ss_family, 0), connected_socket);
  state_->socket.native_non_blocking(true);
  state_->native = connected_socket;
  set_options(connected_socket, address.ss_family);
}

bool stream::start_connect(const stream_protocol::endpoint& to) {
  close();
  boost::system::error_code failed;
  const auto protocol = to.protocol();
  state_->socket.open(protocol, failed);
  if (!failed) state_->socket.native_non_blocking(true, failed);
  if (failed) return errno = failed.value(), false;
  state_->native = state_->socket.native_handle();
  set_options(state_->native, protocol.family());
  state_->writable = state_->readable = false;
  const auto length = static_cast<socklen_t>(to.size());
  return ::connect(state_->native, static_cast<const sockaddr*>(static_cast<const void*>(to.data())), length) == 0 || errno == EINPROGRESS;
}

int stream::connect_error() const noexcept {
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(state_->native, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

void stream::watch_read() {
  if (state_->read_awaits_write) return watch_write();
  if (state_->read_armed || state_->readable || !is_open()) return;
  state_->read_armed = true;
  state_->socket.async_wait(stream_protocol::socket::wait_read, [s = state_](boost::system::error_code error) {
    s->read_armed = false;
    if (error == asio::error::operation_aborted) return;
    s->readable = true;
    if (s->write_awaits_read) s->writable = true;
    s->write_awaits_read = false;
    if (s->listener) s->listener->on_ready();
  });
}

void stream::watch_write() {
  if (state_->write_awaits_read) return watch_read();
  if (state_->write_armed || state_->writable || !is_open()) return;
  state_->write_armed = true;
  state_->socket.async_wait(stream_protocol::socket::wait_write, [s = state_](boost::system::error_code error) {
    s->write_armed = false;
    if (error == asio::error::operation_aborted) return;
    s->writable = true;
    if (s->read_awaits_write) s->readable = true;
    s->read_awaits_write = false;
    if (s->listener) s->listener->on_ready();
  });
}

io_result stream::read(byte_queue& into, std::size_t whole) {
  if (tls_) return read_tls(into, whole);
  const auto room = into.room(whole);
  const auto got = ::recv(state_->native, room.data(), room.size(), 0);
  if (got > 0) {
    into.filled(static_cast<std::size_t>(got));
    // A short read has emptied the socket: the next one would only say so.
    if (static_cast<std::size_t>(got) < room.size()) state_->readable = false;
    return {static_cast<std::size_t>(got), !state_->readable, false};
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    state_->readable = false;
    return {0, true, false};
  }
  return {0, false, true};
}

io_result stream::write(std::span<const iovec> pieces) {
  if (tls_) return write_tls(pieces);
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
  std::size_t wanted = 0;
  for (const auto& piece : pieces) wanted += piece.iov_len;
  const auto sent = ::sendmsg(state_->native, &message, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) return {0, false, true};
  const auto bytes = sent < 0 ? std::size_t{0} : static_cast<std::size_t>(sent);
  state_->writable = bytes == wanted;
  return {bytes, !state_->writable, false};
}

io_result stream::write(std::string_view bytes) {
  const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  return write(std::span(&piece, 1));
}

bool stream::quiet() const noexcept {
  char byte = 0;
  if (tls_ && tls_->has_pending()) return false;
  return is_open() && ::recv(state_->native, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
}

int stream::peek() const noexcept {
  unsigned char byte = 0;
  return ::recv(state_->native, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1 ? byte : -1;
}

void stream::shut_output() noexcept {
  if (tls_) tls_->shut();
  ::shutdown(state_->native, SHUT_WR);
}

void stream::close() noexcept {
  state_->listener = nullptr;
  if (tls_) tls_->shut();
  tls_.reset();
  boost::system::error_code ignored;
  state_->socket.close(ignored);
}

}  // namespace proxy
