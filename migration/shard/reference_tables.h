// Reference tables are read on whichever shard a statement runs on, so that every shard has to hold the same rows of them (DESIGN 1). Asked by
// REFERENCE TABLE and ADD SHARD, on the coordinator's thread. Clients of pgrotor do not write to them.
#pragma once

#include <string>
#include <vector>

#include "migration/base/problems.h"
#include "migration/pg/pg.h"
#include "routing/map/shard_map.h"

namespace migration {

struct compared_shard {
  pg::connection& connection;
  const std::string& dsn;  // without user and password, for the command that helps
};

// Each table that `other` lacks, or of which it has other rows than `standard`, is a problem. Reads them whole, for a minute each at most.
task<void> compare_references(compared_shard standard, compared_shard other, const std::vector<routing::table>&, problems&);

}  // namespace migration
