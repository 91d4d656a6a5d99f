#include "migration/shard/guard.h"

#include <fmt/format.h>

#include "migration/base/test_hooks.h"
#include "migration/pg/lock_retry.h"
#include "migration/shard/sql_text.h"
#include "routing/map/placement.h"

namespace migration {
namespace {

constexpr milliseconds guard_budget{60'000};

std::string bound(std::string_view comparison, std::int64_t value) {
  return fmt::format(" OPERATOR(pg_catalog.{}) '{}'::pg_catalog.int8", comparison, value);
}

std::string range_filter(const std::string& placement, const routing::placement_range& range) {
  const auto [lower, upper] = routing::hashes_of_range(range);
  std::string out;
  if (range.lower != routing::lowest_placement) out = placement + bound(">=", lower);
  if (upper) out += (out.empty() ? "" : " AND ") + placement + bound("<", *upper);
  return out.empty() ? "true" : "(" + out + ")";
}

std::string boolean(bool value) { return value ? "true" : "false"; }

fence_result to_result(const pg::result& row) {
  fence_result out;
  const auto outcome = row.get(0, 0);
  out.outcome = outcome == "done" ? fence_outcome::done : outcome == "guard_missing" ? fence_outcome::guard_missing : fence_outcome::ddl_changed;
  if (!row.is_null(0, 1)) out.note = row.str(0, 1);
  return out;
}

// What stopped the fence without having changed anything: somebody's lock, or a moving table or the register itself is gone.
std::optional<fence_result> stopped(const pg::sql_error& error) {
  if (error.sqlstate == "55P03") return fence_result{fence_outcome::lock_missed, ""};
  if (error.sqlstate != "42P01") return std::nullopt;
  const bool is_register = error.message.find("register_") != std::string::npos;
  return fence_result{is_register ? fence_outcome::guard_missing : fence_outcome::ddl_changed, error.message};
}

std::string bounds(milliseconds lock_timeout, milliseconds budget) {
  return fmt::format("SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {}; SET LOCAL synchronous_commit = on;", lock_timeout.count(),
                     budget.count());
}

// Runs a batch of the fence's transaction. Where it throws, no transaction is left open on a connection that still works.
task<fence_result> outcome_of(pg::connection& source, std::string sql, milliseconds budget) {
  std::exception_ptr failed;
  try {
    const auto row = co_await source.query(std::move(sql), budget);
    co_return row.rows() > 0 ? to_result(row) : fence_result{};
  } catch (const pg::sql_error& error) {
    // statement_timeout does not cover a commit that waits for a standby: the server must not go on waiting with the lock held.
    if (error.connection_lost) source.cancel();
    if (const auto why = stopped(error)) co_return *why;
    failed = std::current_exception();
  }
  co_await abandon_fence(source);
  std::rethrow_exception(failed);
}

}  // namespace

std::string placement_filter(routing::key_type type, const std::vector<routing::placement_range>& ranges, std::string_view quoted_key) {
  const auto placement = routing::placement_sql(type, std::string(quoted_key));
  std::string out = "(";
  for (const auto& range : ranges) out += (out.size() > 1 ? " OR " : "") + range_filter(placement, range);
  return ranges.empty() ? "(false)" : out + ")";
}

task<void> make_guard(pg::connection& connection, std::uint64_t set, routing::key_type type,
                      const std::vector<routing::placement_range>& ranges, const std::vector<moving_table>& tables, register_value initial,
                      newcomer_gate* gate) {
  co_await connection.query(
      fmt::format("SELECT pgrotor.make_register({0}, {1}); SELECT pgrotor.make_guard_function({0})", set, initial.encode()));
  if (test_hooks::broken("no_guard")) co_return;
  std::vector<lock_step> steps;
  for (const auto& table : tables) {
    const auto in_old = placement_filter(type, ranges, "OLD." + quoted_key(table));
    const auto in_new = placement_filter(type, ranges, "NEW." + quoted_key(table));
    auto sql = fmt::format("SELECT pgrotor.add_guard({}, {}::regclass, {}, {})", set, pg::quote_literal(qualified(table)),
                           pg::quote_literal(in_old), pg::quote_literal(in_new));
    steps.push_back({std::move(sql), qualified(table), "put the guard on " + plain_name(table)});
  }
  co_await take_locks(connection, std::move(steps), guard_budget, gate);
}

task<void> drop_guard(pg::connection& connection, std::uint64_t set, newcomer_gate* gate) {
  const object_names names(set);
  const auto triggers = co_await connection.query(
      "SELECT t.tgrelid::regclass::text, string_agg(format('DROP TRIGGER IF EXISTS %I ON %s', t.tgname, t.tgrelid::regclass), '; ')"
      " FROM pg_trigger t WHERE t.tgparentid = 0 AND t.tgfoid = to_regproc(" +
      pg::quote_literal(names.guard_function) + ") GROUP BY t.tgrelid");
  std::vector<lock_step> steps;
  for (int row = 0; row < triggers.rows(); ++row) {
    steps.push_back({triggers.str(row, 1), triggers.str(row, 0), "drop the guard on " + triggers.str(row, 0), true});
  }
  co_await take_locks(connection, std::move(steps), guard_budget, gate);
  co_await connection.query(
      fmt::format("DROP FUNCTION IF EXISTS {}(); DROP SEQUENCE IF EXISTS {}", names.guard_function, names.register_sequence));
}

task<register_value> read_register(pg::connection& connection, std::uint64_t set) {
  const auto found = co_await connection.query("SELECT last_value FROM " + object_names(set).register_sequence);
  co_return register_value::decode(found.integer(0, 0));
}

task<bool> set_register(pg::connection& connection, std::uint64_t set, register_value value) {
  const auto moved = co_await connection.query(fmt::format("SELECT pgrotor.set_register({}, {})", set, value.encode()));
  co_return moved.boolean(0, 0);
}

task<fence_result> begin_fence(pg::connection& source, std::uint64_t set, const std::vector<moving_table>& tables,
                               const std::string& fingerprint, milliseconds lock_timeout, milliseconds budget) {
  const auto sql = fmt::format("BEGIN; {} SELECT outcome, note FROM pgrotor.begin_fence({}, {}, {}, {})", bounds(lock_timeout, budget), set,
                               relation_array(tables), pg::quote_literal(fingerprint), boolean(!test_hooks::broken("no_guard")));
  auto begun = co_await outcome_of(source, sql, budget);
  if (begun.outcome == fence_outcome::done) co_return begun;
  co_await abandon_fence(source);
  if (begun.outcome == fence_outcome::lock_missed) begun.note = co_await blockers(source, 0, tables, milliseconds(0));
  co_return begun;
}

task<fence_result> fence(pg::connection& source, const marker_token& token, const std::vector<moving_table>& tables, milliseconds lock_timeout,
                         milliseconds budget) {
  const register_value closed{token.epoch, token.attempt, false};
  const auto sql = fmt::format("{} SELECT 'done', NULL FROM pgrotor.fence({}, {}, {}, {}); COMMIT", bounds(lock_timeout, budget), token.set,
                               closed.encode(), pg::quote_literal(token.text()), boolean(!test_hooks::broken("no_exclusive_lock")));
  auto fenced = co_await outcome_of(source, sql, budget);
  if (fenced.outcome == fence_outcome::done) co_return fenced;
  co_await abandon_fence(source);
  if (fenced.outcome == fence_outcome::lock_missed) fenced.note = co_await blockers(source, token.set, tables, milliseconds(0));
  co_return fenced;
}

task<void> abandon_fence(pg::connection& source) {
  if (!source.broken()) co_await source.query("ROLLBACK");
}

task<std::string> blockers(pg::connection& source, std::uint64_t set, const std::vector<moving_table>& tables, milliseconds older_than) {
  const auto found = co_await source.query(fmt::format("SELECT pgrotor.blockers({}, {}, '{} ms', false)", set, relation_array(tables),
                                                       older_than.count()));
  co_return found.is_null(0, 0) ? std::string() : found.str(0, 0);
}

}  // namespace migration
