// What runs a migration (migration/coordinator/migration_run.h) over a scripted strategy and a scripted catalog: it fails in each state and
// at each transition, in each way that it can, and a new object made from the row goes on.
#include "migration/coordinator/migration_run.h"

#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include <doctest/doctest.h>

#include "migration/base/log.h"
#include "migration/base/refused.h"
#include "tests/unit/migration/run_task.h"

using namespace migration;

namespace {

using names = std::vector<std::string>;
using failure = std::function<void()>;

const failure lost_shard = [] { throw pg::sql_error("shard s1", "08006", "server closed the connection", "", "", true); };
const failure called_off = [] { throw pg::interrupted("called off"); };
const failure refused_here = [] { refuse("55000", "table t has no key", "", "Add one."); };
const failure refused_by_server = [] { throw pg::sql_error("shard s1", "42501", "permission denied", "", "", false); };
const failure broken = [] { throw std::logic_error("a bug"); };
const failure answer_lost = [] { throw pg::sql_error("catalog", "08006", "server closed the connection", "", "", true); };
const failure nobody_knows = [] { throw catalog_lost("no answer"); };
const failure term_over = [] { throw superseded("another one"); };

// What outlives a process: the row as the catalog has it, and what was done in which state.
struct world {
  migration_row row;
  names way;     // "READY -> CUTTING_OVER"
  names worked;  // the states in which work() was asked for
  int stopped = 0;
  bool away = false;                         // the catalog
  std::map<state, failure> work_fails;       // once, before anything is done
  std::map<state, failure> write_fails;      // once, of the transition to this state, before it is stored
  std::map<state, failure> answer_fails;     // once, when it has been stored
  std::function<void(state)> on_work, on_write;  // something else happens meanwhile

  world() {
    row.id = 7;
    row.state = state::planned;
  }
  static void once(std::map<state, failure>& failures, state at) {
    const auto found = failures.find(at);
    if (found == failures.end()) return;
    const auto fail = found->second;
    failures.erase(found);
    fail();
  }
  void store(const migration_row& mine, state to) {
    REQUIRE(may_go(row.options.strategy, row.state, to));
    way.push_back(std::string(to_string(row.state)) + " -> " + std::string(to_string(to)));
    row = mine;
    row.state = to;
  }
};

class scripted_rows final : public row_store {
 public:
  explicit scripted_rows(world& w) : world_(w) {}
  task<void> advance(migration_row& mine, state to, std::string) override {
    if (world_.on_write) world_.on_write(to);
    world::once(world_.write_fails, to);
    world_.store(mine, to);
    world::once(world_.answer_fails, to);
    mine.state = to;
    co_return;
  }
  bool lost() const noexcept override { return world_.away; }

 private:
  world& world_;
};

// The way of cdc without anything done on it.
class scripted_strategy final : public strategy {
 public:
  scripted_strategy(world& w, migration_row& row) : world_(w), row_(row) {}
  task<next_step> work() override {
    const auto here = row_.state;
    REQUIRE(world_.row.state == here);  // nothing is done in a state that is not persisted
    world_.worked.emplace_back(to_string(here));
    if (world_.on_work) world_.on_work(here);
    if (std::exchange(interrupted_, false)) called_off();
    world::once(world_.work_fails, here);
    co_return next(here);
  }
  task<void> stop_work() override {
    ++world_.stopped;
    attempt_prepared_ = false;
    co_return;
  }
  void interrupt() noexcept override { interrupted_ = true; }
  void cut_over_soon() override { asked_ = true; }
  mover_progress progress() const override { return {}; }
  std::string waiting_for() const override { return ""; }

 private:
  next_step next(state here) {
    using enum state;
    static const std::map<state, state> way{{planned, preparing}, {preparing, copying}, {copying, catching_up}, {catching_up, verifying}, {verifying, ready},
                                            {switched, cleaning}, {cleaning, done}, {failing, failed}, {cancelling, cancelled}};
    if (here == ready) {
      if (!row_.options.auto_cutover && !asked_) return {{}, "", milliseconds(3'600'000)};  // only a wish ends that
      attempt_prepared_ = true;
      ++row_.attempt;
      return {cutting_over, "", {}};
    }
    if (here != cutting_over) return {way.at(here), "", {}};
    if (!std::exchange(attempt_prepared_, false)) return {ready, "interrupted", {}};
    world_.store(row_, switched);  // the commit point
    row_.state = switched;
    return {};
  }

