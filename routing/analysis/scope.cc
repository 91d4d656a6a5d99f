#include "routing/analysis/scope.h"

#include <algorithm>
#include <utility>

namespace routing {
namespace {

lookup column_of(const row_shape& shape, std::string_view name) {
  const row_shape::column* match = nullptr;
  for (const auto& c : shape.columns) {
    if (c.name != name) continue;
    if (match) return lookup::unknown();
    match = &c;
  }
  if (match) return match->key ? lookup::found(*match->key) : lookup::unknown();
  return shape.open ? lookup::unknown() : lookup{};
}

// Of two items side by side. A name that both have is an error to PostgreSQL, so one sure find is the right one.
lookup either(lookup a, lookup b) {
  if (a.is_found() && b.is_found()) return lookup::unknown();
  if (a.is_found() || b.is_absent()) return a;
  return b;
}

// A column merged by USING or NATURAL is the left one, of a RIGHT JOIN the right one, of a FULL JOIN neither.
lookup merged_column(PgQuery__JoinType type, lookup left, lookup right) {
  switch (type) {
    case PG_QUERY__JOIN_TYPE__JOIN_INNER: return left.is_found() ? left : right;
    case PG_QUERY__JOIN_TYPE__JOIN_LEFT: return left;
    case PG_QUERY__JOIN_TYPE__JOIN_RIGHT: return right;
    default: return lookup::unknown();
  }
}

struct column_name {
  std::string_view schema, relation, column;
};

std::optional<column_name> name_parts(const PgQuery__ColumnRef& ref) {
  if (ref.n_fields < 1 || ref.n_fields > 4) return std::nullopt;
  const auto part = [&](std::size_t from_end) {
    return from_end < ref.n_fields ? ast::string_of(ref.fields[ref.n_fields - 1 - from_end]) : std::string_view();
  };
  if (part(0).empty()) return std::nullopt;  // a star
  return column_name{part(2), part(1), part(0)};
}

lookup look(const from_item& item, const column_name& name) {
  return name.relation.empty() ? item.column(name.column) : item.column(name.schema, name.relation, name.column);
}

}  // namespace

bool is_catalog(std::string_view schema, std::string_view name) noexcept {
  if (schema.empty()) return name.starts_with("pg_");
  return schema == "pg_catalog" || schema == "information_schema" || schema == "pg_toast";
}

row_shape renamed(row_shape shape, const PgQuery__Alias* alias) {
  if (!alias || alias->n_colnames == 0) return shape;
  if (!shape.positional || alias->n_colnames > shape.columns.size()) return row_shape::unknown();
  for (std::size_t i = 0; i < alias->n_colnames; ++i) shape.columns[i].name = ast::string_of(alias->colnames[i]);
  return shape;
}

lookup from_item::column(std::string_view wanted) const {
  if (!is_join()) return column_of(shape, wanted);
  if (!shape_is_known) return lookup::unknown();
  const lookup l = left->column(wanted), r = right->column(wanted);
  const bool is_merged = std::find(merged.begin(), merged.end(), wanted) != merged.end();
  if (is_merged) return merged_column(type, l, r);
  if (!natural || l.is_absent() || r.is_absent()) return either(l, r);
  return merged_column(type, l, r);
}

lookup from_item::column(std::string_view in_schema, std::string_view relation, std::string_view wanted) const {
  if (!is_join()) {
    if (name.empty()) return lookup::unknown();
    if (relation != name) return {};
    if (!in_schema.empty() && in_schema != schema) return lookup::unknown();
    const lookup l = column_of(shape, wanted);
    return l.is_absent() ? lookup::unknown() : l;  // the name ends here, whatever the column turns out to be
  }
  if (!name.empty()) {
    if (relation != name) return {};
    const lookup l = column(wanted);
    return l.is_absent() ? lookup::unknown() : l;
  }
  if (!using_alias.empty() && relation == using_alias) return lookup::unknown();
  const lookup l = left->column(in_schema, relation, wanted);
  return l.is_absent() ? right->column(in_schema, relation, wanted) : l;
}

namespace {

void append(row_shape& all, const row_shape& more) {
  if (all.columns.size() + more.columns.size() > row_shape::max_columns) {
    all = row_shape::unknown();
    return;
  }
  all.columns.insert(all.columns.end(), more.columns.begin(), more.columns.end());
  all.open = all.open || more.open;
  all.positional = all.positional && more.positional;
}

const from_item* named(const from_item& item, std::string_view relation) {
  if (item.name == relation) return &item;
  if (!item.is_join() || !item.name.empty()) return nullptr;
  const auto* l = named(*item.left, relation);
  return l ? l : named(*item.right, relation);
}

}  // namespace

row_shape from_item::star() const {
  if (!is_join()) return shape;
  if (!shape_is_known || natural || !merged.empty()) return row_shape::unknown();  // merged columns come first and once
  row_shape all = left->star();
  append(all, right->star());
  return all;
}

row_shape scope::star(const PgQuery__ColumnRef& ref) const {
  row_shape all;
  if (ref.n_fields == 1) {
    for (const auto* item : visible) append(all, item->star());
    return all;
  }
  if (ref.n_fields != 2) return row_shape::unknown();
  for (const auto* item : visible) {
    if (const auto* relation = named(*item, ast::string_of(ref.fields[0]))) return relation->star();
  }
  return row_shape::unknown();
}

const row_shape* cte_frame::find(std::string_view wanted) const noexcept {
  for (const auto* frame = this; frame; frame = frame->outer) {
    for (const auto& c : frame->ctes) {
      if (c.name == wanted) return &c.shape;
    }
  }
  return nullptr;
}

scope::reference scope::resolve(const PgQuery__ColumnRef& ref, std::size_t& steps) const {
  const auto name = name_parts(ref);
  if (!name) return {lookup::unknown(), false};
  for (const auto* s = this; s; s = s->outer) {
    lookup found;
    for (const auto* item : s->visible) {
      steps += item->relations;
      found = either(found, look(*item, *name));
    }
    if (!found.is_absent()) return {found, s == this};
    for (const auto* item : s->hidden) {
      steps += item->relations;
      if (!look(*item, *name).is_absent()) return {lookup::unknown(), false};
    }
  }
  return {};
}

}  // namespace routing
