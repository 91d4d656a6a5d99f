// What the analysis of a statement text yields: which shard key values decide where it runs, what it does to the session and to
// the transaction, or why it is refused. Immutable, shared between sessions of one worker through the plan cache.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "routing/types.h"

namespace routing {

// An error for the client; sqlstate is one of protocol/sqlstate.h.
struct refusal {
  std::string sqlstate, message, detail, hint;
};

enum class statement_kind {
  query,                  // SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES, EXPLAIN, CALL, DDL, ...
  begin,                  // BEGIN, START TRANSACTION
  commit,                 // COMMIT, END (AND CHAIN included: see `chain`)
  rollback,               // ROLLBACK, ABORT
  savepoint, release, rollback_to,
  set_local,              // SET LOCAL, SET TRANSACTION, SET CONSTRAINTS: ends with the transaction
  discard_all,            // DISCARD ALL: the proxy drops its prepared statements; nothing else is ever kept
  deallocate_all,
  copy_in, copy_out,      // COPY ... FROM STDIN / TO STDOUT
  empty,                  // nothing but blanks and comments
};

enum class destination_kind {
  any,            // no table, catalogs, or reference tables read only: the transaction's shard, else the default shard
  default_shard,  // touches a table that is not sharded
  by_key,         // every sharded table is proven to be restricted to the key values in `keys`
  refused,
};

// One key value that the statement is restricted to.
struct key_source {
  distribution_id distribution;
  std::variant<std::size_t, std::string> value;  // parameter index (0-based), or a literal in text form
  bool negated = false;                          // a parameter under unary minus
  bool array = false;                            // the value is an array, and the key is among its elements
  bool inferred_elsewhere = false;               // the parameter has other uses, from which PostgreSQL may infer an undeclared type
  bool stored_varchar = false;                   // the value is put into a varchar column, which may cut blanks at its end
};

struct statement_plan {
  statement_kind kind = statement_kind::query;
  destination_kind destination = destination_kind::any;
  std::vector<key_source> keys;       // by_key: at least one; all must fall on one shard
  std::optional<refusal> refused;     // with destination refused
  bool plain_read = false;            // SELECT without row locks, data-modifying CTE, cursors or functions that may write
  bool row_locks = false;             // FOR UPDATE / SHARE on a sharded table
  bool chain = false;                 // COMMIT / ROLLBACK AND CHAIN
  std::string savepoint;              // of SAVEPOINT, RELEASE, ROLLBACK TO: its name
};

// All statements of one text (a simple query may hold several).
struct text_plan {
  std::vector<statement_plan> statements;
};

}  // namespace routing
