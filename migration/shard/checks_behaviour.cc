// What statements on a table do beside reading and writing its rows must be the same on both shards, or it changes with the move, and so must
// be who may do it (checks.h).
#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "migration/base/sql.h"
#include "migration/shard/checks.h"
#include "migration/shard/sql_text.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;

struct property {
  std::string relation, kind, name, what, make, remove;
  auto identity() const { return std::tie(relation, kind, what); }
};

task<std::vector<property>> properties_of(pg::connection& connection, const moving_table& table) {
  const auto relation = pg::quote_literal(qualified(table)) + "::regclass";
  const auto rows = co_await connection.query(replaced(std::string(sql::behaviour_of_table), "$table", relation));
  std::vector<property> out;
  for (int row = 0; row < rows.rows(); ++row) {
    out.push_back({rows.str(row, 0), rows.str(row, 1), rows.str(row, 2), rows.str(row, 3), rows.str(row, 4), rows.str(row, 5)});
  }
  co_return out;
}

// Of `properties`, those that `others` has not, on relations that both have.
std::vector<property> without(const std::vector<property>& properties, const std::vector<property>& others) {
  std::vector<property> out;
  for (const auto& each : properties) {
    const auto same = [&](const property& other) { return other.identity() == each.identity(); };
    const auto there = [&](const property& other) { return other.kind == "relation" && other.relation == each.relation; };
    const auto takes_all = [&](const property& other) {
      return other.kind == each.kind && other.relation == each.relation && other.what == "DEFAULT";
    };
    if (each.kind == "relation" || std::ranges::any_of(others, same) || std::ranges::none_of(others, there)) continue;
    if (each.kind == "partition" && std::ranges::any_of(others, takes_all)) continue;
    out.push_back(each);
  }
  return out;
}

std::string named(const property& each) { return each.name.empty() ? each.kind : each.kind + " " + each.name; }

constexpr std::string_view would_change = "What statements do to the rows would change with the move: ";

bool same_name(const property& a, const property& b) { return a.relation == b.relation && a.kind == b.kind && a.name == b.name; }

void tell_missing(const property& each, const std::vector<property>& extra, const std::string& here, const std::string& there,
                  problems& found) {
  const auto twin = std::ranges::find_if(extra, [&](const property& other) { return same_name(each, other); });
  if (twin == extra.end()) {
    found.add(sqlstate::wrong_state, fmt::format("{}: table {} lacks {} that it has on {}", there, each.relation, named(each), here),
              fmt::format("{}{}.", would_change, each.what), "Run: " + each.make);
  } else {
    found.add(sqlstate::wrong_state, fmt::format("{}: table {} has another {} than on {}", there, each.relation, named(each), here),
              fmt::format("{}{} there, {} here.", would_change, twin->what, each.what), fmt::format("Run: {} {}", twin->remove, each.make));
  }
}

void tell_extra(const property& each, const std::vector<property>& missing, const std::string& here, const std::string& there,
                problems& found) {
  const auto twin = [&](const property& other) { return same_name(each, other); };
  if (each.kind == "partition" || std::ranges::any_of(missing, twin)) return;
  found.add(sqlstate::wrong_state, fmt::format("{}: table {} has {} that it lacks on {}", there, each.relation, named(each), here),
            fmt::format("{}{}.", would_change, each.what), fmt::format("Run: {} Or on {}: {}", each.remove, here, each.make));
}

// As a row of VALUES.
std::string listed(const pg::result& rows, int row) {
  std::string out;
  for (int column = 0; column < 5; ++column) out += (column > 0 ? ", " : "(") + pg::quote_literal(rows.get(row, column));
  return out + ")";
}

}  // namespace

task<void> check_behaviour(pg::connection& source, pg::connection& target, const moving_table& table, problems& found) {
  problems unfit;  // what is refused as such need not be made alike first
  co_await check_table(source, table, unfit);
  co_await check_table(target, table, unfit);
  if (!unfit.empty()) co_return;
  const auto here = co_await properties_of(source, table);
  const auto there = co_await properties_of(target, table);
  const auto missing = without(here, there), extra = without(there, here);
  for (const auto& each : missing) tell_missing(each, extra, source.where(), target.where(), found);
  for (const auto& each : extra) tell_extra(each, missing, source.where(), target.where(), found);
}

task<void> check_grants(pg::connection& source, pg::connection& target, const std::vector<moving_table>& tables, problems& found) {
  if (tables.empty()) co_return;
  std::string list;
  const auto rows = co_await source.query(replaced(std::string(sql::grants_of_tables), "$tables", relation_array(tables)));
  std::set<std::string> roles;
  for (int row = 0; row < rows.rows(); ++row) {
    list += (row > 0 ? ", " : "") + listed(rows, row);
    if (rows.get(row, 0) != "public") roles.insert(rows.str(row, 0));
  }
  if (list.empty()) co_return;
  co_await check_roles(source, target, std::move(roles), found);
  // A table that is to be made gets its grants with it.
  const auto lacking = co_await target.query(fmt::format(
      "SELECT role, kind, object, string_agg(privilege || part, ', ' ORDER BY privilege, part), quote_ident(role) FROM ("
      "SELECT g.role, g.kind, g.object, g.privilege, CASE WHEN g.part = '' THEN '' ELSE format(' (%I)', g.part) END AS part"
      " FROM (VALUES {}) g(role, kind, object, privilege, part)"
      " CROSS JOIN LATERAL (SELECT g.role = 'public' OR EXISTS (SELECT FROM pg_roles WHERE rolname = g.role) AS is_there) r"
      " WHERE CASE WHEN g.kind <> 'schema' AND to_regclass(g.object) IS NULL THEN false WHEN NOT r.is_there THEN true"
      " WHEN g.kind = 'table' THEN NOT has_table_privilege(g.role, g.object, g.privilege)"
      " WHEN g.kind = 'column' THEN NOT has_column_privilege(g.role, g.object, g.part, g.privilege)"
      " WHEN to_regnamespace(g.object) IS NULL THEN true ELSE NOT has_schema_privilege(g.role, to_regnamespace(g.object), g.privilege) END) l"
      " GROUP BY role, kind, object ORDER BY kind, object, role", list));
  for (int row = 0; row < lacking.rows(); ++row) {
    const auto role = lacking.str(row, 0);
    const bool schema = lacking.get(row, 1) == "schema";
    const auto what = lacking.get(row, 3), object = lacking.get(row, 2);
    found.add(sqlstate::insufficient_privilege,
              fmt::format("{}: role {} has no right to {} on {} {}", target.where(), role, what, schema ? "schema" : "table", object),
              fmt::format("It has on {}: its statements would fail after the move.", source.where()),
              fmt::format("Run: GRANT {} ON {}{} TO {};", what, schema ? "SCHEMA " : "", object, lacking.get(row, 4)));
  }
}

}  // namespace migration
