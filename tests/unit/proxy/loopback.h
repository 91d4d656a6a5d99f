// A connection over 127.0.0.1 for tests of real sockets: its far end, and what the near one connects to or is accepted by.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string_view>
#include <utility>

#include <doctest/doctest.h>

// Listens on a free port as long as it lives.
class loopback_listener {
 public:
  loopback_listener() {
    at_.sin_family = AF_INET;
    at_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(native_, static_cast<sockaddr*>(static_cast<void*>(&at_)), size_) == 0);
    REQUIRE(::listen(native_, 1) == 0);
    REQUIRE(::getsockname(native_, static_cast<sockaddr*>(static_cast<void*>(&at_)), &size_) == 0);
  }
  ~loopback_listener() { ::close(native_); }
  loopback_listener(const loopback_listener&) = delete;
  loopback_listener& operator=(const loopback_listener&) = delete;

  int native() const noexcept { return native_; }
  const sockaddr* address() const noexcept { return static_cast<const sockaddr*>(static_cast<const void*>(&at_)); }
  socklen_t size() const noexcept { return size_; }
  int accept(int flags) const {
    const int accepted = ::accept4(native_, nullptr, nullptr, flags | SOCK_CLOEXEC);
    REQUIRE(accepted >= 0);
    return accepted;
  }

 private:
  int native_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at_{};
  socklen_t size_ = sizeof at_;
};

struct far_end {
  int far = -1;
  far_end() = default;
  ~far_end() { hang_up(); }
  far_end(const far_end&) = delete;
  far_end& operator=(const far_end&) = delete;

  void say(std::string_view words) const { REQUIRE(::send(far, words.data(), words.size(), 0) == static_cast<ssize_t>(words.size())); }
  void hang_up() {
    if (far >= 0) ::close(std::exchange(far, -1));
  }
};
