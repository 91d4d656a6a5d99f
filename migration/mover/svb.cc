#include "migration/mover/svb.h"

#include <algorithm>

#include "migration/base/test_hooks.h"

namespace migration {
namespace {

// What a held change costs: its bytes, its key twice, and about what the two trees add.
std::size_t cost(const held_change& change) noexcept { return change.message.size() + 2 * change.key.size() + 240; }

}  // namespace

svb::svb(std::size_t tables, protocol::lsn applied, protocol::lsn position)
    : chunks_(tables), index_(tables), applied_(applied), position_(position) {}

void svb::add_chunk(std::size_t table, key_slice slice, chunk made) {
  made.lower = std::move(slice.lower);
  const auto [place, inserted] = chunks_[table].insert_or_assign(bound{std::move(slice.upper)}, std::move(made));
  if (place->second.seen) with_snapshot_.emplace(place->second.high, &place->second);
}

void svb::restore(std::size_t table, key_slice slice, snapshot seen, protocol::lsn high) {
  chunk made;
  if (high > position_) made.seen = std::move(seen);
  made.high = high;
  made.restored = true;
  add_chunk(table, std::move(slice), std::move(made));
}

svb::read_id svb::begin_read() {
  reads_.emplace(next_read_, std::nullopt);
  return next_read_++;
}

void svb::opened(read_id read, snapshot seen, protocol::lsn limit) {
  reads_.at(read) = open_snapshot{seen, limit};
  observe(std::move(seen), limit);
}

void svb::abandon(read_id read) {
  reads_.erase(read);
  drop_visible();
}

void svb::observe(snapshot seen, protocol::lsn limit) {
  if (!horizon_ || seen.xmax >= horizon_->seen.xmax) horizon_ = open_snapshot{std::move(seen), limit};
  drop_visible();
}

const svb::chunk* svb::find_chunk(std::size_t table, std::string_view key) const {
  const auto& chunks = chunks_[table];
  if (chunks.empty()) return nullptr;
  const auto place = chunks.lower_bound(bound{std::string(key)});
  if (place == chunks.end() || (place->second.lower && key <= *place->second.lower)) return nullptr;
  return &place->second;
}

verdict svb::judge(std::size_t table, std::string_view key, const source_transaction& transaction) const {
  const auto* found = find_chunk(table, key);
  if (!found) return verdict::hold;
  if (found->restored && transaction.commit_lsn < applied_ && !test_hooks::broken("apply_twice")) return verdict::skip;
  if (!found->seen || transaction.commit_lsn >= found->high) return verdict::apply;
  return visible(transaction.xid, *found->seen) || test_hooks::broken("no_visibility") ? verdict::skip : verdict::apply;
}

void svb::hold(held_change change) {
  held_bytes_ += cost(change);
  index_[change.table].emplace(change.key, next_held_);
  held_.emplace(next_held_++, std::move(change));
}

void svb::advance(protocol::lsn position) {
  position_ = std::max(position_, position);
  while (!with_snapshot_.empty() && with_snapshot_.begin()->first <= position_) {
    with_snapshot_.begin()->second->seen.reset();
    with_snapshot_.erase(with_snapshot_.begin());
  }
}

std::vector<std::uint64_t> svb::held_inside(std::size_t table, const key_slice& slice) const {
  const auto& index = index_[table];
  auto place = slice.lower ? index.upper_bound({*slice.lower, ~std::uint64_t{0}}) : index.begin();
  std::vector<std::uint64_t> inside;
  for (; place != index.end() && (!slice.upper || place->first <= *slice.upper); ++place) inside.push_back(place->second);
  std::sort(inside.begin(), inside.end());
  return inside;
}

std::vector<const held_change*> svb::pending(std::size_t table, const key_slice& slice, const snapshot& seen, protocol::lsn high) const {
  std::vector<const held_change*> out;
  for (const auto number : held_inside(table, slice)) {
    const auto& change = held_.at(number);
    const bool wal_order = test_hooks::broken("no_visibility") && change.transaction.commit_lsn < high;
    if (!wal_order && !visible(change.transaction.xid, seen)) out.push_back(&change);
  }
  return out;
}

void svb::load(std::size_t table, key_slice slice, read_id read, snapshot seen, protocol::lsn high) {
  for (const auto number : held_inside(table, slice)) remove(number);
  chunk made;
  made.high = high;
  if (high > position_) made.seen = std::move(seen);
  add_chunk(table, std::move(slice), std::move(made));
  reads_.erase(read);
  drop_visible();
}

void svb::remove(std::uint64_t number) {
  const auto place = held_.find(number);
  held_bytes_ -= cost(place->second);
  index_[place->second.table].erase({place->second.key, number});
  held_.erase(place);
}

bool svb::droppable(const source_transaction& transaction) const {
  if (!visible(transaction.xid, horizon_->seen)) return false;
  return std::all_of(reads_.begin(), reads_.end(), [&](const auto& read) { return visible(transaction.xid, read.second->seen); });
}

// A held change that a polled snapshot sees will be seen by every later one too, so only reads under way can still need it. While a
// read's snapshot is not known it may be older than the polled one: nothing is dropped then.
void svb::drop_visible() {
  if (!horizon_ || held_.empty()) return;
  auto limit = horizon_->limit;
  for (const auto& [id, read] : reads_) {
    if (!read) return;
    limit = std::min(limit, read->limit);
  }
  for (auto place = held_.begin(); place != held_.end() && place->second.transaction.commit_lsn < limit;) {
    const auto current = place++;
    if (droppable(current->second.transaction)) remove(current->first);
  }
}

protocol::lsn svb::floor() const noexcept {
  return held_.empty() ? position_ : std::min(position_, held_.begin()->second.transaction.commit_lsn);
}

}  // namespace migration
