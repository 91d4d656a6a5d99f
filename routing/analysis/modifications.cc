// INSERT, UPDATE, DELETE and MERGE: where written rows belong, and that no shard key changes.
#include <algorithm>

#include "routing/analysis/query_analysis.h"
#include "routing/analysis/refusals.h"

namespace routing {
namespace {

// Where in the row the key stands: by the column list, or by the table's own order.
std::optional<std::size_t> key_position(const table& t, std::span<ast::node* const> columns) {
  if (columns.empty()) {
    const auto at = std::find(t.columns.begin(), t.columns.end(), t.key_column);
    if (at == t.columns.end()) return std::nullopt;
    return static_cast<std::size_t>(at - t.columns.begin());
  }
  const auto is_key = [&](const ast::node* c) {
    return c->node_case == PG_QUERY__NODE__NODE_RES_TARGET && ast::text(c->res_target->name) == t.key_column;
  };
  const auto at = std::find_if(columns.begin(), columns.end(), is_key);
  if (at == columns.end()) return std::nullopt;
  return static_cast<std::size_t>(at - columns.begin());
}

// SET (a, b) = ROW (1, 2) stands there as two assignments, each with the row.
const ast::node* assigned_value(const ast::node* n) noexcept {
  if (!n || n->node_case != PG_QUERY__NODE__NODE_MULTI_ASSIGN_REF) return n;
  const auto& part = *n->multi_assign_ref;
  const auto* row = part.source && part.source->node_case == PG_QUERY__NODE__NODE_ROW_EXPR ? part.source->row_expr : nullptr;
  const auto at = static_cast<std::size_t>(part.colno - 1);
  return row && part.colno > 0 && at < row->n_args ? row->args[at] : nullptr;
}

// ON CONFLICT (…, key, …): the row that is in the way has the same key.
bool infers_key(const PgQuery__InferClause* infer, const table* t) noexcept {
  if (!infer || !t) return false;
  const auto elements = ast::list(infer->index_elems, infer->n_index_elems);
  return std::any_of(elements.begin(), elements.end(), [t](const ast::node* n) {
    return n->node_case == PG_QUERY__NODE__NODE_INDEX_ELEM && ast::text(n->index_elem->name) == t->key_column && n->index_elem->n_collation == 0 &&
           n->index_elem->n_opclass == 0;
  });
}

}  // namespace

row_shape query_analysis::insert(const PgQuery__InsertStmt& s, const scope* outer, const cte_frame* ctes) {
  writes_ = true;
  cte_frame frame{ctes, {}};
  define(s.with_clause, outer, frame);
  scope here{outer, &frame, {}, {}};
  std::optional<vertex> use;
  const item_ptr target = table(*s.relation, here, usage::store, &use);
  bool ambiguous = false;
  const auto* known = map_.find_table(ast::text(s.relation->schemaname), ast::text(s.relation->relname), ambiguous);
  const auto* source = s.select_stmt ? s.select_stmt->select_stmt : nullptr;
  if (use) {
    store(*known, *use, ast::list(s.cols, s.n_cols), source, outer, &frame);
  } else if (source) {
    select(*source, outer, &frame);
  }
  if (s.on_conflict_clause) on_conflict(*s.on_conflict_clause, known, use, *target, &frame);
  here.visible.push_back(target.get());
  walk(ast::list(s.returning_list, s.n_returning_list), here);
  return targets(ast::list(s.returning_list, s.n_returning_list), here, false);
}

void query_analysis::store(const routing::table& t, vertex use, nodes columns, const PgQuery__SelectStmt* source, const scope* outer,
                           const cte_frame* ctes) {
  const auto position = key_position(t, columns);
  if (!position || !source) {
    graph_.explain(use, columns.empty() && t.columns.empty() ? "The INSERT has no column list."
                                                             : "The INSERT gives no value for its shard key \"" + t.key_column + "\".");
  }
  if (!source) return;
  if (source->n_values_lists > 0 && !source->with_clause) {
    const scope nothing_visible{outer, ctes, {}, {}};
    const nodes rows = ast::list(source->values_lists, source->n_values_lists);
    walk(rows, nothing_visible);
    if (position) store_values(use, rows, *position, nothing_visible);
    return;
  }
  const row_shape shape = select(*source, outer, ctes);
  if (!position) return;
  if (shape.positional && *position < shape.columns.size() && shape.columns[*position].key) {
    graph_.follow(use, *shape.columns[*position].key);
    note_stored_target(use, *source, *position);
  } else {
    graph_.explain(use, "The SELECT gives neither a literal, a parameter nor a shard key of the same distribution for \"" + t.key_column + "\".");
  }
}

// INSERT ... SELECT $1: the parameter takes the type of the column. In a set operation it does not.
void query_analysis::note_stored_target(vertex use, const PgQuery__SelectStmt& source, std::size_t position) {
  if (source.op != PG_QUERY__SET_OPERATION__SETOP_NONE || position >= source.n_target_list) return;
  for (std::size_t i = 0; i <= position; ++i) {
    const auto* value = source.target_list[i]->res_target->val;
    const bool is_column = value && value->node_case == PG_QUERY__NODE__NODE_COLUMN_REF;
    if (is_column && ast::is_star(*value->column_ref)) return;  // positions differ
  }
  if (const auto c = constant_of(source.target_list[position]->res_target->val)) note_key_use(use, *c);
}

// Only the key's column of VALUES is looked at: bulk inserts are long.
void query_analysis::store_values(vertex use, nodes rows, std::size_t position, const scope& s) {
  std::vector<vertex> others;
  std::vector<key_constant> constants;
  for (const auto* row : rows) {
    const auto* value = position < row->list->n_items ? row->list->items[position] : nullptr;
    if (value && value->node_case == PG_QUERY__NODE__NODE_SET_TO_DEFAULT) {
      graph_.explain(use, "The value of its shard key is DEFAULT in a row.");
      return;
    }
    const term t = read_term(value, s, nullptr);
    if (t.is == term::kind::none) return;
    if (t.is == term::kind::key) others.push_back(t.key);
    if (t.is == term::kind::constant) constants.push_back(t.constant);
  }
  if (!constants.empty() && !others.empty()) return;
  if (!others.empty()) {
    graph_.follow(use, graph_.add_column(others));
  } else if (std::all_of(constants.begin(), constants.end(), [&](const key_constant& c) { return fits(c, graph_.type_of(use)); })) {
    for (const auto& c : constants) note_key_use(use, c);
    graph_.limit(use, std::move(constants));
  } else {
    graph_.explain(use, "The value of its shard key is of another type in a row.");
  }
}

void query_analysis::on_conflict(const PgQuery__OnConflictClause& c, const routing::table* t, std::optional<vertex> use, const from_item& target,
                                 const cte_frame* ctes) {
  from_item excluded;
  excluded.name = "excluded";
  excluded.shape = row_shape::unknown();
  const scope here{nullptr, ctes, {&target, &excluded}, {}};
  const bool by_key = infers_key(c.infer, t);
  const scope only_target{nullptr, ctes, {&target}, {}};
  assign(ast::list(c.target_list, c.n_target_list), t, by_key ? use : std::nullopt, only_target, by_key);
  walk(ast::list(c.target_list, c.n_target_list), here);
  if (c.where_clause) walk(c.where_clause->base, here);
  if (c.infer) walk(c.infer->base, here);
}

// Object mappers write all columns of a row, the key with its own value among them. `use`: the rows that are changed.
void query_analysis::assign(nodes list, const routing::table* t, std::optional<vertex> use, const scope& here, bool conflicts_by_key) {
  if (!t || !t->distribution) return;
  for (const auto* n : list) {
    if (n->node_case != PG_QUERY__NODE__NODE_RES_TARGET || ast::text(n->res_target->name) != t->key_column) continue;
    if (!use || !keeps_key(assigned_value(n->res_target->val), *t, *use, here, conflicts_by_key)) refuse(key_change(*t));
  }
}

// The column itself; the same column of the row that could not be inserted, if that is what it conflicts by; or a literal or parameter,
// which is compared with the key when the values are known.
bool query_analysis::keeps_key(const ast::node* value, const routing::table& t, vertex use, const scope& here, bool conflicts_by_key) {
  if (!value) return false;
  if (value->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
    const auto& ref = *value->column_ref;
    const bool excluded = ref.n_fields == 2 && ast::string_of(ref.fields[0]) == "excluded" && ast::string_of(ref.fields[1]) == t.key_column;
    if (excluded && conflicts_by_key) return true;
    const auto found = resolve(here, ref);
    return found.what.is_found() && found.own && found.what.key == use;
  }
  auto constant = constant_of(value);
  if (!constant || constant->from == key_constant::source::null || !fits(*constant, graph_.type_of(use))) return false;
  note_key_use(use, *constant);
  graph_.assign(use, *std::move(constant));
  return true;
}

namespace {

// Its rule calls set_config() for each row (manual 54.24).
bool is_pg_settings(const PgQuery__RangeVar& table) {
  const auto schema = ast::text(table.schemaname);
  return ast::text(table.relname) == "pg_settings" && (schema.empty() || schema == "pg_catalog");
}

}  // namespace

row_shape query_analysis::update(const PgQuery__UpdateStmt& s, const scope* outer, const cte_frame* ctes) {
  writes_ = true;
  cte_frame frame{ctes, {}};
  define(s.with_clause, outer, frame);
  scope here{outer, &frame, {}, {}};
  std::vector<item_ptr> owned;
  std::optional<vertex> use;
  owned.push_back(table(*s.relation, here, usage::modify, &use));
  here.visible.push_back(owned.back().get());
  from(ast::list(s.from_clause, s.n_from_clause), here, owned);
  bool ambiguous = false;
  const auto* known = map_.find_table(ast::text(s.relation->schemaname), ast::text(s.relation->relname), ambiguous);
  if (is_pg_settings(*s.relation)) effects_.makes |= state::settings, effects_.settings.clear(), effects_.unknown_calls = true;
  assign(ast::list(s.target_list, s.n_target_list), known, use, here, false);
  filter(s.where_clause, here, nullptr);
  if (s.where_clause) walk(s.where_clause->base, here);
  walk(ast::list(s.target_list, s.n_target_list), here);
  walk(ast::list(s.returning_list, s.n_returning_list), here);
  return targets(ast::list(s.returning_list, s.n_returning_list), here, false);
}

row_shape query_analysis::remove(const PgQuery__DeleteStmt& s, const scope* outer, const cte_frame* ctes) {
  writes_ = true;
  cte_frame frame{ctes, {}};
  define(s.with_clause, outer, frame);
  scope here{outer, &frame, {}, {}};
  std::vector<item_ptr> owned;
  owned.push_back(table(*s.relation, here, usage::modify));
  here.visible.push_back(owned.back().get());
  from(ast::list(s.using_clause, s.n_using_clause), here, owned);
  filter(s.where_clause, here, nullptr);
  if (s.where_clause) walk(s.where_clause->base, here);
  walk(ast::list(s.returning_list, s.n_returning_list), here);
  return targets(ast::list(s.returning_list, s.n_returning_list), here, false);
}

// The target is the nullable side of source LEFT JOIN target: ON limits it, never the source.
row_shape query_analysis::merge(const PgQuery__MergeStmt& s, const scope* outer, const cte_frame* ctes) {
  writes_ = true;
  cte_frame frame{ctes, {}};
  define(s.with_clause, outer, frame);
  scope here{outer, &frame, {}, {}};
  const item_ptr source = item(*s.source_relation, here);
  std::optional<vertex> use;
  const item_ptr target = table(*s.relation, here, usage::modify, &use);
  here.visible = {source.get(), target.get()};
  filter(s.join_condition, here, target.get());
  if (s.join_condition) walk(s.join_condition->base, here);
  bool ambiguous = false;
  const auto* known = map_.find_table(ast::text(s.relation->schemaname), ast::text(s.relation->relname), ambiguous);
  for (const auto* n : ast::list(s.merge_when_clauses, s.n_merge_when_clauses)) {
    if (n->node_case == PG_QUERY__NODE__NODE_MERGE_WHEN_CLAUSE) merge_action(*n->merge_when_clause, known, use, here);
  }
  return row_shape::unknown();
}

void query_analysis::merge_action(const PgQuery__MergeWhenClause& action, const routing::table* t, std::optional<vertex> target, const scope& here) {
  walk(action.base, here);
  const nodes columns = ast::list(action.target_list, action.n_target_list);
  if (action.command_type == PG_QUERY__CMD_TYPE__CMD_UPDATE) assign(columns, t, target, here, false);
  if (action.command_type != PG_QUERY__CMD_TYPE__CMD_INSERT || !t || !t->distribution) return;
  const vertex use = graph_.add_table(*t, t->name, true);
  const auto position = key_position(*t, columns);
  if (!position || *position >= action.n_values) {
    graph_.explain(use, "The INSERT gives no value for its shard key \"" + t->key_column + "\".");
    return;
  }
  const term value = read_term(action.values[*position], here, nullptr);
  if (value.is == term::kind::key) graph_.follow(use, value.key);
  if (value.is == term::kind::constant && fits(value.constant, graph_.type_of(use))) {
    note_key_use(use, value.constant);
    graph_.limit(use, {value.constant});
  }
}

}  // namespace routing
