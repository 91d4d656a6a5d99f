// WHERE and ON: which conjuncts limit a shard key, and why the others do not.
#include <algorithm>

#include "routing/analysis/query_analysis.h"

namespace routing {
namespace {

bool is_equals(std::span<ast::node* const> name) noexcept {
  const auto op = ast::name_of(name);
  return op.name == "=" && op.is_builtin();
}

std::optional<std::span<ast::node* const>> row_of(const ast::node* n) noexcept {
  if (!n || n->node_case != PG_QUERY__NODE__NODE_ROW_EXPR) return std::nullopt;
  return ast::list(n->row_expr->args, n->row_expr->n_args);
}

// Told to the client with RT003.
std::string reason(const ast::node& condition) {
  if (condition.node_case == PG_QUERY__NODE__NODE_BOOL_EXPR) {
    return condition.bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__OR_EXPR ? "Its condition stands under OR." : "Its condition stands under NOT.";
  }
  if (condition.node_case != PG_QUERY__NODE__NODE_A_EXPR) return "Its condition is not an equality.";
  const auto& e = *condition.a_expr;
  const auto op = ast::name_of(ast::list(e.name, e.n_name));
  switch (e.kind) {
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP:
      if (op.name == "=") return "Its shard key is compared with an expression, or stands inside a cast, function or expression itself.";
      return "Its condition compares with " + std::string(op.name) + ", not with =.";
    case PG_QUERY__A__EXPR__KIND__AEXPR_IN:
      if (op.name == "=") return "The IN list holds more than literals and parameters of the key's type.";
      return "Its condition is NOT IN.";
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY: return "The array is neither a literal or parameter nor written out as ARRAY[...] of such.";
    default: return "Its condition is not an equality.";
  }
}

}  // namespace

void query_analysis::filter(const ast::node* condition, const scope& here, const from_item* arm) {
  if (!condition) return;
  if (condition->node_case == PG_QUERY__NODE__NODE_BOOL_EXPR &&
      condition->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR) {
    for (const auto* part : ast::list(condition->bool_expr->args, condition->bool_expr->n_args)) filter(part, here, arm);
    return;
  }
  bool used = false;
  if (condition->node_case == PG_QUERY__NODE__NODE_A_EXPR) used = compare(*condition->a_expr, here, arm);
  if (condition->node_case == PG_QUERY__NODE__NODE_SUB_LINK) used = semi_join(*condition->sub_link, here, arm);
  if (!used) explain(*condition, here);
}

bool query_analysis::compare(const PgQuery__AExpr& e, const scope& here, const from_item* arm) {
  if (!is_equals(ast::list(e.name, e.n_name))) return false;
  switch (e.kind) {
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP: return equate(e.lexpr, e.rexpr, here, arm);
    case PG_QUERY__A__EXPR__KIND__AEXPR_IN:
      if (e.rexpr->node_case != PG_QUERY__NODE__NODE_LIST) return false;
      return among(e.lexpr, ast::list(e.rexpr->list->items, e.rexpr->list->n_items), here, arm);
    case PG_QUERY__A__EXPR__KIND__AEXPR_OP_ANY: {
      auto constants = constants_of_array(e.rexpr);
      if (auto whole = constants ? std::nullopt : array_constant_of(e.rexpr)) constants = {*std::move(whole)};
      return constants && limit(read_term(e.lexpr, here, arm), *std::move(constants));
    }
    default: return false;
  }
}

bool query_analysis::equate(const ast::node* l, const ast::node* r, const scope& here, const from_item* arm) {
  const auto lrow = row_of(l), rrow = row_of(r);
  if (!lrow || !rrow) return equate(read_term(l, here, arm), read_term(r, here, arm));
  if (lrow->size() != rrow->size()) return false;
  bool used = false;
  for (std::size_t i = 0; i < lrow->size(); ++i) used |= equate((*lrow)[i], (*rrow)[i], here, arm);
  return used;
}

bool query_analysis::equate(const term& l, const term& r) {
  using kind = term::kind;
  if (l.is == kind::key && r.is == kind::constant) return limit(l, {r.constant});
  if (r.is == kind::key && l.is == kind::constant) return limit(r, {l.constant});
  if (l.is != kind::key || r.is != kind::key) return false;
  if (l.limitable) graph_.follow(l.key, r.key);
  if (r.limitable) graph_.follow(r.key, l.key);
  return true;
}

bool query_analysis::among(const ast::node* tested, nodes list, const scope& here, const from_item* arm) {
  if (const auto row = row_of(tested)) return among_rows(*row, list, here, arm);
  std::vector<key_constant> constants;
  for (const auto* n : list) {
    auto constant = constant_of(n);
    if (!constant) return false;
    constants.push_back(*std::move(constant));
  }
  return limit(read_term(tested, here, arm), std::move(constants));
}

// (key, x) IN ((1, 2), (3, 4))
bool query_analysis::among_rows(nodes tested, nodes list, const scope& here, const from_item* arm) {
  bool used = false;
  for (std::size_t i = 0; i < tested.size(); ++i) {
    std::vector<key_constant> constants;
    for (const auto* n : list) {
      const auto row = row_of(n);
      auto constant = row && row->size() == tested.size() ? constant_of((*row)[i]) : std::nullopt;
      if (!constant) break;
      constants.push_back(*std::move(constant));
    }
    if (constants.size() == list.size()) used |= limit(read_term(tested[i], here, arm), std::move(constants));
  }
  return used;
}

// key IN (SELECT ...): the key is among what the subquery yields.
bool query_analysis::semi_join(const PgQuery__SubLink& link, const scope& here, const from_item* arm) {
  if (link.sub_link_type != PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK) return false;
  if (link.n_oper_name > 0 && !is_equals(ast::list(link.oper_name, link.n_oper_name))) return false;
  const auto* query = ast::payload(link.subselect);
  const row_shape shape = query ? subselect(*query, here) : row_shape::unknown();
  if (!shape.positional) return false;
  const auto row = row_of(link.testexpr);
  const std::size_t width = row ? row->size() : 1;
  bool used = false;
  for (std::size_t i = 0; i < width && i < shape.columns.size(); ++i) {
    const auto yielded = shape.columns[i].key;
    const term tested = read_term(row ? (*row)[i] : link.testexpr, here, arm);
    if (!yielded || tested.is != term::kind::key) continue;
    used = true;
    if (tested.limitable) graph_.follow(tested.key, *yielded);
    graph_.follow(*yielded, tested.key);  // a table use only where the subquery passes its rows through one by one
  }
  return used;
}

void query_analysis::note_key_use(vertex v, const key_constant& c) {
  if (c.site) key_uses_.insert(c.site);
  if (c.from == key_constant::source::parameter) key_types_[std::get<std::size_t>(c.value)].insert(graph_.type_of(v));
}

bool query_analysis::limit(const term& t, std::vector<key_constant> constants) {
  if (t.is != term::kind::key || !graph_.is_table(t.key)) return false;
  const key_type type = graph_.type_of(t.key);
  if (!std::all_of(constants.begin(), constants.end(), [&](const key_constant& c) { return fits(c, type); })) {
    graph_.explain(t.key, "Its shard key is of type " + std::string(to_string(type)) + " and is compared with a value of another type.");
    return true;
  }
  for (const auto& c : constants) note_key_use(t.key, c);
  if (!t.limitable) return false;
  graph_.limit(t.key, std::move(constants));
  return true;
}

query_analysis::term query_analysis::read_term(const ast::node* n, const scope& here, const from_item* arm) {
  term t;
  if (!n) return t;
  if (n->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
    const auto found = resolve(here, *n->column_ref);
    if (!found.what.is_found()) return t;
    t.is = term::kind::key;
    t.key = found.what.key;
    t.limitable = found.own;
    if (found.own && arm) {
      const scope below{nullptr, nullptr, {arm}, {}};
      const auto again = resolve(below, *n->column_ref).what;
      t.limitable = again.is_found() && again.key == t.key;
    }
    return t;
  }
  if (n->node_case == PG_QUERY__NODE__NODE_SUB_LINK && n->sub_link->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXPR_SUBLINK) {
    const auto* query = ast::payload(n->sub_link->subselect);
    const row_shape shape = query ? subselect(*query, here) : row_shape::unknown();
    if (!shape.positional || shape.columns.size() != 1 || !shape.columns[0].key) return t;
    t.is = term::kind::key;
    t.key = *shape.columns[0].key;
    return t;
  }
  if (auto constant = constant_of(n)) {
    t.is = term::kind::constant;
    t.constant = *std::move(constant);
  }
  return t;
}

void query_analysis::explain(const ast::node& condition, const scope& here) {
  explain_columns(condition.base, here, reason(condition));
}

void query_analysis::explain_columns(const ast::message& m, const scope& here, const std::string& why) {
  if (m.descriptor == &pg_query__select_stmt__descriptor) return;
  if (const auto* ref = ast::as<PgQuery__ColumnRef>(m, pg_query__column_ref__descriptor)) {
    const auto found = resolve(here, *ref);
    if (found.what.is_found() && found.own) graph_.explain(found.what.key, why);
    return;
  }
  ast::for_each_child(m, [&](const ast::message& child) { explain_columns(child, here, why); });
}

}  // namespace routing
