// Expressions whose value is known when a statement arrives: literals and parameters, with a cast or a sign. Used by the analysis only.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "routing/ast.h"
#include "routing/shard_map.h"

namespace routing {

struct key_constant {
  enum class source { null, integer, string, parameter };
  enum class cast_type { none, integer, text, bpchar, uuid };
  source from = source::null;
  std::variant<std::size_t, std::string> value;  // parameter index (0-based), or the literal in text form
  bool negated = false;                          // a parameter under unary minus
  cast_type cast = cast_type::none;
};

// nullopt: not a constant, or one whose value needs PostgreSQL to compute (numeric, a cast with a length, a collation).
std::optional<key_constant> constant_of(const ast::node*);

// The elements of ARRAY[...], with or without a cast to an array type; nullopt: not all are constants.
std::optional<std::vector<key_constant>> constants_of_array(const ast::node*);

// Does `key = constant` compare, or does storing it, keep the value that hashing the constant as a key of this type would see?
bool fits(const key_constant&, key_type) noexcept;

}  // namespace routing
