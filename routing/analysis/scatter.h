// Whether the rows of a statement over a whole sharded table are the rows that each shard gives for itself, one after the other in any order:
// then it may run on all of them (DESIGN 9, executor `concat`). A proof by what the statement has, not by what it lacks: anything not known
// to work on one row by itself, and alike on every shard, is none.
#pragma once

#include "routing/text/ast.h"

namespace routing {

// SELECT of one table without aggregates, windows, DISTINCT, ORDER BY, LIMIT, set operations, subqueries, locks, functions of the user, and what
// tells the time or looks at the server.
bool rows_add_up(const ast::node& statement);

// They say where a row lies, and two shards may say the same of two.
bool is_system_column(const PgQuery__ColumnRef&) noexcept;

}  // namespace routing
