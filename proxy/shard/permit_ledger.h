// Who may hold how many connections to one shard, all workers together. Each shard's ledger lives on one worker, its home; the others
// tell it by post what they want and give back, and it answers with orders. A permit is lent when a connection is to be opened and
// given back when the connection is closed, so that a transaction on an open connection costs no message.
//
//   worker                                home
//   want(count, since)      ------->      lends what is free, oldest first
//   opens a connection      <-------      lend
//   closes an idle one      <-------      recall, to all who hold some, when nothing is free: obeyed where a connection is idle,
//   give_back               ------->        or is released and nobody waits there
//   closes the next one     <-------      urgent recall, to one who serves a queue of its own with more than its part
//                           <-------      keep: the recall is over
//
// What is urgent moves at most one permit of an owner in each `patience`, and only when that makes the parts more even or somebody has
// waited much longer than others: two workers under equal load do not go on closing and opening connections for each other.
// No worker waits for another while it holds something that the other waits for: a recall is obeyed when the worker can. Plain state,
// no I/O; see permit_desk.h for the worker's side and worker_shards.cc for the posts.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace proxy {

using permit_clock = std::chrono::steady_clock;

struct permit_owner {
  std::string user, database;
  auto operator<=>(const permit_owner&) const = default;
};

struct permit_rules {
  std::size_t size = 1, reserve = 0;   // per owner; the reserve only for those who have waited `reserve_wait`
  std::size_t per_shard = 0;           // all owners together; 0: no bound
  std::size_t least = 0;               // per owner: kept open without anybody waiting
  std::chrono::milliseconds reserve_wait{};
};

struct permit_want {
  static constexpr auto nobody_waits = permit_clock::time_point::max();
  std::size_t count = 0;
  permit_clock::time_point since = nobody_waits;  // of who waits longest; with nobody_waits it is for the least number
  bool operator==(const permit_want&) const = default;
};

struct permit_order {
  enum class kind { lend, recall, keep };
  int worker = 0;
  kind what = kind::lend;
  permit_owner owner;
  bool whole_shard = false;  // recall, keep: any owner's permit will do
  bool urgent = false;       // recall: also when others wait there
  bool own = false;          // recall: only that worker itself wants it, for another of its pools
  bool operator==(const permit_order&) const = default;
};

class permit_ledger {
 public:
  static constexpr std::chrono::milliseconds patience{100};

  explicit permit_ledger(permit_rules rules) : rules_(rules) {}
  void set_rules(permit_rules rules) { rules_ = rules; }

  // Replaces what that worker wanted for that owner before, less what has been lent since.
  void want(int worker, const permit_owner&, permit_want);
  void give_back(int worker, const permit_owner&);
  // What follows from the above, and from the time that has passed.
  std::vector<permit_order> settle(permit_clock::time_point now);

  std::size_t lent() const noexcept { return lent_; }
  std::size_t lent_to(const permit_owner& owner) const noexcept;

 private:
  using place = std::pair<permit_owner, int>;  // owner and worker
  struct recall_key {
    int worker = 0;
    bool whole_shard = false;
    permit_owner owner;
    auto operator<=>(const recall_key&) const = default;
  };
  struct recall_why {
    bool urgent = false, own = false;
    bool crossed = false;  // by what that worker gave back: it may have forgotten this, or not
    bool operator==(const recall_why&) const = default;
  };
  using recalls = std::map<recall_key, recall_why>;

  bool may_lend(const permit_owner&, const permit_want&, permit_clock::time_point now) const noexcept;
  bool owner_is_full(const permit_owner&, const permit_want&, permit_clock::time_point now) const noexcept;
  bool shard_is_full() const noexcept { return rules_.per_shard != 0 && lent_ >= rules_.per_shard; }
  void lend_free(permit_clock::time_point now, std::vector<permit_order>&);
  recalls needed_recalls(permit_clock::time_point now) const;
  void recall_from_holders(recalls&, const permit_owner*, const place* wanting) const;
  void add_urgent(recalls&, permit_clock::time_point now);
  bool deserves(const place& from, const place& to, permit_clock::time_point now) const;
  std::size_t held_at(const place&) const noexcept;

  permit_rules rules_;
  std::map<place, permit_want> wants_;
  std::map<place, std::size_t> held_;
  std::map<permit_owner, std::size_t> by_owner_;
  std::size_t lent_ = 0;
  recalls recalled_;  // what workers have been told
  std::map<permit_owner, permit_clock::time_point> moved_;  // when something urgent was last asked for them
};

}  // namespace proxy
