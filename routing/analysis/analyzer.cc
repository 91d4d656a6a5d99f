#include "routing/analysis/analyzer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "routing/analysis/process_calls.h"
#include "routing/analysis/pull.h"
#include "routing/analysis/query_analysis.h"
#include "routing/analysis/refusals.h"
#include "routing/analysis/scatter.h"
#include "routing/analysis/unnamed_objects.h"
#include "routing/analysis/utility.h"
#include "routing/text/ast.h"
#include "routing/text/text_bounds.h"

namespace routing {
namespace {

statement_plan refused_plan(refusal why) {
  statement_plan plan;
  plan.destination = destination_kind::refused;
  plan.refused = std::move(why);
  return plan;
}

// SELECT set_config(…), set_config(…): each is called once, in this order.
bool only_sets_config(const ast::node& n) noexcept {
  if (n.node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return false;
  const auto& s = *n.select_stmt;
  if (s.n_from_clause || s.where_clause || s.limit_count || s.limit_offset || s.with_clause || s.having_clause || s.n_group_clause ||
      s.n_sort_clause || s.n_distinct_clause || s.n_values_lists || s.op != PG_QUERY__SET_OPERATION__SETOP_NONE) {
    return false;
  }
  const auto targets = ast::list(s.target_list, s.n_target_list);
  return std::all_of(targets.begin(), targets.end(), [](const ast::node* t) {
    const auto* value = t->node_case == PG_QUERY__NODE__NODE_RES_TARGET ? t->res_target->val : nullptr;
    if (!value || value->node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return false;
    const auto& call = *value->func_call;
    const auto f = ast::name_of(ast::list(call.funcname, call.n_funcname));
    return f.is_builtin() && f.name == "set_config" && !call.agg_filter && !call.over;
  });
}

// Reads on copies of its relations, where the whole text is one statement that leaves nothing and asks nothing of the session.
std::optional<pulled_relations> pulled(const query_analysis& query, const ast::node& n, std::string_view sql, const shard_map& map) {
  const auto& effects = query.effects();
  const bool leaves = effects.makes != 0 || effects.ends != 0 || effects.resets || effects.unknown_calls || !effects.calls.empty();
  const bool reads = !query.writes() && !query.locks_rows() && !query.may_have_effects() && query.home_effect().empty();
  const auto plan = reads && !leaves && !sql.empty() ? plan_pull(n, sql, map) : std::nullopt;
  if (!plan) return std::nullopt;
  pulled_relations found;
  for (const auto& copy : plan->copies) {
    if (!copy.distribution) found.of_default_shard = true;
    else if (std::ranges::find(found.distributions, *copy.distribution) == found.distributions.end()) found.distributions.push_back(*copy.distribution);
  }
  return found;
}

// `sql`: the whole text, where it is nothing but this statement.
statement_plan plan_of(query_analysis& query, const ast::node& n, std::string_view sql, const shard_map& map) {
  if (query.refused()) return refused_plan(*query.refused());
  statement_plan plan;
  if (query.graph().has_tables() && rows_add_up(n)) plan.adds_up = query.graph().first_distribution();
  if (query.graph().has_tables()) {
    if (const auto use = query.graph().solve()) {
      auto refused = refused_plan(unproven(*use));
      refused.adds_up = plan.adds_up;
      refused.pulls = pulled(query, n, sql, map);
      refused.plain_read = plan.adds_up || refused.pulls;
      return refused;
    }
    if (!query.local_table().empty()) {
      auto refused = refused_plan(mixed_with_local(query.graph().first_table(), query.local_table()));
      refused.pulls = pulled(query, n, sql, map);
      refused.plain_read = refused.pulls.has_value();
      return refused;
    }
    plan.keys = query.keys();
    const bool several = plan.keys.size() > 1 || (plan.keys.size() == 1 && plan.keys.front().array);
    if (several) plan.pulls = pulled(query, n, sql, map);
    // Nothing but NULL for a key: no row anywhere matches, and PostgreSQL refuses to store one.
    plan.destination = plan.keys.empty() ? destination_kind::any : destination_kind::by_key;
    plan.row_locks = query.locks_rows();
    if (!query.home_effect().empty()) plan.destination = plan.keys.empty() ? destination_kind::default_shard : destination_kind::by_key_at_home;
  } else if (!query.home_effect().empty()) {
    plan.destination = destination_kind::default_shard;
  } else if (!query.local_table().empty()) {
    plan.destination = destination_kind::default_shard;
  }
  plan.effects = query.effects();
  if (!query.writes()) plan.effects.makes &= static_cast<state_bits>(~state::own_process);
  plan.home_effect = query.home_effect();
  const bool calls = !query.effects().calls.empty() || query.effects().unknown_calls;
  plan.unbound = query.is_unbound() && !query.writes() && !query.locks_rows() && (!calls || (only_sets_config(n) && !query.effects().unknown_calls));
  plan.plain_read = !query.writes() && !query.locks_rows() && !query.may_have_effects();
  const bool advisory = plan.home_effect.starts_with("pg_advisory_") || plan.home_effect.starts_with("pg_try_advisory_");
  plan.only_locks = !query.writes() && (plan.effects.makes & state::anything) == 0 && (advisory || (query.locks_rows() && !query.may_have_effects()));
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

statement_plan analyze_node(const ast::node& n, const shard_map& map, std::string_view sql = {}) {
  if (is_query(n)) {
    query_analysis query(map);
    query.read(n);
    return plan_of(query, n, sql, map);
  }
  utility_plan utility = read_utility(n, map);
  utility.plan.only_locks = n.node_case == PG_QUERY__NODE__NODE_LOCK_STMT;
  if (makes_temporary(n)) utility.plan.effects.makes |= state::temp_objects;
  if (!utility.query) return utility.plan;
  statement_plan plan = analyze_node(*utility.query, map);
  plan.plain_read = plan.unbound = false;
  plan.adds_up.reset();
  plan.opens_cursor = n.node_case == PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT;
  plan.effects.makes |= utility.plan.effects.makes;
  if (utility.plan.kind != statement_kind::query) plan.kind = utility.plan.kind;
  return plan;
}

std::uint32_t declared_oid(const ast::node* n) noexcept {
  constexpr std::pair<std::string_view, std::uint32_t> known[] = {{"int2", 21}, {"int4", 23}, {"int8", 20}, {"text", 25}, {"varchar", 1043},
                                                                  {"bpchar", 1042}, {"uuid", 2950}, {"unknown", 0}};
  if (!n || n->node_case != PG_QUERY__NODE__NODE_TYPE_NAME || n->type_name->n_array_bounds > 0) return sql_prepare::unknown_type;
  const auto type = ast::name_of(ast::list(n->type_name->names, n->type_name->n_names));
  for (const auto& [name, oid] : known)
    if (type.is_builtin() && type.name == name) return oid;
  return sql_prepare::unknown_type;
}

// Refused if what it prepares is; else it may be prepared anywhere.
statement_plan analyze_prepare(const PgQuery__PrepareStmt& s, std::string_view text, const shard_map& map) {
  auto made = std::make_shared<sql_prepare>();
  made->name = ast::text(s.name);
  made->text = text;
  for (const auto* type : ast::list(s.argtypes, s.n_argtypes)) made->types.push_back(declared_oid(type));
  made->inner = std::make_shared<const statement_plan>(analyze_node(*s.query, map));
  if (made->inner->refused) return refused_plan(*made->inner->refused);
  statement_plan plan;
  plan.effects.makes = state::sql_statements;
  plan.prepare = std::move(made);
  return plan;
}

std::string_view text_of(const PgQuery__RawStmt& raw, std::string_view sql) noexcept {
  const auto from = std::min(static_cast<std::size_t>(std::max(0, raw.stmt_location)), sql.size());
  return raw.stmt_len > 0 ? sql.substr(from, static_cast<std::size_t>(raw.stmt_len)) : sql.substr(from);
}

statement_plan analyze_statement(const PgQuery__RawStmt& raw, std::string_view sql, bool alone, const shard_map& map) {
  if (raw.stmt->node_case == PG_QUERY__NODE__NODE_PREPARE_STMT) return analyze_prepare(*raw.stmt->prepare_stmt, text_of(raw, sql), map);
  auto plan = analyze_node(*raw.stmt, map, alone ? sql : std::string_view());
  if (raw.stmt->node_case == PG_QUERY__NODE__NODE_SELECT_STMT) plan.processes = process_calls(*raw.stmt->select_stmt);
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
  for (const auto* raw : tree->statements()) text.statements.push_back(analyze_statement(*raw, sql, tree->statements().size() == 1, map));
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
