// GUARD TABLE, UNGUARD TABLE, SHOW TABLES and SHOW ORPHANS, and the ownership guards that nobody asked for by name (ownership.h).
#include <algorithm>

#include <fmt/format.h>

#include "migration/base/log.h"
#include "migration/base/refused.h"
#include "migration/coordinator/coordinator_impl.h"
#include "migration/engine/settle_ownership.h"
#include "migration/pg/relations.h"
#include "migration/plan/columns.h"
#include "migration/shard/guard.h"
#include "migration/shard/ownership.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;
using row_of_text = std::vector<std::optional<std::string>>;

constexpr milliseconds settle_again{30'000};
constexpr milliseconds show_patience{5'000};    // with a shard that does not answer SHOW TABLES
constexpr milliseconds scan_patience{120'000};  // of SHOW ORPHANS with one table of one shard
constexpr int most_counted = 1'000'000, most_keys_shown = 5;

task<std::unique_ptr<pg::connection>> connect_for_show(engine& e, routing::shard_id id) {
  auto options = e.shard_options(id);
  options.timeout = show_patience;
  co_return co_await pg::connection::open(e.executor, std::move(options));
}

// Whose rows may lie on a shard: where they may be written, and what a migration has not cleaned away yet.
std::vector<routing::placement_range> placements_expected(const routing::distribution& distribution, routing::shard_id shard,
                                                          const std::vector<migration_row>& busy) {
  auto out = allowed_ranges(distribution, shard, busy);
  for (const auto& row : busy) {
    const bool concerns = row.distribution == distribution.id && (row.source == shard || row.target == shard);
    if (concerns) out.insert(out.end(), row.ranges.begin(), row.ranges.end());
  }
  return merged(std::move(out));
}

std::string orphans_sql(const routing::table& table, routing::key_type type, const std::vector<routing::placement_range>& expected) {
  const auto key = pg::quote_ident(table.key_column);
  return fmt::format(
      "SET LOCAL statement_timeout = {}; SET LOCAL transaction_read_only = on; SELECT pg_catalog.count(*),"
      " pg_catalog.array_to_string((pg_catalog.array_agg(o.k))[1:{}], ', ') FROM (SELECT {}::pg_catalog.text FROM {} WHERE {} IS NOT TRUE LIMIT {}) o(k)",
      scan_patience.count(), most_keys_shown, key, pg::quote_ident(table.schema, table.name), placement_filter(type, expected, key), most_counted);
}

}  // namespace

std::vector<migration_row> coordinator::impl::current_rows() const {
  auto out = rows;
  for (auto& each : out) {
    if (const auto run = run_of(each.id)) each = run->row();
  }
  return out;
}

task<void> coordinator::impl::refuse_unowned_rows(pg::connection& new_shard) const {
  const auto map = engine.map();
  for (const auto& table : map->tables()) {
    if (!table.distribution) continue;
    const auto quoted = pg::quote_ident(table.schema, table.name);
    const bool found = co_await has_rows(new_shard, quoted);
    if (!found) continue;
    refuse(sqlstate::wrong_state, fmt::format("{}: distributed table {}.{} has rows", new_shard.where(), table.schema, table.name),
           "A new shard owns no placement, so none of its rows would ever be found.", fmt::format("Look at them, then run there: TRUNCATE {};", quoted));
  }
}

task<std::vector<std::string>> coordinator::impl::guard_new_table(const routing::shard_map& next, const routing::table& table) {
  std::exception_ptr failed;
  try {
    for (const auto& shard : next.shards()) {
      const auto connection = co_await engine.connect(shard.id);
      co_await set_owner_guards(*connection, next, shard.id, current_rows(), &table, guard_wish::on);
      const bool written = co_await has_rows(*connection, pg::quote_ident(table.schema, table.name));
      if (!written) continue;
      refuse(sqlstate::wrong_state, fmt::format("table {}.{} on {} has rows", table.schema, table.name, connection->where()),
             "Somebody has written to it since it was looked at.", "Distribute the table while nobody writes to it, then load it through pgrotor.");
    }
    auto notes = co_await stride_new_table(table);
    co_return notes;
  } catch (...) {
    failed = std::current_exception();
  }
  for (const auto& shard : next.shards()) {
    try {
      const auto connection = co_await engine.connect(shard.id);
      co_await drop_owner_guards(*connection, next, &table);
    } catch (const std::exception& error) {
      log_warning("the ownership guard of {}.{}, which was not distributed: {}", table.schema, table.name, error.what());
    }
  }
  std::rethrow_exception(failed);
}

task<void> coordinator::impl::drop_guards_of(pg::connect_options removed, std::shared_ptr<const routing::shard_map> map) {
  try {
    const auto connection = co_await pg::connection::open(engine.executor, std::move(removed));
    co_await drop_owner_guards(*connection, *map);
  } catch (const std::exception& error) {
    log_warning("the ownership guards of a removed shard are still there: {}", error.what());
  }
}

task<void> coordinator::impl::guard_everywhere() {
  if (guards_settled || clock::now() < next_settling) co_return;
  next_settling = clock::now() + settle_again;
  bool all = true;
  const auto map = engine.map();
  for (const auto& shard : map->shards()) {
    try {
      const auto connection = co_await engine.connect(shard.id);
      co_await settle_ownership(engine, *connection, shard.id);
    } catch (const std::exception& error) {
      log_warning("ownership guards: {}; tried again in {} s", error.what(), settle_again.count() / 1000);
      all = false;
    }
  }
  guards_settled = all;
}

const routing::table& coordinator::impl::distributed_table(const routing::shard_map& map, std::string_view schema, std::string_view name, std::string why) {
  bool ambiguous = false;
  if (schema.empty()) schema = "public";
  const auto* table = map.find_table(schema, name, ambiguous);
  if (table && table->distribution) return *table;
  refuse(sqlstate::undefined_object, fmt::format("table \"{}.{}\" is not distributed", schema, name), std::move(why), "SHOW TABLES lists those that are.");
}

task<answer> coordinator::impl::do_guard(guard_table wanted, bool explain) {
  const auto map = engine.map();
  const auto* table = &distributed_table(*map, wanted.schema, wanted.table, "Only tables that are spread over shards have an ownership guard.");
  answer out{{}, {}, wanted.on ? "GUARD TABLE" : "UNGUARD TABLE"};
  if (explain) {
    out = {columns::plan, {{fmt::format("the ownership guard of {}.{} would be switched {} on every shard", table->schema, table->name, wanted.on ? "on" : "off")}},
           "EXPLAIN"};
    co_return out;
  }
  const auto wish = wanted.on ? guard_wish::on : guard_wish::off;
  const auto mine = co_await engine.ownership_turn.lock();
  const auto now = engine.map();
  for (const auto& shard : now->shards()) {
    const auto connection = co_await engine.connect(shard.id);
    co_await set_owner_guards(*connection, *now, shard.id, current_rows(), table, wish);
  }
  co_return out;
}

task<answer> coordinator::impl::show_tables() {
  answer out{columns::tables, {}, "SHOW"};
  const auto map = engine.map();
  std::vector<std::vector<std::string>> states(map->tables().size());
  for (const auto& shard : map->shards()) {
    std::string trouble;
    try {
      const auto connection = co_await connect_for_show(engine, shard.id);
      for (std::size_t i = 0; i < states.size(); ++i) {
        const auto& table = map->tables()[i];
        if (!table.distribution) continue;
        const auto& distribution = *map->find_distribution(*table.distribution);
        const auto state = co_await owner_guard_state(*connection, distribution, table, shard.id, current_rows());
        if (state != "no table") states[i].push_back(state == "on" ? state : shard.name + " " + state);
      }
    } catch (const std::exception& error) {
      trouble = error.what();
    }
    if (!trouble.empty()) {
      for (auto& each : states) each.push_back(shard.name + " unknown: " + trouble);
    }
  }
  for (std::size_t i = 0; i < states.size(); ++i) {
    const auto& table = map->tables()[i];
    row_of_text row{table.schema, table.name, std::nullopt, std::nullopt, std::nullopt, std::nullopt};  // a reference table has nothing more
    if (table.distribution) {
      row[2] = map->find_distribution(*table.distribution)->name;
      row[3] = table.key_column;
      std::erase(states[i], "on");
      row[4] = states[i].empty() ? "on" : fmt::format("{}", fmt::join(states[i], ", "));
      std::vector<std::string> attached;
      for (const auto& each : watch.attached())
        if (each.table == table.schema + "." + table.name) attached.push_back(each.name + " touches " + each.what);
      if (!attached.empty()) row[5] = fmt::format("{}", fmt::join(attached, "; "));
    }
    out.rows.push_back(std::move(row));
  }
  co_return out;
}

task<answer> coordinator::impl::show_orphans() {
  answer out{columns::orphans, {}, "SHOW"};
  const auto names = engine.map();
  for (const auto& shard : names->shards()) {
    for (const auto& table : names->tables()) {
      if (table.distribution) {
        auto row = co_await orphans_of(shard, table);
        if (!row.empty()) out.rows.push_back(std::move(row));
      }
    }
  }
  co_return out;
}

task<row_of_text> coordinator::impl::orphans_of(const routing::shard& shard, const routing::table& table) {
  row_of_text row{shard.name, table.schema, table.name, std::nullopt, std::nullopt, std::nullopt};
  const auto quoted = pg::quote_ident(table.schema, table.name);
  try {
    const auto connection = co_await engine.connect_to_read(shard.id);
    const bool there = co_await relation_exists(*connection, quoted);
    if (!there) co_return row_of_text{};
    for (bool settled = false; !settled;) {  // what a migration moves meanwhile is no orphan
      const auto before = expected_on(shard.id, *table.distribution);
      const auto type = engine.map()->find_distribution(*table.distribution)->type;
      const auto found = co_await connection->query(orphans_sql(table, type, before), scan_patience * 2);
      row[3] = found.str(0, 0);
      if (!found.is_null(0, 1)) row[4] = found.str(0, 1);
      settled = row[3] == "0" || expected_on(shard.id, *table.distribution) == before;
    }
    if (row[3] == std::to_string(most_counted)) row[5] = "counted no further";
  } catch (const std::exception& error) {
    row[5] = error.what();
  }
  co_return row;
}

std::vector<routing::placement_range> coordinator::impl::expected_on(routing::shard_id shard, routing::distribution_id distribution) const {
  auto busy = current_rows();
  std::erase_if(busy, [](const migration_row& row) { return is_final(row.state) || row.state == state::planned; });
  return placements_expected(*engine.map()->find_distribution(distribution), shard, busy);
}

}  // namespace migration
