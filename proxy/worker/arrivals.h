// Clients that have not logged in yet, by where they come from. They take no place of those who have, and who must go when there are too many
// is the oldest of the network that has the most: connections that say nothing make room for those that do. No socket; worker's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

namespace proxy {

// An address of IPv4, or the first half of one of IPv6, which is what one customer has; 0: not known.
using network = std::uint64_t;
network network_of_peer(int socket);

class arrivals {
 public:
  // `serial` grows from one to the next.
  void came(std::uint64_t serial, std::int32_t pid, network from);
  void gone(std::int32_t pid);  // it has logged in, or ended; nothing happens if it is none of these
  std::size_t size() const noexcept { return by_pid_.size(); }
  std::optional<std::int32_t> next_to_go() const;

 private:
  struct place {
    network from;
    std::uint64_t serial;
  };
  std::map<std::int32_t, place> by_pid_;
  std::map<network, std::map<std::uint64_t, std::int32_t>> by_network_;  // pids by serial
};

}  // namespace proxy
