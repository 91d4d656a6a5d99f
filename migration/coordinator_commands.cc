// What a DBA's commands do. Each EXPLAIN runs the same checks and stops before anything is written.
#include <algorithm>

#include <fmt/format.h>

#include "migration/coordinator_impl.h"
#include "migration/planner.h"
#include "migration/prepare.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;

answer done(std::string tag) { return {{}, {}, std::move(tag)}; }
answer would(std::string text) { return {{"plan"}, {{std::move(text)}}, "EXPLAIN"}; }

task<std::vector<std::string>> all_columns(pg::connection& shard, std::string schema, std::string table) {
  pg::text_params params{schema, table};
  const auto found = co_await shard.exec(
      "SELECT a.attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
      " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
      " WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
      std::move(params));
  std::vector<std::string> names;
  for (int i = 0; i < found.rows(); ++i) names.push_back(found.str(i, 0));
  co_return names;
}

task<void> refuse_rows(pg::connection& shard, const std::string& quoted) {
  const auto found = co_await shard.query("SELECT EXISTS (SELECT FROM " + quoted + ")");
  if (!found.boolean(0, 0)) co_return;
  refuse(sqlstate::wrong_state, fmt::format("table {} on {} has rows", quoted, shard.where()),
         "Distributing it would leave rows on shards that do not own them.", "Distribute the table while it is empty, then load it through pgrotor.");
}

}  // namespace

task<answer> coordinator::impl::execute(request wanted) {
  auto& what = wanted.command;
  const bool explain = wanted.explain;
  if (auto* c = std::get_if<show>(&what)) co_return co_await do_show(*c);
  if (auto* c = std::get_if<add_shard>(&what)) co_return co_await do_add_shard(std::move(*c), explain);
  if (auto* c = std::get_if<remove_shard>(&what)) co_return co_await do_remove_shard(std::move(*c), explain);
  if (auto* c = std::get_if<distribute_table>(&what)) co_return co_await do_distribute(std::move(*c), explain);
  if (auto* c = std::get_if<reference_table>(&what)) co_return co_await do_reference(std::move(*c), explain);
  if (auto* c = std::get_if<drain_shard>(&what)) co_return co_await do_drain(std::move(*c), explain);
  if (auto* c = std::get_if<move_range>(&what)) {
    auto planned = plan_move(*engine.map(), unfinished(), *c);
    co_return co_await add_rows(std::move(planned), explain, "RANGE MOVE");  // libpq takes "MOVE ..." for a cursor's MOVE with a count
  }
  co_return co_await do_alter(std::get<alter_migration>(what), explain);
}

std::vector<migration_row> coordinator::impl::unfinished() const {
  std::vector<migration_row> found;
  for (const auto& row : rows) {
    if (!is_final(row.state)) found.push_back(current && current->row().id == row.id ? current->row() : row);
  }
  std::erase_if(found, [](const migration_row& row) { return is_final(row.state); });
  return found;
}

const migration_row& coordinator::impl::row(std::uint64_t id) const {
  if (current && current->row().id == id) return current->row();
  for (const auto& each : rows) {
    if (each.id == id) return each;
  }
  refuse(sqlstate::undefined_object, fmt::format("migration {} does not exist", id), "", "SHOW MIGRATIONS lists them.");
}

task<answer> coordinator::impl::add_rows(std::vector<migration_row> planned, bool explain, std::string tag) {
  if (explain) co_return co_await plan_answer(planned, "EXPLAIN");
  std::vector<migration_row> made;
  {
    const auto turn = co_await engine.catalog_turn.lock();
    made = co_await engine.catalog->insert(std::move(planned));
  }
  rows.insert(rows.end(), made.begin(), made.end());
  wake.cancel();
  co_return co_await plan_answer(made, std::move(tag));
}

task<answer> coordinator::impl::do_drain(drain_shard wanted, bool explain) {
  const auto map = engine.map();
  auto planned = plan_drain(*map, unfinished(), wanted);
  if (!explain) {
    const auto next = planned.empty() ? routing::shard_state::drained : routing::shard_state::draining;
    auto edit = [&wanted, next](routing::shard_map::parts& parts) {
      for (auto& shard : parts.shards) {
        if (shard.name == wanted.shard) shard.state = next;
      }
    };
    co_await change_map(edit, "drain shard " + wanted.shard);
  }
  co_return co_await add_rows(std::move(planned), explain, "DRAIN SHARD");
}

