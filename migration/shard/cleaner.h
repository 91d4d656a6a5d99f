// After the switch, or after a failure: removes rows that a shard does not own, in throttled batches under a replication origin (so
// that nobody's CDC takes them for business events) and session_replication_role=replica, then every object in the cleanup ledger.
// Idempotent; a killed cleaner is run again. Nothing is left (I6): leftovers() proves it by query.
#pragma once

#include <string>
#include <vector>

#include "migration/base/task.h"
#include "migration/catalog/catalog.h"
#include "migration/pg/pg.h"
#include "migration/plan/moving_table.h"
#include "migration/plan/state.h"

namespace migration {

class newcomer_gate;

// Deletes rows of the ranges from all tables, by slices of the primary key, and returns how many. Verifies zero at the end.
task<std::uint64_t> delete_rows(pg::connection&, const object_names&, routing::key_type, const std::vector<routing::placement_range>&,
                                const std::vector<moving_table>&, std::size_t batch_rows = 2'000);
// Slot, publication, origins, guards, registers and progress rows of a migration on one shard, struck from the ledger when they are gone.
// Tables that PREPARE made are dropped again when the migration did not switch and they are empty.
task<void> drop_objects(ledger&, pg::connection&, routing::shard_id, const migration_row&, newcomer_gate* = nullptr);
// What is left of any migration on a shard, one line each; empty is what I6 asks for.
task<std::vector<std::string>> leftovers(pg::connection&);

}  // namespace migration
