// What carries the bytes of a stream (proxy/net/stream.h) where the socket does not do it itself: TLS over that socket (proxy/net/tls.h), or, in
// unit tests, a script without any. A stream without one goes to its socket directly. Nothing here waits; worker's thread only.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>

#include "proxy/net/socket_sweep.h"

namespace proxy {

class channel {
 public:
  // What an operation must wait for before it can go on.
  enum class wants { nothing, to_read, to_write };
  struct progress {
    std::size_t bytes = 0;
    channel::wants wants = channel::wants::nothing;
    bool closed = false;  // by the peer, or broken
  };

  channel() = default;
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;
  virtual ~channel() = default;

  // `ended`: the socket's end is known to be near, so that it is read until it shows.
  virtual progress read(std::span<char> into, bool ended) = 0;
  // After a write that was blocked the next one must begin with the same bytes.
  virtual progress write(std::span<const iovec> pieces) = 0;
  // Bytes wait in here, whatever the socket says; without a socket, its end does too.
  virtual bool has_pending() const noexcept = 0;
  // Tells the peer that nothing follows. Best effort.
  virtual void shut() noexcept = 0;
  // Only without a socket: somebody waits for that side, and on_overlooked() tells that it is ready.
  virtual void watch(swept_socket&, bool /*reads*/) {}
};

}  // namespace proxy
