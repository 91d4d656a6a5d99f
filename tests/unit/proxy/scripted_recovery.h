// What finishes the transactions over several shards of a world (scripted_world.h): asks no shard, but looks at what it has committed. It carries
// out what is left over when somebody waits for that, as the real one does sooner or later.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "migration/engine/commit_recovery.h"
#include "scripted_shard.h"

namespace scripted {

class recovery final : public migration::commit_recovery {
 public:
  // `knows`: verdicts can be had.
  recovery(const std::vector<std::unique_ptr<shard>>& shards, bool knows) : shards_(shards), knows_(knows) {}

  bool is_decided(const std::string& uuid) const {
    return std::ranges::any_of(shards_, [&](const auto& one) { return one->has_committed("decided " + uuid); });
  }
  bool has(routing::shard_id where, const std::string& gid) const { return std::ranges::count(left_, std::pair(where, gid)) > 0; }

  migration::task<verdict> ask(std::string uuid, std::string, routing::shard_id, migration::clock::time_point) override {
    co_return knows_ ? is_decided(uuid) ? verdict::commit : verdict::abort : verdict::unknown;
  }
  void left_over(routing::shard_id where, std::string gid) override {
    ++slot_of(where);
    left_.emplace_back(where, std::move(gid));
  }
  migration::task<bool> settle(routing::shard_id where, migration::clock::time_point) override {
    for (const auto& [there, gid] : left_) {
      if (there != where) continue;
      shards_[where.value - 1]->finish(gid, is_decided(migration::branch_gid::parse(gid)->uuid));
      --slot_of(where);
    }
    std::erase_if(left_, [where](const auto& one) { return one.first == where; });
    co_return true;
  }
  migration::task<std::optional<protocol::notice>> wrong_version(routing::shard_id) override { co_return std::nullopt; }

 private:
  const std::vector<std::unique_ptr<shard>>& shards_;
  const bool knows_;
  std::vector<std::pair<routing::shard_id, std::string>> left_;
};

}  // namespace scripted
