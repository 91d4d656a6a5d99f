// Everything that is not SELECT, INSERT, UPDATE, DELETE or MERGE: what it does to transaction and session, and where it may run.
#pragma once

#include "routing/analysis/plan.h"
#include "routing/map/shard_map.h"
#include "routing/text/ast.h"

namespace routing {

struct utility_plan {
  statement_plan plan;
  const ast::node* query = nullptr;  // EXPLAIN, DECLARE, COPY (query): decided by this query, with the kind of `plan`
};
utility_plan read_utility(const ast::node&, const shard_map&);

}  // namespace routing
