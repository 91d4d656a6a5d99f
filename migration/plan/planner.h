// From a command and a map to migrations: who moves what to whom. Pure; the console's EXPLAIN shows what the same call without
// EXPLAIN would insert. Refuses (migration/base/refused.h) with the object's name and what helps.
#pragma once

#include <vector>

#include "migration/plan/commands.h"
#include "migration/plan/state.h"
#include "routing/map/shard_map.h"

namespace migration {

// WITH (...): strategy, transport, max_rate, max_pause, auto_cutover. Unknown names and values are refused.
migration_options parse_options(const option_list&);

// One migration per distribution and target; the source's placements are cut into equal widths. `unfinished`: rows that are not in
// a final state; overlapping moves are refused.
std::vector<migration_row> plan_drain(const routing::shard_map&, const std::vector<migration_row>& unfinished, const drain_shard&);
// One migration per present owner of a part of the range, owners that are already the target left out.
std::vector<migration_row> plan_move(const routing::shard_map&, const std::vector<migration_row>& unfinished, const move_range&);

// A failed or cancelled migration once more, against the map as it is now: refused when its source does not own all of it any more.
migration_row plan_retry(const routing::shard_map&, const std::vector<migration_row>& unfinished, const migration_row&);
// Rows come from who owns them: refuses unless the source owns every range of the migration under this map. Asked by RETRY, PREPARE, before
// each mover and each cutover; the commit point asks the catalog once more (pgrotor.refuse_unless_owned).
void refuse_unless_owned(const routing::shard_map&, const migration_row&);

// Before rows are deleted from a shard: refuses when it owns any range of the migration.
void refuse_if_owned(const routing::shard_map&, const migration_row&, routing::shard_id);

// Refuses when an unfinished migration moves any of the planned placements.
void refuse_overlap(const std::vector<migration_row>& unfinished, const migration_row& planned);
// What a DBA can do about a migration that is in the way of another one.
std::string way_out(const migration_row&);

// The first map ranges of a new distribution: the placement space in equal widths over the active shards, in order of their names.
std::vector<routing::owned_range> even_ranges(const routing::shard_map&);

// The part of all placements that these ranges cover, 0..1.
double share_of(const std::vector<routing::placement_range>&) noexcept;
double share_of_shard(const routing::distribution&, routing::shard_id owner);
std::string to_string(const std::vector<routing::placement_range>&);  // "[-9223372036854775808, 0), [5, )"

}  // namespace migration
