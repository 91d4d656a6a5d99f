// Comparison of moved rows: md5 over every column of every moved row, the source (frozen by its register) against a snapshot of the
// target taken before its register opened (cutover step 5). Digests per bucket of placement values on both servers, then the rows
// of a differing bucket one by one. Bounded memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "migration/base/task.h"
#include "migration/pg/pg.h"
#include "migration/plan/moving_table.h"
#include "routing/map/shard_map.h"

namespace migration {

struct verify_result {
  std::uint64_t rows_compared = 0, rows_differing = 0;
  std::vector<std::string> examples;  // at most 10: table, primary key, what differs (missing on the target, extra, column names)
};
// Takes the target's snapshot: BEGIN REPEATABLE READ READ ONLY and a first read. The connection is held until compare() is done.
task<void> take_snapshot(pg::connection& target);
// Ends with COMMIT on both connections.
task<verify_result> compare(pg::connection& source, pg::connection& target, routing::key_type, const std::vector<routing::placement_range>&,
                            const std::vector<moving_table>&);

}  // namespace migration
