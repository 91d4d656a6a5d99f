#include "proxy/config/tcp_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace proxy {

void set_tcp_options(int socket, const tcp_options& options) noexcept {
  const auto set = [socket](int level, int name, int value) { ::setsockopt(socket, level, name, &value, sizeof value); };
  const auto seconds = [](std::chrono::milliseconds time) { return static_cast<int>(std::chrono::ceil<std::chrono::seconds>(time).count()); };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  const bool alive = options.keepalive_idle.count() > 0;
  set(SOL_SOCKET, SO_KEEPALIVE, alive ? 1 : 0);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(options.user_timeout.count()));
  if (!alive) return;
  set(IPPROTO_TCP, TCP_KEEPIDLE, seconds(options.keepalive_idle));
  set(IPPROTO_TCP, TCP_KEEPINTVL, seconds(options.keepalive_interval));
  set(IPPROTO_TCP, TCP_KEEPCNT, options.keepalive_count);
}

}  // namespace proxy
