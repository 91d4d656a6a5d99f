// What is known of functions by their names. Only unqualified names and pg_catalog are looked at: anything else is the user's own.
#pragma once

#include <string>

#include "routing/analysis/plan.h"
#include "routing/text/ast.h"

namespace routing {

// Built-in functions that read nothing but their arguments, the clock and the rows of the statement, and write nothing.
bool is_harmless_function(const ast::qualified_name&) noexcept;

// ... or that look at the server, wait or speak to other sessions: their transaction commits nothing.
bool only_looks(const ast::qualified_name&) noexcept;

// Built-in functions whose effect a client believes to be global to its database: advisory locks, notifications, large objects,
// sequences, exported snapshots, messages in the log. On the default shard only: elsewhere nobody would meet it.
bool belongs_to_database(const ast::qualified_name&) noexcept;

// The first call of such a function in or below this message, as "name()"; empty: none.
std::string home_effect_of(const ast::message&);

// Does it give the same on every shard, or set what can be set again on another? The time at which the transaction began is not the same.
bool is_unbound_call(const PgQuery__FuncCall&) noexcept;

// now() and its like, which say when their transaction began.
bool tells_when_begun(const ast::qualified_name&) noexcept;

// CURRENT_TIMESTAMP and its like.
bool is_current_time(const ast::message&) noexcept;

// Not the same on two shards, whatever they store: CURRENT_TIMESTAMP and its like, 'now' as a literal, casts to types that are not known.
bool tells_the_time(const ast::message&);

// What a call may leave on the server connection. A function that is not known may leave anything.
void note_call(const PgQuery__FuncCall&, session_effects&);

}  // namespace routing
