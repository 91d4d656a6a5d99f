// Between statements over several shards and commits over several shards of one process: no statement takes its snapshots while a commit is seen
// on one shard and not yet on another (DESIGN 9, "What a scattered statement sees"; models/barrier.pml). Commits do not keep each other waiting,
// nor do statements. One that has waited for its budget goes on: a commit is never held up for long, and a statement then takes its snapshots
// again. Shared by all workers; any thread, no lock.
#pragma once

#include <atomic>
#include <cstdint>

namespace proxy {

class commit_barrier {
 public:
  // A statement, from the moment when nothing but the sending is left until every shard has sent BindComplete. False: a commit is under way.
  bool enter_statement() noexcept;
  // True: a commit has come over it meanwhile, and the snapshots may show a half of it.
  bool leave_statement(std::uint64_t since) noexcept;
  std::uint64_t overruns() const noexcept { return overruns_.load(); }
  // A commit, from the decision to the last answer. False: a statement is taking its snapshots; `at_once`: it goes on all the same.
  bool enter_commit(bool at_once) noexcept;
  void leave_commit() noexcept;

 private:
  // Statements in the lower half, commits in the upper.
  static constexpr std::uint64_t one_commit = std::uint64_t{1} << 32;
  std::atomic<std::uint64_t> inside_{0}, overruns_{0};
};

}  // namespace proxy
