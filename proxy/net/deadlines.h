// The time-outs of one worker's clients. Each kind has one duration for all, so that the clients it applies to stand in a list in the
// order in which it began for them: starting and stopping is a few pointers, and a tick of 100 ms looks at the front of each list.
// There is no timer for a message or for a client. Worker's thread only.
#pragma once

#include <array>
#include <chrono>

#include <boost/intrusive/list.hpp>

namespace proxy {

enum class timed {
  statement,            // from the client's message to the end of the answer
  obey,                 // from the cancel that this causes to the end of the answer
  idle_in_transaction,  // the client's turn, in a transaction
  transaction,          // from its first message to its end
  client_idle,          // the client's turn, outside
  question,             // from a query of the proxy's own to its answer
  server,               // in the queue of a pool
  gathering,            // a pipeline whose Sync has not come
};
inline constexpr std::size_t timed_kinds = 8;

// Who is told that time is up; it stands in no list then.
class timed_client {
 public:
  virtual void time_is_up(timed) noexcept = 0;

 protected:
  ~timed_client() = default;
};

class deadline_list {
 public:
  using clock = std::chrono::steady_clock;
  using hook = boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
  // A client's place in one of the lists, or in none.
  struct place : hook {
    explicit place(timed_client& who) : owner(who) {}
    timed_client& owner;
    clock::time_point since;
  };

  // Zero: no such time-out; those under way are looked at with the new one.
  void set(timed kind, std::chrono::milliseconds limit) noexcept { limits_[index(kind)] = limit; }
  // Takes the place out of the list it stands in. `now` must not go back between calls by more than a tick.
  void start(timed kind, place& where, clock::time_point now) noexcept {
    where.unlink();
    if (limits_[index(kind)].count() == 0) return;
    where.since = now;
    lists_[index(kind)].push_back(where);
  }
  void tick(clock::time_point now) noexcept {
    for (std::size_t i = 0; i < timed_kinds; ++i) {
      auto& waiting = lists_[i];
      while (!waiting.empty() && now - waiting.front().since >= limits_[i]) {
        auto& first = waiting.front();
        waiting.pop_front();
        first.owner.time_is_up(static_cast<timed>(i));
      }
    }
  }

 private:
  static constexpr std::size_t index(timed kind) noexcept { return static_cast<std::size_t>(kind); }
  using list = boost::intrusive::list<place, boost::intrusive::constant_time_size<false>>;
  std::array<list, timed_kinds> lists_;
  std::array<std::chrono::milliseconds, timed_kinds> limits_{};
};

}  // namespace proxy
