// What a DBA's commands do. Each EXPLAIN runs the same checks and stops before anything is written.
#include <algorithm>

#include <fmt/format.h>

#include "migration/base/test_hooks.h"
#include "migration/coordinator/coordinator_impl.h"
#include "migration/pg/relations.h"
#include "migration/plan/columns.h"
#include "migration/plan/planner.h"
#include "migration/shard/checks.h"
#include "migration/shard/equal_shards.h"
#include "migration/shard/hidden_access.h"
#include "migration/shard/identity.h"
#include "migration/shard/ownership.h"
#include "migration/shard/prepare.h"
#include "migration/shard/reference_tables.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;

// `notes`: what a DBA should know, a line each.
answer done(std::string tag, const std::vector<std::string>& notes = {}) {
  answer made{{}, {}, std::move(tag)};
  if (!notes.empty()) made.columns = columns::note;
  for (const auto& line : notes) made.rows.push_back({line});
  return made;
}

answer would(std::string text, const std::vector<std::string>& notes = {}) {
  answer made{columns::plan, {{std::move(text)}}, "EXPLAIN"};
  for (const auto& line : notes) made.rows.push_back({line});
  return made;
}

answer with_warnings(answer made, std::vector<protocol::notice> warnings) {
  made.warnings = std::move(warnings);
  return made;
}

// WITH (trust = 'a, b'): triggers and the like that the DBA knows to stay with the rows of one shard key.
std::vector<std::string> trusted_of(const option_list& options) {
  std::vector<std::string> names;
  for (const auto& [name, value] : options) {
    if (name != "trust") {
      refuse(sqlstate::invalid_parameter, fmt::format("DISTRIBUTE TABLE has no option {}", name), "", "It has trust = 'trigger, policy, ...'.");
    }
    for (std::size_t from = 0; from <= value.size();) {
      const auto comma = std::min(value.find(',', from), value.size());
      auto one = value.substr(from, comma - from);
      one.erase(0, one.find_first_not_of(' '));
      one.erase(one.find_last_not_of(' ') + 1);
      names.push_back(std::move(one));
      from = comma + 1;
    }
  }
  return names;
}

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

task<void> find_rows(pg::connection& shard, const distribute_table& wanted, problems& found) {
  const auto quoted = pg::quote_ident(wanted.schema, wanted.table);
  const bool some = co_await has_rows(shard, quoted);
  if (!some) co_return;
  found.add(sqlstate::wrong_state, fmt::format("table {} on {} has rows", quoted, shard.where()),
            "Distributing it would leave rows on shards that do not own them.", "Distribute the table while it is empty, then load it through pgrotor.");
}

task<std::optional<moving_table>> describe_into(pg::connection& shard, const distribute_table& wanted, problems& found) {
  std::optional<moving_table> out;
  try {
    out = co_await describe_table(shard, wanted.schema, wanted.table, wanted.column);
  } catch (const refused& error) {
    found.add(error.notice);
  }
  co_return out;
}

void refuse_known(const routing::shard_map& map, const std::string& schema, const std::string& table) {
  bool ambiguous = false;
  if (!map.find_table(schema, table, ambiguous)) return;
  refuse(sqlstate::duplicate_object, fmt::format("table \"{}.{}\" is distributed or a reference table already", schema, table));
}

bool has_remainder_of(const routing::shard_map& map, routing::shard_id id) {
  return std::ranges::any_of(map.shards(), [id](const auto& each) { return sequence_remainder(each.id) == sequence_remainder(id); });
}

// One that no shard has had, and with a remainder of its own for the values of sequences.
task<routing::shard_id> new_shard_id(engine& e) {
  if (e.map()->shards().size() >= static_cast<std::size_t>(sequence_stride)) {
    refuse(sqlstate::configuration_limit_exceeded, fmt::format("there are {} shards already", sequence_stride));
  }
  const auto turn = co_await e.catalog_turn.lock();
  routing::shard_id id;
  do {
    id.value = co_await e.book().next_shard_number();
  } while (has_remainder_of(*e.map(), id));
  co_return id;
}

std::vector<std::string> quoted_tables(const routing::shard_map& map) {
  std::vector<std::string> names;
  for (const auto& table : map.tables()) names.push_back(pg::quote_ident(table.schema, table.name));
  return names;
}

