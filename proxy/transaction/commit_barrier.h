// Between statements over several shards and commits over several shards of one process: no statement takes its snapshots while a commit is seen
// on one shard and not yet on another (DESIGN 9, "What a scattered statement sees"; models/barrier.pml). Commits do not keep each other waiting,
// nor do statements. One that has waited for its budget goes on: a commit is never held up for long, and a statement then takes its snapshots
// again. Shared by all workers; any thread, no lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace proxy {

class commit_barrier {
 public:
  // Whoever is inside, as long as this lives; nobody, when it is made without a barrier.
  class pass {
   public:
    pass() = default;
    // `overruns`: as they were before it came in.
    pass(commit_barrier& where, bool commit, std::uint64_t overruns) noexcept : where_(&where), commit_(commit), overruns_(overruns) {}
    pass(pass&& other) noexcept : where_(std::exchange(other.where_, nullptr)), commit_(other.commit_), overruns_(other.overruns_) {}
    pass& operator=(pass&& other) noexcept {
      std::swap(where_, other.where_);
      std::swap(commit_, other.commit_);
      std::swap(overruns_, other.overruns_);
      return *this;
    }
    ~pass() {
      if (where_) where_->inside_ -= commit_ ? one_commit : 1;
    }
    explicit operator bool() const noexcept { return where_ != nullptr; }
    // Has a commit come over the statement that has this? Its snapshots may show a half of it.
    bool is_overrun() const noexcept { return where_ && where_->overruns_.load() != overruns_; }

   private:
    commit_barrier* where_ = nullptr;
    bool commit_ = false;
    std::uint64_t overruns_ = 0;
  };

  // A statement waits to come in: no commit comes in before it, as long as its budget lasts. Else commits that follow each other would keep it out.
  class wish {
   public:
    explicit wish(commit_barrier& where) noexcept : where_(where) { ++where_.wishes_; }
    wish(const wish&) = delete;
    wish& operator=(const wish&) = delete;
    ~wish() { --where_.wishes_; }

   private:
    commit_barrier& where_;
  };

  // A statement, from the moment when nothing but the sending is left until every shard has sent BindComplete. None: a commit is under way.
  pass enter_statement() noexcept;
  // A commit, from the decision to the last answer. None: a statement is taking its snapshots or waits to; `at_once`: it goes on all the same.
  pass enter_commit(bool at_once) noexcept;

 private:
  // Statements in the lower half, commits in the upper.
  static constexpr std::uint64_t one_commit = std::uint64_t{1} << 32;
  std::atomic<std::uint64_t> inside_{0}, overruns_{0}, wishes_{0};
};

}  // namespace proxy
