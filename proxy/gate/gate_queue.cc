#include "proxy/gate/gate_queue.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace proxy {

gate_queue::place::place(gate_queue& queue, waiter who) : queue_(queue), at_(queue.waiting_.insert(queue.waiting_.end(), who)) {
  queue_.counted_.gate_waiting_now = queue_.waiting_.size();
}

gate_queue::place::~place() {
  queue_.waiting_.erase(at_);
  queue_.counted_.gate_waiting_now = queue_.waiting_.size();
}

std::chrono::milliseconds gate_queue::budget_of(touch_bits bits, std::chrono::milliseconds otherwise) const {
  std::optional<std::chrono::milliseconds> shortest;
  for (const auto& [set, one] : closings_)
    if ((gate_.bit_of(set) & bits) != 0) shortest = shortest ? std::min(*shortest, one.budget) : one.budget;
  return shortest.value_or(otherwise);
}

task<gate_queue::held> gate_queue::wait(touch_bits bits, wakeup& wake, const bool& cancelled, const bool& leaving, std::size_t most,
                                        std::chrono::milliseconds otherwise) {
  held result;
  if (waiting_.size() >= most) {
    ++counted_.gate_refused_full;
    result.how = outcome::full;
    co_return result;
  }
  ++counted_.gate_held;
  waiter who;
  who.wake = &wake;
  who.bits = bits;
  who.since = clock::now();
  const place mine(*this, who);
  result.budget = budget_of(bits, otherwise);
  bool in_time = true;
  while (!mine->released && !cancelled && !leaving && in_time) in_time = co_await wake.wait(mine->since + result.budget);
  if (mine->released) co_return result;
  count(*mine);
  result.how = cancelled || leaving ? outcome::left : outcome::expired;
  if (result.how == outcome::expired) ++counted_.gate_expired;
  co_return result;
}

void gate_queue::release() {
  for (auto& one : waiting_) {
    if (one.released || gate_.judge(one.bits, false, {}) == gate_book::verdict::wait) continue;
    one.released = true;
    count(one);
    one.wake->notify();
  }
}

// A held statement counts for every set that held it.
void gate_queue::count(const waiter& one) {
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - one.since);
  for (auto& [set, that] : closings_) {
    if ((gate_.bit_of(set) & one.bits) == 0) continue;
    ++that.told.held;
    that.told.longest = std::max(that.told.longest, took);
  }
}

void gate_queue::blame(std::uint64_t set, int client) {
  const auto found = closings_.find(set);
  if (found != closings_.end()) found->second.told.blocking_clients.push_back(client);
}

gate_queue::report gate_queue::end(std::uint64_t set) {
  const auto found = closings_.find(set);
  if (found == closings_.end()) return {};
  auto told = std::move(found->second.told);
  closings_.erase(found);
  return told;
}

}  // namespace proxy
