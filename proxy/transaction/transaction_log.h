// What a transaction has said that each of its branches has to hear: BEGIN, settings, savepoints. A shard that the transaction comes to late
// is told all of it in front of its first statement, one that it comes back to what it has missed; so a savepoint is there before what it
// may have to undo (DESIGN 9, "Branches"). Plain state of one session.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace proxy {

struct saying {
  enum class what : char { begin, setting, savepoint, release, rollback_to, end };
  what is = what::setting;
  std::string text;  // one statement
  std::string name;  // of the savepoint
};

// What of it is in doubt once something of one pipeline, or one statement, has failed.
enum class said_in_unit : char { nothing, several, savepoints };

struct named_savepoint {
  std::string name;        // names may repeat: the newest hides the others
  std::size_t said_until;  // as many of the texts are older than it, its own included
};

class transaction_log {
 public:
  static constexpr std::size_t max_bytes = 64u << 10;

  // `alone`: one branch has heard everything, and nobody else has to.
  void note(saying, bool alone);
  // From and to what is kept for a transaction that no server knows yet.
  void take(std::vector<std::string>& texts, std::vector<named_savepoint>& savepoints);
  void give(std::vector<std::string>& texts, std::vector<named_savepoint>& savepoints);
  // Something was done that no other shard can be told, or may have been.
  void lose() noexcept { lost_ = true; }
  // ... or what moved savepoints may not have been run: which there are is not known until the end.
  void lose_savepoints() noexcept { lost_ = savepoints_lost_ = true; }
  void clear() noexcept;
  bool is_new() const noexcept { return texts_.empty() && !lost_; }

  // May another shard join? Only where it is known what it would have to be told.
  bool complete() const noexcept { return !texts_.empty() && !lost_; }
  bool knows_savepoints() const noexcept { return !savepoints_lost_; }
  std::size_t size() const noexcept { return texts_.size(); }
  const std::string& text(std::size_t i) const noexcept { return texts_[i]; }
  // How much a branch must have heard to know the savepoint; nullopt: there is none of that name.
  std::optional<std::size_t> find(std::string_view savepoint) const noexcept;

 private:
  std::vector<named_savepoint>::const_iterator newest(std::string_view name) const noexcept;
  void go_back(std::string_view name);
  bool release_savepoint(std::string_view name, bool alone);
  void drop_last() noexcept;
  std::vector<std::string> texts_;  // the first is BEGIN
  std::vector<named_savepoint> savepoints_;
  std::size_t bytes_ = 0;
  bool lost_ = false, savepoints_lost_ = false;
};

}  // namespace proxy
