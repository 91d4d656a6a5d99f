#include "proxy/shard/process_book.h"

namespace proxy {

std::shared_ptr<process_book::server> process_book::enter(routing::shard_id shard, std::int32_t pid) {
  auto made = std::make_shared<server>();
  const std::lock_guard lock(mutex_);
  std::erase_if(servers_, [](const auto& entry) { return entry.second.expired(); });
  servers_[{shard, pid}] = made;
  return made;
}

void process_book::enter_client(std::int32_t number, std::string user) {
  const std::lock_guard lock(mutex_);
  clients_.insert_or_assign(number, std::move(user));
}

void process_book::leave_client(std::int32_t number) {
  const std::lock_guard lock(mutex_);
  clients_.erase(number);
}

std::optional<std::string> process_book::user_of(std::int32_t number) const {
  const std::lock_guard lock(mutex_);
  const auto found = clients_.find(number);
  return found == clients_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<std::int32_t> process_book::processes_of(std::int32_t number, routing::shard_id shard) const {
  std::vector<std::int32_t> found;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, entry] : servers_) {
    const auto held = key.first == shard ? entry.lock() : nullptr;
    if (held && held->client == number) found.push_back(key.second);
  }
  return found;
}

std::int32_t process_book::notifier(routing::shard_id shard, std::int32_t pid) const {
  const std::lock_guard lock(mutex_);
  const auto found = servers_.find({shard, pid});
  const auto held = found == servers_.end() ? nullptr : found->second.lock();
  return held ? held->notifier.load() : 0;
}

}  // namespace proxy
