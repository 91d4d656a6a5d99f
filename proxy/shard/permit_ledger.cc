#include "proxy/shard/permit_ledger.h"

#include <algorithm>

namespace proxy {

using time_point = permit_clock::time_point;

void permit_ledger::want(int worker, const permit_owner& owner, permit_want wanted) {
  if (wanted.count == 0) wants_.erase({owner, worker});
  else wants_[{owner, worker}] = wanted;
}

void permit_ledger::give_back(int worker, const permit_owner& owner) {
  const auto held = held_.find({owner, worker});
  if (held == held_.end()) return;
  if (--held->second == 0) held_.erase(held);
  const auto sum = by_owner_.find(owner);
  if (--sum->second == 0) by_owner_.erase(sum);
  --lent_;
  // The worker has forgotten its recalls with this, except one that crossed it: the next settle() tells what holds now, needed or not.
  for (const auto& key : {recall_key{worker, false, owner}, recall_key{worker, true, {}}})
    if (const auto told = recalled_.find(key); told != recalled_.end()) told->second.crossed = true;
}

std::size_t permit_ledger::lent_to(const permit_owner& owner) const noexcept {
  const auto found = by_owner_.find(owner);
  return found == by_owner_.end() ? 0 : found->second;
}

bool permit_ledger::owner_is_full(const permit_owner& owner, const permit_want& wanted, time_point now) const noexcept {
  if (wanted.since == permit_want::nobody_waits) return lent_to(owner) >= std::min(rules_.least, rules_.size);
  const bool waited = now - wanted.since >= rules_.reserve_wait;
  return lent_to(owner) >= rules_.size + (waited ? rules_.reserve : 0);
}

bool permit_ledger::may_lend(const permit_owner& owner, const permit_want& wanted, time_point now) const noexcept {
  return !shard_is_full() && !owner_is_full(owner, wanted, now);
}

std::vector<permit_order> permit_ledger::settle(time_point now) {
  std::vector<permit_order> orders;
  lend_free(now, orders);
  auto needed = needed_recalls(now);
  add_urgent(needed, now);
  for (const auto& [key, why] : needed) {
    const auto told = recalled_.find(key);
    if (told == recalled_.end() || told->second != why)
      orders.push_back({key.worker, permit_order::kind::recall, key.owner, key.whole_shard, why.urgent, why.own});
  }
  for (const auto& [key, why] : recalled_)
    if (!needed.contains(key)) orders.push_back({key.worker, permit_order::kind::keep, key.owner, key.whole_shard, false});
  recalled_ = std::move(needed);
  return orders;
}

// One each in turn, who waits longest first: a worker with a long queue does not take everything.
void permit_ledger::lend_free(time_point now, std::vector<permit_order>& orders) {
  std::vector<std::pair<place, permit_want*>> queue;
  for (auto& [where, wanted] : wants_) queue.emplace_back(where, &wanted);
  std::stable_sort(queue.begin(), queue.end(), [](const auto& a, const auto& b) { return a.second->since < b.second->since; });
  for (bool lent_one = true; lent_one;) {
    lent_one = false;
    for (auto& [where, wanted] : queue) {
      if (wanted->count == 0 || !may_lend(where.first, *wanted, now)) continue;
      --wanted->count;
      ++held_[where];
      ++by_owner_[where.first];
      ++lent_;
      orders.push_back({where.second, permit_order::kind::lend, where.first, false, false});
      lent_one = true;
    }
  }
  std::erase_if(wants_, [](const auto& entry) { return entry.second.count == 0; });
}

permit_ledger::recalls permit_ledger::needed_recalls(time_point now) const {
  recalls needed;
  for (const auto& [where, wanted] : wants_) {
    if (wanted.since == permit_want::nobody_waits) continue;
    recall_from_holders(needed, owner_is_full(where.first, wanted, now) ? &where.first : nullptr, &where);
  }
  for (const auto& [owner, count] : by_owner_)
    if (count > rules_.size) recall_from_holders(needed, &owner, nullptr);
  return needed;
}

void permit_ledger::recall_from_holders(recalls& needed, const permit_owner* owner, const place* wanting) const {
  for (const auto& [where, count] : held_) {
    if (owner && where.first != *owner) continue;
    const recall_key key{where.second, owner == nullptr, owner ? *owner : permit_owner{}};
    const bool own = wanting && where.second == wanting->second;
    auto& why = needed.try_emplace(key, recall_why{false, own}).first->second;
    why.own = why.own && own;
  }
}

// For each who waits, one other that serves a queue of its own.
void permit_ledger::add_urgent(recalls& needed, time_point now) {
  for (const auto& [key, why] : recalled_)
    if (why.urgent && !why.crossed && (needed.contains(key) || needed.contains({key.worker, true, {}}))) needed[key] = {true, false};
  std::erase_if(moved_, [now](const auto& entry) { return now - entry.second >= patience; });
  for (const auto& [to, wanted] : wants_) {
    if (wanted.since == permit_want::nobody_waits || moved_.contains(to.first)) continue;
    const bool any = !owner_is_full(to.first, wanted, now);  // then it is the shard that is full
    for (const auto& [from, count] : held_) {
      if (from == to || (!any && from.first != to.first) || !deserves(from, to, now)) continue;
      needed[{from.second, false, from.first}] = {true, false};
      moved_[to.first] = now;
      break;
    }
  }
}

// Those at `to` have more of a queue for each connection, also after one has moved; or have waited too long beside the others.
bool permit_ledger::deserves(const place& from, const place& to, time_point now) const {
  const auto theirs = wants_.find(from);
  const auto& ours = wants_.at(to);
  // A queue that is empty whenever it is told may still have somebody at every release.
  if (theirs == wants_.end() || theirs->second.since == permit_want::nobody_waits) return now - ours.since > patience;
  const auto held_from = held_at(from), held_to = held_at(to);
  if (held_from > 1 && ours.count * (held_from - 1) > theirs->second.count * (held_to + 1)) return true;
  const auto waited = [now](const permit_want& who) { return now - who.since; };
  return waited(ours) > waited(theirs->second) * (held_to == 0 ? 1 : 3) + patience;
}

std::size_t permit_ledger::held_at(const place& where) const noexcept {
  const auto found = held_.find(where);
  return found == held_.end() ? 0 : found->second;
}

}  // namespace proxy
