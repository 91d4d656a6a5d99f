#include "migration/strategy/cutover.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "migration/catalog/catalog.h"

namespace migration {
namespace {

struct step_name {
  std::string_view number, name;
};
constexpr std::array<step_name, 8> names{{{"0", "begin_fence"},
                                          {"1", "close_gates"},
                                          {"2", "fence"},
                                          {"3", "wait_marker"},
                                          {"3.sequences", "settle_sequences"},
                                          {"4", "commit_switch"},
                                          {"5", "open_target"},
                                          {"6", "open_gates"}}};

// Step 1.
task<refusal> close_or_say_why(cutover_steps& steps, milliseconds budget) {
  refusal why;
  try {
    const bool closed = co_await steps.close_gates(budget);
    if (!closed) why = "step 1: open transactions that have touched the moving set did not end within the budget";
  } catch (const std::exception& error) {
    why = std::string("step 1: ") + error.what();
  }
  co_return why;
}

// Steps 2 to 4.
task<refusal> try_switch(cutover_steps& steps, clock::time_point until) {
  const auto left = std::chrono::duration_cast<milliseconds>(until - steps.now());
  refusal why = co_await steps.fence(std::max(left, milliseconds(1)));
  if (why) co_return "step 2: " + *why;
  const bool reached = co_await steps.wait_marker(until);
  if (!reached) co_return "step 3: the target did not reach the marker within the budget";
  co_await steps.settle_sequences();
  co_await steps.commit_switch();
  co_return why;
}

// Nothing is undone while the outcome is not known, nor in a term that is over: whoever has the next one decides from the row.
task<refusal> switch_or_say_why(cutover_steps& steps, clock::time_point until) {
  refusal why;
  try {
    why = co_await try_switch(steps, until);
  } catch (const catalog_lost&) {
    throw;
  } catch (const superseded&) {
    throw;
  } catch (const std::exception& error) {
    why = error.what();
  }
  co_return why;
}

}  // namespace

std::string_view to_string(cutover_step step) noexcept { return names.at(static_cast<std::size_t>(step)).name; }
std::string_view number_of(cutover_step step) noexcept { return names.at(static_cast<std::size_t>(step)).number; }

task<refusal> cut_over(cutover_steps& steps, milliseconds budget) {
  refusal why = co_await steps.begin_fence(budget);
  if (why) co_return "step 0: " + *why;
  const auto until = steps.now() + budget;
  why = co_await close_or_say_why(steps, budget / 2);
  if (why) {
    co_await steps.reopen_gates();  // first: they hold clients, the transaction holds nobody but DDL
    co_await steps.abandon_fence();
    co_return why;
  }
  why = co_await switch_or_say_why(steps, until);
  if (why) {
    steps.forget_marker();
    co_await go_back(steps);
  } else {
    co_await go_forward(steps);
  }
  co_return why;
}

task<void> go_back(cutover_steps& steps) {
  co_await steps.reopen_source();
  co_await steps.reopen_gates();
}

task<void> go_forward(cutover_steps& steps) {
  co_await steps.open_target();
  co_await steps.open_gates();
}

}  // namespace migration