  world& world_;
  migration_row& row_;
  bool attempt_prepared_ = false, asked_ = false, interrupted_ = false;
};

// One process: it runs the migration once, as the coordinator does.
struct process {
  explicit process(world& w)
      : rows(w), run(io.get_executor(), rows, w.row, [&w](migration_row& row) { return std::make_unique<scripted_strategy>(w, row); }) {}
  void go() {
    set_log_level(log_level::error);  // a thousand transitions
    run_task(io, run.run());
    set_log_level(log_level::info);
  }
  boost::asio::io_context io{1};
  scripted_rows rows;
  migration_run run;
};

std::string run_once(world& w) {
  try {
    process(w).go();
    return "";
  } catch (const superseded&) {
    return "superseded";
  } catch (const catalog_lost&) {
    return "catalog_lost";
  }
}

const names whole_way{"PLANNED -> PREPARING",   "PREPARING -> COPYING", "COPYING -> CATCHING_UP", "CATCHING_UP -> VERIFYING", "VERIFYING -> READY",
                      "READY -> CUTTING_OVER", "CUTTING_OVER -> SWITCHED", "SWITCHED -> CLEANING", "CLEANING -> DONE"};
const state before_gate[] = {state::planned, state::preparing, state::copying, state::catching_up, state::verifying, state::ready};
const state on_the_way[] = {state::planned, state::preparing,    state::copying,  state::catching_up, state::verifying,
                            state::ready,   state::cutting_over, state::switched, state::cleaning};

}  // namespace

TEST_CASE("migration_run: from PLANNED to DONE, each state persisted before anything is done in it") {
  world w;
  CHECK(run_once(w) == "");
  CHECK(w.way == whole_way);
  CHECK(w.row.state == state::done);
  CHECK(w.stopped > 0);
}

TEST_CASE("migration_run: what would fail again ends a migration as long as the old map rules, and no longer") {
  for (const auto& how : {refused_here, refused_by_server, broken}) {
    for (const auto at : before_gate) {
      CAPTURE(to_string(at));
      world w;
      w.work_fails[at] = how;
      CHECK(run_once(w) == "");
      CHECK(w.row.state == state::failed);
      CHECK(w.worked.back() == "FAILING");
      CHECK(w.row.error.ends_with("; then run: RETRY MIGRATION 7;"));
      CHECK_FALSE(w.row.sqlstate.empty());
    }
  }
  world told;
  told.work_fails[state::copying] = refused_here;
  run_once(told);
  CHECK(told.row.error == "table t has no key; Add one.; then run: RETRY MIGRATION 7;");
  CHECK(told.row.sqlstate == "55000");
}

TEST_CASE("migration_run: with the gates closed it is tried again at once, by nobody else") {
  for (const auto& how : {refused_here, lost_shard}) {
    world back;
    back.work_fails[state::cutting_over] = how;
    CHECK(run_once(back) == "");
    CHECK(back.row.state == state::done);
    CHECK(std::ranges::count(back.way, "CUTTING_OVER -> READY") == 1);
    CHECK(back.row.attempt == 2);
    world ahead;
    ahead.work_fails[state::switched] = how;
    CHECK(run_once(ahead) == "");
    CHECK(ahead.way == whole_way);
  }
}

TEST_CASE("migration_run: a lost shard lets others go first, and the next run goes on from the row") {
  for (const auto at : on_the_way) {
    if (at == state::cutting_over || at == state::switched) continue;
    for (const auto& how : {lost_shard, called_off}) {
      CAPTURE(to_string(at));
      world w;
      w.work_fails[at] = how;
      CHECK(run_once(w) == "");
      CHECK(w.row.state == at);
      CHECK(w.row.error.empty());
      CHECK(run_once(w) == "");
      CHECK(w.way == whole_way);
    }
  }
  world cleaning;  // there is only forward: not even a refusal ends it
  cleaning.work_fails[state::cleaning] = refused_here;
  CHECK(run_once(cleaning) == "");
  CHECK(cleaning.row.state == state::cleaning);
}

TEST_CASE("migration_run: undoing goes on until it is done") {
  for (const auto& how : {lost_shard, refused_here}) {
    world w;
    w.row.state = state::failing;
    w.work_fails[state::failing] = how;
    CHECK(run_once(w) == "");
    CHECK(w.row.state == state::failing);
    CHECK(run_once(w) == "");
    CHECK(w.row.state == state::failed);
  }
}

TEST_CASE("migration_run: a lost catalog or a term that is over ends the run with the row as it is") {
  for (const auto at : on_the_way) {
    CAPTURE(to_string(at));
    for (const auto& how : {answer_lost, nobody_knows}) {
      world w;
      w.work_fails[at] = how;
      CHECK(run_once(w) == "catalog_lost");
      CHECK(w.row.state == at);
      CHECK(w.stopped == 1);
    }
    world w;
    w.work_fails[at] = term_over;
    CHECK(run_once(w) == "superseded");
    CHECK(w.row.state == at);
  }
}

