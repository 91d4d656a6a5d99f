// What the control_* tests share: connections to two real clusters that control.py made, and a small shop with a known moving set.
// The address of each connection is in the environment: PGROTOR_A, PGROTOR_B (role pgrotor), APP_A, APP_B (a client that bypasses the
// proxy, database shop), SUPER_A, SUPER_B (superuser). One thread, one io_context.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>

#include "migration/mover/mover.h"
#include "migration/pg/pg.h"
#include "migration/plan/state.h"
#include "migration/shard/prepare.h"

namespace control {

using migration::milliseconds;
using migration::task;
namespace pg = migration::pg;
using session = std::unique_ptr<pg::connection>;

// Test bodies are plain functions: run() drives one coroutine to its end, and whatever runs in the background with it.
void run(task<void>);
template <typename T>
task<void> keep(task<T> work, std::optional<T>& into) {
  T made = co_await std::move(work);
  into.emplace(std::move(made));
}
template <typename T>
T run(task<T> work) {
  std::optional<T> made;
  run(keep(std::move(work), made));
  return std::move(*made);
}
// Runs beside the test whenever the test waits for something; an error is thrown by join().
class background {
 public:
  explicit background(task<void>);
  void join();
  bool done() const { return state_->done; }

 private:
  struct state {
    bool done = false;
    std::exception_ptr failed;
  };
  std::shared_ptr<state> state_;
};
boost::asio::any_io_executor executor();
pg::connect_options options_of(const std::string& name);
session connect(const std::string& name);
void pause(milliseconds);
// Polls until the condition holds; fails the test after 30 s.
void wait_until(const std::function<bool()>& condition);

pg::result exec(pg::connection&, std::string sql);
std::string value(pg::connection&, std::string sql);       // first column of the first row, "" when there is none
std::string state_of(pg::connection&, std::string sql);    // SQLSTATE of its error, "" when it worked
pg::sql_error error_of(pg::connection&, std::string sql);  // fails the test when it worked
// The refusal of a call, as a DBA reads it: SQLSTATE, message, DETAIL and HINT, a line each; "" when it was not refused.
std::string refusal_of(const std::function<void()>& call);

// The moving set of every test: placements below zero. Keys inside and outside it.
inline const std::vector<routing::placement_range> moving{{routing::lowest_placement, routing::placement{0}}};
inline constexpr int inside = 2, outside = 1;
std::string in_moving(const std::string& column);  // SQL

// Drops what earlier tests left, makes pgrotor's schema and the shop's tables (owner shop_owner) on both shards; customers 1 to 200
// with two orders each on A, the tables empty on B.
void fresh_shop();
std::vector<migration::moving_table> shop_tables(pg::connection&);
routing::distribution shop_distribution();
migration::migration_row shop_row(std::uint64_t id);

}  // namespace control
