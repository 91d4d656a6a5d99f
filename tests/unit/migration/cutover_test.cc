// The order of a cutover (migration/strategy/cutover.h): each step fails in turn, in each way that it can.
#include "migration/strategy/cutover.h"

#include <functional>
#include <map>
#include <vector>

#include <doctest/doctest.h>

#include "migration/base/refused.h"
#include "migration/catalog/catalog.h"
#include "migration/pg/pg.h"
#include "migration/strategy/explained_cutover.h"
#include "tests/unit/migration/run_task.h"

using namespace migration;

namespace {

using names = std::vector<std::string>;
constexpr milliseconds budget{400};

enum class outcome { done, not_done, refused, shard_lost, interrupted, catalog_lost, superseded, without_words };

void fail_by(outcome how) {
  switch (how) {
    case outcome::done:
    case outcome::not_done: return;
    case outcome::refused: refuse("55000", "no");
    case outcome::shard_lost: throw pg::sql_error("shard s1", "08006", "lost", "", "", true);
    case outcome::interrupted: throw pg::interrupted("called off");
    case outcome::catalog_lost: throw migration::catalog_lost("no answer");
    case outcome::superseded: throw migration::superseded("another one");
    case outcome::without_words: throw std::runtime_error("");
  }
}

// Writes down what is asked of it, with the budget, and does as it is told.
class script : public cutover_steps {
 public:
  std::map<std::string, outcome> outcomes;     // of a step; done where there is none
  std::map<std::string, milliseconds> takes;
  names asked, budgets;

  clock::time_point now() const override { return now_; }
  task<refusal> begin_fence(milliseconds of) override { co_return answer("begin_fence", of); }
  task<bool> close_gates(milliseconds of) override { co_return !answer("close_gates", of); }
  task<refusal> fence(milliseconds of) override { co_return answer("fence", of); }
  task<bool> wait_marker(clock::time_point until) override {
    co_return !answer("wait_marker", std::chrono::duration_cast<milliseconds>(until - now_));
  }
  task<void> settle_sequences() override { co_return static_cast<void>(answer("settle_sequences")); }
  task<void> commit_switch() override { co_return static_cast<void>(answer("commit_switch")); }
  task<void> open_target() override { co_return static_cast<void>(answer("open_target")); }
  task<void> open_gates() override { co_return static_cast<void>(answer("open_gates")); }
  task<void> abandon_fence() override { co_return static_cast<void>(answer("abandon_fence")); }
  void forget_marker() override { answer("forget_marker"); }
  task<void> reopen_source() override { co_return static_cast<void>(answer("reopen_source")); }
  task<void> reopen_gates() override { co_return static_cast<void>(answer("reopen_gates")); }

 private:
  refusal answer(const std::string& step, std::optional<milliseconds> of = {}) {
    asked.push_back(step);
    if (of) budgets.push_back(step + " " + std::to_string(of->count()));
    now_ += takes[step];
    fail_by(outcomes[step]);
    return outcomes[step] == outcome::not_done ? refusal("") : std::nullopt;
  }
  clock::time_point now_{std::chrono::hours(1)};
};

const names forward{"begin_fence", "close_gates", "fence", "wait_marker", "settle_sequences", "commit_switch", "open_target", "open_gates"};

names up_to(const std::string& step) {
  names out;
  for (const auto& each : forward) {
    out.push_back(each);
    if (each == step) break;
  }
  return out;
}

names and_then(names first, const names& then) {
  first.insert(first.end(), then.begin(), then.end());
  return first;
}

enum class end { switched, refused, thrown };

end cut_over_by(script& steps) {
  try {
    const auto why = run_task(cut_over(steps, budget));
    return why ? end::refused : end::switched;
  } catch (const std::exception&) {
    return end::thrown;
  }
}

const names nothing, gates_first{"reopen_gates", "abandon_fence"}, source_first{"forget_marker", "reopen_source", "reopen_gates"};

}  // namespace

TEST_CASE("cutover: the steps in their order") {
  script steps;
  CHECK(cut_over_by(steps) == end::switched);
  CHECK(steps.asked == forward);
}

