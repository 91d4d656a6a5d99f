// The ownership guards of one shard (ownership.h) brought to what the catalog says now. Coordinator's thread.
#pragma once

#include "migration/engine/engine.h"
#include "migration/pg/lock_retry.h"

namespace migration {

// set_owner_guards under the map and the migrations as they are now. Takes engine.ownership_turn, then catalog_turn for a moment: the
// caller holds neither.
task<void> settle_ownership(engine&, pg::connection&, routing::shard_id, newcomer_gate* = nullptr);

}  // namespace migration
