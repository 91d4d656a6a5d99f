// The end of a migration (cdc.h): after the commit point the comparison and the cleaning, or the way back of one that was given
// up. Each step may be repeated; none needs more of the shards than is still there.
#include <fmt/format.h>

#include "migration/strategy/cdc.h"

#include "migration/base/test_hooks.h"
#include "migration/engine/settle_ownership.h"
#include "migration/engine/table_gate.h"
#include "migration/pg/relations.h"
#include "migration/plan/planner.h"
#include "migration/shard/cleaner.h"
#include "migration/shard/guard.h"
#include "migration/shard/verify.h"
#include "protocol/sqlstate.h"

namespace migration {

task<next_step> cdc::after_switch() {
  co_await stop_mover();
  if (!opened_) {  // found so after a restart
    live_cutover steps(engine_, row_, shards_, waiting_for_);
    co_await go_forward(steps);  // gates behind the snapshot: clients of a process that has just begun have written nothing yet
    snapshot_first_ = steps.snapshot_first();
    snapshot_taken_ = true;
    opened_ = true;
  }
  co_await ensure_shards();
  tables_ = co_await describe_tables();  // all that the cleaning will go through
  const auto compared = co_await compare_rows();
  if (row_.rows_differing.value_or(0) > 0) {
    row_.error = compared;
    co_return next_step{state::switched, compared, {}};  // and there it stays: see waits_for_dba()
  }
  co_return next_step{state::cleaning, compared, {}};
}

// The frozen source against the target as it was before it opened. Where that snapshot is lost with its connection or its coordinator, a
// newer one can still prove that nothing differs. What differs from it may have been changed by clients since, or may have been wrong before:
// nobody can tell any more, so the source's rows stay until a DBA has said what they are worth.
task<std::string> cdc::compare_rows() {
  const bool taken = snapshot_taken_ && shards_.snapshot && !shards_.snapshot->broken();
  const bool first = taken && snapshot_first_;
  snapshot_taken_ = false;  // whatever ends this comparison ends the snapshot
  if (!taken) {
    shards_.snapshot = co_await engine_.connect(row_.target);
    co_await take_snapshot(*shards_.snapshot);
  }
  const auto found = co_await compare(*shards_.source, *shards_.snapshot, distribution().type, row_.ranges, tables_);
  row_.rows_compared = found.rows_compared;
  row_.rows_differing = found.rows_differing;
  if (found.rows_differing == 0) co_return fmt::format("{} rows compared, 0 differ{}", found.rows_compared, first ? "" : " from a snapshot taken later");
  constexpr auto later = " as it is by now: its snapshot from before it opened was lost, clients may have changed them since";
  co_return fmt::format("{} of {} rows differ between source and target{}, nothing has been cleaned: {}", found.rows_differing, found.rows_compared,
                        first ? "" : later, fmt::join(found.examples, "; "));
}

task<next_step> cdc::clean() {
  co_await stop_mover();
  shards_.snapshot.reset();
  const auto removed = co_await clear_side(row_.source, shards_.source, true);
  co_await clear_side(row_.target, shards_.target, false);
  PGROTOR_STOP_POINT("cleaned");
  co_await engine_.gates.forget(row_.id);
  co_return next_step{state::done, fmt::format("{} rows removed from the source", removed), {}};
}

task<next_step> cdc::undo() {
  co_await stop_mover();
  shards_.snapshot.reset();
  ledger_in_turn book(engine_);
  const auto made = co_await book.read_ledger(row_.id);
  if (!made.empty()) {
    std::exception_ptr failed;  // a lost shard does not keep slot and guard on the other one
    try {
      co_await clear_side(row_.source, shards_.source, false);
    } catch (const pg::sql_error& error) {
      if (error.where == "catalog") throw;
      failed = std::current_exception();
    }
    co_await clear_side(row_.target, shards_.target, true);
    if (failed) std::rethrow_exception(failed);
  }
  co_await engine_.gates.forget(row_.id);
  co_return next_step{row_.state == state::failing ? state::failed : state::cancelled, "nothing is left of it", {}};
}

// The tables that a shard has: PREPARE may not have made all of them, and somebody may have dropped one.
task<std::vector<moving_table>> cdc::tables_on(pg::connection& shard) const {
  std::vector<moving_table> out;
  const auto map = engine_.map();
  for (const auto& table : map->tables()) {
    if (table.distribution != row_.distribution) continue;
    const bool there = co_await relation_exists(shard, pg::quote_ident(table.schema, table.name));
    if (!there) continue;
    auto described = co_await describe_table(shard, table.schema, table.name, table.key_column);
    out.push_back(std::move(described));
  }
  co_return out;
}

// One shard without this migration: with `rows` without the moving set's rows, and without what the ledger lists. A shard that has left the
// map needs nothing but that the ledger says so.
task<std::uint64_t> cdc::clear_side(routing::shard_id shard, std::unique_ptr<pg::connection>& connection, bool rows) {
  ledger_in_turn book(engine_);
  if (!engine_.map()->find_shard(shard)) {
    const auto entries = co_await book.read_ledger(row_.id);
    for (const auto& entry : entries) {
      if (entry.shard == shard) co_await book.strike_ledger(row_.id, entry);
    }
    co_return 0;
  }
  if (!connection || connection->broken()) connection = co_await engine_.connect(shard);
  table_gate gate(engine_, row_, shard, waiting_for_);
  std::uint64_t removed = 0;
  if (rows) {
    refuse_if_owned(*engine_.map(), row_, shard);
    const auto tables = co_await tables_on(*connection);
    co_await settle_ownership(engine_, *connection, shard, &gate);  // narrowed before the migration's guard goes
    removed = co_await delete_rows(*connection, names_, distribution().type, row_.ranges, tables);
  }
  co_await drop_objects(book, *connection, shard, row_, &gate);
  co_return removed;
}

}  // namespace migration