// Every shard, or the newcomer, held against the default shard; returns what is only told.
task<std::vector<protocol::notice>> compare_with_default(engine& engine, std::vector<std::string> tables, problems& refused,
                                                         pg::connection* newcomer = nullptr) {
  const auto map = engine.map();
  std::vector<std::unique_ptr<pg::connection>> opened;
  auto standard = co_await engine.connect(map->default_shard());
  std::vector<pg::connection*> shards{standard.get()};
  if (newcomer) shards.push_back(newcomer);
  for (const auto& shard : map->shards()) {
    if (newcomer || shard.id == map->default_shard()) continue;
    auto other = co_await engine.connect(shard.id);
    shards.push_back(other.get());
    opened.push_back(std::move(other));
  }
  problems told;
  co_await compare_shards(std::move(shards), std::move(tables), refused, told);
  co_return told.all();
}

// The copies of a table that is to be a reference table.
task<void> compare_copies(engine& engine, routing::table table, problems& found) {
  const auto map = engine.map();
  const auto standard = co_await engine.connect(map->default_shard());
  const compared_shard from{*standard, map->find_shard(map->default_shard())->dsn};
  const std::vector<routing::table> tables{std::move(table)};
  for (const auto& shard : map->shards()) {
    if (shard.id == map->default_shard()) continue;
    const auto other = co_await engine.connect(shard.id);
    const compared_shard to{*other, shard.dsn};
    co_await compare_references(from, to, tables, found);
  }
}

// Shards, tables, or who is to own what: what such a command has looked at must be so still when it takes effect.
bool changes_what_there_is(const command& what) {
  const auto* verb = std::get_if<alter_migration>(&what);
  return verb ? verb->verb == migration_verb::retry : !std::holds_alternative<show>(what);
}

std::vector<routing::table> references_of(const routing::shard_map& map) {
  std::vector<routing::table> out;
  for (const auto& table : map.tables())
    if (!table.distribution) out.push_back(table);
  return out;
}

}  // namespace

task<answer> coordinator::impl::execute(request wanted) {
  if (wanted.explain || !changes_what_there_is(wanted.command)) co_return co_await obey(std::move(wanted));
  const auto mine = co_await command_turn.lock();
  co_return co_await obey(std::move(wanted));
}

task<answer> coordinator::impl::obey(request wanted) {
  auto& what = wanted.command;
  const bool explain = wanted.explain;
  if (auto* c = std::get_if<show>(&what)) co_return co_await do_show(*c);
  if (auto* c = std::get_if<add_shard>(&what)) co_return co_await do_add_shard(std::move(*c), explain);
  if (auto* c = std::get_if<remove_shard>(&what)) co_return co_await do_remove_shard(std::move(*c), explain);
  if (auto* c = std::get_if<distribute_table>(&what)) co_return co_await do_distribute(std::move(*c), explain);
  if (auto* c = std::get_if<reference_table>(&what)) co_return co_await do_reference(std::move(*c), explain);
  if (auto* c = std::get_if<guard_table>(&what)) co_return co_await do_guard(std::move(*c), explain);
  if (auto* c = std::get_if<align_table_sequences>(&what)) co_return co_await do_align(std::move(*c), explain);
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
    const auto run = run_of(row.id);
    if (!is_final(row.state)) found.push_back(run ? run->row() : row);
  }
  std::erase_if(found, [](const migration_row& row) { return is_final(row.state); });
  return found;
}

const migration_row& coordinator::impl::row(std::uint64_t id) const {
  if (const auto run = running.find(id); run != running.end()) return run->second->row();
  for (const auto& each : rows) {
    if (each.id == id) return each;
  }
  refuse(sqlstate::undefined_object, fmt::format("migration {} does not exist", id), "", "SHOW MIGRATIONS lists them.");
}

task<answer> coordinator::impl::do_drain(drain_shard wanted, bool explain) {
  auto planned = plan_drain(*engine.map(), unfinished(), wanted);
  const auto next = planned.empty() ? routing::shard_state::drained : routing::shard_state::draining;
  const auto edit = [name = wanted.shard, next](routing::shard_map::parts& parts) {
    for (auto& shard : parts.shards) {
      if (shard.name == name) shard.state = next;
    }
  };
  co_return co_await add_rows(std::move(planned), explain, "DRAIN SHARD", edit, "drain shard " + wanted.shard);
}

