#include "migration/shard/ownership.h"

#include <algorithm>

#include <fmt/format.h>

#include "migration/pg/lock_retry.h"
#include "migration/pg/relations.h"
#include "migration/plan/planner.h"
#include "migration/shard/guard.h"
#include "migration/shard/sql_text.h"

namespace migration {
namespace {

constexpr milliseconds guard_wait{60'000};

// From PREPARE's guards on the mover brings rows; a set that has switched is the target's by the map as well.
bool brings_rows(state s) noexcept { return !is_final(s) && !is_undoing(s) && s != state::planned; }

std::string_view wish_word(guard_wish wish) noexcept { return wish == guard_wish::on ? "on" : wish == guard_wish::off ? "off" : "keep"; }

// The trigger's comment, by which an outdated one is known.
std::string owned_text(const std::vector<routing::placement_range>& ranges) {
  return ranges.empty() ? "pgrotor: this shard owns no row of this table" : "pgrotor: this shard owns placements " + to_string(ranges);
}

std::string set_guard_sql(const std::string& quoted, const std::string& key, routing::key_type type,
                          const std::vector<routing::placement_range>& ranges, guard_wish wish) {
  const auto elsewhere = placement_filter(type, ranges, "NEW." + pg::quote_ident(key)) + " IS NOT TRUE";
  return fmt::format("SELECT pgrotor.set_owner_guard({}::pg_catalog.regclass, {}, {}, {}, '{}');", pg::quote_literal(quoted), pg::quote_literal(key),
                     pg::quote_literal(elsewhere), pg::quote_literal(owned_text(ranges)), wish_word(wish));
}

std::vector<const routing::table*> distributed(const routing::shard_map& map, const routing::table* only) {
  std::vector<const routing::table*> out;
  for (const auto& table : map.tables()) {
    if (table.distribution && (!only || (table.schema == only->schema && table.name == only->name))) out.push_back(&table);
  }
  return out;
}

}  // namespace

std::vector<routing::placement_range> merged(std::vector<routing::placement_range> ranges) {
  std::ranges::sort(ranges, {}, &routing::placement_range::lower);
  std::vector<routing::placement_range> out;
  for (const auto& range : ranges) {
    if (out.empty() || out.back().upper < range.lower) out.push_back(range);
    else out.back().upper = std::max(out.back().upper, range.upper);
  }
  return out;
}

std::vector<routing::placement_range> allowed_ranges(const routing::distribution& distribution, routing::shard_id shard,
                                                     const std::vector<migration_row>& rows) {
  std::vector<routing::placement_range> out;
  for (const auto& each : distribution.ranges) {
    if (each.owner == shard) out.push_back(each.range);
  }
  for (const auto& row : rows) {
    if (row.distribution == distribution.id && row.target == shard && brings_rows(row.state)) out.insert(out.end(), row.ranges.begin(), row.ranges.end());
  }
  return merged(std::move(out));
}

task<void> set_owner_guards(pg::connection& shard, const routing::shard_map& map, routing::shard_id id, const std::vector<migration_row>& rows,
                            const routing::table* only, guard_wish wish, newcomer_gate* gate) {
  std::vector<lock_step> steps;
  for (const auto* table : distributed(map, only)) {
    const auto quoted = pg::quote_ident(table->schema, table->name);
    const bool there = co_await relation_exists(shard, quoted);
    if (!there) continue;
    const auto& distribution = *map.find_distribution(*table->distribution);
    auto sql = set_guard_sql(quoted, table->key_column, distribution.type, allowed_ranges(distribution, id, rows), wish);
    steps.push_back({std::move(sql), quoted, "set the ownership guard of " + quoted});
  }
  co_await take_locks(shard, std::move(steps), guard_wait, gate);
}

task<std::string> guards_of_new_tables(pg::connection& source, const std::vector<moving_table>& tables, routing::key_type type) {
  std::string out;
  for (const auto& table : tables) {
    const auto state = co_await source.query("SELECT pgrotor.owner_guard(" + pg::quote_literal(qualified(table)) + "::pg_catalog.regclass, '')");
    const auto wish = state.get(0, 0) == "off" ? guard_wish::off : guard_wish::on;
    out += set_guard_sql(qualified(table), table.columns[table.shard_key].name, type, {}, wish);
  }
  co_return out;
}

task<void> drop_owner_guards(pg::connection& shard, const routing::shard_map& map, const routing::table* only) {
  std::vector<lock_step> steps;
  for (const auto* table : distributed(map, only)) {
    const auto quoted = pg::quote_ident(table->schema, table->name);
    const bool there = co_await relation_exists(shard, quoted);
    if (there) {
      steps.push_back({"DROP TRIGGER IF EXISTS \"~~pgrotor_owner\" ON " + quoted, quoted, "drop the ownership guard of " + quoted, true});
    }
  }
  co_await take_locks(shard, std::move(steps), guard_wait);
}

task<std::string> owner_guard_state(pg::connection& shard, const routing::distribution& distribution, const routing::table& table,
                                    routing::shard_id id, const std::vector<migration_row>& rows) {
  const auto quoted = pg::quote_ident(table.schema, table.name);
  const bool there = co_await relation_exists(shard, quoted);
  if (!there) co_return "no table";
  const auto owned = owned_text(allowed_ranges(distribution, id, rows));
  const auto found = co_await shard.query(fmt::format("SELECT pgrotor.owner_guard({}::pg_catalog.regclass, {})", pg::quote_literal(quoted), pg::quote_literal(owned)));
  co_return found.str(0, 0);
}

}  // namespace migration
