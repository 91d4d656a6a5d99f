// Bounds on a statement text, checked by a scan of its tokens before libpg_query sees it: the parser's own recursion, not ours, is what
// a long chain of operators overflows. Pure, any thread, linear in the length of the text.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace routing {

// Measured with libpg_query 15: an operator in a chain takes 2 KiB of stack to parse and read, a level of subqueries 5.8 KiB. At these
// bounds a statement needs less than 4 MiB; threads that analyse have 8 MiB. A text of 64 MiB takes 0.4 to 1.2 s and four times its size,
// whatever it is made of. What binds PostgreSQL is the depth alone, so tokens are bounded by what they cost only: 110,000 values of an IN list
// take 30 MB, as many parameters with a cast 120 MB, for half a second.
struct analyzer_limits {
  std::size_t max_text_bytes = 64u << 20;
  std::size_t max_tokens = 1'000'000;
  std::size_t max_operators = 1'000;  // that may nest: AND, OR and commas make lists and start anew, joins and unions do not
  std::size_t max_nesting = 300;      // parentheses, brackets, CASE
  std::size_t max_run_work = 64u << 20;  // characters that the lexer reads again, of runs of operators and comments: 0.4 s
};

// What exceeds which limit, for the error's detail; nullopt if nothing does.
std::optional<std::string> exceeds(std::string_view sql, const analyzer_limits&);

}  // namespace routing
