#include "routing/analysis/key_graph.h"

#include <algorithm>
#include <memory>
#include <set>
#include <tuple>
#include <utility>

namespace routing {
namespace {

constexpr std::uint32_t varchar_oid = 1043;
constexpr std::size_t max_merged = 1'000'000;  // constants copied in all: unions of unions of long lists multiply

bool all_fit(const std::vector<key_constant>& constants, key_type type) {
  return std::all_of(constants.begin(), constants.end(), [&](const key_constant& c) { return fits(c, type); });
}

// How many values they are; an array's elements are not counted before it comes.
std::size_t weight(const std::vector<key_constant>& list) {
  constexpr std::size_t array = 100;
  const auto arrays = std::count_if(list.begin(), list.end(), [](const key_constant& c) { return c.array; });
  return list.size() + array * static_cast<std::size_t>(arrays);
}

}  // namespace

vertex key_graph::add_table(const table& t, std::string shown_as, bool stores) {
  entry e;
  e.used = &t;
  e.shown_as = std::move(shown_as);
  e.stores = stores;
  vertices_.push_back(std::move(e));
  ++tables_;
  return vertices_.size() - 1;
}

vertex key_graph::add_column(const std::vector<vertex>& sources) {
  const vertex v = vertices_.size();
  for (const vertex s : sources) vertices_[s].followers.push_back(v);
  entry e;
  e.sources = sources;
  vertices_.push_back(std::move(e));
  return v;
}

vertex key_graph::add_constants(std::vector<key_constant> list) {
  entry e;
  e.known = values{std::make_shared<const std::vector<key_constant>>(std::move(list)), std::nullopt};
  vertices_.push_back(std::move(e));
  return vertices_.size() - 1;
}

key_type key_graph::type_of(vertex v) const noexcept {
  return key_type_of_oid(vertices_[v].used->key_type_oid).value_or(key_type::int8);
}

std::optional<distribution_id> key_graph::first_distribution() const noexcept {
  const auto first = std::find_if(vertices_.begin(), vertices_.end(), [](const entry& e) { return e.used != nullptr; });
  return first == vertices_.end() ? std::nullopt : first->used->distribution;
}

std::string_view key_graph::first_table() const noexcept {
  const auto first = std::find_if(vertices_.begin(), vertices_.end(), [](const entry& e) { return e.used != nullptr; });
  return first == vertices_.end() ? std::string_view() : first->shown_as;
}

void key_graph::limit(vertex v, std::vector<key_constant> list) {
  auto& e = vertices_[v];
  if (!e.used) return;
  // Any one condition is proof enough; the one with the fewest values has the best chance to stay on one shard.
  if (e.known && weight(*e.known->among) <= weight(list)) return;
  e.known = values{std::make_shared<const std::vector<key_constant>>(std::move(list)), e.used->distribution};
}

void key_graph::follow(vertex v, vertex to) {
  if (v != to && vertices_[v].used) vertices_[to].followers.push_back(v);
}

void key_graph::assign(vertex v, key_constant c) { vertices_[v].assigned.push_back(std::move(c)); }

void key_graph::explain(vertex v, std::string why) {
  if (vertices_[v].why.empty()) vertices_[v].why = std::move(why);
}

bool key_graph::accepts(const entry& e, const values& given) const {
  if (given.from) return *given.from == *e.used->distribution;
  return all_fit(*given.among, key_type_of_oid(e.used->key_type_oid).value_or(key_type::int8));
}

// A column is known when all its sources are, and when what they hold is of one kind.
std::optional<key_graph::values> key_graph::merged(const entry& column) {
  const auto& first = vertices_[column.sources.front()].known;
  if (!first || column.sources.size() == 1) return first;
  std::vector<key_constant> all;
  for (const vertex s : column.sources) {
    const auto& source = vertices_[s].known;
    if (!source || source->from != first->from) return std::nullopt;
    merged_ += source->among->size();
    if (merged_ > max_merged) return std::nullopt;
    all.insert(all.end(), source->among->begin(), source->among->end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return values{std::make_shared<const std::vector<key_constant>>(std::move(all)), first->from};
}

void key_graph::settle(vertex v, std::vector<vertex>& changed) {
  for (const vertex f : vertices_[v].followers) {
    auto& follower = vertices_[f];
    if (follower.known) continue;
    if (!follower.used) {
      follower.known = merged(follower);
    } else if (accepts(follower, *vertices_[v].known)) {
      follower.known = values{vertices_[v].known->among, follower.used->distribution};
    }
    if (follower.known) changed.push_back(f);
  }
}

std::optional<key_graph::use> key_graph::solve() {
  std::vector<vertex> changed;
  for (vertex v = 0; v < vertices_.size(); ++v) {
    if (vertices_[v].known) changed.push_back(v);
  }
  while (!changed.empty()) {
    const vertex v = changed.back();
    changed.pop_back();
    settle(v, changed);
  }
  for (const auto& e : vertices_) {
    if (e.used && !e.known) return use{e.used, e.shown_as, e.why, e.stores};
  }
  return std::nullopt;
}

std::vector<key_source> key_graph::keys() const {
  std::vector<key_source> found;
  std::set<std::tuple<const void*, distribution_id, bool>> read;
  std::set<std::tuple<distribution_id, std::variant<std::size_t, std::string>, bool, bool, bool>> seen;
  for (const auto& e : vertices_) {
    if (!e.used) continue;
    const auto distribution = *e.used->distribution;
    const bool stored_varchar = e.stores && e.used->key_type_oid == varchar_oid;
    if (!read.emplace(e.known->among.get(), distribution, stored_varchar).second) continue;
    for (const auto& c : *e.known->among) {
      if (c.from == key_constant::source::null) continue;
      if (!seen.emplace(distribution, c.value, c.negated, c.array, stored_varchar).second) continue;
      found.push_back({distribution, c.value, c.negated, c.array, false, stored_varchar, false});
    }
  }
  for (const auto& e : vertices_)
    for (const auto& c : e.assigned)
      found.push_back({*e.used->distribution, c.value, c.negated, false, false, e.used->key_type_oid == varchar_oid, true});
  return found;
}

}  // namespace routing