task<answer> coordinator::impl::do_add_shard(add_shard wanted, bool explain) {
  const auto map = engine.map();
  if (map->find_shard(wanted.name)) refuse(sqlstate::duplicate_object, fmt::format("shard \"{}\" exists already", wanted.name));
  pg::connect_options options = engine.shard_options(map->default_shard());
  const auto& model = map->find_shard(map->default_shard())->dsn;
  options.dsn.replace(0, model.size(), wanted.dsn);
  options.where = "shard " + wanted.name;
  const auto shard = co_await pg::connection::open(engine.executor, std::move(options));
  co_await check_shard(*shard);
  if (explain) co_return would(fmt::format("shard {} can be reached and is fit; schema pgrotor would be created on it", wanted.name));
  co_await init_shard(*shard);
  auto edit = [&wanted](routing::shard_map::parts& parts) {
    std::uint32_t highest = 0;
    for (const auto& each : parts.shards) highest = std::max(highest, each.id.value);
    parts.shards.push_back({routing::shard_id{highest + 1}, wanted.name, wanted.dsn, routing::shard_state::active});
  };
  co_await change_map(edit, "add shard " + wanted.name);
  co_return done("ADD SHARD");
}

task<answer> coordinator::impl::do_remove_shard(remove_shard wanted, bool explain) {
  const auto map = engine.map();
  const auto* shard = map->find_shard(wanted.name);
  if (!shard) refuse(sqlstate::undefined_object, fmt::format("shard \"{}\" does not exist", wanted.name));
  if (shard->id == map->default_shard()) refuse(sqlstate::wrong_state, fmt::format("shard \"{}\" is the default shard", wanted.name));
  for (const auto& distribution : map->distributions()) {
    for (const auto& range : distribution.ranges) {
      if (range.owner == shard->id) {
        refuse(sqlstate::wrong_state, fmt::format("shard \"{}\" owns placements of distribution \"{}\"", wanted.name, distribution.name), "",
               fmt::format("DRAIN SHARD {} first.", wanted.name));
      }
    }
  }
  for (const auto& each : unfinished()) {
    if (each.source == shard->id || each.target == shard->id) {
      refuse(sqlstate::wrong_state, fmt::format("migration {} uses shard \"{}\"", each.id, wanted.name));
    }
  }
  if (explain) co_return would(fmt::format("shard {} would be removed from the map; nothing on it is touched", wanted.name));
  auto edit = [id = shard->id](routing::shard_map::parts& parts) { std::erase_if(parts.shards, [id](const auto& each) { return each.id == id; }); };
  co_await change_map(edit, "remove shard " + wanted.name);
  co_return done("REMOVE SHARD");
}

task<answer> coordinator::impl::do_distribute(distribute_table wanted, bool explain) {
  const auto map = engine.map();
  if (wanted.schema.empty()) wanted.schema = "public";
  bool ambiguous = false;
  if (map->find_table(wanted.schema, wanted.table, ambiguous)) {
    refuse(sqlstate::duplicate_object, fmt::format("table \"{}.{}\" is distributed or a reference table already", wanted.schema, wanted.table));
  }
  routing::table table;
  table.schema = wanted.schema;
  table.name = wanted.table;
  table.key_column = wanted.column;
  std::vector<std::string> views;
  for (const auto& shard : map->shards()) {
    const auto connection = co_await engine.connect(shard.id);
    const auto described = co_await describe_table(*connection, wanted.schema, wanted.table, wanted.column);
    co_await refuse_rows(*connection, pg::quote_ident(wanted.schema, wanted.table));
    table.key_type_oid = described.columns[described.shard_key].type_oid;
    if (shard.id != map->default_shard()) continue;
    table.columns = co_await all_columns(*connection, wanted.schema, wanted.table);
    views = co_await dependent_views(*connection, wanted.schema, wanted.table);
  }
  const auto type = routing::key_type_of_oid(table.key_type_oid);
  if (!type) {
    refuse(sqlstate::feature_not_supported, fmt::format("column \"{}\" of table \"{}\" cannot be a shard key", wanted.column, wanted.table),
           "Its type has no placement hash.", "A shard key is smallint, integer, bigint, text, varchar, char or uuid.");
  }
  const auto name = wanted.distribution.empty() ? wanted.table : wanted.distribution;
  const auto* existing = map->find_distribution(name);
  if (existing && existing->type != *type) {
    refuse(sqlstate::wrong_state, fmt::format("distribution \"{}\" has keys of type {}, column \"{}\" is {}", name,
                                              routing::to_string(existing->type), wanted.column, routing::to_string(*type)));
  }
  if (explain) {
    co_return would(fmt::format("table {}.{} by {} ({}) would join distribution {}{}", wanted.schema, wanted.table, wanted.column,
                                routing::to_string(*type), name, existing ? "" : fmt::format(", new, spread evenly over {} shards", even_ranges(*map).size())));
  }
  for (const auto& each : unfinished()) {
    if (existing && each.distribution == existing->id) {
      refuse(sqlstate::wrong_state, fmt::format("migration {} is moving a part of distribution \"{}\"", each.id, name),
             "A table that joins now would be left behind.", fmt::format("Wait for it, or CANCEL MIGRATION {}.", each.id));
    }
  }
  auto edit = [&](routing::shard_map::parts& parts) {
    parts.schema_version = parts.number;
    auto found = std::find_if(parts.distributions.begin(), parts.distributions.end(), [&](const auto& each) { return each.name == name; });
    if (found == parts.distributions.end()) {
      std::uint32_t highest = 0;
      for (const auto& each : parts.distributions) highest = std::max(highest, each.id.value);
      found = parts.distributions.insert(parts.distributions.end(), {routing::distribution_id{highest + 1}, name, *type, even_ranges(*engine.map())});
    }
    table.distribution = found->id;
    parts.tables.push_back(table);
    for (auto& view : views) {
      if (std::find(parts.dependent_views.begin(), parts.dependent_views.end(), view) == parts.dependent_views.end()) parts.dependent_views.push_back(view);
    }
  };
  co_await change_map(edit, fmt::format("distribute {}.{} by {}", wanted.schema, wanted.table, wanted.column));
  co_return done("DISTRIBUTE TABLE");
}

