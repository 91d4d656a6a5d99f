#include "migration/lock_retry.h"

#include <algorithm>
#include <random>

#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/prepare.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr milliseconds lock_timeout{15};
constexpr milliseconds first_pause{20}, longest_pause{500};

bool lock_not_available(const pg::sql_error& error) { return error.sqlstate == "55P03" || error.sqlstate == "40P01"; }

task<std::string> holders(pg::connection& connection, std::string relation) {
  const auto found = co_await connection.query("SELECT pgrotor.blockers(0, ARRAY[" + pg::quote_literal(relation) + "::regclass], '0', true)");
  co_return found.is_null(0, 0) ? "nobody any more" : found.str(0, 0);
}

}  // namespace

milliseconds jittered(milliseconds base) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return base + milliseconds(std::uniform_int_distribution<milliseconds::rep>(0, base.count())(random));
}

task<void> pause_for(milliseconds time) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, time);
  co_await timer.async_wait(boost::asio::use_awaitable);
}

task<void> retry_locked(pg::connection& connection, std::string sql, std::string relation, std::string doing, milliseconds budget) {
  const auto until = clock::now() + budget;
  const auto batch = fmt::format("SET LOCAL lock_timeout = {}; {}", lock_timeout.count(), sql);
  for (auto wait = first_pause;; wait = std::min(wait * 2, longest_pause)) {
    try {
      co_await connection.query(batch);
      co_return;
    } catch (const pg::sql_error& error) {
      if (!lock_not_available(error)) throw;
    }
    if (clock::now() >= until) {
      const auto who = co_await holders(connection, relation);
      refuse(protocol::sqlstate::wrong_state, fmt::format("{}: cannot {} within {} s", connection.where(), doing, budget.count() / 1000),
             "In the way: " + who + ".", "End these transactions.");
    }
    co_await pause_for(jittered(wait));
  }
}

}  // namespace migration
