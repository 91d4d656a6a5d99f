// FROM: which relations a query level brings in, under which names, and what joins say about their keys.
#include <algorithm>

#include "routing/analysis/query_analysis.h"
#include "routing/analysis/refusals.h"

namespace routing {
namespace {

std::string alias_of(const PgQuery__Alias* alias) { return alias ? std::string(ast::text(alias->aliasname)) : std::string(); }

std::unique_ptr<from_item> relation(std::string name, row_shape shape) {
  auto made = std::make_unique<from_item>();
  made->name = std::move(name);
  made->shape = std::move(shape);
  return made;
}

void key_columns(const from_item& item, std::vector<std::string>& names) {
  if (item.is_join()) {
    key_columns(*item.left, names);
    key_columns(*item.right, names);
    return;
  }
  for (const auto& c : item.shape.columns) {
    if (c.key) names.push_back(c.name);
  }
}

}  // namespace

void query_analysis::from(nodes list, scope& here, std::vector<item_ptr>& owned) {
  for (const auto* n : list) {
    owned.push_back(item(*n, here));
    here.visible.push_back(owned.back().get());
  }
}

query_analysis::item_ptr query_analysis::item(const ast::node& n, scope& here) {
  switch (n.node_case) {
    case PG_QUERY__NODE__NODE_RANGE_VAR: return table(*n.range_var, here, usage::read);
    case PG_QUERY__NODE__NODE_JOIN_EXPR: return join(*n.join_expr, here);
    case PG_QUERY__NODE__NODE_RANGE_SUBSELECT: {
      const auto& sub = *n.range_subselect;
      const auto* query = ast::payload(sub.subquery);
      const auto references = references_;
      row_shape shape = query ? statement(*query, sub.lateral ? &here : here.outer, here.ctes) : row_shape::unknown();
      auto made = relation(alias_of(sub.alias), renamed(std::move(shape), sub.alias));
      if (references_ > references) made->reference = last_reference_;
      return made;
    }
    case PG_QUERY__NODE__NODE_RANGE_TABLE_SAMPLE: {
      walk(ast::list(n.range_table_sample->args, n.range_table_sample->n_args), here);
      return item(*n.range_table_sample->relation, here);
    }
    default: break;
  }
  const auto* other = ast::payload(&n);  // a function, XMLTABLE: whatever columns they have, none carries a key
  if (other) walk(*other, here);
  const PgQuery__Alias* alias = nullptr;
  if (n.node_case == PG_QUERY__NODE__NODE_RANGE_FUNCTION) alias = n.range_function->alias;
  if (n.node_case == PG_QUERY__NODE__NODE_RANGE_TABLE_FUNC) alias = n.range_table_func->alias;
  return relation(alias_of(alias), row_shape::unknown());
}

query_analysis::item_ptr query_analysis::table(const PgQuery__RangeVar& r, const scope& here, usage how, std::optional<vertex>* use) {
  const auto schema = ast::text(r.schemaname), name = ast::text(r.relname);
  const std::string shown_as = r.alias ? alias_of(r.alias) : std::string(name);
  if (schema.empty() && how == usage::read && here.ctes) {
    if (const auto* shape = here.ctes->find(name)) return relation(shown_as, renamed(*shape, r.alias));
  }
  bool ambiguous = false;
  is_unbound_ = false;
  const auto* known = map_.find_table(schema, name, ambiguous);
  if (ambiguous) refuse(ambiguous_table(name));
  row_shape shape = row_shape::unknown();
  if (known && known->distribution) {
    shape = sharded(*known, shown_as, how, use);
  } else {
    unsharded(known, schema, name, how);
    if (known && !known->columns.empty()) {
      shape = {};
      for (const auto& c : known->columns) shape.columns.push_back({c, std::nullopt});
    }
  }
  auto made = relation(shown_as, renamed(std::move(shape), r.alias));
  if (!r.alias) made->schema = known ? known->schema : std::string(schema);
  if (known && !known->distribution) made->reference = known->name;
  return made;
}

row_shape query_analysis::sharded(const routing::table& t, const std::string& shown_as, usage how, std::optional<vertex>* use) {
  const vertex v = graph_.add_table(t, shown_as, how == usage::store);
  if (use) *use = v;
  row_shape shape;
  for (const auto& c : t.columns) shape.columns.push_back({c, c == t.key_column ? std::optional(v) : std::nullopt});
  if (t.columns.empty()) shape = {{{t.key_column, v}}, true, false};
  return shape;
}

void query_analysis::unsharded(const routing::table* reference, std::string_view schema, std::string_view name, usage how) {
  if (reference) {
    if (how != usage::read) refuse(reference_write(*reference));
    last_reference_ = reference->name;
    ++references_;
    return;
  }
  const auto* hidden = how == usage::read ? nullptr : map_.find_hidden(hidden_access::by::write, schema, name);
  if (map_.is_dependent_view(schema, name)) {
    refuse(dependent_view(name));
  } else if (hidden) {
    refuse(hidden_write(*hidden));
  } else if (!is_catalog(schema, name) && local_table_.empty()) {
    local_table_ = name;
  }
}

query_analysis::item_ptr query_analysis::join(const PgQuery__JoinExpr& j, scope& here) {
  auto made = std::make_unique<from_item>();
  made->type = j.jointype;
  made->natural = j.is_natural != 0;
  made->left = item(*j.larg, here);
  here.visible.push_back(made->left.get());  // LATERAL on the right sees it
  made->right = item(*j.rarg, here);
  here.visible.pop_back();
  made->relations = made->left->relations + made->right->relations;
  for (std::size_t i = 0; i < j.n_using_clause; ++i) made->merged.emplace_back(ast::string_of(j.using_clause[i]));
  made->using_alias = alias_of(j.join_using_alias);
  merge_columns(*made);
  if (j.quals) {
    scope on{here.outer, here.ctes, {made.get()}, here.visible};
    const bool left = j.jointype == PG_QUERY__JOIN_TYPE__JOIN_LEFT, right = j.jointype == PG_QUERY__JOIN_TYPE__JOIN_RIGHT;
    const from_item* arm = left ? made->right.get() : right ? made->left.get() : nullptr;
    if (arm || j.jointype == PG_QUERY__JOIN_TYPE__JOIN_INNER) filter(j.quals, on, arm);
    walk(j.quals->base, on);
  }
  made->name = alias_of(j.alias);
  made->shape_is_known = !j.alias || j.alias->n_colnames == 0;
  return made;
}

void query_analysis::merge_columns(from_item& j) {
  for (const auto& name : j.merged) equal_columns(j, name);
  if (!j.natural) return;
  std::vector<std::string> names;
  key_columns(*j.left, names);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  for (const auto& name : names) equal_columns(j, name);
}

void query_analysis::equal_columns(const from_item& j, std::string_view name) {
  const lookup l = j.left->column(name), r = j.right->column(name);
  if (!l.is_found() || !r.is_found()) return;
  if (j.type == PG_QUERY__JOIN_TYPE__JOIN_INNER || j.type == PG_QUERY__JOIN_TYPE__JOIN_LEFT) graph_.follow(r.key, l.key);
  if (j.type == PG_QUERY__JOIN_TYPE__JOIN_INNER || j.type == PG_QUERY__JOIN_TYPE__JOIN_RIGHT) graph_.follow(l.key, r.key);
}

}  // namespace routing
