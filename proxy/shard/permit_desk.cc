#include "proxy/shard/permit_desk.h"

#include <algorithm>

namespace proxy {

const permit_desk::account& permit_desk::join(const permit_owner& owner, permit_user& user) {
  auto& mine = accounts_[owner];
  mine.users.push_back(&user);
  return mine;
}

void permit_desk::leave(const permit_owner& owner, permit_user& user) {
  const auto mine = accounts_.find(owner);
  std::erase(mine->second.users, &user);
  if (!mine->second.users.empty()) return;
  if (mine->second.told.count > 0) home_.send_want(owner, {});
  accounts_.erase(mine);
}

permit_want permit_desk::sum_of(const account& of) {
  permit_want sum;
  for (const auto* user : of.users) {
    const auto one = user->wanted();
    sum.count += one.count;
    sum.since = std::min(sum.since, one.since);
  }
  return sum;
}

void permit_desk::wants_more(const permit_owner& owner) {
  auto& mine = accounts_[owner];
  const auto now = sum_of(mine);
  if (now.count <= mine.told.count) return;
  mine.told = now;
  home_.send_want(owner, now);
}

void permit_desk::refresh() {
  for (auto& [owner, mine] : accounts_) {
    const auto now = sum_of(mine);
    // The home also watches the time of those who wait: it is told again while there are any.
    if (now == mine.told && now.count == 0) continue;
    mine.told = now;
    home_.send_want(owner, now);
  }
}

bool permit_desk::wanted_elsewhere(const account& mine, bool somebody_waits) const noexcept {
  return (mine.recalled && (mine.urgent || !somebody_waits)) || (recalled_ && !somebody_waits);
}

bool permit_desk::must_give(const account& mine, const permit_user& by, permit_clock::time_point first) const {
  if (wanted_elsewhere(mine, first != permit_want::nobody_waits)) return true;
  if (mine.users.size() == 1) return false;
  return std::any_of(mine.users.begin(), mine.users.end(), [&](const permit_user* other) {
    if (other == &by) return false;
    const auto lacks = other->wanted();
    if (lacks.count == 0 || lacks.since == permit_want::nobody_waits) return false;
    return first == permit_want::nobody_waits || first - lacks.since > permit_ledger::patience;
  });
}

void permit_desk::closed(const permit_owner& owner) {
  auto& mine = accounts_.at(owner);
  auto* next = first_in_need(mine);
  const bool waits = next && next->wanted().since != permit_want::nobody_waits;
  if (!next || wanted_elsewhere(mine, waits)) return give_back(owner, mine);
  next->permit_lent();
}

void permit_desk::give_back(const permit_owner& owner, account& mine) {
  mine.recalled = mine.urgent = recalled_ = false;
  home_.send_give_back(owner);
}

permit_user* permit_desk::first_in_need(const account& of) {
  permit_user* first = nullptr;
  for (auto* user : of.users) {
    const auto one = user->wanted();
    if (one.count > 0 && (!first || one.since < first->wanted().since)) first = user;
  }
  return first;
}

void permit_desk::obey(const permit_order& order) {
  if (order.what == permit_order::kind::lend) return lend(order.owner);
  bool recalled = order.what == permit_order::kind::recall;
  if (order.whole_shard) {
    // A pool that wants more for itself has nothing idle; what it wanted may be of a moment ago.
    recalled_ = recalled && !(order.own && accounts_.size() == 1 && accounts_.begin()->second.users.size() == 1);
    if (recalled_) give_idle(nullptr);
    return;
  }
  const auto mine = accounts_.find(order.owner);
  if (mine == accounts_.end()) return;
  recalled = recalled && !(order.own && mine->second.users.size() == 1);
  mine->second.recalled = recalled;
  mine->second.urgent = recalled && order.urgent;
  if (recalled) give_idle(&order.owner);
}

void permit_desk::lend(const permit_owner& owner) {
  const auto mine = accounts_.find(owner);
  if (mine != accounts_.end() && mine->second.told.count > 0) --mine->second.told.count;
  auto* next = mine == accounts_.end() ? nullptr : first_in_need(mine->second);
  if (next) next->permit_lent();
  else home_.send_give_back(owner);  // served meanwhile, or gone
}

// The one idle for longest, of that owner or of anybody.
void permit_desk::give_idle(const permit_owner* only) {
  permit_user* from = nullptr;
  const permit_owner* whose = nullptr;
  for (const auto& [owner, one] : accounts_) {
    if (only && owner != *only) continue;
    for (auto* user : one.users) {
      if (user->idle_since() == permit_clock::time_point::max() || (from && from->idle_since() <= user->idle_since())) continue;
      from = user;
      whose = &owner;
    }
  }
  if (!from) return;
  from->close_one_idle();
  give_back(*whose, accounts_.at(*whose));
}

}  // namespace proxy