TEST_CASE("cutover: what is undone when a step fails, and nothing after it is done") {
  using enum outcome;
  const std::vector<outcome> throws{refused, shard_lost, interrupted, without_words};
  const struct {
    const char* step;
    std::vector<outcome> ways;
    end how;
    names undone;
  } rows[] = {
      {"begin_fence", {not_done}, end::refused, nothing},
      {"begin_fence", throws, end::thrown, nothing},  // its transaction ends with its error
      {"close_gates", {not_done}, end::refused, gates_first},
      {"close_gates", throws, end::refused, gates_first},
      {"fence", {not_done}, end::refused, source_first},
      {"fence", throws, end::refused, source_first},  // whether the register has moved is found out by reading it
      {"wait_marker", {not_done}, end::refused, source_first},
      {"wait_marker", throws, end::refused, source_first},
      {"settle_sequences", throws, end::refused, source_first},
      {"commit_switch", throws, end::refused, source_first},
      {"open_target", throws, end::thrown, nothing},
      {"open_gates", throws, end::thrown, nothing},
  };
  for (const auto& row : rows) {
    for (const auto way : row.ways) {
      CAPTURE(row.step);
      CAPTURE(static_cast<int>(way));
      script steps;
      steps.outcomes[row.step] = way;
      CHECK(cut_over_by(steps) == row.how);
      CHECK(steps.asked == and_then(up_to(row.step), row.undone));
    }
  }
}

TEST_CASE("cutover: an outcome that nobody knows undoes nothing and is told") {
  for (const auto way : {outcome::catalog_lost, outcome::superseded}) {
    CAPTURE(static_cast<int>(way));
    script steps;
    steps.outcomes["commit_switch"] = way;
    if (way == outcome::catalog_lost) CHECK_THROWS_AS(run_task(cut_over(steps, budget)), catalog_lost);
    if (way == outcome::superseded) CHECK_THROWS_AS(run_task(cut_over(steps, budget)), superseded);
    CHECK(steps.asked == up_to("commit_switch"));
  }
}

TEST_CASE("cutover: what cannot be undone leaves the gates closed over it") {
  script lost;
  lost.outcomes = {{"commit_switch", outcome::refused}, {"reopen_source", outcome::interrupted}};
  CHECK_THROWS_AS(run_task(cut_over(lost, budget)), pg::interrupted);
  CHECK(lost.asked == and_then(up_to("commit_switch"), {"forget_marker", "reopen_source"}));
  script target;
  target.outcomes["open_target"] = outcome::interrupted;
  CHECK_THROWS_AS(run_task(go_forward(target)), pg::interrupted);
  CHECK(target.asked == names{"open_target"});
}

TEST_CASE("cutover: what an earlier process left is resolved from the row's state alone") {
  script back, ahead;
  run_task(go_back(back));
  CHECK(back.asked == names{"reopen_source", "reopen_gates"});
  run_task(go_forward(ahead));
  CHECK(ahead.asked == names{"open_target", "open_gates"});
}

TEST_CASE("cutover: one budget from closing the gates to the commit point") {
  script steps;
  steps.takes = {{"begin_fence", milliseconds(5'000)}, {"close_gates", milliseconds(150)}, {"fence", milliseconds(40)}};
  CHECK(cut_over_by(steps) == end::switched);
  CHECK(steps.budgets == names{"begin_fence 400", "close_gates 200", "fence 250", "wait_marker 210"});
  script late;
  late.takes["close_gates"] = milliseconds(700);  // closed all the same: a timeout of 0 would be none
  cut_over_by(late);
  CHECK(late.budgets.at(2) == "fence 1");
}

TEST_CASE("cutover: EXPLAIN tells the steps that are done, and what is undone") {
  const auto told = run_task(explain_cutover({"s1", "s2", budget}));
  names columns;
  for (const auto& each : told.columns) columns.push_back(each.name);
  CHECK(columns == names{"step", "name", "what", "at_most_ms", "when_it_fails"});
  names steps, undone;
  for (const auto& row : told.rows) {
    steps.push_back(row.at(1).value());
    undone.push_back(row.at(4).value());
  }
  CHECK(steps == forward);
  CHECK(told.rows.at(1).at(3) == "200");
  CHECK(undone.at(0) == "nothing has changed; tried again later");
  CHECK(undone.at(1) == "what waited runs under the old map, the transaction of step 0 is rolled back; tried again later");
  CHECK(undone.at(5) ==
        "the marker counts no more, the register of shard s1 opens again, what waited runs under the old map; tried again later; "
        "or the outcome is not known: nothing is done before the catalog has been read");
  CHECK(undone.at(6) == "tried again until it is done");
}
