// What a session asks about the end of a transaction over several shards that was interrupted (DESIGN 9). recoverer.h answers it; unit tests of
// sessions have a script. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "migration/base/task.h"
#include "migration/plan/branch_gid.h"
#include "protocol/backend.h"
#include "routing/map/types.h"

namespace migration {

class commit_recovery {
 public:
  using verdict = commit_verdict;

  // For a session that has sent COMMIT to `decider` and got no answer, nor ReadyForQuery after an error. `owner`: what pgrotor.may_be_finished()
  // has answered on the prepared branches. `abort` says that the transaction is not committed now and never will be, or that it was committed,
  // carried out and forgotten meanwhile: it is an abort for the client only if the session then rolls a prepared branch back itself.
  // `unknown` when the shard cannot be asked in time. Any executor, as what follows.
  virtual task<verdict> ask(std::string uuid, std::string owner, routing::shard_id decider, clock::time_point deadline) = 0;
  // Takes a prepared branch over from a session that got no answer to COMMIT PREPARED or ROLLBACK PREPARED: it is looked at at once.
  virtual void left_over(routing::shard_id, std::string gid) = 0;
  // Whether this process has left something prepared there that a session should not pass by. No lock; it may say so once too often.
  bool in_doubt(routing::shard_id shard) const noexcept { return left_[shard.value % left_.size()].load(std::memory_order_acquire) != 0; }
  // Waits until nothing that left_over() has named is prepared there any more; false when there is at the deadline.
  virtual task<bool> settle(routing::shard_id, clock::time_point deadline) = 0;
  // Why the shard has not got what a session called there for its commit: its schema pgrotor is of another version. nullopt where it is not, or
  // cannot be asked.
  virtual task<std::optional<protocol::notice>> wrong_version(routing::shard_id) = 0;

 protected:
  ~commit_recovery() = default;
  std::atomic<std::uint32_t>& slot_of(routing::shard_id shard) noexcept { return left_[shard.value % left_.size()]; }

 private:
  std::array<std::atomic<std::uint32_t>, 64> left_{};  // branches left over, by number of the shard
};

}  // namespace migration
