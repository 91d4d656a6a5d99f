// The coordinator's inside, shared by coordinator.cc (life, queue of migrations), coordinator_commands.cc (what changes the map or a
// migration) and coordinator_show.cc (answers).
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "migration/coordinator.h"
#include "migration/engine.h"
#include "migration/migration_run.h"

namespace migration {

struct coordinator::impl {
  impl(boost::asio::io_context& context, coordinator_settings settings, migration::gates& gates)
      : engine(context.get_executor(), std::move(settings), gates), wake(context) {}

  migration::engine engine;
  std::vector<migration_row> rows;         // as last persisted, all of them, by id
  std::shared_ptr<migration_run> current;  // one migration runs at a time; the others wait in PLANNED
  std::map<std::uint64_t, mover_progress> ended;  // last figures of migrations that ran in this term
  std::vector<std::uint64_t> to_undo;      // FAILED or CANCELLED without a run of their own: what they made may still stand
  boost::asio::steady_timer wake;
  bool stopping = false;

  task<void> start();
  task<void> run();
  task<void> take_catalog();          // connects, starts a term, reads map and rows
  task<void> reconnect_catalog();     // until it works or stop()
  migration_row* next_row();          // the lowest one that has something to do
  task<void> run_one(migration_row&);
  task<void> settle_shards();         // draining -> drained or back to active, when no drain is left
  const migration_row& row(std::uint64_t id) const;  // refuses when there is none
  std::vector<migration_row> unfinished() const;

  // A change of the map: `edit` gets the parts of generation N+1. Persisted, then published.
  task<void> change_map(std::function<void(routing::shard_map::parts&)> edit, std::string reason);
  task<answer> execute(request);
  task<answer> add_rows(std::vector<migration_row> planned, bool explain, std::string tag);
  task<answer> do_add_shard(add_shard, bool explain);
  task<answer> do_remove_shard(remove_shard, bool explain);
  task<answer> do_distribute(distribute_table, bool explain);
  task<answer> do_reference(reference_table, bool explain);
  task<answer> do_drain(drain_shard, bool explain);
  task<answer> do_alter(alter_migration, bool explain);
  task<answer> do_show(show);
  answer show_shards() const;
  answer show_ranges() const;
  answer show_tables() const;
  answer show_migrations() const;
  task<answer> show_migration(std::uint64_t id);
  std::vector<std::optional<std::string>> live_figures(const migration_row&) const;
  task<answer> plan_answer(const std::vector<migration_row>&, std::string tag);
};

}  // namespace migration
