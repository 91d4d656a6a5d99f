#include "proxy/net/stream.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "proxy/net/receive.h"

namespace proxy {

namespace asio = boost::asio;
using asio::generic::stream_protocol;

stream::stream(asio::io_context& io) : state_(new state(io)) {}

// What it says first is mostly there by now: reading finds out more cheaply than waiting.
stream::stream(asio::io_context& io, int accepted, std::unique_ptr<channel> bytes) : stream(io) {
  state_->open(accepted);
  state_->readable = state_->tells_rest = true;
  if (bytes) go_through(std::move(bytes));
}

bool stream::start_connect(const stream_protocol::endpoint& to, const tcp_options& options) {
  close();
  const int family = to.protocol().family();
  const int native = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (native < 0) return false;
  state_->open(native);
  state_->writable = state_->readable = false;
  state_->tells_rest = family != AF_UNIX && ask_for_rest(native);
  if (family != AF_UNIX) set_tcp_options(native, options);
  const auto length = static_cast<socklen_t>(to.size());
  return ::connect(native, static_cast<const sockaddr*>(static_cast<const void*>(to.data())), length) == 0 || errno == EINPROGRESS;
}

int stream::connect_error() const noexcept {
  int error = 0;
  socklen_t length = sizeof error;
  return ::getsockopt(native(), SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

void stream::state::on_event(side which) {
  (which == side::read ? readable : writable) = true;
  auto& other = which == side::read ? write_awaits_read : read_awaits_write;
  if (std::exchange(other, false)) (which == side::read ? writable : readable) = true;
  if (listener) listener->on_ready();
}

void stream::watch_read() {
  if (state_->read_awaits_write) return watch_write();
  if (!state_->readable) state_->watch(watched_socket::side::read);
}

void stream::watch_write() {
  if (state_->write_awaits_read) return watch_read();
  if (!state_->writable) state_->watch(watched_socket::side::write);
}

// Watches are edge-triggered: `readable` stays until the kernel has said that nothing is left, the end of the input included. It does not
// count a reset that waits behind the bytes.
io_result stream::read(byte_queue& into, std::size_t whole) {
  if (channel_) return read_channel(into, whole);
  const auto room = into.room(whole);
  const auto got = state_->tells_rest ? receive(native(), room) : received{::recv(native(), room.data(), room.size(), 0)};
  if (got.bytes > 0) {
    into.filled(static_cast<std::size_t>(got.bytes));
    state_->readable = got.rest != 0 || state_->has_ended();
    return {static_cast<std::size_t>(got.bytes), !state_->readable, false, static_cast<std::size_t>(std::max(got.rest, 0))};
  }
  if (got.bytes < 0 && (errno == EAGAIN || errno == EINTR)) {
    state_->readable = errno == EINTR;
    return {0, true, false};
  }
  return {0, false, true};
}

io_result stream::write(std::span<const iovec> pieces) {
  if (channel_) return write_channel(pieces);
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = pieces.size();
  std::size_t wanted = 0;
  for (const auto& piece : pieces) wanted += piece.iov_len;
  const auto sent = pieces.size() == 1 ? ::send(native(), pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL)
                                       : ::sendmsg(native(), &message, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) return {0, false, true};
  const auto bytes = sent < 0 ? std::size_t{0} : static_cast<std::size_t>(sent);
  state_->writable = bytes == wanted || (sent < 0 && errno == EINTR);
  return {bytes, !state_->writable, false};
}

io_result stream::write(std::string_view bytes) {
  const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  return write(std::span(&piece, 1));
}

bool stream::quiet() const noexcept {
  char byte = 0;
  if (channel_ && channel_->has_pending()) return false;
  if (!is_open()) return channel_ != nullptr;
  return ::recv(native(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
}

int stream::peek() noexcept {
  unsigned char byte = 0;
  const auto got = ::recv(native(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) state_->readable = false;
  return got == 1 ? byte : -1;
}

void stream::shut_output() noexcept {
  if (channel_) channel_->shut();
  ::shutdown(native(), SHUT_WR);
}

void stream::close() noexcept {
  state_->listener = nullptr;
  if (channel_) channel_->shut();
  state_->carrier = nullptr;
  channel_.reset();
  state_->close();
}

}  // namespace proxy