TEST_CASE("migration_run: killed at any transition, stored or not, and made anew from the row") {
  for (const auto to : on_the_way) {
    if (to == state::planned || to == state::switched) continue;
    for (const bool stored : {false, true}) {
      CAPTURE(to_string(to));
      CAPTURE(stored);
      world w;
      (stored ? w.answer_fails : w.write_fails)[to] = answer_lost;
      CHECK(run_once(w) == "catalog_lost");
      CHECK(run_once(w) == "");
      CHECK(w.row.state == state::done);
      const bool undone = to == state::cutting_over && stored;  // nobody knows any more how far the attempt came
      CHECK(std::ranges::count(w.way, "CUTTING_OVER -> READY") == (undone ? 1 : 0));
    }
  }
}

TEST_CASE("migration_run: the commit point, its answer lost, is found in the row") {
  world w;
  w.on_work = [&w, done = false](state at) mutable {
    if (at != state::cutting_over || std::exchange(done, true)) return;
    w.store(w.row, state::switched);
    nobody_knows();
  };
  CHECK(run_once(w) == "catalog_lost");
  CHECK(w.row.state == state::switched);
  CHECK(run_once(w) == "");
  CHECK(w.way == whole_way);
}

TEST_CASE("migration_run: while the catalog is away no step before the switch is begun, after it steps go on") {
  world w;
  w.row.state = state::copying;
  w.away = true;
  CHECK(run_once(w) == "catalog_lost");
  CHECK(w.worked.empty());
  world switched;
  switched.row.state = state::switched;
  switched.away = true;
  CHECK(run_once(switched) == "");
  CHECK(switched.row.state == state::done);
}

TEST_CASE("migration_run: CANCEL before the switch, and what refuses it") {
  for (const auto at : on_the_way) {
    CAPTURE(to_string(at));
    world w;
    process p(w);
    bool said_no = false;
    w.on_work = [&](state now) {
      if (now != at) return;
      try {
        p.run.wish_cancel();
      } catch (const refused&) {
        said_no = true;
      }
    };
    p.go();
    const bool may = before_switch(at) && at != state::cutting_over;
    CHECK(said_no == !may);
    CHECK(w.row.state == (may ? state::cancelled : state::done));
  }
}

TEST_CASE("migration_run: CANCEL while an attempt is being written down: it is not begun") {
  world w;
  process p(w);
  w.on_write = [&](state to) {
    if (to == state::cutting_over) p.run.wish_cancel();
  };
  p.go();
  CHECK(w.row.state == state::cancelled);
  CHECK(std::ranges::count(w.worked, "CUTTING_OVER") == 0);
  CHECK(w.way.at(6) == "CUTTING_OVER -> READY");
}

TEST_CASE("migration_run: PAUSE stops what runs beside it and says where to go on") {
  world w;
  process p(w);
  w.on_work = [&](state now) {
    if (now == state::copying) p.run.wish_pause();
  };
  p.go();
  CHECK(w.row.state == state::paused);
  CHECK(w.row.resume_to == state::catching_up);
  CHECK(waits_for_dba(w.row));
  world early;
  process q(early);
  CHECK_THROWS_AS(q.run.wish_pause(), refused);
}

TEST_CASE("migration_run: a wish ends a rest, and CUTOVER goes on where auto_cutover is off") {
  const auto asked = [](const std::function<void(migration_run&)>& wish) {
    world w;
    w.row.options.auto_cutover = false;
    process p(w);
    w.on_work = [&](state now) {
      if (now == state::ready) boost::asio::post(p.io, [&p, &wish] { wish(p.run); });
    };
    p.go();
    return w.row.state;
  };
  CHECK(asked([](migration_run& run) { run.wish_cutover(); }) == state::done);
  CHECK(asked([](migration_run& run) { run.wish_cancel(); }) == state::cancelled);
  CHECK(asked([](migration_run& run) { run.wish_stop(); }) == state::ready);
  CHECK(asked([](migration_run& run) { run.wish_pause(); }) == state::paused);
}

TEST_CASE("migration_run: the coordinator ends: locks are waited for no longer, the row stays") {
  world w;
  process p(w);
  w.on_work = [&](state now) {
    if (now == state::preparing) p.run.wish_stop();
  };
  p.go();
  CHECK(w.row.state == state::preparing);
  CHECK(w.row.error.empty());
}

TEST_CASE("migration_run: rows that differ stay where they are until a DBA has looked") {
  world w;
  w.row.state = state::switched;
  w.row.rows_differing = 3;
  CHECK(run_once(w) == "");
  CHECK(w.worked.empty());
  CHECK(w.row.state == state::switched);
}
