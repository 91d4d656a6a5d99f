// What functions and texts of SQL touch without the statement naming it, as far as the map knows (hidden_access) and words can tell. Called by
// the analysis; keeps nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "routing/analysis/plan.h"
#include "routing/map/shard_map.h"
#include "routing/text/ast.h"

namespace routing {

// The first word or quoted word of the text that names a sharded or reference table, a view over one, or a function that touches one; empty: none.
// Text within its strings counts too.
std::string table_named_in(std::string_view text, const shard_map&);

// The same of all strings in or below a message.
std::string table_named_in_texts(const ast::message&, const shard_map&);

// Functions that run SQL given to them as text.
bool runs_text(const ast::qualified_name&) noexcept;

// Why a call cannot be: the function, or the text that is given to it, touches tables on several shards, or may.
std::optional<refusal> refused_call(const PgQuery__FuncCall&, const shard_map&);
// The function touches what only the default shard has.
bool calls_home(const ast::qualified_name&, const shard_map&) noexcept;

}  // namespace routing
