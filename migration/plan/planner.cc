#include "migration/plan/planner.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;
using routing::placement;
using routing::placement_range;
__extension__ typedef unsigned __int128 wide;

constexpr wide whole_space = wide{1} << 64;

// Hashes as distances from the lowest one, so that widths are plain arithmetic and the end is 2^64.
wide offset(const placement& p) { return p == routing::end_of_placements ? whole_space : static_cast<std::uint64_t>(p.number()) ^ (std::uint64_t{1} << 63); }
wide width(const placement_range& range) { return offset(range.upper) - offset(range.lower); }
std::int64_t at(wide position) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(position) ^ (std::uint64_t{1} << 63)); }
placement_range between(wide from, wide to) {
  return routing::range_of_hashes({at(from), to < whole_space ? std::optional(at(to)) : std::nullopt});
}
placement_range common(const placement_range& a, const placement_range& b) { return {std::max(a.lower, b.lower), std::min(a.upper, b.upper)}; }

std::uint64_t parse_bytes(const std::string& name, std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  auto unit = std::string(end, text.data() + text.size());
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::pair<const char*, std::uint64_t> units[] = {{"", 1}, {"b", 1}, {"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30}};
  for (const auto& [word, factor] : units) {
    if (error == std::errc{} && unit == word) return value * factor;
  }
  refuse(sqlstate::invalid_parameter, fmt::format("option {}: \"{}\" is not a size", name, text), "", "Write a number with kB, MB or GB, as in '20MB'.");
}

milliseconds parse_duration(const std::string& name, std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (error == std::errc{} && value > 0 && (unit.empty() || unit == "ms")) return milliseconds(value);
  if (error == std::errc{} && value > 0 && unit == "s") return std::chrono::seconds(value);
  refuse(sqlstate::invalid_parameter, fmt::format("option {}: \"{}\" is not a duration", name, text), "", "Write a number with ms or s, as in '500ms'.");
}

bool parse_switch(const std::string& name, const std::string& text) {
  if (text == "on" || text == "true") return true;
  if (text == "off" || text == "false") return false;
  refuse(sqlstate::invalid_parameter, fmt::format("option {}: \"{}\" is neither on nor off", name, text));
}

template <typename T>
T known(const std::string& name, const std::string& value, std::optional<T> parsed) {
  if (parsed) return *parsed;
  refuse(sqlstate::feature_not_supported, fmt::format("{} \"{}\" is not in this version", name, value), "",
         fmt::format("Use {} = {}.", name, to_string(T{})));
}

const routing::shard& shard_named(const routing::shard_map& map, const std::string& name) {
  if (const auto* found = map.find_shard(name)) return *found;
  std::string known;
  for (const auto& shard : map.shards()) known += (known.empty() ? "" : ", ") + shard.name;
  refuse(sqlstate::undefined_object, fmt::format("shard \"{}\" does not exist", name), "", fmt::format("Known shards: {}.", known));
}

const routing::shard& target_named(const routing::shard_map& map, const std::string& name) {
  const auto& shard = shard_named(map, name);
  if (shard.state != routing::shard_state::draining) return shard;  // a drained one is put to use again by its first range
  refuse(sqlstate::wrong_state, fmt::format("shard \"{}\" is being drained and gets nothing new", name));
}

// As the console takes it.
std::string typed(const placement_range& range) {
  const auto [lower, upper] = routing::hashes_of_range(range);
  return fmt::format("[{}, {})", range.lower == routing::lowest_placement ? "MINVALUE" : std::to_string(lower), upper ? std::to_string(*upper) : "MAXVALUE");
}

// Deals `ranges` out into `parts` shares of equal width, in order.
std::vector<std::vector<placement_range>> deal(const std::vector<placement_range>& ranges, std::size_t parts) {
  wide total = 0;
  for (const auto& range : ranges) total += width(range);
  std::vector<std::vector<placement_range>> shares(parts);
  wide done = 0;
  for (const auto& range : ranges) {
    wide from = offset(range.lower);
    const wide end = offset(range.upper);
    while (from < end) {
      const auto part = std::min<std::size_t>(static_cast<std::size_t>(done * parts / total), parts - 1);
      const wide share_end = part + 1 == parts ? total : (total * (part + 1) + parts - 1) / parts;
      const wide to = std::min(end, from + (share_end - done));
      shares[part].push_back(between(from, to));
      done += to - from;
      from = to;
    }
  }
  return shares;
}

}  // namespace

std::string way_out(const migration_row& other) {
  if (!before_switch(other.state)) return "Wait for it; SHOW MIGRATION " + std::to_string(other.id) + " tells what it waits for.";
  return fmt::format("Wait for it, or run: CANCEL MIGRATION {};", other.id);
}

void refuse_overlap(const std::vector<migration_row>& unfinished, const migration_row& planned) {
  for (const auto& other : unfinished) {
    if (other.distribution != planned.distribution) continue;
    for (const auto& a : other.ranges) {
      for (const auto& b : planned.ranges) {
        if (a.overlaps(b)) {
          refuse(sqlstate::wrong_state, fmt::format("migration {} is moving a part of these placements", other.id),
                 fmt::format("It is {}.", to_string(other.state)), way_out(other));
        }
      }
    }
  }
}

migration_options parse_options(const option_list& list) {
  migration_options options;
  for (const auto& [name, value] : list) {
    if (name == "strategy") options.strategy = known(name, value, parse_strategy(value));
    else if (name == "transport") options.transport = known(name, value, parse_transport(value));
    else if (name == "max_rate") options.max_rate = parse_bytes(name, value);
    else if (name == "max_pause") options.max_pause = parse_duration(name, value);
    else if (name == "auto_cutover") options.auto_cutover = parse_switch(name, value);
    else refuse(sqlstate::syntax_error, fmt::format("unknown option \"{}\"", name), "", "Known options: strategy, transport, max_rate, max_pause, auto_cutover.");
  }
  return options;
}

std::vector<migration_row> plan_drain(const routing::shard_map& map, const std::vector<migration_row>& unfinished, const drain_shard& wanted) {
  const auto& source = shard_named(map, wanted.shard);
  if (source.id == map.default_shard()) {
    refuse(sqlstate::wrong_state, fmt::format("shard \"{}\" is the default shard and cannot be drained", source.name),
           "It holds the tables that are not sharded.");
  }
  std::vector<routing::shard_id> targets;
  for (const auto& name : wanted.targets) {
    const auto id = target_named(map, name).id;
    if (id == source.id) refuse(sqlstate::invalid_parameter, fmt::format("shard \"{}\" cannot be drained to itself", name));
    if (std::find(targets.begin(), targets.end(), id) != targets.end()) refuse(sqlstate::invalid_parameter, fmt::format("shard \"{}\" is named twice", name));
    targets.push_back(id);
  }
  for (const auto& shard : map.shards()) {
    if (wanted.targets.empty() && shard.id != source.id && shard.state == routing::shard_state::active) targets.push_back(shard.id);
  }
  if (targets.empty()) refuse(sqlstate::wrong_state, fmt::format("there is no active shard that \"{}\" could be drained to", source.name), "", "ADD SHARD first.");

  const auto options = parse_options(wanted.options);
  std::vector<migration_row> rows;
  for (const auto& distribution : map.distributions()) {
    std::vector<placement_range> owned;
    for (const auto& range : distribution.ranges) {
      if (range.owner == source.id) owned.push_back(range.range);
    }
    if (owned.empty()) continue;
    const auto shares = deal(owned, targets.size());
    for (std::size_t i = 0; i < targets.size(); ++i) {
      if (shares[i].empty()) continue;  // fewer placements than targets
      migration_row row;
      row.kind = migration_kind::drain;
      row.distribution = distribution.id;
      row.ranges = shares[i];
      row.source = source.id;
      row.target = targets[i];
      row.options = options;
      refuse_overlap(unfinished, row);
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::vector<migration_row> plan_move(const routing::shard_map& map, const std::vector<migration_row>& unfinished, const move_range& wanted) {
  const auto* distribution = map.find_distribution(wanted.distribution);
  if (!distribution) refuse(sqlstate::undefined_object, fmt::format("distribution \"{}\" does not exist", wanted.distribution));
  const auto& target = target_named(map, wanted.target);
  if (wanted.range.empty()) refuse(sqlstate::invalid_parameter, "the range is empty: its lower bound is not below its upper bound");

  const auto options = parse_options(wanted.options);
  std::vector<migration_row> rows;
  for (const auto& part : distribution->ranges) {
    const auto moved = common(part.range, wanted.range);
    if (moved.empty() || part.owner == target.id) continue;
    auto same = std::find_if(rows.begin(), rows.end(), [&](const migration_row& row) { return row.source == part.owner; });
    if (same == rows.end()) {
      migration_row row;
      row.kind = migration_kind::move_range;
      row.distribution = distribution->id;
      row.source = part.owner;
      row.target = target.id;
      row.options = options;
      same = rows.insert(rows.end(), std::move(row));
    }
    same->ranges.push_back(moved);
  }
  for (const auto& row : rows) refuse_overlap(unfinished, row);
  if (rows.empty()) refuse(sqlstate::wrong_state, fmt::format("shard \"{}\" owns all of this range already", target.name));
  return rows;
}

migration_row plan_retry(const routing::shard_map& map, const std::vector<migration_row>& unfinished, const migration_row& ended) {
  migration_row row;
  row.kind = ended.kind;
  row.distribution = ended.distribution;
  row.ranges = ended.ranges;
  row.source = ended.source;
  row.target = ended.target;
  row.options = ended.options;
  refuse_unless_owned(map, ended);
  const auto* target = map.find_shard(row.target);
  if (!target) refuse(sqlstate::undefined_object, fmt::format("the target of migration {} is not in the map any more", ended.id));
  target_named(map, target->name);
  refuse_overlap(unfinished, row);
  return row;
}

void refuse_unless_owned(const routing::shard_map& map, const migration_row& row) {
  const auto* distribution = map.find_distribution(row.distribution);
  const auto* source = map.find_shard(row.source);
  if (!distribution || !source) refuse(sqlstate::undefined_object, "the source or the distribution of the migration is not in the map any more");
  for (const auto& range : row.ranges) {
    for (const auto& part : distribution->ranges) {
      const auto foreign = common(part.range, range);
      if (foreign.empty() || part.owner == row.source) continue;
      const auto* owner = map.find_shard(part.owner);
      const auto* target = map.find_shard(row.target);
      const auto lost = typed(foreign);
      const bool there = part.owner == row.target || !target;
      refuse(sqlstate::wrong_state, fmt::format("shard \"{}\" does not own all of what migration {} moves", source->name, row.id),
             fmt::format("{} of distribution {} belongs to shard {} by generation {}, so its rows are there.", lost, distribution->name,
                         owner ? owner->name : "?", map.number().value),
             there ? "SHOW RANGES; tells who owns what." : fmt::format("Run: MOVE RANGE {} OF {} TO {};", lost, distribution->name, target->name));
    }
  }
}

void refuse_if_owned(const routing::shard_map& map, const migration_row& row, routing::shard_id shard) {
  const auto* distribution = map.find_distribution(row.distribution);
  if (!distribution) return;
  for (const auto& part : distribution->ranges) {
    if (part.owner != shard) continue;
    for (const auto& range : row.ranges) {
      if (!range.overlaps(part.range)) continue;
      refuse(sqlstate::wrong_state, fmt::format("migration {} must not delete rows from shard \"{}\", which owns {} of distribution {}", row.id,
                                                map.find_shard(shard)->name, typed(part.range), distribution->name));
    }
  }
}

std::vector<routing::owned_range> even_ranges(const routing::shard_map& map) {
  std::vector<const routing::shard*> owners;
  for (const auto& shard : map.shards()) {
    if (shard.state == routing::shard_state::active) owners.push_back(&shard);
  }
  std::sort(owners.begin(), owners.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  std::vector<routing::owned_range> ranges;
  const auto shares = deal({placement_range{}}, owners.size());
  for (std::size_t i = 0; i < owners.size(); ++i) ranges.push_back({shares[i].front(), owners[i]->id});
  return ranges;
}

double share_of(const std::vector<placement_range>& ranges) noexcept {
  double covered = 0;
  for (const auto& range : ranges) covered += static_cast<double>(width(range));
  return covered / static_cast<double>(whole_space);
}

double share_of_shard(const routing::distribution& distribution, routing::shard_id owner) {
  std::vector<placement_range> owned;
  for (const auto& range : distribution.ranges) {
    if (range.owner == owner) owned.push_back(range.range);
  }
  return share_of(owned);
}

std::string to_string(const std::vector<placement_range>& ranges) {
  std::string out;
  for (const auto& range : ranges) {
    const auto [lower, upper] = routing::hashes_of_range(range);
    out += fmt::format("{}[{}, {})", out.empty() ? "" : ", ", lower, upper ? std::to_string(*upper) : "");
  }
  return out;
}

}  // namespace migration
