#include "routing/analyzer.h"

#include <string>
#include <utility>

#include "routing/ast.h"
#include "routing/query_analysis.h"
#include "routing/refusals.h"
#include "routing/text_bounds.h"
#include "routing/utility.h"

namespace routing {
namespace {

statement_plan refused_plan(refusal why) {
  statement_plan plan;
  plan.destination = destination_kind::refused;
  plan.refused = std::move(why);
  return plan;
}

statement_plan plan_of(query_analysis& query) {
  if (query.refused()) return refused_plan(*query.refused());
  statement_plan plan;
  if (query.graph().has_tables()) {
    if (const auto use = query.graph().solve()) return refused_plan(unproven(*use));
    if (!query.local_table().empty()) return refused_plan(mixed_with_local(query.graph().first_table(), query.local_table()));
    plan.keys = query.keys();
    // Nothing but NULL for a key: no row anywhere matches, and PostgreSQL refuses to store one.
    plan.destination = plan.keys.empty() ? destination_kind::any : destination_kind::by_key;
    plan.row_locks = query.locks_rows();
  } else if (!query.local_table().empty()) {
    plan.destination = destination_kind::default_shard;
  }
  plan.plain_read = !query.writes() && !query.locks_rows() && !query.may_have_effects();
  return plan;
}

bool is_query(const ast::node& n) noexcept {
  switch (n.node_case) {
    case PG_QUERY__NODE__NODE_SELECT_STMT:
    case PG_QUERY__NODE__NODE_INSERT_STMT:
    case PG_QUERY__NODE__NODE_UPDATE_STMT:
    case PG_QUERY__NODE__NODE_DELETE_STMT:
    case PG_QUERY__NODE__NODE_MERGE_STMT: return true;
    default: return false;
  }
}

statement_plan analyze_node(const ast::node& n, const shard_map& map) {
  if (is_query(n)) {
    query_analysis query(map);
    query.read(n);
    return plan_of(query);
  }
  const utility_plan utility = read_utility(n, map);
  if (!utility.query) return utility.plan;
  statement_plan plan = analyze_node(*utility.query, map);
  plan.plain_read = false;
  if (utility.plan.kind != statement_kind::query) plan.kind = utility.plan.kind;
  return plan;
}

text_plan single(statement_plan plan) {
  text_plan text;
  text.statements.push_back(std::move(plan));
  return text;
}

}  // namespace

std::optional<text_plan> analyze_if_parsable(std::string_view sql, const shard_map& map, const analyzer_limits& limits) {
  if (auto why = exceeds(sql, limits)) return single(refused_plan(too_complex(*why)));
  const auto tree = ast::tree::parse(std::string(sql));
  if (!tree) return std::nullopt;
  text_plan text;
  for (const auto* raw : tree->statements()) text.statements.push_back(analyze_node(*raw->stmt, map));
  if (text.statements.empty()) {
    statement_plan nothing;
    nothing.kind = statement_kind::empty;
    text.statements.push_back(std::move(nothing));
  }
  return text;
}

text_plan analyze(std::string_view sql, const shard_map& map, const analyzer_limits& limits) {
  auto text = analyze_if_parsable(sql, map, limits);
  return text ? *std::move(text) : single({});
}

}  // namespace routing
