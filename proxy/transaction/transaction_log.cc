#include "proxy/transaction/transaction_log.h"

#include <algorithm>

namespace proxy {

namespace {
std::size_t weight(const std::string& text) noexcept { return text.size() + sizeof(std::string); }
}

std::vector<named_savepoint>::const_iterator transaction_log::newest(std::string_view name) const noexcept {
  const auto found = std::find_if(savepoints_.rbegin(), savepoints_.rend(), [name](const named_savepoint& s) { return s.name == name; });
  return found == savepoints_.rend() ? savepoints_.end() : std::prev(found.base());
}

std::optional<std::size_t> transaction_log::find(std::string_view name) const noexcept {
  const auto found = newest(name);
  return found == savepoints_.end() ? std::nullopt : std::optional(found->said_until);
}

void transaction_log::note(saying said, bool alone) {
  using enum saying::what;
  if (said.is == end) return clear();
  if (said.is == begin ? !texts_.empty() : texts_.empty()) return;  // a warning, and what belongs to no block
  switch (said.is) {
    case rollback_to: return go_back(said.name);
    case release:
      if (release_savepoint(said.name, alone)) return;
      break;
    case savepoint: savepoints_.push_back({std::move(said.name), texts_.size() + 1}); break;
    default: break;
  }
  if (lost_) return;  // nobody will be told
  bytes_ += weight(said.text);
  texts_.push_back(std::move(said.text));
  if (bytes_ > max_bytes) lose();
}

// What was said since is undone.
void transaction_log::go_back(std::string_view name) {
  const auto known = newest(name);
  if (known == savepoints_.end()) return;
  while (texts_.size() > known->said_until) drop_last();
  savepoints_.erase(std::next(known), savepoints_.end());
}

// True: nobody has to be told, for nothing was said since it was made.
bool transaction_log::release_savepoint(std::string_view name, bool alone) {
  const auto known = newest(name);
  if (known == savepoints_.end()) return true;
  const bool nothing_since = alone && known->said_until == texts_.size();
  savepoints_.erase(known, savepoints_.end());
  if (nothing_since) drop_last();
  return nothing_since;
}

void transaction_log::drop_last() noexcept {
  bytes_ -= weight(texts_.back());
  texts_.pop_back();
}

void transaction_log::take(std::vector<std::string>& texts, std::vector<named_savepoint>& savepoints) {
  texts_.clear();
  savepoints_.clear();
  texts_.swap(texts);
  savepoints_.swap(savepoints);
  bytes_ = 0;
  for (const auto& text : texts_) bytes_ += weight(text);
}

void transaction_log::give(std::vector<std::string>& texts, std::vector<named_savepoint>& savepoints) {
  texts.swap(texts_);
  savepoints.swap(savepoints_);
  clear();
}

void transaction_log::clear() noexcept {
  texts_.clear();
  savepoints_.clear();
  bytes_ = 0;
  lost_ = savepoints_lost_ = false;
}

}  // namespace proxy
