// Which columns of a SELECT are nothing but a call about processes. To a client these are the numbers that pgrotor gives to clients, and no
// shard knows those: what such a column says is decided by pgrotor. Pure; any thread.
#pragma once

#include <vector>

#include "routing/analysis/plan.h"
#include "routing/text/ast.h"

namespace routing {

// In the order of the columns. Those behind a star are not counted, as nobody knows how many it stands for; nor is a call that acts or asks
// where the SELECT does more than call it once, or whose arguments are no constants or parameters.
std::vector<process_call> process_calls(const PgQuery__SelectStmt&);

}  // namespace routing
