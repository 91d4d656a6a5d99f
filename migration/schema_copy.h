// Missing tables of a target, made from the source's definitions by pg_dump (a child process). Used by prepare; coordinator's
// thread, which goes on with other work while the child runs.
#pragma once

#include <string>
#include <vector>

#include "migration/mover.h"
#include "migration/pg.h"

namespace migration {

// Names of moving tables that the target has not got.
task<std::vector<moving_table>> missing_tables(pg::connection& target, const std::vector<moving_table>&);
// Creates them with their partitions, owned sequences, indexes, constraints, user triggers, owners and grants, in one transaction.
// `guards` (ownership.h) runs in the same transaction, so that no row comes before them. Throws refused with pg_dump's or the target's message.
task<void> copy_definitions(pg::connection& source, pg::connection& target, const std::vector<moving_table>&, const std::string& pg_dump,
                            const std::string& guards);

// The statements of a dump that a target needs: session settings, our own guards and comments left out. For tests.
std::string wanted_statements(std::string_view dump);

}  // namespace migration
