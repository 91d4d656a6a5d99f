// Statement analysis with libpg_query: proves that a statement stays on one shard, or says why not (RT003) and what helps. Bounds
// tokens and operators before parsing (libpg_query overflows the stack on long chains) and answers 54001. About 40 us a call:
// called through plan_cache only. Any thread; keeps nothing.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "routing/plan.h"
#include "routing/shard_map.h"

namespace routing {

struct analyzer_limits {
  std::size_t max_text_bytes = 16u << 20;
  std::size_t max_tokens = 200'000;
  std::size_t max_operators = 2'000;  // measured: 4,500 overflow an 8 MiB stack
  std::size_t max_nesting = 500;
};

// Never throws for bad SQL: a text that does not parse becomes one statement to any shard, so that PostgreSQL's own error with its
// position reaches the client.
text_plan analyze(std::string_view sql, const shard_map&, const analyzer_limits& = {});
// The same, but nullopt for a text that does not parse.
std::optional<text_plan> analyze_if_parsable(std::string_view sql, const shard_map&, const analyzer_limits& = {});

}  // namespace routing
