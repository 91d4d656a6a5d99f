#include "routing/map/shard_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <utility>

namespace routing {
namespace {

[[noreturn]] void invalid(std::string what) { throw std::invalid_argument(std::move(what)); }

template <class Range, class Matches>
auto find_in(const Range& range, Matches matches) noexcept -> decltype(range.data()) {
  const auto found = std::find_if(range.begin(), range.end(), matches);
  return found == range.end() ? nullptr : &*found;
}

void check_shards(const shard_map::parts& p) {
  std::set<shard_id> ids;
  std::set<std::string_view> names;
  for (const auto& s : p.shards) {
    if (s.name.empty()) invalid(fmt::format("shard {} has no name", s.id.value));
    if (!ids.insert(s.id).second) invalid(fmt::format("shard id {} is given twice", s.id.value));
    if (!names.insert(s.name).second) invalid(fmt::format("shard name \"{}\" is given twice", s.name));
  }
  if (!ids.contains(p.default_shard)) invalid(fmt::format("the default shard {} is not in the map", p.default_shard.value));
}

void check_ranges(const distribution& d, const std::vector<shard>& shards) {
  if (d.ranges.empty()) invalid(fmt::format("distribution \"{}\" has no ranges", d.name));
  placement expected = lowest_placement;
  for (const auto& r : d.ranges) {
    const auto lower = r.range.lower.number();
    if (expected == end_of_placements) invalid(fmt::format("distribution \"{}\" has a range after the one without upper bound", d.name));
    if (r.range.lower != expected) {
      invalid(fmt::format("distribution \"{}\" has {} between {} and {}", d.name, r.range.lower > expected ? "a gap" : "an overlap",
                          expected.number(), lower));
    }
    if (r.range.empty()) invalid(fmt::format("distribution \"{}\" has an empty range at {}", d.name, lower));
    if (!find_in(shards, [&](const shard& s) { return s.id == r.owner; })) {
      invalid(fmt::format("distribution \"{}\" has a range at {} owned by unknown shard {}", d.name, lower, r.owner.value));
    }
    expected = r.range.upper;
  }
  if (expected != end_of_placements) invalid(fmt::format("distribution \"{}\" has no range from {} upward", d.name, expected.number()));
}

void check_distributions(const shard_map::parts& p) {
  std::set<distribution_id> ids;
  std::set<std::string_view> names;
  for (const auto& d : p.distributions) {
    if (!ids.insert(d.id).second) invalid(fmt::format("distribution id {} is given twice", d.id.value));
    if (!names.insert(d.name).second) invalid(fmt::format("distribution name \"{}\" is given twice", d.name));
    if (d.method != distribution_method::hash) {
      invalid(fmt::format("distribution \"{}\" is by {}: this version knows distributions by hash only", d.name, to_string(d.method)));
    }
    check_ranges(d, p.shards);
  }
}

void check_key(const table& t, const std::vector<distribution>& distributions) {
  const auto* d = find_in(distributions, [&](const distribution& x) { return x.id == *t.distribution; });
  if (!d) invalid(fmt::format("table \"{}.{}\" is in unknown distribution {}", t.schema, t.name, t.distribution->value));
  if (t.key_column.empty()) invalid(fmt::format("table \"{}.{}\" has no shard key column", t.schema, t.name));
  const auto type = key_type_of_oid(t.key_type_oid);
  if (!type) invalid(fmt::format("table \"{}.{}\": type {} cannot be a shard key", t.schema, t.name, t.key_type_oid));
  if (*type != d->type) {
    invalid(fmt::format("table \"{}.{}\" has a shard key of type {}, its distribution \"{}\" is of {}", t.schema, t.name,
                        to_string(*type), d->name, to_string(d->type)));
  }
  if (!t.columns.empty() && std::find(t.columns.begin(), t.columns.end(), t.key_column) == t.columns.end()) {
    invalid(fmt::format("table \"{}.{}\" has no column \"{}\"", t.schema, t.name, t.key_column));
  }
}

void check_tables(const shard_map::parts& p) {
  std::set<std::pair<std::string_view, std::string_view>> names;
  for (const auto& t : p.tables) {
    if (t.schema.empty() || t.name.empty()) invalid(fmt::format("table \"{}.{}\" lacks a schema or a name", t.schema, t.name));
    if (!names.emplace(t.schema, t.name).second) invalid(fmt::format("table \"{}.{}\" is given twice", t.schema, t.name));
    if (t.distribution) check_key(t, p.distributions);
  }
}

// Puts the piece of `whole` between the bounds of `cut` under `to` and leaves what is outside with its owner.
void split(const owned_range& whole, const placement_range& cut, shard_id to, std::vector<owned_range>& out) {
  const auto& r = whole.range;
  if (!r.overlaps(cut)) {
    out.push_back(whole);
    return;
  }
  const placement_range inside{std::max(r.lower, cut.lower), std::min(r.upper, cut.upper)};
  if (r.lower < inside.lower) out.push_back({{r.lower, inside.lower}, whole.owner});
  out.push_back({inside, to});
  if (inside.upper < r.upper) out.push_back({{inside.upper, r.upper}, whole.owner});
}

std::vector<owned_range> merge_neighbours(const std::vector<owned_range>& ranges) {
  std::vector<owned_range> out;
  for (const auto& r : ranges) {
    if (!out.empty() && out.back().owner == r.owner) {
      out.back().range.upper = r.range.upper;
    } else {
      out.push_back(r);
    }
  }
  return out;
}

}  // namespace

std::string_view to_string(key_type type) noexcept {
  switch (type) {
    case key_type::int8: return "int8";
    case key_type::text: return "text";
    case key_type::bpchar: return "bpchar";
    case key_type::uuid: return "uuid";
  }
  return "unknown";
}

std::string_view to_string(distribution_method method) noexcept {
  switch (method) {
    case distribution_method::hash: return "hash";
    case distribution_method::range: return "range";
    case distribution_method::list: return "list";
  }
  return "unknown";
}

std::string_view to_string(shard_state state) noexcept {
  switch (state) {
    case shard_state::active: return "active";
    case shard_state::draining: return "draining";
    case shard_state::drained: return "drained";
  }
  return "unknown";
}

std::optional<key_type> key_type_of_oid(std::uint32_t type_oid) noexcept {
  switch (type_oid) {
    case 20: case 21: case 23: return key_type::int8;
    case 25: case 1043: return key_type::text;
    case 1042: return key_type::bpchar;
    case 2950: return key_type::uuid;
    default: return std::nullopt;
  }
}

shard_id distribution::owner_of(const placement& p) const noexcept {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), p,
                                      [](const placement& value, const owned_range& r) { return value < r.range.lower; });
  return std::prev(after)->owner;  // the first range starts at lowest_placement
}

