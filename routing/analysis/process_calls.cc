#include "routing/analysis/process_calls.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace routing {
namespace {

using process_asks = process_call::what;

struct known_call {
  std::string_view name;
  process_asks is;
  std::size_t least, most;  // arguments
};
constexpr std::array known_calls{known_call{"pg_backend_pid", process_asks::own_number, 0, 0}, known_call{"pg_cancel_backend", process_asks::cancel, 1, 1},
                           known_call{"pg_terminate_backend", process_asks::terminate, 1, 2},
                           known_call{"pg_isolation_test_session_is_blocked", process_asks::is_blocked, 2, 2}};

bool is_lone_select(const PgQuery__SelectStmt& s) noexcept { return s.op == PG_QUERY__SET_OPERATION__SETOP_NONE && !s.n_values_lists && !s.into_clause; }

bool has_one_row(const PgQuery__SelectStmt& s) noexcept {
  return !s.n_from_clause && !s.where_clause && !s.limit_count && !s.limit_offset && !s.with_clause && !s.having_clause && !s.n_group_clause &&
         !s.n_sort_clause && !s.n_distinct_clause;
}

bool is_any_columns(const ast::node& value) noexcept { return value.node_case == PG_QUERY__NODE__NODE_COLUMN_REF && ast::is_star(*value.column_ref); }

std::optional<process_call::value> value_of(const ast::node* cast) {
  const auto* n = ast::uncast(cast);
  if (n->node_case == PG_QUERY__NODE__NODE_PARAM_REF && n->param_ref->number > 0) return static_cast<std::size_t>(n->param_ref->number - 1);
  if (n->node_case != PG_QUERY__NODE__NODE_A_CONST) return std::nullopt;
  const auto& c = *n->a_const;
  if (c.val_case == PG_QUERY__A__CONST__VAL_IVAL) return std::to_string(c.ival->ival);
  if (c.val_case == PG_QUERY__A__CONST__VAL_SVAL) return std::string(ast::text(c.sval->sval));
  return std::nullopt;
}

std::optional<process_call> call_of(const ast::node& n) {
  if (n.node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return std::nullopt;
  const auto& call = *n.func_call;
  const auto name = ast::name_of(ast::list(call.funcname, call.n_funcname));
  const auto found = std::find_if(known_calls.begin(), known_calls.end(), [&](const known_call& one) { return one.name == name.name; });
  const bool plain = !call.agg_filter && !call.over && !call.agg_star && !call.agg_distinct && !call.n_agg_order && !call.func_variadic;
  if (found == known_calls.end() || !name.is_builtin() || !plain || call.n_args < found->least || call.n_args > found->most) return std::nullopt;
  process_call made{found->is, 0, {}};
  for (const auto* argument : ast::list(call.args, call.n_args)) {
    auto value = value_of(argument);
    if (!value) return std::nullopt;
    made.arguments.push_back(*std::move(value));
  }
  return made;
}

}  // namespace

std::vector<process_call> process_calls(const PgQuery__SelectStmt& s) {
  std::vector<process_call> found;
  if (!is_lone_select(s)) return found;
  const auto targets = ast::list(s.target_list, s.n_target_list);
  const bool may_act = has_one_row(s) && targets.size() == 1;
  for (std::size_t column = 0; column < targets.size(); ++column) {
    const auto* value = targets[column]->node_case == PG_QUERY__NODE__NODE_RES_TARGET ? targets[column]->res_target->val : nullptr;
    if (!value || is_any_columns(*value)) break;
    auto call = call_of(*value);
    if (!call || (call->is != process_asks::own_number && !may_act)) continue;
    call->column = column;
    found.push_back(*std::move(call));
  }
  return found;
}

}  // namespace routing