task<answer> coordinator::impl::do_add_shard(add_shard wanted, bool explain) {
  const auto map = engine.map();
  if (map->find_shard(wanted.name)) refuse(sqlstate::duplicate_object, fmt::format("shard \"{}\" exists already", wanted.name));
  pg::connect_options options = engine.shard_options(map->default_shard());
  const auto& model = map->find_shard(map->default_shard())->dsn;
  options.dsn.replace(0, model.size(), wanted.dsn);
  options.where = "shard " + wanted.name;
  options.greeting.clear();
  const auto shard = co_await pg::connection::open(engine.executor, std::move(options));
  co_await check_new_shard(*shard);
  co_await refuse_unowned_rows(*shard);
  auto tables = quoted_tables(*map);
  problems found;
  auto told = co_await compare_with_default(engine, std::move(tables), found, shard.get());
  {
    const auto standard = co_await engine.connect(map->default_shard());
    const compared_shard from{*standard, model}, to{*shard, wanted.dsn};
    const auto references = references_of(*map);
    co_await compare_references(from, to, references, found);
  }
  found.refuse_if_any(shard->where());
  if (explain) {
    co_return with_warnings(would(fmt::format("shard {} can be reached and is fit; schema pgrotor would be created on it", wanted.name)), std::move(told));
  }
  engine.demand_catalog();
  const auto id = co_await new_shard_id(engine);
  shard_claim claim{engine.pass.cluster, id, wanted.name, {}};
  const auto known = engine.map();
  for (const auto& each : known->shards()) claim.taken.push_back(each.id);
  co_await init_shard(*shard, std::move(claim));
  const auto mine = co_await engine.ownership_turn.lock();
  const std::vector<migration_row> none;
  const auto now = engine.map();
  co_await set_owner_guards(*shard, *now, id, none);  // of tables that are there already: it owns no row of them yet
  auto edit = [&wanted, id](routing::shard_map::parts& parts) {
    parts.shards.push_back({id, wanted.name, wanted.dsn, routing::shard_state::active});
  };
  co_await change_map(edit, "add shard " + wanted.name);
  co_return with_warnings(done("ADD SHARD"), std::move(told));
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
    if (is_undoing(each.state)) continue;  // on a shard that is gone there is nothing to undo
    if (each.source == shard->id || each.target == shard->id) {
      refuse(sqlstate::wrong_state, fmt::format("migration {} uses shard \"{}\"", each.id, wanted.name));
    }
  }
  co_await engine.recovery->refuse_if_needed(shard->id);
  if (explain) co_return would(fmt::format("shard {} would be removed from the map; of what is on it only the ownership guards would be dropped", wanted.name));
  auto edit = [id = shard->id](routing::shard_map::parts& parts) { std::erase_if(parts.shards, [id](const auto& each) { return each.id == id; }); };
  auto removed = engine.shard_options(shard->id);
  co_await change_map(edit, "remove shard " + wanted.name);
  co_await drop_guards_of(std::move(removed), map);
  co_return done("REMOVE SHARD");
}

// What every shard says of a table that is to be distributed; columns and key type as on the default shard.
task<void> coordinator::impl::inspect_on_all(const distribute_table& wanted, routing::table& table, hidden_objects& hidden, problems& found) {
  const auto map = engine.map();
  const auto model = co_await engine.connect(map->default_shard());
  const auto described = co_await describe_into(*model, wanted, found);
  if (!described) co_return;
  table.key_type_oid = described->columns[described->shard_key].type_oid;
  table.columns = co_await all_columns(*model, wanted.schema, wanted.table);
  hidden = co_await read_hidden(*model, map->all(), &table);
  co_await check_table(*model, *described, found);
  co_await find_rows(*model, wanted, found);
  co_await check_names(*model, found);
  for (const auto& shard : map->shards()) {
    if (shard.id == map->default_shard()) continue;
    const auto connection = co_await engine.connect(shard.id);
    co_await check_names(*connection, found);
    problems here;
    const auto twin = co_await describe_into(*connection, wanted, here);
    if (twin) {
      co_await check_table(*connection, *twin, here);
      co_await check_alike(*model, *connection, *described, here);
      co_await find_rows(*connection, wanted, found);
    }
    auto more = co_await read_hidden(*connection, map->all(), &table);
    hidden.merge(std::move(more));
    found.add_of(connection->where(), here, true);
  }
}

