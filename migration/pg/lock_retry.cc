#include "migration/pg/lock_retry.h"

#include <algorithm>

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/base/task.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr milliseconds lock_timeout{15};
constexpr milliseconds first_pause{20}, longest_pause{500};
constexpr milliseconds first_hold{20}, between_tries{5};
constexpr milliseconds try_budget{2'000};           // of one try while others wait
constexpr milliseconds in_the_way_for_long{1'000};  // whoever is in the way for so long will be for longer than others can wait
constexpr int rest_after_hold = 4;                  // times as long as it took

bool lock_not_available(const pg::sql_error& error) {
  return error.sqlstate == "55P03" || error.sqlstate == "40P01" || (error.sqlstate == "57014" && !error.connection_lost);
}

task<std::string> in_the_way(pg::connection& connection, const lock_step& step, milliseconds older_than) {
  const auto found = co_await connection.query(fmt::format("SELECT pgrotor.blockers(0, ARRAY[{}::regclass], '{} ms', {})",
                                                           pg::quote_literal(step.relation), older_than.count(), step.readers));
  co_return found.is_null(0, 0) ? std::string() : found.str(0, 0);
}

// Takes those that came through off the list. `limit`: of each, zero for none; then it counts as one that did not get its locks.
task<void> try_steps(pg::connection& connection, std::vector<lock_step>& steps, milliseconds limit) {
  while (!steps.empty()) {
    const auto sql = fmt::format("SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {}; {}", lock_timeout.count(), limit.count(),
                                 steps.front().sql);
    try {
      co_await connection.query(sql, limit * 2);
    } catch (const pg::sql_error& error) {
      if (!lock_not_available(error)) throw;
      co_return;
    }
    steps.erase(steps.begin());
  }
}

// The same while newcomers wait. How long they did.
task<milliseconds> try_steps_alone(pg::connection& connection, std::vector<lock_step>& steps, newcomer_gate& gate, milliseconds longest) {
  const auto began = clock::now();
  std::exception_ptr failed;
  try {
    co_await gate.hold();
    for (;;) {
      co_await try_steps(connection, steps, try_budget);
      if (steps.empty() || clock::now() - began >= longest) break;
      co_await sleep_for(between_tries);
    }
  } catch (...) {
    failed = std::current_exception();
  }
  co_await gate.open();
  if (failed) std::rethrow_exception(failed);
  co_return std::chrono::duration_cast<milliseconds>(clock::now() - began);
}

[[noreturn]] void give_up(const pg::connection& connection, const lock_step& step, const std::string& who, milliseconds budget) {
  refuse(protocol::sqlstate::wrong_state, fmt::format("{}: cannot {} within {} s", connection.where(), step.doing, budget.count() / 1000),
         "In the way: " + (who.empty() ? "nobody any more" : who) + ".", "End these transactions.");
}

task<void> try_until_had(pg::connection& connection, std::vector<lock_step> steps, milliseconds budget, newcomer_gate* gate) {
  const auto until = clock::now() + budget;
  auto hold = first_hold;
  for (auto wait = first_pause;; wait = std::min(wait * 2, longest_pause)) {
    co_await try_steps(connection, steps, milliseconds(0));
    if (steps.empty()) co_return;
    auto rest = jittered(wait);
    const auto old = co_await in_the_way(connection, steps.front(), in_the_way_for_long);
    if (gate && old.empty()) {
      const auto held = co_await try_steps_alone(connection, steps, *gate, hold);
      if (steps.empty()) co_return;
      rest = std::max(rest, held * rest_after_hold);
      hold = std::min(hold * 2, gate->longest_hold());
    }
    const auto who = co_await in_the_way(connection, steps.front(), milliseconds(0));
    if (gate) gate->tell(fmt::format("{}: to {}; in the way: {}", connection.where(), steps.front().doing, who));
    if (clock::now() >= until) give_up(connection, steps.front(), who, budget);
    co_await sleep_for(rest);
  }
}

}  // namespace

task<void> take_locks(pg::connection& connection, std::vector<lock_step> steps, milliseconds budget, newcomer_gate* gate) {
  std::exception_ptr failed;
  try {
    co_await try_until_had(connection, std::move(steps), budget, gate);
  } catch (...) {
    failed = std::current_exception();
  }
  if (gate) {
    co_await gate->forget();
    gate->tell("");
  }
  if (failed) std::rethrow_exception(failed);
}

}  // namespace migration
