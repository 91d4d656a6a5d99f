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

#include "routing/map/types.h"

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
  prepare_transaction,    // PREPARE TRANSACTION: ends the transaction here
  finish_prepared,        // COMMIT PREPARED, ROLLBACK PREPARED of `gid`, on the shard that has it
  set_local,              // SET LOCAL, SET TRANSACTION, SET CONSTRAINTS: ends with the transaction
  discard_all,            // DISCARD ALL
  deallocate_all,
  copy_in, copy_out,      // COPY ... FROM STDIN / TO STDOUT
  empty,                  // nothing but blanks and comments
};

enum class destination_kind {
  any,            // no table, catalogs, or reference tables read only: the transaction's shard, else the default shard
  default_shard,  // touches a table that is not sharded
  by_key,         // every sharded table is proven to be restricted to the key values in `keys`
  by_key_at_home, // the same, and it has a home effect: the keys must live on the default shard. No decision says so, only plans
  refused,
};

// What a statement may leave on its server connection beyond the end of its transaction, as a set of bits.
using state_bits = std::uint16_t;
namespace state {
inline constexpr state_bits settings = 1u << 0;         // SET, RESET, set_config: which ones is in statement_plan::settings
inline constexpr state_bits temp_objects = 1u << 1;
inline constexpr state_bits advisory_locks = 1u << 2;   // of the session
inline constexpr state_bits held_cursors = 1u << 3;     // WITH HOLD
inline constexpr state_bits listening = 1u << 4;
inline constexpr state_bits sql_statements = 1u << 5;   // PREPARE as SQL
inline constexpr state_bits sequence_values = 1u << 6;  // read by currval and lastval
inline constexpr state_bits random_seed = 1u << 7;
inline constexpr state_bits libraries = 1u << 8;        // LOAD
inline constexpr state_bits connections = 1u << 9;      // dblink
inline constexpr state_bits anything = 1u << 10;        // runs code that is not known: DO, CALL, DDL, functions of the user
inline constexpr state_bits origin = 1u << 12;          // pg_replication_origin_session_setup
inline constexpr state_bits temp_slots = 1u << 13;      // replication slots
inline constexpr state_bits backup = 1u << 14;          // pg_backup_start
inline constexpr state_bits own_process = 1u << 15;     // pg_backend_pid() in a statement that writes: who reads it later means this client
}  // namespace state

// The name of a setting, or the parameter (0-based) that carries it.
using setting_name = std::variant<std::string, std::size_t>;

// set_config(name, value, local) with literals and parameters.
struct set_config_call {
  setting_name name, value;
  bool local = false;
};

struct session_effects {
  state_bits makes = 0;                // may be there afterwards
  state_bits ends = 0;                 // may be gone afterwards
  bool resets = false;                 // a setting may be back at its default
  std::vector<setting_name> settings;  // none with state::settings: any
  std::vector<set_config_call> calls;  // of set_config, that end with the transaction included
  bool unknown_calls = false;          // one of them says only when it runs what it sets
  bool reported = false;               // SET LOCAL of what PostgreSQL tells its clients
  bool sets_reading = false;           // what follows may be read with another standard_conforming_strings or client_encoding
  bool calls_by_name = false;          // functions that are PostgreSQL's own unless another of that name fits better
};

// One key value that the statement is restricted to.
struct key_source {
  distribution_id distribution;
  std::variant<std::size_t, std::string> value;  // parameter index (0-based), or a literal in text form
  bool negated = false;                          // a parameter under unary minus
  bool array = false;                            // the value is an array, and the key is among its elements
  bool inferred_elsewhere = false;               // the parameter has other uses, from which PostgreSQL may infer an undeclared type
  bool stored_varchar = false;                   // the value is put into a varchar column, which may cut blanks at its end
  bool assigned = false;                         // the key of the rows is set to it, and may not become another one
};

// A column of a SELECT that is a call about processes (process_calls.h).
struct process_call {
  enum class what {
    own_number,  // pg_backend_pid()
    cancel,      // pg_cancel_backend(number)
    terminate,   // pg_terminate_backend(number [, milliseconds to wait])
    is_blocked,  // pg_isolation_test_session_is_blocked(number, numbers), which isolationtester asks
  };
  using value = std::variant<std::size_t, std::string>;  // parameter index (0-based), or a literal in text form
  what is = what::own_number;
  std::size_t column = 0;
  std::vector<value> arguments;
};

struct statement_plan;

// PREPARE and EXECUTE as SQL. Where EXECUTE runs is decided by the statement that was prepared and the values given here.
struct sql_prepare {
  std::string name;
  std::string text;                             // the whole command
  std::vector<std::uint32_t> types;             // as declared: OIDs, 0 for unknown, unknown_type for one that keys do not have
  std::shared_ptr<const statement_plan> inner;  // what it prepares
  static constexpr std::uint32_t unknown_type = 0xffffffff;
};
struct sql_execute {
  // A literal in text form (nullopt: NULL), or a parameter of the statement that EXECUTE stands in; neither: an expression.
  struct argument {
    bool constant = false;
    std::optional<std::string> literal;
    std::optional<std::size_t> parameter;
    bool negated = false;
    std::uint32_t cast = 0;  // OID of the type that it is cast to
  };
  std::string name;
  std::vector<argument> arguments;
  std::string home_effect;  // of a function called in an argument
};

// The relations of a statement that one shard can answer on copies of them (analysis/pull.h).
struct pulled_relations {
  std::vector<distribution_id> distributions;
  bool of_default_shard = false;  // and tables that are there alone
};

struct statement_plan {
  statement_kind kind = statement_kind::query;
  destination_kind destination = destination_kind::any;
  std::vector<key_source> keys;       // by_key: at least one; all must fall on one shard
  std::optional<refusal> refused;     // with destination refused
  bool plain_read = false;            // SELECT without row locks, data-modifying CTE, cursors or functions that may write
  bool unbound = false;               // says the same on every shard, and leaves nothing that cannot be made again: settings, savepoints
  std::optional<distribution_id> adds_up;  // its rows are those that each shard of this distribution gives for itself
  std::optional<pulled_relations> pulls;   // it may run on copies of these
  bool row_locks = false;             // FOR UPDATE / SHARE on a sharded table
  bool only_locks = false;            // changes nothing, but takes locks: FOR UPDATE, advisory ones, LOCK TABLE
  bool opens_cursor = false;          // DECLARE
  bool chain = false;                 // COMMIT / ROLLBACK AND CHAIN
  bool imports_snapshot = false;      // SET TRANSACTION SNAPSHOT
  std::string savepoint;              // of SAVEPOINT, RELEASE, ROLLBACK TO: its name
  std::string gid;                    // of PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED
  std::string home_effect;            // what it calls or is that belongs to the whole database, and so to the default shard: nextval(), NOTIFY
  session_effects effects;
  std::shared_ptr<const sql_prepare> prepare;  // PREPARE
  std::shared_ptr<const sql_execute> execute;  // EXECUTE, also inside EXPLAIN and CREATE TABLE AS
  std::string deallocate;                      // DEALLOCATE of this statement
  std::vector<process_call> processes;         // what its columns ask of processes
};

// All statements of one text (a simple query may hold several).
struct text_plan {
  std::vector<statement_plan> statements;
};

}  // namespace routing
