// A routing map as the catalog stores it. Used by catalog.cc only; coordinator's thread.
#pragma once

#include <string>

#include "migration/base/json_text.h"
#include "migration/pg/pg.h"
#include "routing/map/shard_map.h"

namespace migration {

// A range is two bigints in the catalog's tables, `lower` and `upper`, which is null where nothing ends it: they hold hash distributions only.
void add_range(json_object&, const routing::placement_range&);
routing::placement_range read_range(const pg::result&, int row, int lower_column);

// The argument of pgrotor.write_map, in one canonical order, and the checksum over it: 16 hex digits of FNV-1a, to tell a map that
// was edited by hand or torn, not to resist an attacker.
std::string map_json(const routing::shard_map::parts&);
std::string map_checksum(const std::string& json);

// Reads the newest generation in one snapshot; number 0 when there is none. Throws std::runtime_error when the checksum is wrong.
task<routing::shard_map::parts> read_map(pg::connection&);

}  // namespace migration
