#include "routing/analysis/scatter.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "routing/analysis/functions.h"

namespace routing {
namespace {

// Sorted. Built-in aggregates and window functions.
constexpr auto of_many_rows = std::to_array<std::string_view>({
    "any_value", "array_agg", "avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "corr", "count", "covar_pop", "covar_samp",
    "cume_dist", "dense_rank", "every", "first_value", "json_agg", "json_agg_strict", "json_object_agg", "json_object_agg_strict",
    "json_object_agg_unique", "json_object_agg_unique_strict", "jsonb_agg", "jsonb_agg_strict", "jsonb_object_agg", "jsonb_object_agg_strict",
    "jsonb_object_agg_unique", "jsonb_object_agg_unique_strict", "lag", "last_value", "lead", "max", "min", "mode", "nth_value", "ntile",
    "percent_rank", "percentile_cont", "percentile_disc", "range_agg", "range_intersect_agg", "rank", "regr_avgx", "regr_avgy", "regr_count",
    "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy", "row_number", "stddev", "stddev_pop", "stddev_samp",
    "string_agg", "sum", "var_pop", "var_samp", "variance", "xmlagg",
});
static_assert(std::is_sorted(of_many_rows.begin(), of_many_rows.end()));

bool is_of_one_row(const PgQuery__FuncCall& f) {
  const auto name = ast::name_of(ast::list(f.funcname, f.n_funcname));
  if (f.over || f.agg_filter || f.n_agg_order || f.agg_star || f.agg_distinct || f.agg_within_group) return false;
  if (name.name == "statement_timestamp" || name.name == "clock_timestamp") return false;
  return name.is_builtin() && is_unbound_call(f) && name.name != "set_config" && !std::binary_search(of_many_rows.begin(), of_many_rows.end(), name.name);
}

bool is_of_one_row(const ast::message& m) {
  const auto* d = m.descriptor;
  if (const auto* f = ast::as<PgQuery__FuncCall>(m, pg_query__func_call__descriptor); f && !is_of_one_row(*f)) return false;
  if (const auto* ref = ast::as<PgQuery__ColumnRef>(m, pg_query__column_ref__descriptor); ref && is_system_column(*ref)) return false;
  if (tells_the_time(m)) return false;
  constexpr std::array allowed = {
      &pg_query__node__descriptor,        &pg_query__res_target__descriptor,  &pg_query__column_ref__descriptor,   &pg_query__a__const__descriptor,
      &pg_query__param_ref__descriptor,   &pg_query__a__expr__descriptor,      &pg_query__bool_expr__descriptor,    &pg_query__null_test__descriptor,
      &pg_query__boolean_test__descriptor, &pg_query__type_cast__descriptor,  &pg_query__type_name__descriptor,    &pg_query__case_expr__descriptor,
      &pg_query__case_when__descriptor,   &pg_query__coalesce_expr__descriptor, &pg_query__min_max_expr__descriptor, &pg_query__row_expr__descriptor,
      &pg_query__a__array_expr__descriptor, &pg_query__a__indirection__descriptor, &pg_query__a__indices__descriptor,  &pg_query__func_call__descriptor,
      &pg_query__collate_clause__descriptor, &pg_query__a__star__descriptor,   &pg_query__string__descriptor,       &pg_query__integer__descriptor,
      &pg_query__float__descriptor,       &pg_query__boolean__descriptor,     &pg_query__bit_string__descriptor,   &pg_query__list__descriptor,
  };
  if (std::find(allowed.begin(), allowed.end(), d) == allowed.end()) return false;
  bool all = true;
  ast::for_each_child(m, [&](const ast::message& child) { all = all && is_of_one_row(child); });
  return all;
}

bool is_of_one_row(const ast::node* n) {
  const auto* m = n ? ast::payload(n) : nullptr;
  return !n || (m && is_of_one_row(*m));
}

}  // namespace

bool is_system_column(const PgQuery__ColumnRef& ref) noexcept {
  const auto name = ref.n_fields > 0 ? ast::string_of(ref.fields[ref.n_fields - 1]) : std::string_view();
  return name == "ctid" || name == "tableoid" || name == "xmin" || name == "xmax" || name == "cmin" || name == "cmax";
}

bool rows_add_up(const ast::node& statement) {
  if (statement.node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return false;
  const auto& s = *statement.select_stmt;
  const bool folds = s.n_distinct_clause || s.n_group_clause || s.having_clause || s.n_window_clause || s.n_sort_clause || s.limit_count || s.limit_offset;
  if (folds || s.n_locking_clause || s.into_clause || s.with_clause || s.n_values_lists || s.op != PG_QUERY__SET_OPERATION__SETOP_NONE) return false;
  if (s.n_from_clause != 1 || s.from_clause[0]->node_case != PG_QUERY__NODE__NODE_RANGE_VAR) return false;
  const auto targets = ast::list(s.target_list, s.n_target_list);
  return is_of_one_row(s.where_clause) && std::all_of(targets.begin(), targets.end(), [](const ast::node* t) { return is_of_one_row(t); });
}

}  // namespace routing
