// The statements that wait at one worker's gate, in the order in which they came, and what each closing of a gate made them wait: for
// its report, and for how long one may (I8). Worker's thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <vector>

#include "proxy/counters/counters.h"
#include "proxy/gate/gate.h"
#include "proxy/net/wakeup.h"

namespace proxy {

class gate_queue {
 public:
  enum class outcome {
    released,  // decide anew: there may be another map
    left,      // `cancelled` or `leaving` became true
    expired,   // the budget of a set that held it ran out
    full,      // as many wait as may
  };
  struct held {
    outcome how{};
    std::chrono::milliseconds budget{};
  };
  struct report {
    std::uint64_t held = 0;
    std::chrono::microseconds longest{};
    std::vector<int> blocking_clients;
  };

  gate_queue(const gate_book& gate, counters& counted) : gate_(gate), counted_(counted) {}

  // A statement with these bits waits. `wake` is its session's, notified by whoever sets `cancelled` or `leaving`. The budget is the
  // shortest of the sets that hold it, or `otherwise` where none is closing.
  task<held> wait(touch_bits, wakeup& wake, const bool& cancelled, const bool& leaving, std::size_t most, std::chrono::milliseconds otherwise);
  // Those whom no gate holds any more go on; each comes back to the end of the queue when another set still holds it.
  void release();
  std::size_t size() const noexcept { return waiting_.size(); }

  // A closing of the set's gate begins: its report is empty, and what it holds waits at most `budget`.
  void begin(std::uint64_t set, std::chrono::milliseconds budget) { closings_[set] = closing{{}, budget}; }
  void blame(std::uint64_t set, int client);  // for the report of a closing that is still asked for
  report end(std::uint64_t set);  // of the current or last closing

 private:
  struct waiter {
    wakeup* wake = nullptr;
    touch_bits bits = 0;
    clock::time_point since;
    bool released = false;
  };
  struct closing {
    report told;
    std::chrono::milliseconds budget{};
  };
  // In the list for as long as it waits, however that ends.
  class place {
   public:
    place(gate_queue&, waiter);
    ~place();
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    waiter& operator*() const noexcept { return *at_; }
    waiter* operator->() const noexcept { return &*at_; }

   private:
    gate_queue& queue_;
    std::list<waiter>::iterator at_;
  };
  void count(const waiter&);
  std::chrono::milliseconds budget_of(touch_bits, std::chrono::milliseconds otherwise) const;

  const gate_book& gate_;
  counters& counted_;
  std::list<waiter> waiting_;
  std::map<std::uint64_t, closing> closings_;  // by set
};

}  // namespace proxy
