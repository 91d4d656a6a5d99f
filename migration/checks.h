// The parts of the checks that several files share (prepare.h has the whole ones). Coordinator's thread.
#pragma once

#include "migration/pg.h"
#include "migration/problems.h"
#include "routing/shard_map.h"

namespace migration {

// Rights that role pgrotor needs on a shard (deploy/shard_rights.sql); throws refused with the exact GRANTs.
task<void> check_rights(pg::connection&);

// One moving table on its source (checks_source.cc): its form, identity, unique indexes, triggers, foreign keys, owner.
task<void> check_source_table(pg::connection& source, const moving_table&, const std::vector<moving_table>& all, problems&);
// One moving table on its target (checks_target.cc): rights to make it, or definitions alike and no rows in the way.
task<void> check_target_table(pg::connection& source, pg::connection& target, routing::key_type, const std::vector<routing::placement_range>&,
                              const moving_table&, const std::vector<moving_table>& all, problems&);

}  // namespace migration
