// The parts of the checks that several files share (prepare.h has the whole ones). Coordinator's thread.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "migration/base/problems.h"
#include "migration/pg/pg.h"
#include "migration/plan/moving_table.h"
#include "migration/plan/state.h"
#include "routing/map/shard_map.h"

namespace migration {

// Rights that role pgrotor needs on a shard (deploy/shard_rights.sql); throws refused with the exact GRANTs.
task<void> check_rights(pg::connection&);

// What statements on a shard mean by `=` and by the names of types, and the unique indexes of a key (checks_names.cc).
task<void> check_names(pg::connection&, problems&);
task<void> check_key_indexes(pg::connection&, const moving_table&, problems&);

// The one list of what a table may not be or have, wherever its rows are: DISTRIBUTE asks it on every shard, EXPLAIN, the command and
// PREPARE of a move on both sides (checks_source.cc): form, identity, unique indexes, triggers.
task<void> check_table(pg::connection&, const moving_table&, problems&);
// Columns and primary key of a table must be the same on both, and then check_behaviour().
task<void> check_alike(pg::connection& source, pg::connection& target, const moving_table&, problems&);
// What check_shard() and check_tables() refuse (prepare.h), collected. Rows in the way are looked for as long as `scan` allows.
task<void> find_shard_problems(pg::connection&, problems&);
task<void> find_table_problems(pg::connection& source, pg::connection& target, const routing::distribution&, const migration_row&,
                               const std::vector<moving_table>&, const std::string& pg_dump, milliseconds scan, problems&);

// One moving table on its source: check_table(), its owner and its foreign keys.
task<void> check_source_table(pg::connection& source, const moving_table&, const std::vector<moving_table>& all, problems&);
// Triggers, constraints, defaults, policies and the like that one side has and the other lacks, with the statement that helps, and partitions
// that the target lacks (checks_behaviour.cc). Who may do what is asked of the target: roles, tables that it has, their schemas.
task<void> check_behaviour(pg::connection& source, pg::connection& target, const moving_table&, problems&);
// Roles by name: those that the target lacks, or that cannot log in, connect or pass row security there as on the source (checks_roles.cc).
task<void> check_roles(pg::connection& source, pg::connection& target, std::set<std::string> roles, problems&);
task<void> check_grants(pg::connection& source, pg::connection& target, const std::vector<moving_table>&, problems&);
// Tables that the target lacks (checks_target.cc): owner and schema, what their definitions need (checks_needed.cc), then the making itself, tried.
task<void> check_missing_tables(pg::connection& source, pg::connection& target, routing::key_type, const std::vector<moving_table>& missing,
                                const std::vector<moving_table>& all, const std::string& pg_dump, problems&);
task<void> check_needed(pg::connection& source, pg::connection& target, const std::vector<moving_table>& missing, const std::string& pg_dump, problems&);
// One moving table that its target has (checks_target.cc): check_table(), definitions alike and no rows in the way.
task<void> check_target_table(pg::connection& source, pg::connection& target, routing::key_type, const std::vector<routing::placement_range>&,
                              const moving_table&, const std::vector<moving_table>& all, milliseconds scan, problems&);

}  // namespace migration
