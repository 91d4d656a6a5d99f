// A socket on a worker's reactor, and word of when it can be read or written. Asio's async_wait() changes the epoll registration with
// every wait, one system call a message; the reactor below it registers a socket once, edge-triggered, and its own operations wait
// without any. They are in boost::asio::detail, which promises nothing: this file alone uses it, as it is in Boost 1.81.
//
// Edge-triggered: after a watch has fired, read (or write) until the kernel says that there is no more before watching again. Bytes and
// a reset behind them may come as one event: who takes "no bytes are left" for an answer asks has_ended() first.
// One thread only; kept alive by the watches under way. Who holds one may let go of it on any thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>

#include <boost/asio/detail/reactor.hpp>
#include <boost/asio/detail/reactor_op.hpp>

#include "proxy/net/socket_sweep.h"

namespace proxy {

class watched_socket : public swept_socket {
 public:
  enum class side { read, write };

  explicit watched_socket(boost::asio::io_context&);
  ~watched_socket() override { close(); }
  watched_socket(const watched_socket&) = delete;
  watched_socket& operator=(const watched_socket&) = delete;

  // Takes a non-blocking socket over. It is registered with its first watch.
  void open(int native) noexcept { native_ = native; }
  void close() noexcept;  // watches under way never fire
  int native() const noexcept override { return native_; }
  bool is_open() const noexcept { return native_ >= 0; }
  // Calls on_event() once, never from here. A socket that cannot be registered (no memory, too many watches) is shut down first.
  void watch(side);
  // The last event said that the connection is over in both ways (EPOLLHUP, EPOLLERR): a read that finds no byte will say so too.
  bool has_ended() const noexcept;

 protected:
  virtual void on_event(side) = 0;
  virtual void watch_without_socket(side) {}

 private:
  short awaited() const noexcept override;
  void on_overlooked(bool reads) override { on_event(reads ? side::read : side::write); }
  struct operation : boost::asio::detail::reactor_op {
    operation(watched_socket&, side);
    static status is_ready(reactor_op*);
    static void complete(void* owner, boost::asio::detail::operation*, const boost::system::error_code&, std::size_t);
    watched_socket& socket;
    const side which;
    bool from_reactor = false;  // asked by the reactor because of an event, not at the start
    bool is_first = false;      // the registration that was just made tells of what is there already
    bool again = false;         // watched anew while the end of an aborted watch was still under way
    boost::intrusive_ptr<watched_socket> alive;
  };

  boost::asio::detail::reactor& reactor_;
  socket_sweep& sweep_;
  boost::asio::detail::reactor::per_descriptor_data registered_ = nullptr;
  int native_ = -1;
  operation read_, write_;
};

}  // namespace proxy
