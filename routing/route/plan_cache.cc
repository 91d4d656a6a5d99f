#include "routing/route/plan_cache.h"

#include <algorithm>
#include <functional>
#include <list>
#include <unordered_map>
#include <utility>

#include "routing/text/literal_form.h"

namespace routing {
namespace {

// With its hash, which is made once for the search and all that follows, and tells most texts apart without a look at them.
struct cache_key {
  cache_key(std::string_view t, bool f) noexcept : hash(std::hash<std::string_view>{}(t) + (f ? 1 : 0)), is_form(f), text(t) {}
  bool operator==(const cache_key&) const = default;

  std::size_t hash;
  bool is_form;
  std::string_view text;
};
struct hash_key {
  std::size_t operator()(const cache_key& k) const noexcept { return k.hash; }
};

struct entry {
  std::string text;
  bool is_form;
  std::shared_ptr<const text_plan> plan;  // none: a form that says nothing, its texts are analysed whole
  std::size_t bytes;
};

std::size_t bytes_of(std::string_view text, const text_plan* plan) {
  std::size_t bytes = sizeof(entry) + 2 * text.size() + 128;  // list and index nodes
  if (!plan) return bytes;
  for (const auto& s : plan->statements) bytes += sizeof(s) + s.keys.size() * sizeof(key_source);
  return bytes;
}

// The first refusal's message; empty: none.
std::string_view why_refused(const text_plan& plan) noexcept {
  for (const auto& s : plan.statements)
    if (s.refused) return s.refused->message;
  return {};
}

bool is_refused(const text_plan& plan) noexcept {
  return std::any_of(plan.statements.begin(), plan.statements.end(), [](const statement_plan& s) { return s.refused.has_value(); });
}

}  // namespace

struct plan_cache::impl {
  impl(std::size_t entries_limit, std::size_t bytes_limit) : max_entries(entries_limit), max_bytes(bytes_limit) {}

  const entry* find(const cache_key& key) {
    const auto at = index.find(key);
    if (at == index.end()) return nullptr;
    order.splice(order.begin(), order, at->second);
    return &*at->second;
  }

  void keep(cache_key key, std::shared_ptr<const text_plan> plan) {
    const std::size_t size = bytes_of(key.text, plan.get());
    if (size > max_bytes / 4 || max_entries == 0) return;  // one bulk insert must not push out everything else
    order.push_front({std::string(key.text), key.is_form, std::move(plan), size});
    key.text = order.front().text;
    index.emplace(key, order.begin());
    bytes += size;
    while (order.size() > max_entries || bytes > max_bytes) drop_oldest();
  }

  void drop_oldest() {
    const auto& oldest = order.back();
    bytes -= oldest.bytes;
    index.erase({oldest.text, oldest.is_form});
    order.pop_back();
  }

  void follow(const shard_map& map) {
    if (version == map.schema_version()) return;
    version = map.schema_version();
    index.clear();
    order.clear();
    bytes = 0;
  }

  std::shared_ptr<const text_plan> whole(const shard_map& map, std::string_view sql) {
    const cache_key key(sql, false);
    if (const auto* known = find(key)) {
      ++hits;
      return known->plan;
    }
    ++misses;
    auto plan = std::make_shared<const text_plan>(analyze(sql, map));
    keep(key, plan);
    return plan;
  }

  // Not yet seen as a form. A form that does not parse or is refused says nothing of its texts: a literal may make the difference.
  std::shared_ptr<const text_plan> first_of_form(const shard_map& map, const cache_key& key, std::string_view sql, parameters& literals) {
    auto analysed = analyze_if_parsable(key.text, map);
    if (analysed && is_refused(*analysed)) {
      const auto plain = analyze_if_parsable(sql, map);
      if (plain && why_refused(*plain) != why_refused(*analysed)) analysed.reset();
    }
    if (!analysed) {
      keep(key, nullptr);
      literals.clear();
      return whole(map, sql);
    }
    ++misses;
    auto plan = std::make_shared<const text_plan>(*std::move(analysed));
    keep(key, plan);
    return plan;
  }

  std::size_t max_entries, max_bytes, bytes = 0;
  std::uint64_t hits = 0, misses = 0;
  generation version;
  std::list<entry> order;  // most recently used first
  std::unordered_map<cache_key, std::list<entry>::iterator, hash_key> index;
  literal_form form;
};

plan_cache::plan_cache(std::size_t max_entries, std::size_t max_bytes) : impl_(std::make_unique<impl>(max_entries, max_bytes)) {}
plan_cache::~plan_cache() = default;
plan_cache::plan_cache(plan_cache&&) noexcept = default;
plan_cache& plan_cache::operator=(plan_cache&&) noexcept = default;

std::shared_ptr<const text_plan> plan_cache::prepared(const shard_map& map, std::string_view sql) {
  impl_->follow(map);
  return impl_->whole(map, sql);
}

std::shared_ptr<const text_plan> plan_cache::simple(const shard_map& map, std::string_view sql, parameters& literals) {
  impl_->follow(map);
  if (!impl_->form.read(sql, literals)) {
    literals.clear();
    return impl_->whole(map, sql);
  }
  const cache_key key(impl_->form.text(), true);
  const auto* known = impl_->find(key);
  if (!known) return impl_->first_of_form(map, key, sql, literals);
  if (!known->plan) {
    literals.clear();
    return impl_->whole(map, sql);
  }
  ++impl_->hits;
  return known->plan;
}

std::size_t plan_cache::entries() const noexcept { return impl_->order.size(); }
std::uint64_t plan_cache::hits() const noexcept { return impl_->hits; }
std::uint64_t plan_cache::misses() const noexcept { return impl_->misses; }

}  // namespace routing
