#include "migration/shard/hidden_access.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "migration/base/json_text.h"
#include "migration/base/sql.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

using routing::hidden_access;

std::string table_names(const routing::shard_map::parts& parts, const routing::table* joining, bool sharded) {
  std::vector<const routing::table*> tables;
  for (const auto& table : parts.tables) tables.push_back(&table);
  if (joining) tables.push_back(joining);
  std::erase_if(tables, [sharded](const routing::table* t) { return sharded == t->key_column.empty(); });
  return json_array(tables, [](const routing::table* t) { return "[" + json_string(t->schema) + "," + json_string(t->name) + "]"; });
}

std::string unquoted_kind(std::string_view name) {
  const auto blank = name.rfind(' ');
  return std::string(name.substr(blank == name.npos ? 0 : blank + 1));
}

}  // namespace

void hidden_objects::merge(hidden_objects other) {
  views.insert(views.end(), other.views.begin(), other.views.end());
  std::ranges::sort(views);
  views.erase(std::unique(views.begin(), views.end()), views.end());
  std::ranges::move(other.hidden, std::back_inserter(hidden));
  const auto place = [](const hidden_access& h) { return std::tie(h.how, h.schema, h.name); };
  std::ranges::sort(hidden, [&](const auto& a, const auto& b) {
    return place(a) != place(b) ? place(a) < place(b) : a.sharded != b.sharded ? a.sharded : a.what < b.what;
  });
  hidden.erase(std::unique(hidden.begin(), hidden.end(), [&](const auto& a, const auto& b) { return place(a) == place(b); }), hidden.end());
  for (auto& each : other.attached) {
    const auto same = [&each](const attachment& one) { return one.table == each.table && one.name == each.name; };
    if (std::ranges::none_of(attached, same)) attached.push_back(std::move(each));
  }
}

bool hidden_objects::same_as(const routing::shard_map::parts& parts) const {
  auto known = parts.hidden;
  auto names = parts.dependent_views;
  std::ranges::sort(known);
  std::ranges::sort(names);
  return views == names && hidden == known;
}

void hidden_objects::store(routing::shard_map::parts& parts) const {
  parts.dependent_views = views;
  parts.hidden = hidden;
}

std::vector<std::string> hidden_objects::added_to(const routing::shard_map::parts& before) const {
  std::vector<std::string> lines;
  for (const auto& view : views) {
    const bool known = std::ranges::find(before.dependent_views, view) != before.dependent_views.end();
    if (!known) lines.push_back(fmt::format("unreachable through pgrotor: {}: shows a part of a sharded table", view));
  }
  for (const auto& each : hidden) {
    if (each.how == hidden_access::by::part || !each.sharded || std::ranges::find(before.hidden, each) != before.hidden.end()) continue;
    const auto* use = each.how == hidden_access::by::call ? "calls of" : "writes to";
    lines.push_back(fmt::format("unreachable through pgrotor: {} {}.{}: touch {}", use, each.schema, each.name, each.what));
  }
  return lines;
}

task<hidden_objects> read_hidden(pg::connection& connection, const routing::shard_map::parts& parts, const routing::table* joining) {
  const auto listed = json_object().raw("sharded", table_names(parts, joining, true)).raw("reference", table_names(parts, joining, false)).take();
  pg::text_params params{listed, joining ? joining->schema : "", joining ? joining->name : ""};
  const auto rows = co_await connection.exec(std::string(sql::hidden_access), std::move(params));
  hidden_objects found;
  for (int row = 0; row < rows.rows(); ++row) {
    const auto kind = rows.get(row, 0);
    if (kind == "relation") {
      found.views.push_back(rows.str(row, 1) + "." + rows.str(row, 2));
    } else if (kind == "attached") {
      found.attached.push_back({rows.str(row, 1), rows.str(row, 2), rows.str(row, 4)});
    } else {
      hidden_access each{hidden_access::by::call, rows.str(row, 1), rows.str(row, 2), rows.get(row, 3) == "sharded", rows.str(row, 4)};
      if (kind == "write") each.how = hidden_access::by::write;
      if (kind == "part") each.how = hidden_access::by::part;
      found.hidden.push_back(std::move(each));
    }
  }
  co_return found;
}

void judge_attached(const hidden_objects& objects, const routing::table& table, std::span<const std::string> trusted, problems& found) {
  for (const auto& each : objects.attached) {
    const auto name = unquoted_kind(each.name);
    if (std::ranges::find(trusted, name) != trusted.end()) continue;
    found.add(protocol::sqlstate::wrong_state, fmt::format("table {}.{}: {} touches {}", table.schema, table.name, each.name, each.what),
              "It would do so on the shard of the row, which has only its own part of sharded tables and nothing of the default shard's.",
              fmt::format("Drop it; or, if it touches rows of the same shard key only, add WITH (trust = '{}').", name));
  }
}

task<std::string> hidden_fingerprint(pg::connection& connection) {
  const auto found = co_await connection.query(std::string(sql::hidden_fingerprint));
  co_return found.str(0, 0);
}

}  // namespace migration
