#include "proxy/worker/arrivals.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace proxy {

network network_of_peer(int socket) {
  sockaddr_in6 at{};
  socklen_t size = sizeof at;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&at), &size) != 0) return 0;
  if (at.sin6_family == AF_INET) return reinterpret_cast<const sockaddr_in&>(at).sin_addr.s_addr;
  if (at.sin6_family != AF_INET6) return 0;
  const auto* bytes = at.sin6_addr.s6_addr;
  network from = 0;
  if (IN6_IS_ADDR_V4MAPPED(&at.sin6_addr)) std::memcpy(&from, bytes + 12, 4);
  else std::memcpy(&from, bytes, sizeof from);
  return from;
}

void arrivals::came(std::uint64_t serial, std::int32_t pid, network from) {
  by_pid_[pid] = {from, serial};
  by_network_[from][serial] = pid;
}

void arrivals::gone(std::int32_t pid) {
  const auto found = by_pid_.find(pid);
  if (found == by_pid_.end()) return;
  const auto all = by_network_.find(found->second.from);
  all->second.erase(found->second.serial);
  if (all->second.empty()) by_network_.erase(all);
  by_pid_.erase(found);
}

std::optional<std::int32_t> arrivals::next_to_go() const {
  const auto most = std::max_element(by_network_.begin(), by_network_.end(), [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  return most == by_network_.end() ? std::nullopt : std::optional(most->second.begin()->second);
}

}  // namespace proxy
