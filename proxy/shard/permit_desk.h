// A worker's side of the permits of one shard (permit_ledger.h): which of its pools gets a permit that was lent, and which connection
// is closed when one is recalled. Plain state, no I/O, the worker's thread; messages to the shard's home leave through permit_home.
#pragma once

#include <map>
#include <vector>

#include "proxy/shard/permit_ledger.h"

namespace proxy {

// A pool, as far as permits go.
class permit_user {
 public:
  // How many connections it lacks, those being opened counted as there; since when the first in its queue waits.
  virtual permit_want wanted() const = 0;
  virtual void permit_lent() = 0;  // opens a connection
  // Since when its longest unused idle connection is idle; max: it has none. close_one_idle() closes that one.
  virtual permit_clock::time_point idle_since() const = 0;
  virtual void close_one_idle() = 0;

 protected:
  ~permit_user() = default;
};

// Where the shard's ledger is.
class permit_home {
 public:
  virtual void send_want(const permit_owner&, permit_want) = 0;
  virtual void send_give_back(const permit_owner&) = 0;

 protected:
  ~permit_home() = default;
};

class permit_desk {
 public:
  struct account;

  explicit permit_desk(permit_home& home) : home_(home) {}
  // The account is the owner's as long as somebody of the owner has joined.
  const account& join(const permit_owner&, permit_user&);
  void leave(const permit_owner&, permit_user&);

  // Somebody began to wait: told at once when it is more than the home knows. refresh() tells everything else, on every tick.
  void wants_more(const permit_owner&);
  void refresh();
  // A connection was released. True: close it and call closed(), instead of giving it to the first in that user's queue, who waits
  // since then. It is for another worker, or for another of the owner's pools here whose clients have waited longer.
  bool must_give(const account&, const permit_user&, permit_clock::time_point first_in_queue) const;
  // A connection is gone, or was not made: its permit serves the next one here, or goes back.
  void closed(const permit_owner&);
  void obey(const permit_order&);

  struct account {
    std::vector<permit_user*> users;
    permit_want told;
    bool recalled = false, urgent = false;
  };

 private:
  static permit_want sum_of(const account&);
  static permit_user* first_in_need(const account&);
  bool wanted_elsewhere(const account&, bool somebody_waits) const noexcept;
  void lend(const permit_owner&);
  void give_back(const permit_owner&, account&);
  void give_idle(const permit_owner*);

  permit_home& home_;
  std::map<permit_owner, account> accounts_;
  bool recalled_ = false;  // for the whole shard
};

}  // namespace proxy
