// PAUSE, RESUME, CANCEL, CUTOVER and RETRY MIGRATION. One that runs is told what is wished; the row of one that does not is changed here.
#include <algorithm>

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/coordinator/coordinator_impl.h"
#include "migration/plan/columns.h"
#include "migration/plan/planner.h"
#include "migration/shard/guard.h"
#include "migration/shard/prepare.h"
#include "migration/shard/sql_text.h"
#include "migration/strategy/cdc.h"
#include "migration/strategy/explained_cutover.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;

constexpr milliseconds keep_budget{6 * 3'600'000};

[[noreturn]] void refuse_state(const migration_row& row, std::string_view what, std::string hint = {}) {
  refuse(sqlstate::wrong_state, fmt::format("migration {} is {}{}", row.id, to_string(row.state), what), "", std::move(hint));
}

[[noreturn]] void refuse_undecided(const migration_row& row, const std::string& source, const std::string& target) {
  refuse(sqlstate::wrong_state, fmt::format("migration {}: {} rows differ between shard {} and shard {}", row.id, *row.rows_differing, source, target),
         fmt::format("Going on deletes {} rows from shard {}, which is no longer their owner. {}", row.rows_compared.value_or(0), source, row.error),
         fmt::format("Where shard {0} is right run: RESUME MIGRATION {1} ACCEPT TARGET; where shard {2} is right, or to look later, run: RESUME MIGRATION {1} KEEP SOURCE; "
                     "which first copies its rows to tables pgrotor.kept_{1}_1, ... there.", target, row.id, source));
}

// A table of its own for each: the source is frozen, so a second try makes the same.
std::string keep_sql(const std::string& kept, const moving_table& table, const std::string& filter, std::uint64_t id) {
  return fmt::format("DROP TABLE IF EXISTS {0}; CREATE TABLE {0} AS SELECT * FROM {1} WHERE {2}; COMMENT ON TABLE {0} IS {3};", kept, qualified(table), filter,
                     pg::quote_literal(fmt::format("rows of {} as this shard had them when migration {} moved them away", plain_name(table), id)));
}

}  // namespace

task<answer> coordinator::impl::do_alter(alter_migration wanted, bool explain) {
  const auto& found = row(wanted.id);
  if (wanted.verb == migration_verb::retry) co_return co_await do_retry(wanted.id, explain);
  if (explain && wanted.verb == migration_verb::cutover) {
    refuse_unless_it_can_cut_over(found);
    told_cutover told{engine.shard_name(found.source), engine.shard_name(found.target), cutover_budget(engine.settings, found)};
    co_return co_await explain_cutover(std::move(told));
  }
  if (explain) co_return answer{columns::plan, {{fmt::format("migration {} is {}", found.id, to_string(found.state))}}, "EXPLAIN"};
  answer out;
  switch (wanted.verb) {
    case migration_verb::pause:
      co_await pause(wanted.id);
      out.tag = "PAUSE";
      break;
    case migration_verb::cutover:
      co_await cut_over(wanted.id);
      out.tag = "CUTOVER";
      break;
    case migration_verb::cancel:
      co_await cancel(wanted.id);
      out.tag = "CANCEL";
      break;
    case migration_verb::resume: co_return co_await resume(wanted);
    case migration_verb::retry: break;
  }
  co_return out;
}

task<answer> coordinator::impl::do_retry(std::uint64_t id, bool explain) {
  const auto& found = row(id);
  if (is_undoing(found.state)) refuse_state(found, "", fmt::format("RETRY when it has been undone; SHOW MIGRATION {} tells what that waits for.", id));
  if (found.state != state::failed && found.state != state::cancelled) refuse_state(found, "", "RETRY takes a FAILED or CANCELLED migration.");
  auto again = plan_retry(*engine.map(), unfinished(), found);
  std::vector<migration_row> planned{std::move(again)};
  co_return co_await add_rows(std::move(planned), explain, "RETRY");
}

task<std::shared_ptr<migration_run>> coordinator::impl::run_to_ask(std::uint64_t id) {
  auto run = run_of(id);
  while (run && (waits_for_dba(run->row()) || is_final(run->row().state))) {
    co_await sleep_for(milliseconds(5));
    run = run_of(id);
  }
  co_return run;
}