task<answer> coordinator::impl::do_reference(reference_table wanted, bool explain) {
  const auto map = engine.map();
  if (wanted.schema.empty()) wanted.schema = "public";
  bool ambiguous = false;
  if (map->find_table(wanted.schema, wanted.table, ambiguous)) {
    refuse(sqlstate::duplicate_object, fmt::format("table \"{}.{}\" is distributed or a reference table already", wanted.schema, wanted.table));
  }
  routing::table table;
  table.schema = wanted.schema;
  table.name = wanted.table;
  for (const auto& shard : map->shards()) {
    const auto connection = co_await engine.connect(shard.id);
    table.columns = co_await all_columns(*connection, wanted.schema, wanted.table);
    if (table.columns.empty()) {
      refuse(sqlstate::undefined_object, fmt::format("table \"{}.{}\" does not exist on shard {}", wanted.schema, wanted.table, shard.name), "",
             "Create it on every shard by psql first.");
    }
  }
  if (explain) co_return would(fmt::format("table {}.{} would be a reference table", wanted.schema, wanted.table));
  auto edit = [&](routing::shard_map::parts& parts) {
    parts.schema_version = parts.number;
    parts.tables.push_back(table);
  };
  co_await change_map(edit, fmt::format("reference table {}.{}", wanted.schema, wanted.table));
  co_return done("REFERENCE TABLE");
}

task<answer> coordinator::impl::do_alter(alter_migration wanted, bool explain) {
  const auto& found = row(wanted.id);
  const bool running = current && current->row().id == wanted.id;
  if (explain) co_return would(fmt::format("migration {} is {}", found.id, to_string(found.state)));
  switch (wanted.verb) {
    case migration_verb::pause:
      if (!running) refuse(sqlstate::wrong_state, fmt::format("migration {} is {} and cannot be paused", found.id, to_string(found.state)));
      current->wish_pause();
      co_return done("PAUSE");
    case migration_verb::cutover:
      if (!running) refuse(sqlstate::wrong_state, fmt::format("migration {} is {} and not running", found.id, to_string(found.state)));
      current->wish_cutover();
      co_return done("CUTOVER");
    case migration_verb::retry: {
      if (found.state != state::failed && found.state != state::cancelled) {
        refuse(sqlstate::wrong_state, fmt::format("migration {} is {}", found.id, to_string(found.state)), "", "RETRY takes a FAILED or CANCELLED migration.");
      }
      migration_row again;
      again.kind = found.kind;
      again.distribution = found.distribution;
      again.ranges = found.ranges;
      again.source = found.source;
      again.target = found.target;
      again.options = found.options;
      std::vector<migration_row> planned{again};
      co_return co_await add_rows(std::move(planned), false, "RETRY");
    }
    case migration_verb::cancel:
      if (running) {
        current->wish_cancel();
        co_return done("CANCEL");
      }
      break;
    case migration_verb::resume: break;
  }
  // Not running: it waits for a DBA, or is PLANNED behind another one.
  const bool resume = wanted.verb == migration_verb::resume;
  auto& mine = *std::find_if(rows.begin(), rows.end(), [&](const migration_row& each) { return each.id == wanted.id; });
  const auto next = mine.state == state::switched ? state::cleaning : mine.resume_to.value_or(state::copying);
  const auto to = resume ? next : state::cancelled;
  if (resume ? !waits_for_dba(mine) : !may_go(mine.state, to)) {
    refuse(sqlstate::wrong_state, fmt::format("migration {} is {}", mine.id, to_string(mine.state)));
  }
  {
    const auto turn = co_await engine.catalog_turn.lock();
    const auto from = mine.state;
    journal_entry entry{std::string(to_string(from)), std::string(to_string(to)), "", mine.attempt, 0, "by a DBA"};
    if (resume) mine.resume_to.reset();
    co_await engine.catalog->advance(mine, from, to, std::move(entry));
  }
  if (!resume) to_undo.push_back(mine.id);
  wake.cancel();
  co_return done(resume ? "RESUME" : "CANCEL");
}

}  // namespace migration
