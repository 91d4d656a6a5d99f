// What is known of functions by their names. Only unqualified names and pg_catalog are looked at: anything else is the user's own.
#pragma once

#include <optional>
#include <string>

#include "routing/ast.h"
#include "routing/plan.h"

namespace routing {

// Built-in functions that read nothing but their arguments, the clock and the rows of the statement, and write nothing.
bool is_harmless_function(const ast::qualified_name&) noexcept;

// Functions that leave something on the server connection, which the next client would inherit: refused (0A000).
std::optional<refusal> refuse_session_function(const PgQuery__FuncCall&);

}  // namespace routing
