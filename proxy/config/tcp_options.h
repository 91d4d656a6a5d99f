// How soon a peer that vanished without a word is noticed: on an idle connection by keepalive, else by bytes that stay unacknowledged.
#pragma once

#include <chrono>

namespace proxy {

struct tcp_options {
  std::chrono::milliseconds keepalive_idle{60'000}, keepalive_interval{10'000};  // whole seconds; idle 0: no keepalive
  int keepalive_count = 3;
  std::chrono::milliseconds user_timeout{90'000};  // 0: the kernel's
};

// And TCP_NODELAY. To a listening socket: for those that it will accept, which inherit all of it.
void set_tcp_options(int socket, const tcp_options&) noexcept;

}  // namespace proxy
