// Statement analysis with libpg_query: proves that a statement stays on one shard, or says why not (RT003) and what helps. Bounds
// tokens, operators and nesting before parsing (libpg_query overflows the stack on long chains) and answers 54001. About 40 us a call:
// called through plan_cache only. Any thread; keeps nothing.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "routing/plan.h"
#include "routing/shard_map.h"

namespace routing {

// Measured with libpg_query 15: an operator in a chain takes 2 KiB of stack to parse and read, a level of subqueries 5.8 KiB. At these
// bounds a statement needs less than 4 MiB; threads that analyse have 8 MiB. A text of 64 MiB takes 0.4 to 1.2 s and four times its size,
// whatever it is made of.
struct analyzer_limits {
  std::size_t max_text_bytes = 64u << 20;
  std::size_t max_tokens = 200'000;
  std::size_t max_operators = 1'000;  // that may nest: AND, OR and commas make lists and start anew, joins and unions do not
  std::size_t max_nesting = 300;      // parentheses, brackets, CASE
  std::size_t max_run_work = 64u << 20;  // characters that the lexer reads again, of runs of operators and comments: 0.4 s
};

// Never throws for bad SQL: a text that does not parse becomes one statement to any shard, so that PostgreSQL's own error with its
// position reaches the client.
text_plan analyze(std::string_view sql, const shard_map&, const analyzer_limits& = {});
// The same, but nullopt for a text that does not parse.
std::optional<text_plan> analyze_if_parsable(std::string_view sql, const shard_map&, const analyzer_limits& = {});

}  // namespace routing
