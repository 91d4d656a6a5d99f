#include "proxy/state/name_values.h"

#include <algorithm>
#include <functional>
#include <unordered_map>

namespace proxy {

namespace {

// Those of this thread that somebody holds, by hash.
thread_local std::unordered_multimap<std::uint64_t, const name_values*> known;

}  // namespace

name_values_ptr name_values::make(text_pairs values) {
  std::uint64_t hash = 0;
  for (const auto& [name, value] : values) {
    hash = hash * 1'000'003 + std::hash<std::string>{}(name);
    hash = hash * 1'000'003 + std::hash<std::string>{}(value);
  }
  const auto [first, last] = known.equal_range(hash);
  const auto same = std::find_if(first, last, [&](const auto& one) { return one.second->values_ == values; });
  if (same != last) return same->second;
  return known.emplace(hash, new name_values(std::move(values), hash))->second;
}

name_values::~name_values() {
  const auto [first, last] = known.equal_range(hash_);
  const auto self = std::find_if(first, last, [this](const auto& one) { return one.second == this; });
  if (self != last) known.erase(self);
}

const std::string* name_values::find(std::string_view name) const noexcept {
  const auto found = std::find_if(values_.begin(), values_.end(), [name](const auto& one) { return one.first == name; });
  return found == values_.end() ? nullptr : &found->second;
}

}  // namespace proxy
