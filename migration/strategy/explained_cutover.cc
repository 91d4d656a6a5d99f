#include "migration/plan/columns.h"
#include "migration/strategy/explained_cutover.h"

#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "migration/catalog/catalog.h"
#include "migration/strategy/cutover.h"

namespace migration {
namespace {

std::string what_it_does(cutover_step step, const told_cutover& of) {
  switch (step) {
    case cutover_step::begin_fence:
      return fmt::format("on shard {} a transaction locks the moving tables so that nobody waits, and checks guards and definitions", of.source);
    case cutover_step::close_gates: return "statements on the moving set wait; transactions that have touched it end";
    case cutover_step::fence:
      return fmt::format("that transaction waits for no writer, closes the register of shard {}, leaves a marker and commits", of.source);
    case cutover_step::wait_marker: return fmt::format("shard {} has applied everything up to the marker", of.target);
    case cutover_step::settle_sequences: return fmt::format("sequences of shard {} go on above those of shard {}", of.target, of.source);
    case cutover_step::commit_switch: return fmt::format("the commit point: in the catalog the moving set is owned by shard {}", of.target);
    case cutover_step::open_target:
      return fmt::format("a snapshot of shard {} for the comparison is taken and its register opens", of.target);
    case cutover_step::open_gates: return fmt::format("workers route by the new map; what waited runs on shard {}", of.target);
  }
  return "";
}

// Fails at the given step, or never.
class explained_cutover : public cutover_steps {
 public:
  explained_cutover(const told_cutover& of, std::optional<cutover_step> failing, bool outcome_known = true)
      : of_(of), failing_(failing), outcome_known_(outcome_known) {}

  clock::time_point now() const override { return {}; }
  task<refusal> begin_fence(milliseconds budget) override { co_return refused_at(cutover_step::begin_fence, budget); }
  task<bool> close_gates(milliseconds budget) override { co_return !refused_at(cutover_step::close_gates, budget); }
  task<refusal> fence(milliseconds budget) override { co_return refused_at(cutover_step::fence, budget); }
  task<bool> wait_marker(clock::time_point until) override {
    co_return !refused_at(cutover_step::wait_marker, std::chrono::duration_cast<milliseconds>(until - now()));
  }
  task<void> settle_sequences() override { co_return done_or_throw(cutover_step::settle_sequences); }
  task<void> commit_switch() override {
    if (!outcome_known_) throw catalog_lost("");
    co_return done_or_throw(cutover_step::commit_switch);
  }
  task<void> open_target() override { co_return done_or_throw(cutover_step::open_target); }
  task<void> open_gates() override { co_return done_or_throw(cutover_step::open_gates); }

  task<void> abandon_fence() override { co_return undo("the transaction of step 0 is rolled back"); }
  void forget_marker() override { undo("the marker counts no more"); }
  task<void> reopen_source() override { co_return undo(fmt::format("the register of shard {} opens again", of_.source)); }
  task<void> reopen_gates() override { co_return undo("what waited runs under the old map"); }

  std::vector<std::vector<std::optional<std::string>>> rows;
  std::string undone;

 private:
  refusal refused_at(cutover_step step, std::optional<milliseconds> budget) {
    const auto at_most = budget ? std::optional(std::to_string(budget->count())) : std::nullopt;
    rows.push_back({std::string(number_of(step)), std::string(to_string(step)), what_it_does(step, of_), at_most});
    return step == failing_ ? refusal("") : std::nullopt;
  }
  void done_or_throw(cutover_step step) {
    if (refused_at(step, std::nullopt)) throw std::runtime_error("");
  }
  void undo(const std::string& what) { undone += (undone.empty() ? "" : ", ") + what; }

  const told_cutover& of_;
  std::optional<cutover_step> failing_;
  bool outcome_known_;
};

task<std::string> when_it_fails(const told_cutover& of, cutover_step step, bool outcome_known = true) {
  explained_cutover steps(of, step, outcome_known);
  bool switched = false;
  try {
    co_await cut_over(steps, of.budget);
  } catch (const std::exception&) {
    switched = true;
  }
  if (switched) co_return outcome_known ? "tried again until it is done" : "the outcome is not known: nothing is done before the catalog has been read";
  co_return (steps.undone.empty() ? "nothing has changed" : steps.undone) + "; tried again later";
}

}  // namespace

task<answer> explain_cutover(told_cutover of) {
  explained_cutover steps(of, std::nullopt);
  co_await cut_over(steps, of.budget);
  answer out{columns::cutover_steps, std::move(steps.rows), "EXPLAIN"};
  int at = 0;
  for (auto& row : out.rows) {
    const auto step = static_cast<cutover_step>(at++);
    auto text = co_await when_it_fails(of, step);
    if (step == cutover_step::commit_switch) {
      const auto unknown = co_await when_it_fails(of, step, false);
      text += "; or " + unknown;
    }
    row.emplace_back(std::move(text));
  }
  co_return out;
}

}  // namespace migration
