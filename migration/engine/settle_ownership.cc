#include "migration/engine/settle_ownership.h"

#include "migration/shard/ownership.h"

namespace migration {

task<void> settle_ownership(engine& e, pg::connection& shard, routing::shard_id id, newcomer_gate* gate) {
  const auto mine = co_await e.ownership_turn.lock();
  std::vector<migration_row> rows;
  {
    const auto turn = co_await e.catalog_turn.lock();
    rows = co_await e.book().load_migrations();
  }
  const auto map = e.map();
  co_await set_owner_guards(shard, *map, id, rows, nullptr, guard_wish::keep, gate);
}

}  // namespace migration
