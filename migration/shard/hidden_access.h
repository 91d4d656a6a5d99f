// What touches tables of the map without naming them, read from the catalogs of the shards (sql/hidden_access.sql): views, partitions,
// functions, and what is attached to a table about to be distributed. Called by DISTRIBUTE, REFERENCE and the watch; keeps nothing.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "migration/base/problems.h"
#include "migration/pg/pg.h"
#include "routing/map/shard_map.h"

namespace migration {

// Of one shard or, merged, of all.
struct hidden_objects {
  std::vector<std::string> views;               // as shard_map::parts::dependent_views
  std::vector<routing::hidden_access> hidden;
  struct attachment {
    std::string table, name, what;              // "public.orders", "trigger audit", and what that touches
    friend auto operator<=>(const attachment&, const attachment&) = default;
  };
  std::vector<attachment> attached;

  void merge(hidden_objects other);             // sorted afterwards, each once; what touches sharded tables wins
  bool same_as(const routing::shard_map::parts&) const;
  void store(routing::shard_map::parts&) const;
  // One line each for what `before` did not have.
  std::vector<std::string> added_to(const routing::shard_map::parts& before) const;
};

// Under a map with these tables. `joining`: the one whose triggers, policies and the like are asked for; nullptr: all sharded ones.
task<hidden_objects> read_hidden(pg::connection&, const routing::shard_map::parts&, const routing::table* joining);

// Adds a problem for each attachment whose name (without "trigger " and its like) is not among the trusted.
void judge_attached(const hidden_objects&, const routing::table&, std::span<const std::string> trusted, problems&);

// A number that changes when anything does that read_hidden() looks at.
task<std::string> hidden_fingerprint(pg::connection&);

}  // namespace migration
