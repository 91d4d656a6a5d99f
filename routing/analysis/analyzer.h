// Statement analysis with libpg_query: proves that a statement stays on one shard, or says why not (RT003) and what helps. Bounds
// tokens, operators and nesting before parsing (libpg_query overflows the stack on long chains) and answers 54001. About 40 us a call:
// called through plan_cache only. Any thread; keeps nothing.
#pragma once

#include <optional>
#include <string_view>

#include "routing/analysis/plan.h"
#include "routing/map/shard_map.h"
#include "routing/text/text_bounds.h"

namespace routing {

// Never throws for bad SQL: a text that does not parse becomes one statement to any shard, so that PostgreSQL's own error with its
// position reaches the client.
text_plan analyze(std::string_view sql, const shard_map&, const analyzer_limits& = {});
// The same, but nullopt for a text that does not parse.
std::optional<text_plan> analyze_if_parsable(std::string_view sql, const shard_map&, const analyzer_limits& = {});

}  // namespace routing
