// Which migration begins next. Pure; asked by the coordinator whenever one may.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "migration/plan/state.h"

namespace migration {

// The rows by id; `running`: those that run, as they are now; `may_begin`: nobody changes it, and it does not wait for a DBA or a time.
// Those whose gates are closed come before all others and above `at_most`, since clients wait for them. Two that have a shard in common
// never run at a time: each makes objects on both of its shards, reads one as fast as it may and writes the other. nullptr: none.
const migration_row* next_to_begin(const std::vector<migration_row>& rows, const std::vector<const migration_row*>& running, std::size_t at_most,
                                   const std::function<bool(const migration_row&)>& may_begin);

}  // namespace migration