shard_map::shard_map(parts p) : parts_(std::move(p)) {}

std::shared_ptr<const shard_map> shard_map::make(parts p) {
  check_shards(p);
  check_distributions(p);
  check_tables(p);
  return std::shared_ptr<const shard_map>(new shard_map(std::move(p)));
}

const shard* shard_map::find_shard(shard_id id) const noexcept {
  return find_in(parts_.shards, [&](const shard& s) { return s.id == id; });
}

const shard* shard_map::find_shard(std::string_view name) const noexcept {
  return find_in(parts_.shards, [&](const shard& s) { return s.name == name; });
}

const distribution* shard_map::find_distribution(distribution_id id) const noexcept {
  return find_in(parts_.distributions, [&](const distribution& d) { return d.id == id; });
}

const distribution* shard_map::find_distribution(std::string_view name) const noexcept {
  return find_in(parts_.distributions, [&](const distribution& d) { return d.name == name; });
}

const table* shard_map::find_table(std::string_view schema, std::string_view name, bool& ambiguous) const noexcept {
  ambiguous = false;
  const table* found = nullptr;
  for (const auto& t : parts_.tables) {
    if (t.name != name || (!schema.empty() && t.schema != schema)) continue;
    ambiguous = found != nullptr;
    if (ambiguous) return nullptr;
    found = &t;
  }
  return found;
}

bool shard_map::is_dependent_view(std::string_view schema, std::string_view name) const noexcept {
  return std::any_of(parts_.dependent_views.begin(), parts_.dependent_views.end(), [&](std::string_view view) {
    const auto dot = view.find('.');
    if (dot == std::string_view::npos) return view == name;
    return view.substr(dot + 1) == name && (schema.empty() || view.substr(0, dot) == schema);
  });
}

const hidden_access* shard_map::find_hidden(hidden_access::by how, std::string_view schema, std::string_view name) const noexcept {
  const hidden_access* found = nullptr;
  for (const auto& h : parts_.hidden) {
    const bool is_it = h.name == name && h.how == how && (schema.empty() || h.schema == schema);
    if (is_it && (!found || h.sharded)) found = &h;
  }
  return found;
}

shard_map::parts shard_map::with_owner(distribution_id id, std::span<const placement_range> moved, shard_id to) const {
  if (!find_shard(to)) invalid(fmt::format("shard {} is not in the map", to.value));
  parts next = parts_;
  ++next.number.value;
  const auto d = std::find_if(next.distributions.begin(), next.distributions.end(), [&](const auto& x) { return x.id == id; });
  if (d == next.distributions.end()) invalid(fmt::format("distribution {} is not in the map", id.value));
  for (const auto& cut : moved) {
    if (cut.empty()) invalid(fmt::format("the range at {} is empty", cut.lower.number()));
    std::vector<owned_range> ranges;
    for (const auto& r : d->ranges) split(r, cut, to, ranges);
    d->ranges = std::move(ranges);
  }
  d->ranges = merge_neighbours(d->ranges);
  return next;
}

}  // namespace routing
