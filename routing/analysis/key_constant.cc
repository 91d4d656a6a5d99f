#include "routing/analysis/key_constant.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <utility>

namespace routing {
namespace {

using source = key_constant::source;
using cast_type = key_constant::cast_type;

key_constant made(source from, std::variant<std::size_t, std::string> value) {
  key_constant c;
  c.from = from;
  c.value = std::move(value);
  return c;
}

// The grammar calls every whole number beyond int4 a float; up to int8 it is an int8 to the server, above that numeric.
std::optional<key_constant> wide_integer(std::string_view digits) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return made(source::integer, std::to_string(value));
}

std::optional<key_constant> literal(const PgQuery__AConst& c) {
  if (c.isnull) return key_constant{};
  switch (c.val_case) {
    case PG_QUERY__A__CONST__VAL_IVAL: return made(source::integer, std::to_string(c.ival->ival));
    case PG_QUERY__A__CONST__VAL_FVAL: return wide_integer(ast::text(c.fval->fval));
    case PG_QUERY__A__CONST__VAL_SVAL: return made(source::string, std::string(ast::text(c.sval->sval)));
    default: return std::nullopt;
  }
}

std::optional<key_constant> cast(std::optional<key_constant> inner, cast_type to) {
  if (!inner || to == cast_type::none) return std::nullopt;
  if (inner->cast != cast_type::none && inner->cast != to) return std::nullopt;
  if (inner->from == source::integer && to != cast_type::integer) return std::nullopt;
  if (inner->negated && to != cast_type::integer) return std::nullopt;
  inner->cast = to;
  return inner;
}

std::optional<key_constant> of_parameter(const PgQuery__ParamRef& p) {
  if (p.number < 1) return std::nullopt;
  auto c = made(source::parameter, static_cast<std::size_t>(p.number - 1));
  c.site = &p;
  return c;
}

std::optional<key_constant> minus(key_constant operand) {
  if (operand.from == source::parameter && (operand.cast == cast_type::none || operand.cast == cast_type::integer)) {
    operand.negated = !operand.negated;
    return operand;
  }
  if (operand.from != source::integer) return std::nullopt;
  auto& digits = std::get<std::string>(operand.value);
  digits = digits.starts_with('-') ? digits.substr(1) : '-' + digits;
  return wide_integer(digits);
}

std::optional<key_constant> signed_value(const PgQuery__AExpr& e) {
  if (e.kind != PG_QUERY__A__EXPR__KIND__AEXPR_OP || e.lexpr) return std::nullopt;
  const auto op = ast::name_of(ast::list(e.name, e.n_name));
  if ((op.name != "-" && op.name != "+") || !op.is_builtin()) return std::nullopt;
  auto operand = constant_of(e.rexpr);
  if (!operand) return std::nullopt;
  if (op.name == "+") return operand->from == source::integer ? operand : std::nullopt;
  return minus(*std::move(operand));
}

}  // namespace

key_constant::cast_type cast_of(const PgQuery__TypeName& type, std::size_t dimensions) {
  // A length cuts the value: 'abc'::char(1), 'abc'::varchar(2).
  if (type.n_array_bounds != dimensions || type.n_typmods > 0 || type.setof || type.pct_type) return cast_type::none;
  const auto [schema, name] = ast::name_of(ast::list(type.names, type.n_names));
  if (!schema.empty() && schema != "pg_catalog") return cast_type::none;
  if (name == "int2" || name == "int4" || name == "int8") return cast_type::integer;
  if (name == "text" || name == "varchar") return cast_type::text;
  if (name == "bpchar") return cast_type::bpchar;
  if (name == "uuid") return cast_type::uuid;
  return cast_type::none;
}

bool is_key_type(std::string_view name) noexcept {
  constexpr std::string_view names[] = {"int2", "int4", "int8", "text", "varchar", "bpchar", "uuid"};
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool hides_type(const PgQuery__RangeVar& r) noexcept {
  return is_key_type(ast::text(r.relname)) && (ast::text(r.relpersistence) == "t" || ast::text(r.schemaname) == "pg_temp");
}

std::optional<key_constant> constant_of(const ast::node* n) {
  if (!n) return std::nullopt;
  switch (n->node_case) {
    case PG_QUERY__NODE__NODE_A_CONST: return literal(*n->a_const);
    case PG_QUERY__NODE__NODE_PARAM_REF: return of_parameter(*n->param_ref);
    case PG_QUERY__NODE__NODE_TYPE_CAST: return cast(constant_of(n->type_cast->arg), cast_of(*n->type_cast->type_name, 0));
    case PG_QUERY__NODE__NODE_A_EXPR: return signed_value(*n->a_expr);
    default: return std::nullopt;
  }
}

std::optional<std::vector<key_constant>> constants_of_array(const ast::node* n) {
  const PgQuery__TypeName* type = nullptr;
  if (n && n->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) {
    type = n->type_cast->type_name;
    n = n->type_cast->arg;
  }
  if (!n || n->node_case != PG_QUERY__NODE__NODE_A_ARRAY_EXPR) return std::nullopt;
  std::vector<key_constant> constants;
  for (const auto* element : ast::list(n->a_array_expr->elements, n->a_array_expr->n_elements)) {
    auto constant = constant_of(element);
    if (type) constant = cast(std::move(constant), cast_of(*type, 1));
    if (!constant) return std::nullopt;
    constants.push_back(*std::move(constant));
  }
  return constants;
}

std::optional<key_constant> array_constant_of(const ast::node* n) {
  auto to = cast_type::none;
  if (n && n->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) {
    to = cast_of(*n->type_cast->type_name, 1);
    if (to == cast_type::none) return std::nullopt;
    n = n->type_cast->arg;
  }
  if (!n || (n->node_case != PG_QUERY__NODE__NODE_A_CONST && n->node_case != PG_QUERY__NODE__NODE_PARAM_REF)) return std::nullopt;
  auto whole = constant_of(n);
  if (!whole || whole->from == source::integer) return std::nullopt;
  whole->array = whole->from != source::null;
  whole->cast = to;
  return whole;
}

bool fits(const key_constant& c, key_type key) noexcept {
  if (c.from == source::null) return true;
  if (c.from == source::integer || c.negated) return key == key_type::int8;
  switch (c.cast) {
    case cast_type::none: return true;
    case cast_type::integer: return key == key_type::int8;
    // bpchar compared with text is compared as text without its trailing blanks: the same value hashes the same.
    case cast_type::text: return key == key_type::text || key == key_type::bpchar;
    case cast_type::bpchar: return key == key_type::bpchar;
    case cast_type::uuid: return key == key_type::uuid;
  }
  return false;
}

}  // namespace routing
