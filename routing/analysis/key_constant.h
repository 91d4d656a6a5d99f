// Expressions whose value is known when a statement arrives: literals and parameters, with a cast or a sign. Used by the analysis only.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "routing/map/shard_map.h"
#include "routing/text/ast.h"

namespace routing {

class key_constant {
 public:
  enum class source { null, integer, string, parameter };
  enum class cast_type { none, integer, text, bpchar, uuid };
  source from = source::null;
  std::variant<std::size_t, std::string> value;  // parameter index (0-based), or the literal in text form
  bool negated = false;                          // a parameter under unary minus
  bool array = false;                            // the values are the elements of this one
  cast_type cast = cast_type::none;
  const PgQuery__ParamRef* site = nullptr;       // where a parameter without a cast stands; not part of the value

  bool operator==(const key_constant& other) const { return identity() == other.identity(); }
  bool operator<(const key_constant& other) const { return identity() < other.identity(); }

 private:
  std::tuple<source, const std::variant<std::size_t, std::string>&, bool, bool, cast_type> identity() const {
    return {from, value, negated, array, cast};
  }
};

// A cast within the types that keys have, without a length.
key_constant::cast_type cast_of(const PgQuery__TypeName&, std::size_t array_dimensions);

// Would a temporary relation of this name be found where a statement names a type that keys have?
bool is_key_type(std::string_view name) noexcept;
bool hides_type(const PgQuery__RangeVar&) noexcept;

// nullopt: not a constant, or one whose value needs PostgreSQL to compute (numeric, a cast with a length, a collation).
std::optional<key_constant> constant_of(const ast::node*);

// The elements of ARRAY[...], with or without a cast to an array type; nullopt: not all are constants.
std::optional<std::vector<key_constant>> constants_of_array(const ast::node*);

// $1 or '{1,2}' where an array is expected, with or without a cast to an array type.
std::optional<key_constant> array_constant_of(const ast::node*);

// Does `key = constant` compare, or does storing it, keep the value that hashing the constant as a key of this type would see?
bool fits(const key_constant&, key_type) noexcept;

}  // namespace routing
