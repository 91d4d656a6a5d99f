// The coordinator's inside, shared by coordinator.cc (life, queue of migrations), coordinator_commands.cc (what changes the map or a
// migration) and coordinator_show.cc (answers).
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "migration/base/problems.h"
#include "migration/coordinator/coordinator.h"
#include "migration/coordinator/hidden_watch.h"
#include "migration/coordinator/migration_run.h"
#include "migration/coordinator/term_keeper.h"
#include "migration/engine/engine.h"
#include "migration/engine/prepared_names.h"
#include "migration/engine/recoverer.h"
#include "migration/shard/hidden_access.h"

namespace migration {

struct coordinator::impl : std::enable_shared_from_this<impl> {
  impl(boost::asio::io_context& context, coordinator_settings settings, migration::gates& gates)
      : engine(context.get_executor(), std::move(settings), gates), keeper(engine), wake(context),
        watch(engine, [this](auto edit, std::string reason) { return change_map(std::move(edit), std::move(reason)); }) {
    engine.recovery = std::make_shared<recoverer>(engine);
  }

  migration::engine engine;
  catalog_rows store{engine};
  term_keeper keeper;
  std::vector<migration_row> rows;         // as last persisted, all of them, by id
  std::map<std::uint64_t, std::shared_ptr<migration_run>> running;  // those that run now, by id; the others wait
  std::exception_ptr run_failed;           // one of them needs the catalog read again, or the term is over
  // Those that cannot go on because a shard is lost let others pass and are tried again.
  struct waiting_row {
    clock::time_point until{};
    milliseconds wait{0};
    std::string why;
  };
  std::map<std::uint64_t, waiting_row> aside;
  std::set<std::uint64_t> changing;        // a command is changing these rows: they are not to be begun meanwhile
  std::map<std::uint64_t, mover_progress> ended;  // last figures of migrations that ran in this term
  std::set<std::uint64_t> forsaken;        // jobs whose command was answered with an error while their rows may stand in the catalog
  bool to_settle = false;                  // a command ended a migration: settle_shards() is due
  boost::asio::steady_timer wake;
  hidden_watch watch;
  const std::shared_ptr<prepared_names> gids = std::make_shared<prepared_names>(engine);
  bool stopping = false;
  int watching = 0;  // parts that run beside work() and use what ends with the coordinator

  task<void> start();
  task<void> run();
  task<void> work();  // until stop(); throws superseded
  void start_beside(task<void>);
  task<void> end_beside();
  task<void> take_catalog();          // connects, starts a term, reads map and rows
  task<void> ensure_catalog();        // connects again where it must, and reads the rows
  task<void> reconnect_catalog();     // until it works or stop(); throws superseded
  task<bool> find_out(std::function<task<bool>()> happened);
  task<std::string> try_step(const std::function<task<void>()>& step);
  task<void> for_certain(std::function<task<void>()> step, std::function<task<bool>()> happened);
  const migration_row* next_row() const;
  void begin(const migration_row&);
  task<void> follow(std::shared_ptr<migration_run>);  // until it ends
  task<void> end_runs();
  std::shared_ptr<migration_run> run_of(std::uint64_t id) const;  // nullptr: it does not run
  static void step_aside(waiting_row&, std::string why);
  task<void> wait_for_work();
  task<void> settle_shards();         // draining -> drained or back to active, when no drain is left
  const migration_row& row(std::uint64_t id) const;  // refuses when there is none
  std::vector<migration_row> unfinished() const;
  std::vector<migration_row> current_rows() const;  // all, those that run as they are now

  // Ownership guards (ownership.h). Of a table that is about to be distributed, on every shard or on none.
  task<void> refuse_unowned_rows(pg::connection& new_shard) const;  // it owns nothing, so the distributed tables that it has must be empty
  task<std::vector<std::string>> stride_new_table(const routing::table&);  // its sequences, on every shard; what a DBA should know
  // Guards and strides, and refuses a table that clients have written to since it was looked at: behind the guard none writes what is not its
  // shard's. What a DBA should know.
  task<std::vector<std::string>> guard_new_table(const routing::shard_map& next, const routing::table&);
  task<void> drop_guards_of(pg::connect_options removed, std::shared_ptr<const routing::shard_map>);  // as far as it can be reached
  task<void> guard_everywhere();   // whenever the queue is empty, until it worked once: an upgrade, a guard dropped by hand
  bool guards_settled = false;
  clock::time_point next_settling{};

  // A change of the map: `edit` gets the parts of generation N+1. Persisted, then published.
  using map_edit = std::function<void(routing::shard_map::parts&)>;
  routing::shard_map::parts next_parts(const map_edit&) const;
  task<void> change_map(std::function<void(routing::shard_map::parts&)> edit, std::string reason);
  task<answer> execute(request);
  task<answer> obey(request);
  async_mutex command_turn;  // of commands that change what there is: one at a time, from its first look to its map. Taken before all others
  // One job, with the change of the map that belongs to it; nothing of it is done unless all of it can be.
  task<answer> add_rows(std::vector<migration_row> planned, bool explain, std::string tag, map_edit edit = {}, std::string reason = {});
  // Everything that PREPARE would refuse, of all migrations of a job at once; returns the answer to EXPLAIN.
  task<answer> check_job(const std::vector<migration_row>& planned, std::string tag);
  task<std::uint64_t> insert_job(std::vector<migration_row> planned, map_edit edit, std::string reason);
  task<answer> do_add_shard(add_shard, bool explain);
  task<answer> do_remove_shard(remove_shard, bool explain);
  task<void> inspect_on_all(const distribute_table&, routing::table&, hidden_objects&, problems&);
  task<answer> do_distribute(distribute_table, bool explain);
  task<answer> do_reference(reference_table, bool explain);
  // In the map, or refused with that reason. No schema: public.
  static const routing::table& distributed_table(const routing::shard_map&, std::string_view schema, std::string_view name, std::string why);
  task<answer> do_guard(guard_table, bool explain);
  task<answer> do_align(align_table_sequences, bool explain);
  task<answer> do_drain(drain_shard, bool explain);
  task<answer> do_alter(alter_migration, bool explain);
  task<answer> do_retry(std::uint64_t id, bool explain);
  // Changes the row of a migration that does not run; a wish is passed on to one that does.
  task<void> pause(std::uint64_t id);
  task<void> cancel(std::uint64_t id);
  task<void> cut_over(std::uint64_t id);
  task<answer> resume(alter_migration);
  task<void> keep_rows(migration_row, answer&);  // the source's rows of the moving set, in tables of their own
  task<void> change_row(migration_row changed, state to, std::string note);
  task<std::shared_ptr<migration_run>> run_to_ask(std::uint64_t id);  // as run_of(), but waits for one that is about to stop
  std::string waiting_for(std::uint64_t id) const;
  task<answer> do_show(show);
  answer show_catalog() const;
  answer show_prepared() const;
  std::vector<coordinator::migration_figures> figures() const;
  task<std::vector<coordinator::migration_figures>> read_figures() const { co_return figures(); }
  answer show_shards() const;
  answer show_ranges() const;
  task<answer> show_tables();
  task<answer> show_orphans();
  task<answer> show_sequences();
  task<std::vector<std::optional<std::string>>> orphans_of(const routing::shard&, const routing::table&);
  std::vector<routing::placement_range> expected_on(routing::shard_id, routing::distribution_id) const;  // where rows may lie now
  answer show_migrations() const;
  task<answer> show_migration(std::uint64_t id);
  task<std::string> in_the_way_of_preparing(migration_row);
  std::vector<std::optional<std::string>> live_figures(const migration_row&) const;
};

}  // namespace migration
