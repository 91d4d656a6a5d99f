// The time-outs of one worker's clients. Each kind has one duration for all, so that the clients it applies to stand in a list in the
// order in which it began for them: starting and stopping is a few pointers, and a tick of 100 ms looks at the front of each list. Clients
// with a shorter time of their own stand in one set, by its end. There is no timer for a message or for a client. Worker's thread only.
#pragma once

#include <array>
#include <chrono>

#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>

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
  using mode = boost::intrusive::link_mode<boost::intrusive::auto_unlink>;
  using in_list = boost::intrusive::list_base_hook<mode>;
  using in_set = boost::intrusive::set_base_hook<mode>;
  // A client's place in one of the lists, in the set, or in none.
  struct place : in_list, in_set {
    explicit place(timed_client& who) : owner(who) {}
    bool is_linked() const noexcept { return in_list::is_linked() || in_set::is_linked(); }
    void unlink() noexcept { in_list::is_linked() ? in_list::unlink() : in_set::unlink(); }
    timed_client& owner;
    timed kind{};
    clock::time_point since, due;  // in the set: due
  };

  // Zero: no such time-out; those under way are looked at with the new one.
  void set(timed kind, std::chrono::milliseconds limit) noexcept { limits_[index(kind)] = limit; }
  // Takes the place out of where it stands. `now` must not go back between calls by more than a tick. `own`: the client's own limit, if it
  // has one; the shorter one counts.
  void start(timed kind, place& where, clock::time_point now, std::chrono::milliseconds own = {}) noexcept {
    where.unlink();
    where.kind = kind;
    where.since = now;
    const auto limit = limits_[index(kind)];
    if (own.count() > 0 && (limit.count() == 0 || own < limit)) {
      where.due = now + own;
      own_.insert(where);
    } else if (limit.count() != 0) {
      lists_[index(kind)].push_back(where);
    }
  }
  void tick(clock::time_point now) noexcept {
    while (!own_.empty() && own_.begin()->due <= now) {
      auto& first = *own_.begin();
      first.unlink();
      first.owner.time_is_up(first.kind);
    }
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
  struct by_end {
    bool operator()(const place& a, const place& b) const noexcept { return a.due < b.due; }
  };
  using list = boost::intrusive::list<place, boost::intrusive::base_hook<in_list>, boost::intrusive::constant_time_size<false>>;
  using by_ends = boost::intrusive::multiset<place, boost::intrusive::base_hook<in_set>, boost::intrusive::compare<by_end>,
                                         boost::intrusive::constant_time_size<false>>;
  std::array<list, timed_kinds> lists_;
  by_ends own_;
  std::array<std::chrono::milliseconds, timed_kinds> limits_{};
};

}  // namespace proxy