task<answer> coordinator::impl::do_distribute(distribute_table wanted, bool explain) {
  const auto map = engine.map();
  if (wanted.schema.empty()) wanted.schema = "public";
  refuse_known(*map, wanted.schema, wanted.table);
  routing::table table;
  table.schema = wanted.schema;
  table.name = wanted.table;
  table.key_column = wanted.column;
  hidden_objects hidden;
  problems found;
  co_await inspect_on_all(wanted, table, hidden, found);
  judge_attached(hidden, table, trusted_of(wanted.options), found);
  const auto type = routing::key_type_of_oid(table.key_type_oid);
  if (table.key_type_oid != 0 && !type) {
    found.add(sqlstate::feature_not_supported, fmt::format("column \"{}\" of table \"{}\" cannot be a shard key", wanted.column, wanted.table),
              "Its type has no placement hash.", "A shard key is smallint, integer, bigint, text, varchar, char or uuid.");
  }
  const auto name = wanted.distribution.empty() ? wanted.table : wanted.distribution;
  const auto* existing = map->find_distribution(name);
  if (existing && type && existing->type != *type) {
    found.add(sqlstate::wrong_state, fmt::format("distribution \"{}\" has keys of type {}, column \"{}\" is {}", name,
                                                 routing::to_string(existing->type), wanted.column, routing::to_string(*type)), "", "");
  }
  for (const auto& each : unfinished()) {
    if (existing && each.distribution == existing->id) {
      found.add(sqlstate::wrong_state, fmt::format("migration {} is moving a part of distribution \"{}\"", each.id, name),
                "A table that joins now would be left behind.", way_out(each));
    }
  }
  std::vector<std::string> tables{pg::quote_ident(wanted.schema, wanted.table)};
  auto told = co_await compare_with_default(engine, std::move(tables), found);
  found.refuse_if_any(fmt::format("table {}.{}", wanted.schema, wanted.table));
  const auto unreachable = hidden.added_to(map->all());
  if (explain) {
    auto plan = would(fmt::format("table {}.{} by {} ({}) would join distribution {}{}", wanted.schema, wanted.table, wanted.column,
                                  routing::to_string(*type), name, existing ? "" : fmt::format(", new, spread evenly over {} shards", even_ranges(*map).size())),
                      unreachable);
    co_return with_warnings(std::move(plan), std::move(told));
  }
  auto edit = [&](routing::shard_map::parts& parts) {
    parts.schema_version = parts.number;
    auto mine = std::find_if(parts.distributions.begin(), parts.distributions.end(), [&](const auto& each) { return each.name == name; });
    if (mine == parts.distributions.end()) {
      std::uint32_t highest = 0;
      for (const auto& each : parts.distributions) highest = std::max(highest, each.id.value);
      mine = parts.distributions.insert(parts.distributions.end(), {routing::distribution_id{highest + 1}, name, *type, even_ranges(*engine.map())});
    }
    table.distribution = mine->id;
    parts.tables.push_back(table);
    hidden.store(parts);
  };
  PGROTOR_STOP_POINT("distribute.inspected");
  const auto mine = co_await engine.ownership_turn.lock();
  auto next = engine.map()->all();
  edit(next);
  const auto guarded = routing::shard_map::make(next);
  auto notes = co_await guard_new_table(*guarded, table);
  co_await change_map(edit, fmt::format("distribute {}.{} by {}", wanted.schema, wanted.table, wanted.column));
  notes.insert(notes.end(), unreachable.begin(), unreachable.end());
  co_return with_warnings(done("DISTRIBUTE TABLE", std::move(notes)), std::move(told));
}

task<answer> coordinator::impl::do_reference(reference_table wanted, bool explain) {
  const auto map = engine.map();
  if (wanted.schema.empty()) wanted.schema = "public";
  refuse_known(*map, wanted.schema, wanted.table);
  routing::table table;
  table.schema = wanted.schema;
  table.name = wanted.table;
  hidden_objects hidden;
  problems wrong;
  for (const auto& shard : map->shards()) {
    const auto connection = co_await engine.connect(shard.id);
    table.columns = co_await all_columns(*connection, wanted.schema, wanted.table);
    if (table.columns.empty()) {
      refuse(sqlstate::undefined_object, fmt::format("table \"{}.{}\" does not exist on shard {}", wanted.schema, wanted.table, shard.name), "",
             "Create it on every shard by psql first.");
    }
    auto here = co_await read_hidden(*connection, map->all(), &table);
    std::erase_if(here.attached, [](const auto& each) { return !each.name.starts_with("policy "); });  // the others run when it is written
    hidden.merge(std::move(here));
  }
  judge_attached(hidden, table, {}, wrong);
  std::vector<std::string> tables{pg::quote_ident(wanted.schema, wanted.table)};
  auto told = co_await compare_with_default(engine, std::move(tables), wrong);
  co_await compare_copies(engine, table, wrong);
  wrong.refuse_if_any(fmt::format("table {}.{} cannot be a reference table", wanted.schema, wanted.table));
  const auto unreachable = hidden.added_to(map->all());
  if (explain) {
    co_return with_warnings(would(fmt::format("table {}.{} would be a reference table", wanted.schema, wanted.table), unreachable), std::move(told));
  }
  auto edit = [&](routing::shard_map::parts& parts) {
    parts.schema_version = parts.number;
    parts.tables.push_back(table);
    hidden.store(parts);
  };
  co_await change_map(edit, fmt::format("reference table {}.{}", wanted.schema, wanted.table));
  co_return with_warnings(done("REFERENCE TABLE", unreachable), std::move(told));
}

}  // namespace migration