task<void> coordinator::impl::pause(std::uint64_t id) {
  const auto run = co_await run_to_ask(id);
  if (run) co_return run->wish_pause();
  auto mine = row(id);
  if (mine.state == state::paused || !may_go(mine.options.strategy, mine.state, state::paused)) refuse_state(mine, " and cannot be paused");
  mine.resume_to = mine.state;
  co_await change_row(std::move(mine), state::paused, "by a DBA");
}

task<void> coordinator::impl::cut_over(std::uint64_t id) {
  const auto run = co_await run_to_ask(id);
  if (!run) refuse_state(row(id), " and does not run");
  run->wish_cutover();
}

task<void> coordinator::impl::cancel(std::uint64_t id) {
  const auto run = co_await run_to_ask(id);
  if (run) co_return run->wish_cancel();
  auto mine = row(id);
  if (!before_switch(mine.state) || mine.state == state::cutting_over) refuse_cancel(mine);
  const auto to = mine.state == state::planned ? state::cancelled : state::cancelling;
  co_await change_row(std::move(mine), to, "by a DBA");
}

task<answer> coordinator::impl::resume(alter_migration wanted) {
  const auto run = co_await run_to_ask(wanted.id);
  auto mine = row(wanted.id);
  if (run || !waits_for_dba(mine)) refuse_state(mine, " and does not wait for RESUME");
  answer out;
  out.tag = "RESUME";
  if (mine.state == state::paused) {
    if (wanted.decided != decision::none) refuse_state(mine, ": its rows have not been compared yet", fmt::format("Run: RESUME MIGRATION {};", mine.id));
    const auto to = mine.resume_to.value_or(state::copying);
    mine.resume_to.reset();
    co_await change_row(std::move(mine), to, "by a DBA");
    co_return out;
  }
  if (wanted.decided == decision::none) refuse_undecided(mine, engine.shard_name(mine.source), engine.shard_name(mine.target));
  std::string note = "by a DBA: what the target has is right";
  if (wanted.decided == decision::keep_source) {
    co_await keep_rows(mine, out);
    note = fmt::format("by a DBA: the rows of shard {} are kept in {} tables pgrotor.kept_{}_...", engine.shard_name(mine.source), out.rows.size(), mine.id);
  }
  co_await change_row(std::move(mine), state::cleaning, std::move(note));
  co_return out;
}

task<void> coordinator::impl::keep_rows(migration_row mine, answer& out) {
  const auto source = co_await engine.connect(mine.source);
  const auto map = engine.map();
  const auto type = map->find_distribution(mine.distribution)->type;
  std::string all;
  out.columns = columns::kept_rows;
  for (const auto& table : map->tables()) {
    if (table.distribution != mine.distribution) continue;
    const auto described = co_await describe_table(*source, table.schema, table.name, table.key_column);
    const auto kept = fmt::format("pgrotor.kept_{}_{}", mine.id, out.rows.size() + 1);
    all += keep_sql(kept, described, placement_filter(type, mine.ranges, quoted_key(described)), mine.id);
    out.rows.push_back({plain_name(described), kept});
  }
  co_await source->query(std::move(all), keep_budget);
}

// While it waits for its turn at the catalog nobody begins this migration; one that has begun before keeps its row.
task<void> coordinator::impl::change_row(migration_row changed, state to, std::string note) {
  const auto id = changed.id;
  const auto from = changed.state;
  const struct mark {
    mark(std::set<std::uint64_t>& all_in, std::uint64_t id_in) : all(all_in), id(id_in) { all.insert(id); }
    ~mark() { all.erase(id); }
    mark(const mark&) = delete;
    mark& operator=(const mark&) = delete;
    std::set<std::uint64_t>& all;
    std::uint64_t id;
  } mine(changing, id);
  const auto step = [&]() -> task<void> {
    if (run_of(id) || row(id).state != from) refuse_state(row(id), " by now", "Try again.");
    journal_entry entry{std::string(to_string(from)), std::string(to_string(to)), "", changed.attempt, 0, note};
    co_await engine.book().advance(changed, from, to, std::move(entry));
  };
  const auto happened = [&]() -> task<bool> { co_return row(id).state == to; };  // the rows have been read anew
  co_await for_certain(step, happened);
  changed.state = to;
  const auto found = std::find_if(rows.begin(), rows.end(), [id](const migration_row& each) { return each.id == id; });
  if (found != rows.end()) *found = std::move(changed);
  aside.erase(id);
  to_settle = true;
  wake.cancel();
}

}  // namespace migration
