#include "routing/route/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "protocol/sqlstate.h"
#include "routing/analysis/fixed_settings.h"
#include "routing/analysis/refusals.h"
#include "routing/map/array_value.h"
#include "routing/map/placement.h"

namespace routing {
namespace {

constexpr std::uint32_t unknown_oid = 705;

// The element type of the arrays that a key may be among; 0: no such array.
std::uint32_t element_of(std::uint32_t array) noexcept {
  switch (array) {
    case 1005: return 21;    // int2[]
    case 1007: return 23;    // int4[]
    case 1016: return 20;    // int8[]
    case 1009: return 25;    // text[]
    case 1014: return 1042;  // bpchar[]
    case 1015: return 1043;  // varchar[]
    case 2951: return 2950;  // uuid[]
    default: return 0;
  }
}

// May a value that the client declared as `type` be compared with, or stored in, a key of this type and still be hashed as one?
// Other types convert or compare in ways that hashing cannot follow: numeric 5.0 equals int8 5 but 5.4 is stored as 5.
bool hashes_as(key_type key, std::uint32_t type) noexcept {
  constexpr std::uint32_t text = 25, varchar = 1043;
  if (type == unspecified_oid || type == unknown_oid) return true;
  if (key == key_type::bpchar && (type == text || type == varchar)) return true;
  return key_type_of_oid(type) == key;
}

std::optional<placement> negated(const parameter& p) noexcept {
  const auto value = p.format == 1 ? int_of_binary_value(*p.value) : int_of_text_value(*p.value);
  if (!value || *value == std::numeric_limits<std::int64_t>::min()) return std::nullopt;
  return placement_of_int(-*value);
}

std::optional<placement> placement_of(key_type type, const key_source& source, const parameter& p) noexcept {
  if (!p.value) return std::nullopt;
  if (source.negated) return type == key_type::int8 ? negated(p) : std::nullopt;
  return p.format == 1 ? placement_of_binary_value(type, *p.value) : placement_of_text_value(type, *p.value);
}

parameter value_of(const key_source& source, std::span<const parameter> given) {
  if (const auto* literal = std::get_if<std::string>(&source.value)) return {std::string_view(*literal), 0, 0};
  const auto index = std::get<std::size_t>(source.value);
  return index < given.size() ? given[index] : parameter{};  // too few: the server says so
}

void refuse(decision& d, refusal why) {
  d.destination = destination_kind::refused;
  d.shard = {};
  d.touches.clear();
  d.refused = std::move(why);
}

refusal refuse_type(const distribution& dist, const key_source& source, const parameter& p) {
  return not_one_shard(
      fmt::format("parameter ${} has type {}, which cannot be placed as a shard key of type {}", std::get<std::size_t>(source.value) + 1,
                  p.type, to_string(dist.type)),
      "A value of another type converts or compares in a way that the placement hash cannot follow.",
      fmt::format("Bind the parameter with type {} or leave its type unspecified.", to_string(dist.type)));
}

bool is_declared(const parameter& p) noexcept { return p.type != unspecified_oid && p.type != unknown_oid; }

refusal refuse_inferred(const distribution& dist, const key_source& source) {
  const auto number = std::get<std::size_t>(source.value) + 1;
  const auto type = to_string(dist.type);
  return not_one_shard(
      fmt::format("parameter ${} is a shard key, is used for something else too, and its type is not declared", number),
      fmt::format("PostgreSQL may infer another type than {} from the other use, and the value could not be placed.", type),
      fmt::format("Declare its type, write ${}::{} at every use, or bind the value a second time for the other use.", number, type));
}

refusal refuse_cut_blanks() {
  return not_one_shard("a shard key that ends in a blank cannot be placed in a varchar column",
                       "PostgreSQL cuts blanks that exceed the length of the column, and the stored key would hash differently.",
                       "Remove the blanks at the end of the value, or make the column text.");
}

// One after the other instead of a set: nearly every statement has one key, and bulk inserts repeat one.
void add_touch(decision& d, const touch& t) {
  if (!d.touches.empty() && d.touches.back().distribution == t.distribution && d.touches.back().value == t.value) return;
  d.touches.push_back(t);
}

std::size_t count_owners(const decision& d, const shard_map& map) {
  boost::container::small_vector<shard_id, 8> seen;
  for (const auto& t : d.touches) {
    const auto owner = map.find_distribution(t.distribution)->owner_of(t.value);
    if (std::find(seen.begin(), seen.end(), owner) == seen.end()) seen.push_back(owner);
  }
  return seen.size();
}

bool is_one_value(const decision& d) noexcept {
  return std::all_of(d.touches.begin(), d.touches.end(), [&](const touch& t) {
    return t.distribution == d.touches.front().distribution && t.value == d.touches.front().value;
  });
}

refusal refuse_change(const distribution& dist) {
  return not_one_shard(fmt::format("a shard key of distribution {} cannot be changed", dist.name),
                       "The row might belong to another shard afterwards. Only the value that the condition on the key names can be assigned to it.",
                       "Delete the row and insert it again with its new key, or leave the column out of the assignment.");
}

// What a key is restricted to, one call of `add` for each value that can be a key at all. NULL, or no value of this type: it matches no
// row, or the server's own error says what is wrong.
template <typename Add>
void for_each_key(key_type type, const key_source& source, const parameter& p, Add&& add) {
  if (!source.array) {
    if (const auto value = placement_of(type, source, p)) add(*value);
    return;
  }
  if (!p.value) return;
  array_reader elements(*p.value, p.format);
  parameter element;
  element.format = p.format;
  while (elements.next(element.value)) {
    if (const auto value = placement_of(type, source, element)) add(*value);
  }
}

void add_shard(decision& d, shard_id shard) {
  const auto at = std::lower_bound(d.scattered.begin(), d.scattered.end(), shard);
  if (at == d.scattered.end() || *at != shard) d.scattered.insert(at, shard);
}

void scatter_to_owners(decision& d, const shard_map& map) {
  for (const auto& t : d.touches) add_shard(d, map.find_distribution(t.distribution)->owner_of(t.value));
}

void scatter_to_all(decision& d, distribution_id id, const shard_map& map) {
  const auto* distribution = map.find_distribution(id);
  if (!distribution) return;
  for (const auto& range : distribution->ranges) add_shard(d, range.owner);
}

void pull_from_all(decision& d, const pulled_relations& from, const shard_map& map) {
  d.pulls = true;
  for (const auto id : from.distributions) scatter_to_all(d, id, map);
  if (from.of_default_shard) add_shard(d, map.default_shard());
}

// Fills in a decision that is made for the default shard, or says why it must be a refusal.
std::optional<refusal> route_by_key(decision& d, const statement_plan& plan, const shard_map& map, std::span<const parameter> given) {
  bool several = false, changes = false;
  for (const auto& source : plan.keys) {
    const auto* dist = map.find_distribution(source.distribution);
    if (!dist) return not_one_shard("the statement was analysed for a distribution that no longer exists", "", "Run it again.");
    const parameter p = value_of(source, given);
    const auto type = source.array && is_declared(p) ? element_of(p.type) : p.type;
    if ((source.array && is_declared(p) && type == 0) || !hashes_as(dist->type, type)) return refuse_type(*dist, source, p);
    if (source.inferred_elsewhere && !is_declared(p)) return refuse_inferred(*dist, source);
    if (source.stored_varchar && p.value && p.value->ends_with(' ')) return refuse_cut_blanks();
    changes = changes || (source.assigned && !placement_of(dist->type, source, p));  // NULL, or an error
    for_each_key(dist->type, source, p, [&](const placement& value) {
      const auto owner = dist->owner_of(value);
      several = several || (!d.touches.empty() && owner != d.shard);
      d.shard = owner;
      add_touch(d, {source.distribution, value});
    });
  }
  if (d.touches.empty()) d.destination = destination_kind::any;
  if (plan.keys.back().assigned && (changes || !is_one_value(d))) return refuse_change(*map.find_distribution(plan.keys.back().distribution));
  if (!several) return std::nullopt;
  if (plan.adds_up || plan.pulls) scatter_to_owners(d, map);
  d.pulls = !plan.adds_up && plan.pulls;
  return not_one_shard(fmt::format("the shard keys of this statement live on {} shards", count_owners(d, map)), "",
                       "Send one statement for each shard key.");
}

// What belongs to the whole database happens on the default shard or not at all.
void keep_at_home(decision& d, std::string_view effect, const shard_map& map) {
  if (d.destination == destination_kind::any) d.destination = destination_kind::default_shard;
  if (d.destination == destination_kind::refused || d.shard == map.default_shard()) return;
  refuse(d, home_only(effect, map.find_shard(map.default_shard())->name));
}

std::optional<std::string_view> text_of(const setting_name& from, std::span<const parameter> given) noexcept {
  if (const auto* literal = std::get_if<std::string>(&from)) return *literal;
  const auto index = std::get<std::size_t>(from);
  return index < given.size() ? given[index].value : std::nullopt;
}

std::optional<refusal> misleading_calls(const session_effects& effects, std::span<const parameter> given) {
  for (const auto& call : effects.calls) {
    const auto name = text_of(call.name, given), value = text_of(call.value, given);
    if (!name || !value) continue;
    if (auto why = misleading_value(*name, *value)) return why;
  }
  return std::nullopt;
}

refusal refuse_argument(std::string_view name, std::string_view why) {
  return not_one_shard(fmt::format("cannot tell which shard EXECUTE of \"{}\" runs on", name), std::string(why), "Give it as a literal without a cast.");
}

// Why the argument cannot be placed. One of another type is converted to the parameter's, which may make another value of it: blanks at
// the end of bpchar are lost in text.
std::string_view unplaceable(const sql_execute::argument& given, const distribution* to) noexcept {
  if (!given.constant) return "An argument that is a shard key is an expression.";
  const bool converted = given.cast != 0 && to && !hashes_as(to->type, given.cast);
  return converted ? "An argument that is a shard key is cast to another type." : "";
}

// The value of an argument; `digits` keeps what is not in the statement as it is.
parameter value_of(const sql_execute::argument& from, std::uint32_t type, std::span<const parameter> given, std::string& digits) {
  if (!from.parameter) return {from.literal ? std::optional<std::string_view>(*from.literal) : std::nullopt, 0, type};
  if (*from.parameter >= given.size()) return {std::nullopt, 0, type};
  parameter p = given[*from.parameter];
  if (type != unspecified_oid && p.format == 0) p.type = type;
  if (!from.negated || !p.value) return p;
  digits = p.value->starts_with('-') ? std::string(p.value->substr(1)) : "-" + std::string(*p.value);
  p.value = digits;
  return p;
}

}  // namespace

decision route(const statement_plan& plan, const shard_map& map, std::span<const parameter> given) {
  decision d;
  d.destination = plan.destination;
  d.shard = map.default_shard();
  if (auto misleading = misleading_calls(plan.effects, given)) {
    refuse(d, std::move(*misleading));
  } else if (plan.destination == destination_kind::by_key) {
    if (auto why = route_by_key(d, plan, map, given)) refuse(d, std::move(*why));
  } else if (plan.destination == destination_kind::by_key_at_home) {
    d.destination = destination_kind::by_key;
    if (auto why = route_by_key(d, plan, map, given)) refuse(d, std::move(*why));
    keep_at_home(d, plan.home_effect, map);
  } else if (plan.destination == destination_kind::refused) {
    refuse(d, *plan.refused);
    if (plan.adds_up) scatter_to_all(d, *plan.adds_up, map);
    else if (plan.pulls) pull_from_all(d, *plan.pulls, map);
  }
  return d;
}

decision route(const sql_prepare& prepared, const sql_execute& execute, const shard_map& map, std::span<const parameter> given) {
  parameters values;
  std::vector<std::string> digits(execute.arguments.size());
  for (std::size_t i = 0; i < execute.arguments.size(); ++i)
    values.push_back(value_of(execute.arguments[i], i < prepared.types.size() ? prepared.types[i] : unspecified_oid, given, digits[i]));
  for (const auto& key : prepared.inner->keys) {
    const auto* index = std::get_if<std::size_t>(&key.value);
    if (!index || *index >= execute.arguments.size()) continue;
    const auto why = unplaceable(execute.arguments[*index], map.find_distribution(key.distribution));
    if (why.empty()) continue;
    decision d;
    refuse(d, refuse_argument(prepared.name, why));
    return d;
  }
  decision d = route(*prepared.inner, map, values);
  if (!execute.home_effect.empty()) keep_at_home(d, execute.home_effect, map);
  return d;
}

}  // namespace routing
