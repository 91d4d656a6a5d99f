// Commands that concern sharded or reference tables without naming one: whole schemas and databases, roles, and new objects that take a table's
// name. Called by utility.cc; keeps nothing.
#pragma once

#include <optional>

#include "routing/analysis/plan.h"
#include "routing/map/shard_map.h"
#include "routing/text/ast.h"

namespace routing {

// nullopt: nothing of the kind; a map without tables refuses nothing.
std::optional<refusal> of_all_shards(const ast::node&, const shard_map&);

// Why a new relation cannot be called so: pgrotor would take its name, without a schema, for the table of the map.
std::optional<refusal> takes_name_of_table(const PgQuery__RangeVar&, const shard_map&);

// CREATE TEMP of a relation, of any kind.
bool makes_temporary(const ast::node&) noexcept;

}  // namespace routing
