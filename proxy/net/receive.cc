#include "proxy/net/receive.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstring>

namespace proxy {

bool ask_for_rest(int native) noexcept {
  const int on = 1;
  return ::setsockopt(native, IPPROTO_TCP, TCP_INQ, &on, sizeof on) == 0;
}

received receive(int native, std::span<char> room) {
  iovec piece{room.data(), room.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  received got{::recvmsg(native, &message, 0)};
  if (got.bytes < 0) return got;
  const auto* told = CMSG_FIRSTHDR(&message);
  if (told && told->cmsg_level == IPPROTO_TCP && told->cmsg_type == TCP_CM_INQ) std::memcpy(&got.rest, CMSG_DATA(told), sizeof got.rest);
  return got;
}

}  // namespace proxy
