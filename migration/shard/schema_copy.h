// Missing tables of a target, made from the source's definitions by pg_dump. Tried and taken back by the checks of a job and of PREPARE,
// made by PREPARE: the statements are the same, so that what the checks let through is not refused later. Coordinator's thread.
#pragma once

#include <string>
#include <vector>

#include "migration/base/problems.h"
#include "migration/base/task.h"
#include "migration/pg/pg.h"
#include "migration/plan/moving_table.h"
#include "migration/shard/pg_dump.h"

namespace migration {

// Names of moving tables that the target has not got.
task<std::vector<moving_table>> missing_tables(pg::connection& target, const std::vector<moving_table>&);
// What makes them with their partitions, owned sequences, indexes, constraints, user triggers, owners and grants; at the end the ownership
// guards (ownership.h), so that no row comes before them. Throws refused with pg_dump's message.
task<std::vector<dump_entry>> table_definitions(pg::connection& source, const std::vector<moving_table>&, routing::key_type,
                                                const std::string& pg_dump);
// Runs each entry in one transaction, which is rolled back, and collects what the server says. What only follows from an earlier problem is
// left out. No lock is waited for longer than some milliseconds; what is not had after several tries is left to PREPARE and not refused.
// Catalogs of the target see no trace; event triggers there run, and what they do outside of the transaction stays.
task<void> try_definitions(pg::connection& target, const std::vector<dump_entry>&, problems&);
// Makes them in one transaction. Tables that they refer to and that are there already are locked for it: see lock_retry.h.
task<void> make_definitions(pg::connection& source, pg::connection& target, const std::vector<moving_table>&,
                            const std::vector<dump_entry>&);

}  // namespace migration
