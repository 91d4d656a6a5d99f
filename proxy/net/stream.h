// A non-blocking socket (TCP or Unix) of a client or a shard, with readiness watches: each stays armed until it fires, marks its stream
// and wakes whoever listens. Everything here belongs to one worker's thread.
#pragma once

#include <sys/uio.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

#include "proxy/config/tcp_options.h"
#include "proxy/net/byte_queue.h"
#include "proxy/net/channel.h"
#include "proxy/net/tls.h"
#include "proxy/net/wakeup.h"
#include "proxy/net/watched_socket.h"

namespace proxy {

struct io_result {
  std::size_t bytes = 0;
  bool blocked = false;  // no more for now
  bool closed = false;   // end of file, or the connection broke
  std::size_t rest = 0;  // of a read: at least so much more is there
};

class stream {
 public:
  explicit stream(boost::asio::io_context&);
  // Takes over a non-blocking socket (TCP or Unix) that a listener has accepted; its options are the listener's.
  // -1: none, where all bytes go through the channel.
  stream(boost::asio::io_context&, int accepted, std::unique_ptr<channel> = nullptr);
  ~stream() { close(); }
  stream(const stream&) = delete;
  stream& operator=(const stream&) = delete;

  // Starts connecting; completes when writable, then connected() tells the outcome. False: failed at once, errno says why.
  bool start_connect(const boost::asio::generic::stream_protocol::endpoint&, const tcp_options& = {});
  int connect_error() const noexcept;  // 0: connected

  void listen(readiness_listener* who) noexcept { state_->listener = who; }
  void watch_read();
  void watch_write();
  // It turned out that there is nothing to read although the watch said so.
  void not_readable() noexcept { state_->readable = false; }
  // The last event said that the connection is over: there may be bytes before its end.
  bool has_ended() const noexcept { return state_->has_ended(); }
  bool readable() const noexcept { return state_->readable; }
  bool writable() const noexcept { return state_->writable; }

  // Reads once into the queue, as much as it has room for.
  io_result read(byte_queue&, std::size_t whole = 0);
  io_result write(std::span<const iovec>);
  io_result write(std::string_view);
  // From here on all bytes go through it.
  void go_through(std::unique_ptr<channel>);
  // The same for TLS. First handshake() until it is done: while it is blocked, watch both ways and wait.
  void start_tls(std::unique_ptr<tls_channel> one) { go_through(std::move(one)); }
  tls_channel::step handshake();
  const tls_channel* tls() const noexcept { return dynamic_cast<const tls_channel*>(channel_.get()); }
  // "TLSv1.3"; nothing without TLS.
  std::optional<std::string> tls_version() const;
  // The first byte that was sent and is not read yet, or -1; then it is readable() only at the end of the input.
  int peek() noexcept;
  // Nothing to read and not closed by the peer: a server connection that may be used.
  bool quiet() const noexcept;
  void shut_output() noexcept;  // the peer sees end of file
  void close() noexcept;
  bool is_open() const noexcept { return state_->is_open(); }
  int native() const noexcept { return state_->native(); }

 private:
  struct state final : watched_socket {  // shared with the watches under way, so that they may outlive the stream
    explicit state(boost::asio::io_context& io) : watched_socket(io) {}
    void on_event(side) override;
    void watch_without_socket(side) override;
    readiness_listener* listener = nullptr;
    channel* carrier = nullptr;  // the stream's own
    bool readable = false, writable = true;
    bool tells_rest = false;  // the kernel says with each read whether more is there (TCP_INQ)
    bool read_awaits_write = false, write_awaits_read = false;  // the channel goes on when the other way is ready; never both
  };
  io_result read_channel(byte_queue&, std::size_t whole);
  io_result write_channel(std::span<const iovec>);
  void note_wants(channel::wants, bool reading) noexcept;

  boost::intrusive_ptr<state> state_;
  std::unique_ptr<channel> channel_;  // none: bytes go to the socket as they are
};

}  // namespace proxy
