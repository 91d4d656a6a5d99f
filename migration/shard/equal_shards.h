// What all shards must have in common so that a statement answers the same by key and after a move, beside the tables themselves (checks.h):
// encoding, locales, types, extensions, text search, settings. Used by `check`, ADD SHARD, DISTRIBUTE, REFERENCE and PREPARE. The comparison
// is sans-I/O; the questions are asked on the caller's thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "migration/base/problems.h"
#include "migration/pg/pg.h"

namespace migration {

struct shard_fact {
  std::string kind, name, value;
};
using shard_facts = std::vector<shard_fact>;

// `standard` and `other` are names for messages; `sorts`: tables have columns that sort by the database's own locale.
void compare_facts(const std::string& standard, const shard_facts& of_standard, const std::string& other, const shard_facts& of_other, bool sorts,
                   problems& refused, problems& told);

// The first shard is what the others are held against; it has the tables, "schema"."table", the others need not have them yet.
task<void> compare_shards(std::vector<pg::connection*> shards, std::vector<std::string> tables, problems& refused, problems& told);

}  // namespace migration
