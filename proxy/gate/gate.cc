#include "proxy/gate/gate.h"

#include <algorithm>

namespace proxy {

namespace {

bool falls_into(const migration::moving_set& set, const routing::touch& touch) noexcept {
  if (set.distribution != touch.distribution) return false;
  return std::any_of(set.ranges.begin(), set.ranges.end(), [&](const auto& range) { return range.contains(touch.value); });
}

constexpr touch_bits bit(int number) noexcept { return touch_bits{1} << number; }

}  // namespace

gate_book::entry* gate_book::find(std::uint64_t set) noexcept {
  const auto found = std::find_if(sets_.begin(), sets_.end(), [set](const entry& e) { return e.set.id == set; });
  return found == sets_.end() ? nullptr : &*found;
}

std::optional<int> gate_book::add(migration::moving_set set) {
  if (auto* known = find(set.id)) {
    known->set = std::move(set);
    return known->bit;
  }
  touch_bits taken = 0;
  for (const auto& e : sets_) taken |= bit(e.bit);
  for (int number = 0; number < 64; ++number) {
    if ((taken & bit(number)) != 0) continue;
    entry made;
    made.set = std::move(set);
    made.bit = number;
    sets_.push_back(std::move(made));
    return number;
  }
  return std::nullopt;
}

touch_bits gate_book::remove(std::uint64_t set) {
  const auto* known = find(set);
  const auto gone = known ? bit(known->bit) : touch_bits{0};
  std::erase_if(sets_, [set](const entry& e) { return e.set.id == set; });
  return gone;
}

bool gate_book::close(std::uint64_t set, std::uint32_t attempt) {
  auto* known = find(set);
  if (!known) return false;
  known->attempt = attempt;
  if (known->now != phase::open) return true;
  known->now = phase::closing;
  known->closed = migration::clock::now();
  return true;
}

void gate_book::seal(std::uint64_t set) {
  if (auto* known = find(set); known && known->now == phase::closing) known->now = phase::closed;
}

void gate_book::open(std::uint64_t set) {
  if (auto* known = find(set)) known->now = phase::open;
}

touch_bits gate_book::bits_of(std::span<const routing::touch> touches) const noexcept {
  touch_bits bits = 0;
  for (const auto& e : sets_)
    if (std::any_of(touches.begin(), touches.end(), [&](const auto& t) { return falls_into(e.set, t); })) bits |= bit(e.bit);
  return bits;
}

gate_book::verdict gate_book::judge(touch_bits bits, bool row_locks, std::span<const routing::shard_id> attached,
                                    std::optional<migration::clock::time_point> holds_since) const noexcept {
  auto worst = verdict::pass;
  for (const auto& e : sets_) {
    if ((bits & bit(e.bit)) == 0) continue;
    if (row_locks && !e.set.tables) return verdict::refuse_row_locks;
    const bool there = std::find(attached.begin(), attached.end(), e.set.source) != attached.end();
    const bool in_the_middle = e.now == phase::closing && (there || (holds_since && *holds_since < e.closed));
    if (e.now != phase::open && !in_the_middle) worst = verdict::wait;
  }
  return worst;
}

bool gate_book::knows(routing::distribution_id distribution) const noexcept {
  return std::any_of(sets_.begin(), sets_.end(), [&](const entry& e) { return e.set.distribution == distribution; });
}

void gate_book::transaction_touched(touch_bits bits) noexcept {
  for (auto& e : sets_)
    if ((bits & bit(e.bit)) != 0) ++e.touching;
}

void gate_book::transaction_ended(touch_bits bits) noexcept {
  for (auto& e : sets_)
    if ((bits & bit(e.bit)) != 0 && e.touching > 0) --e.touching;
}

std::uint64_t gate_book::open_transactions(std::uint64_t set) const noexcept {
  const auto found = std::find_if(sets_.begin(), sets_.end(), [set](const entry& e) { return e.set.id == set; });
  return found == sets_.end() ? 0 : found->touching;
}

const migration::moving_set* gate_book::known(std::uint64_t set) const noexcept {
  const auto found = std::find_if(sets_.begin(), sets_.end(), [set](const entry& e) { return e.set.id == set; });
  return found == sets_.end() ? nullptr : &found->set;
}

touch_bits gate_book::bit_of(std::uint64_t set) const noexcept {
  const auto found = std::find_if(sets_.begin(), sets_.end(), [set](const entry& e) { return e.set.id == set; });
  return found == sets_.end() ? 0 : bit(found->bit);
}

}  // namespace proxy
