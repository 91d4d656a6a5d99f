// The permanent ownership guard: an AFTER row trigger ~~pgrotor_owner on each distributed table of each shard, ENABLE ALWAYS, that refuses
// (RT001) a row whose placement is not among the shard's allowed ranges, whoever writes it. The guard of a migration (guard.h) closes the
// moving set on the side that does not own it; this one is for everything else and stays. States: migration/README.md. Coordinator's thread.
#pragma once

#include <string>
#include <vector>

#include "migration/base/task.h"
#include "migration/pg/pg.h"
#include "migration/plan/moving_table.h"
#include "migration/plan/state.h"
#include "routing/map/shard_map.h"

namespace migration {

class newcomer_gate;

// Whose rows may be stored on a shard: its ranges in the map, and what live migrations bring it (PREPARING to CLEANING, PAUSED; the migration's
// own guard refuses these to clients until the flip). Ascending, neighbours merged. Pure.
std::vector<routing::placement_range> allowed_ranges(const routing::distribution&, routing::shard_id, const std::vector<migration_row>&);
// Sorted, with overlapping and adjacent ones merged. Pure.
std::vector<routing::placement_range> merged(std::vector<routing::placement_range>);

enum class guard_wish {
  keep,  // make it or bring it up to date, unless a DBA has switched it off
  on,
  off,
};

// The guards of all distributed tables of the map, or of one, that exist on the shard. No lock is taken where a guard stands as it should.
task<void> set_owner_guards(pg::connection&, const routing::shard_map&, routing::shard_id, const std::vector<migration_row>&,
                            const routing::table* only = nullptr, guard_wish = guard_wish::keep, newcomer_gate* = nullptr);
// SQL for tables that are just being made on a new owner: guards that refuse every row, off where the source's are.
task<std::string> guards_of_new_tables(pg::connection& source, const std::vector<moving_table>&, routing::key_type);
// Of a table, or of all that the map distributes, where they are.
task<void> drop_owner_guards(pg::connection&, const routing::shard_map&, const routing::table* only = nullptr);
// on, off, missing, outdated, weakened (not ENABLE ALWAYS everywhere), or "no table".
task<std::string> owner_guard_state(pg::connection&, const routing::distribution&, const routing::table&, routing::shard_id,
                                    const std::vector<migration_row>&);

}  // namespace migration
