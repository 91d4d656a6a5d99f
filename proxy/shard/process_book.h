// Who is who among processes. To clients a client is the number that BackendKeyData has given it, to shards a server connection is a process of
// theirs; here is which of one belongs to which of the other. The numbers lie above all process ids (least_number), so that none is ever
// taken for the other. One for all workers, any thread: the map is behind a mutex, for logins and for questions about processes; who has a server
// is one atomic of its own, which its session writes.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "routing/map/types.h"

namespace proxy {

// The largest process id is 4,194,304 (PID_MAX_LIMIT of Linux).
inline constexpr std::int32_t least_number = (1 << 22) + 1;

class process_book {
 public:
  // Of one server connection, which keeps it for its life.
  struct server {
    std::atomic<std::int32_t> client{0};    // that has it, or had it last
    std::atomic<std::int32_t> notifier{0};  // that may have notified on it, the last of them
  };

  std::shared_ptr<server> enter(routing::shard_id, std::int32_t process);
  void enter_client(std::int32_t number, std::string user);
  void leave_client(std::int32_t number);

  // Empty: there is no such client.
  std::optional<std::string> user_of(std::int32_t number) const;
  // The processes of a shard that serve the client, or served nobody since.
  std::vector<std::int32_t> processes_of(std::int32_t number, routing::shard_id) const;
  // Who has notified over that process; 0: none of the clients.
  std::int32_t notifier(routing::shard_id, std::int32_t process) const;

 private:
  using process = std::pair<routing::shard_id, std::int32_t>;
  mutable std::mutex mutex_;
  std::map<process, std::weak_ptr<server>> servers_;
  std::map<std::int32_t, std::string> clients_;
};

}  // namespace proxy
