#include "proxy/console/admin.h"

#include <iterator>
#include <stdexcept>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/base/test_hooks.h"
#include "migration/shard/prepare.h"
#include "protocol/sqlstate.h"
#include "proxy/console/admin_answers.h"
#include "proxy/console/admin_columns.h"
#include "proxy/metrics/metrics.h"
#include "proxy/net/wakeup.h"
#include "proxy/worker/worker.h"

namespace proxy {

using migration::answer;

admin::admin(process_control& process, migration::coordinator& coordinator, std::span<const std::unique_ptr<worker>> workers)
    : process_(process), coordinator_(coordinator), workers_(workers) {}

task<answer> admin::execute(std::string sql) {
  admin_command command = parse_admin(sql);
  if (auto* request = std::get_if<migration::request>(&command)) co_return co_await coordinator_.execute(std::move(*request));
  if (const auto* asked = std::get_if<show_proxy>(&command)) co_return co_await show(asked->what);
  if (auto* asked = std::get_if<test_command>(&command)) co_return co_await run_test_command(std::move(*asked));
  if (auto* asked = std::get_if<pool_verb>(&command)) co_return co_await run_pool_verb(std::move(*asked));
  if (const auto* asked = std::get_if<process_verb>(&command)) co_return co_await run_process_verb(*asked);
  answer out;
  if (const auto* asked = std::get_if<explain_route>(&command)) {
    const auto map = coordinator_.map();
    out = explain_route_of(asked->sql, *map);
  } else if (std::holds_alternative<accept_setting>(command)) {
    out.tag = "SET";
  } else if (const auto* quiet = std::get_if<accept_quietly>(&command)) {
    out.tag = quiet->tag;
  }
  co_return out;
}

migration::column_list admin::columns(const std::string& sql) const { return columns_of(parse_admin(sql), workers_.size()); }

task<answer> admin::show(proxy_shown what) {
  switch (what) {
    case proxy_shown::pools: co_return co_await show_of_workers("POOLS");
    case proxy_shown::clients: co_return co_await show_of_workers("CLIENTS");
    case proxy_shown::servers: co_return co_await show_of_workers("SERVERS");
    case proxy_shown::stats: co_return co_await show_stats();
    case proxy_shown::config: {
      const auto in_force = co_await process_.configuration();
      co_return show_config(in_force);
    }
    case proxy_shown::version: co_return show_version();
    case proxy_shown::help: co_return show_help();
  }
  throw std::logic_error("a SHOW that nobody answers");
}

// All workers first, so that none goes on while another is waited for.
task<answer> admin::run_pool_verb(pool_verb asked) {
  for (const auto& one : workers_) co_await one->obey(asked.what, asked.database);
  if (asked.what == pool_command::pause)
    for (const auto& one : workers_) co_await one->quiet(asked.database);
  answer out;
  out.tag = asked.tag;
  co_return out;
}

task<answer> admin::run_process_verb(process_verb asked) {
  if (asked == process_verb::reload) co_return co_await process_.reload();
  process_.shut_down();
  answer out;
  out.tag = "SHUTDOWN";
  co_return out;
}

task<answer> admin::show_of_workers(std::string what) {
  answer all;
  for (const auto& one : workers_) {
    answer part = co_await one->show(what);
    if (all.columns.empty()) all.columns = std::move(part.columns);
    all.rows.insert(all.rows.end(), std::make_move_iterator(part.rows.begin()), std::make_move_iterator(part.rows.end()));
  }
  all.tag = "SHOW";
  co_return all;
}

// A row a counter, a column a worker: psql shows it without wrapping however many counters there are.
task<answer> admin::show_stats() {
  answer out{stats_columns(workers_.size()), {}, "SHOW"};
  std::vector<counters> each;
  counters total;
  for (const auto& one : workers_) {
    const counters counted = co_await one->read_counters();
    each.push_back(counted);
    total += counted;
  }
  for (const auto& field : counter_fields()) {
    const auto text = [&field](const counters& from) {
      const std::uint64_t value = from.*field.member;
      return field.scale == 1 ? std::to_string(value) : fmt::format("{:.6f}", static_cast<double>(value) * field.scale);
    };
    auto& row = out.rows.emplace_back();
    row.emplace_back(field.name);
    row.emplace_back(text(total));
    for (const auto& from : each) row.emplace_back(text(from));
  }
  co_return out;
}

#ifdef PGROTOR_TEST_HOOKS
task<answer> admin::run_test_command(test_command asked) {
  auto work = migration::test_hooks::command(std::move(asked.verb), std::move(asked.name));
  try {
    answer out;
    out.tag = co_await boost::asio::co_spawn(coordinator_.executor(), std::move(work), boost::asio::use_awaitable);
    co_return out;
  } catch (const std::invalid_argument& error) {
    migration::refuse(protocol::sqlstate::invalid_parameter, error.what());
  }
}
#else
task<answer> admin::run_test_command(test_command) { throw std::logic_error("the parser makes TEST commands only in builds with test hooks"); }
#endif

}  // namespace proxy
