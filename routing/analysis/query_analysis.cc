#include "routing/analysis/query_analysis.h"

#include <algorithm>

#include "routing/analysis/functions.h"
#include "routing/analysis/hidden_text.h"
#include "routing/analysis/refusals.h"
#include "routing/analysis/unnamed_objects.h"

namespace routing {
namespace {

constexpr std::size_t max_steps = 5'000'000;  // some 50 ms

const PgQuery__SelectStmt* as_select(const ast::message& m) noexcept {
  return ast::as<PgQuery__SelectStmt>(m, pg_query__select_stmt__descriptor);
}

// True when the rows of the select are those of its FROM and WHERE one by one, so that a condition from outside on a column it passes
// through means the same inside.
bool calls_nothing(const ast::message& m) {
  if (m.descriptor == &pg_query__func_call__descriptor || m.descriptor == &pg_query__sub_link__descriptor) return false;
  bool plain = true;
  ast::for_each_child(m, [&](const ast::message& child) { plain = plain && calls_nothing(child); });
  return plain;
}

// A reference table of which these names (all, where there are none) lock rows in the item.
std::string_view locked_reference(const from_item& item, std::span<ast::node* const> names) {
  if (item.is_join()) {
    const auto left = locked_reference(*item.left, names);
    return left.empty() ? locked_reference(*item.right, names) : left;
  }
  const auto is_named = [&](const ast::node* n) {
    return n->node_case == PG_QUERY__NODE__NODE_RANGE_VAR && ast::text(n->range_var->relname) == item.name;
  };
  return names.empty() || std::any_of(names.begin(), names.end(), is_named) ? std::string_view(item.reference) : std::string_view();
}

bool is_row_by_row(const PgQuery__SelectStmt& s) {
  if (s.n_distinct_clause || s.n_group_clause || s.having_clause || s.n_window_clause || s.limit_count || s.limit_offset ||
      s.n_locking_clause) {
    return false;
  }
  return std::all_of(s.target_list, s.target_list + s.n_target_list, [](const ast::node* t) { return calls_nothing(t->base); });
}

}  // namespace

void query_analysis::refuse(refusal why) {
  if (!refused_) refused_ = std::move(why);
}

scope::reference query_analysis::resolve(const scope& s, const PgQuery__ColumnRef& ref) {
  if (steps_ > max_steps) {
    refuse(too_complex("It has too many column names for its number of tables."));
    return {lookup::unknown(), false};
  }
  return s.resolve(ref, steps_);
}

void query_analysis::read(const ast::node& n) {
  if (const auto* m = ast::payload(&n)) {
    statement(*m, nullptr, nullptr);
    find_other_uses(*m);
  }
  if (fills_table_ && graph_.has_tables()) refuse(result_into_table());
}

// A parameter's undeclared type is the one that its first use asks for. Uses as a key, and casts to a type that keys have, ask for the
// right one; any other may ask for numeric or float, and then neither text nor binary form is that of a key.
void query_analysis::find_other_uses(const ast::message& m) {
  if (const auto* p = ast::as<PgQuery__ParamRef>(m, pg_query__param_ref__descriptor)) {
    if (p->number > 0 && !key_uses_.contains(p)) used_otherwise_.insert(static_cast<std::size_t>(p->number - 1));
    return;
  }
  if (const auto* part = ast::as<PgQuery__MultiAssignRef>(m, pg_query__multi_assign_ref__descriptor)) {
    if (part->source->node_case == PG_QUERY__NODE__NODE_ROW_EXPR) {  // which stands there once for each column
      if (part->colno > 0 && static_cast<std::size_t>(part->colno) <= part->source->row_expr->n_args)
        find_other_uses(part->source->row_expr->args[part->colno - 1]->base);
      return;
    }
  }
  if (const auto* cast = ast::as<PgQuery__TypeCast>(m, pg_query__type_cast__descriptor)) {
    const bool of_parameter = cast->arg && cast->arg->node_case == PG_QUERY__NODE__NODE_PARAM_REF;
    if (of_parameter && cast->arg->param_ref->number > 0) {
      const auto index = static_cast<std::size_t>(cast->arg->param_ref->number - 1);
      const auto type = cast_of(*cast->type_name, std::min<std::size_t>(cast->type_name->n_array_bounds, 1));
      if (type == key_constant::cast_type::none) used_otherwise_.insert(index);
      else casts_[index].insert(type);
      return;
    }
  }
  ast::for_each_child(m, [&](const ast::message& child) { find_other_uses(child); });
}

std::vector<key_source> query_analysis::keys() const {
  auto keys = graph_.keys();
  for (auto& k : keys) {
    const auto* index = std::get_if<std::size_t>(&k.value);
    if (!index) continue;
    const auto types = key_types_.find(*index);
    k.inferred_elsewhere = used_otherwise_.contains(*index) || (types != key_types_.end() && (types->second.size() > 1 || cast_away(*index, *types->second.begin())));
  }
  return keys;
}

// Is the parameter cast to another type than that of the key somewhere?
bool query_analysis::cast_away(std::size_t index, key_type key) const {
  const auto casts = casts_.find(index);
  if (casts == casts_.end()) return false;
  return std::any_of(casts->second.begin(), casts->second.end(), [key](key_constant::cast_type to) {
    key_constant c;
    c.from = key_constant::source::parameter;
    c.cast = to;
    return !fits(c, key);
  });
}

row_shape query_analysis::statement(const ast::message& m, const scope* outer, const cte_frame* ctes) {
  if (const auto* s = as_select(m)) return select(*s, outer, ctes);
  if (const auto* s = ast::as<PgQuery__InsertStmt>(m, pg_query__insert_stmt__descriptor)) return insert(*s, outer, ctes);
  if (const auto* s = ast::as<PgQuery__UpdateStmt>(m, pg_query__update_stmt__descriptor)) return update(*s, outer, ctes);
  if (const auto* s = ast::as<PgQuery__DeleteStmt>(m, pg_query__delete_stmt__descriptor)) return remove(*s, outer, ctes);
  if (const auto* s = ast::as<PgQuery__MergeStmt>(m, pg_query__merge_stmt__descriptor)) return merge(*s, outer, ctes);
  const scope nothing_visible{outer, ctes, {}, {}};
  walk(m, nothing_visible);
  return row_shape::unknown();
}

row_shape query_analysis::select(const PgQuery__SelectStmt& s, const scope* outer, const cte_frame* ctes) {
  cte_frame frame{ctes, {}};
  define(s.with_clause, outer, frame);
  if (s.n_locking_clause > 0) locks_rows_ = true;
  const bool combined = s.op != PG_QUERY__SET_OPERATION__SETOP_NONE;
  if (!combined && s.n_values_lists == 0) return plain_select(s, outer, &frame);
  const scope nothing_visible{outer, &frame, {}, {}};
  walk(ast::list(s.sort_clause, s.n_sort_clause), nothing_visible);
  if (s.limit_count) walk(s.limit_count->base, nothing_visible);
  if (s.limit_offset) walk(s.limit_offset->base, nothing_visible);
  return combined ? set_operation(s, outer, &frame) : values(ast::list(s.values_lists, s.n_values_lists), nothing_visible);
}

row_shape query_analysis::set_operation(const PgQuery__SelectStmt& s, const scope* outer, const cte_frame* ctes) {
  const row_shape l = select(*s.larg, outer, ctes), r = select(*s.rarg, outer, ctes);
  if (!l.positional || !r.positional || l.columns.size() != r.columns.size()) return row_shape::unknown();
  row_shape both = l;
  for (std::size_t i = 0; i < both.columns.size(); ++i) {
    auto& key = both.columns[i].key;
    const auto other = r.columns[i].key;
    key = key && other ? std::optional(graph_.add_column({*key, *other})) : std::nullopt;
  }
  return both;
}

// VALUES as a table: columns are named column1, column2, ... and carry a key where every row has a constant.
row_shape query_analysis::values(nodes rows, const scope& s) {
  walk(rows, s);
  row_shape shape;
  const auto width = rows.front()->list->n_items;
  for (std::size_t i = 0; i < width; ++i) {
    std::vector<key_constant> constants;
    for (const auto* row : rows) {
      auto constant = i < row->list->n_items ? constant_of(row->list->items[i]) : std::nullopt;
      if (!constant) break;
      constants.push_back(*std::move(constant));
    }
    row_shape::column column{"column" + std::to_string(i + 1), std::nullopt};
    if (constants.size() == rows.size()) column.key = graph_.add_constants(std::move(constants));
    shape.columns.push_back(std::move(column));
  }
  return shape;
}

row_shape query_analysis::plain_select(const PgQuery__SelectStmt& s, const scope* outer, const cte_frame* ctes) {
  std::vector<item_ptr> owned;
  scope here{outer, ctes, {}, {}};
  from(ast::list(s.from_clause, s.n_from_clause), here, owned);
  lock(ast::list(s.locking_clause, s.n_locking_clause), owned);
  filter(s.where_clause, here, nullptr);
  for (const ast::node* part : {s.where_clause, s.having_clause, s.limit_count, s.limit_offset}) {
    if (part) walk(part->base, here);
  }
  walk(ast::list(s.distinct_clause, s.n_distinct_clause), here);
  walk(ast::list(s.target_list, s.n_target_list), here);
  walk(ast::list(s.group_clause, s.n_group_clause), here);
  walk(ast::list(s.window_clause, s.n_window_clause), here);
  walk(ast::list(s.sort_clause, s.n_sort_clause), here);
  if (s.into_clause) {
    fills_table_ = writes_ = true;
    effects_.makes |= state::temp_objects;
    if (hides_type(*s.into_clause->rel)) refuse(hidden_type(ast::text(s.into_clause->rel->relname)));
    if (auto why = takes_name_of_table(*s.into_clause->rel, map_)) refuse(*std::move(why));
    table(*s.into_clause->rel, here, usage::modify);
  }
  return targets(ast::list(s.target_list, s.n_target_list), here, is_row_by_row(s));
}

row_shape query_analysis::subselect(const ast::message& m, const scope& s) {
  const auto known = subselects_.find(&m);
  if (known != subselects_.end()) return known->second;
  row_shape shape = statement(m, &s, s.ctes);
  return subselects_.emplace(&m, std::move(shape)).first->second;
}

void query_analysis::define(const PgQuery__WithClause* with, const scope* outer, cte_frame& frame) {
  if (!with) return;
  if (with->recursive) {  // every name is visible to every part, itself included
    for (std::size_t i = 0; i < with->n_ctes; ++i) {
      frame.ctes.push_back({std::string(ast::text(with->ctes[i]->common_table_expr->ctename)), row_shape::unknown()});
    }
  }
  for (std::size_t i = 0; i < with->n_ctes; ++i) {
    const auto& cte = *with->ctes[i]->common_table_expr;
    const auto* query = ast::payload(cte.ctequery);
    row_shape shape = query ? statement(*query, outer, &frame) : row_shape::unknown();
    // It may be used several times: a condition at one use does not limit the others.
    for (auto& c : shape.columns) {
      if (c.key) c.key = graph_.add_column({*c.key});
    }
    PgQuery__Alias names = PG_QUERY__ALIAS__INIT;
    names.n_colnames = cte.n_aliascolnames;
    names.colnames = cte.aliascolnames;
    shape = renamed(std::move(shape), &names);
    if (cte.search_clause || cte.cycle_clause) shape.open = true;  // both add columns
    if (with->recursive) {
      frame.ctes[i].shape = std::move(shape);
    } else {
      frame.ctes.push_back({std::string(ast::text(cte.ctename)), std::move(shape)});
    }
  }
}

row_shape query_analysis::targets(nodes list, const scope& s, bool pass_through) {
  row_shape shape;
  for (const auto* n : list) {
    if (n->node_case != PG_QUERY__NODE__NODE_RES_TARGET || !n->res_target->val) return row_shape::unknown();
    const auto& t = *n->res_target;
    if (t.val->node_case == PG_QUERY__NODE__NODE_COLUMN_REF && ast::is_star(*t.val->column_ref)) {
      row_shape all = s.star(*t.val->column_ref);
      if (shape.columns.size() + all.columns.size() > row_shape::max_columns) return row_shape::unknown();
      for (auto& c : all.columns) {
        if (c.key && !pass_through) c.key = graph_.add_column({*c.key});
        shape.columns.push_back(std::move(c));
      }
      shape.open = shape.open || all.open;
      shape.positional = shape.positional && all.positional;
      continue;
    }
    shape.columns.push_back(target(t, s, pass_through));
    if (shape.columns.back().name.empty()) shape.open = true;  // PostgreSQL makes a name up
  }
  return shape;
}

row_shape::column query_analysis::target(const PgQuery__ResTarget& t, const scope& s, bool pass_through) {
  row_shape::column column{std::string(ast::text(t.name)), std::nullopt};
  if (t.val->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
    const auto& ref = *t.val->column_ref;
    if (column.name.empty()) column.name = ast::string_of(ref.fields[ref.n_fields - 1]);
    const auto found = resolve(s, ref);
    if (found.what.is_found()) column.key = pass_through && found.own ? found.what.key : graph_.add_column({found.what.key});
  } else if (auto constant = constant_of(t.val)) {
    column.key = graph_.add_constants({*std::move(constant)});
  }
  return column;
}

void query_analysis::walk(nodes list, const scope& s) {
  for (const auto* n : list) walk(n->base, s);
}

// Everything that is not a table, a join or a condition: calls are judged, queries inside are read, tables in odd places are used
// without any proof.
void query_analysis::walk(const ast::message& m, const scope& s) {
  if (m.descriptor == &pg_query__locking_clause__descriptor) return;  // names relations of FROM again
  if (as_select(m)) {
    subselect(m, s);
    return;
  }
  if (const auto* relation = ast::as<PgQuery__RangeVar>(m, pg_query__range_var__descriptor)) {
    table(*relation, s, usage::read);
    return;
  }
  if (tells_the_time(m)) is_unbound_ = false;
  if (const auto* f = ast::as<PgQuery__FuncCall>(m, pg_query__func_call__descriptor)) call(*f);
  ast::for_each_child(m, [&](const ast::message& child) { walk(child, s); });
}

void query_analysis::call(const PgQuery__FuncCall& f) {
  note_call(f, effects_);
  is_unbound_ = is_unbound_ && is_unbound_call(f);
  const auto name = ast::name_of(ast::list(f.funcname, f.n_funcname));
  effects_.calls_by_name = effects_.calls_by_name || name.schema.empty();
  if (is_harmless_function(name)) return;
  may_have_effects_ = may_have_effects_ || !only_looks(name);
  if (belongs_to_database(name)) note_home_effect(std::string(name.name) + "()");
  if (auto why = refused_call(f, map_)) refuse(*std::move(why));
  else if (runs_text(name) || calls_home(name, map_)) note_home_effect(std::string(name.name) + "()");
}

// Two transactions that lock one reference row must meet, so they do on the default shard.
void query_analysis::lock(nodes clauses, const std::vector<item_ptr>& from) {
  for (const auto* clause : clauses) {
    if (clause->node_case != PG_QUERY__NODE__NODE_LOCKING_CLAUSE) continue;
    const nodes names = ast::list(clause->locking_clause->locked_rels, clause->locking_clause->n_locked_rels);
    for (const auto& item : from) {
      const auto reference = locked_reference(*item, names);
      if (!reference.empty()) note_home_effect("a row lock on reference table \"" + std::string(reference) + "\"");
    }
  }
}

void query_analysis::note_home_effect(std::string what) {
  if (home_effect_.empty()) home_effect_ = std::move(what);
}

}  // namespace routing
