#include "migration/shard/cleaner.h"

#include <algorithm>

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/base/task.h"
#include "migration/pg/lock_retry.h"
#include "migration/shard/guard.h"
#include "migration/shard/sql_text.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr milliseconds count_budget{6 * 3'600'000};
constexpr milliseconds batch_budget{120'000};
constexpr milliseconds patience{30'000};  // with a slot or an origin that a dying session still holds
constexpr milliseconds drop_pause{50};
constexpr std::size_t scanned_per_deleted = 5;  // rows a slice may scan for each that a batch may delete

bool in_use(const pg::sql_error& error) { return error.sqlstate == "55006"; }

// Repeats a statement about a slot or an origin while another session still has it.
task<void> retry_in_use(pg::connection& connection, std::string sql, std::string what) {
  for (const auto until = clock::now() + patience;;) {
    std::string message;
    try {
      co_await connection.query(sql);
      co_return;
    } catch (const pg::sql_error& error) {
      if (!in_use(error)) throw;
      message = error.message;
    }
    if (clock::now() >= until) {
      refuse(protocol::sqlstate::wrong_state, fmt::format("{}: {} is in use", connection.where(), what), message,
             "End that session; it is tried again.");
    }
    co_await sleep_for(jittered(drop_pause));
  }
}

// What a deleted row must not do on its way out: start user triggers, check foreign keys, or look like business to change data
// capture. The session origin alone marks each commit; there is no progress to keep, so no xact_setup.
task<void> enter_cleaning(pg::connection& connection, const std::string& origin) {
  const auto quoted = pg::quote_literal(origin);
  co_await connection.query("SELECT pg_replication_origin_create(" + quoted + ") WHERE pg_replication_origin_oid(" + quoted + ") IS NULL");
  co_await retry_in_use(connection, "SELECT pg_replication_origin_session_setup(" + quoted + ")", "replication origin " + origin);
  co_await connection.query(set_replication_role(connection, "replica"));
}

task<void> leave_cleaning(pg::connection& connection) {
  co_await connection.query(set_replication_role(connection, "origin") + "; SELECT pg_replication_origin_session_reset()");
}

class table_cleaner {
 public:
  table_cleaner(pg::connection& connection, const moving_table& table, std::string filter, std::size_t batch_rows)
      : connection_(connection), table_(table), filter_(std::move(filter)), slice_(batch_rows * scanned_per_deleted) {}

  task<std::uint64_t> run() {
    std::uint64_t deleted = 0;
    for (bool more = true; more;) {
      const auto began = clock::now();
      const auto upper = co_await slice_end();
      deleted += co_await delete_slice(upper);
      more = !upper.empty();
      lower_ = upper;
      // As long a rest as the batch took, up to a little: half of the time belongs to others.
      const auto took = std::chrono::duration_cast<milliseconds>(clock::now() - began);
      if (more) co_await sleep_for(std::min(took, milliseconds(100)));
    }
    co_return deleted;
  }

 private:
  using key = std::vector<std::string>;  // text forms of the primary key's columns; empty: no bound

  const moving_column& key_column(std::size_t place) const { return table_.columns[table_.primary_key[place]]; }

  std::string bound(std::string_view comparison, const key& values) const {
    std::string row;
    for (std::size_t i = 0; i < values.size(); ++i) {
      row += fmt::format("{}{}::{}", i ? ", " : "", pg::quote_literal(values[i]), key_column(i).type_name);
    }
    return fmt::format("ROW({}) {} ROW({})", primary_key_list(table_), comparison, row);
  }

  std::string above_lower() const { return lower_.empty() ? "true" : bound(">", lower_); }
  std::string slice_end_sql() const {
    const auto list = primary_key_list(table_);
    return fmt::format("SELECT {} FROM {} WHERE {} ORDER BY {} OFFSET {} LIMIT 1", list, qualified(table_), above_lower(), list, slice_ - 1);
  }
  std::string delete_sql(const key& upper) const {
    const auto below_upper = upper.empty() ? "true" : bound("<=", upper);
    return fmt::format("DELETE FROM {} WHERE {} AND {} AND {}", qualified(table_), above_lower(), below_upper, filter_);
  }

  // The key of the last row of the next slice; an index scan that steps over what is dead already.
  task<key> slice_end() {
    const auto rows = co_await connection_.query(slice_end_sql(), batch_budget);
    key out;
    if (rows.rows() > 0) {
      for (int column = 0; column < rows.columns(); ++column) out.push_back(rows.str(0, column));
    }
    co_return out;
  }

  task<std::uint64_t> delete_slice(const key& upper) {
    const auto gone = co_await connection_.query(delete_sql(upper), batch_budget);
    co_return gone.affected();
  }

  pg::connection& connection_;
  const moving_table& table_;
  std::string filter_;
  std::size_t slice_;
  key lower_;
};

task<void> verify_none_left(pg::connection& connection, const moving_table& table, const std::string& filter) {
  const auto left = co_await connection.query(fmt::format("SELECT count(*) FROM {} WHERE {}", qualified(table), filter), count_budget);
  if (left.get(0, 0) == "0") co_return;
  refuse(protocol::sqlstate::wrong_state,
         fmt::format("{}: {} rows of table {} came back while it was being cleaned", connection.where(), left.get(0, 0), plain_name(table)),
         "Somebody writes to placements that this shard does not own.", "Find the writer: it bypasses the guard. The cleaning is tried again.");
}

task<std::uint64_t> clean_tables(pg::connection& connection, routing::key_type type, const std::vector<routing::placement_range>& ranges,
                                 const std::vector<moving_table>& tables, std::size_t batch_rows) {
  std::uint64_t deleted = 0;
  for (const auto& table : tables) {
    const auto filter = placement_filter(type, ranges, quoted_key(table));
    table_cleaner cleaner(connection, table, filter, batch_rows);
    deleted += co_await cleaner.run();
    co_await verify_none_left(connection, table, filter);
  }
  co_return deleted;
}

task<void> drop_slot(pg::connection& connection, const std::string& name) {
  const auto quoted = pg::quote_literal(name);
  co_await retry_in_use(connection, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = " + quoted,
                        "replication slot " + name);
}

task<void> drop_origin(pg::connection& connection, const std::string& name) {
  const auto quoted = pg::quote_literal(name);
  co_await retry_in_use(connection, "SELECT pg_replication_origin_drop(" + quoted + ") WHERE pg_replication_origin_oid(" + quoted + ") IS NOT NULL",
                        "replication origin " + name);
}

// Tables that PREPARE made stay when the migration switched, when somebody wrote to them, or when another migration guards them.
task<void> drop_made_tables(pg::connection& connection, const std::vector<std::string>& tables) {
  std::string droppable;
  for (const auto& table : tables) {
    const auto found = co_await connection.query("SELECT to_regclass(" + pg::quote_literal(table) + ") IS NOT NULL AND NOT EXISTS (SELECT FROM pg_trigger"
                                                 " WHERE tgrelid = to_regclass(" + pg::quote_literal(table) + ") AND tgname ~ '^~~pgrotor_[0-9]')");
    if (!found.boolean(0, 0)) continue;
    const auto rows = co_await connection.query("SELECT EXISTS (SELECT FROM " + table + ")");
    if (!rows.boolean(0, 0)) droppable += (droppable.empty() ? "" : ", ") + table;
  }
  if (!droppable.empty()) {
    std::vector<lock_step> steps;
    steps.push_back({"DROP TABLE IF EXISTS " + droppable, tables.front(), "drop the empty tables made for the migration", true});
    co_await take_locks(connection, std::move(steps), patience);
  }
}

bool has_guard(const std::vector<ledger_entry>& entries) {
  return std::ranges::any_of(entries, [](const auto& entry) { return entry.kind == "trigger" || entry.kind == "function" || entry.kind == "register"; });
}

}  // namespace

task<std::uint64_t> delete_rows(pg::connection& connection, const object_names& names, routing::key_type type,
                                const std::vector<routing::placement_range>& ranges, const std::vector<moving_table>& tables,
                                std::size_t batch_rows) {
  co_await enter_cleaning(connection, names.cleaner_origin);
  std::uint64_t deleted = 0;
  std::exception_ptr failed;
  try {
    deleted = co_await clean_tables(connection, type, ranges, tables, batch_rows);
  } catch (...) {
    failed = std::current_exception();
  }
  if (!connection.broken()) co_await leave_cleaning(connection);
  if (failed) std::rethrow_exception(failed);
  co_return deleted;
}

task<void> drop_objects(ledger& book, pg::connection& connection, routing::shard_id shard, const migration_row& row, newcomer_gate* gate) {
  const object_names names(row.id);
  auto entries = co_await book.read_ledger(row.id);
  std::erase_if(entries, [&](const auto& entry) { return entry.shard != shard; });
  for (const auto& entry : entries) {
    if (entry.kind == "slot") co_await drop_slot(connection, entry.name);
    if (entry.kind == "publication") co_await connection.query("DROP PUBLICATION IF EXISTS " + pg::quote_ident(entry.name));
    if (entry.kind == "origin") co_await drop_origin(connection, entry.name);
  }
  // Also without an entry: a cleaner that was killed when all had been struck makes its origin once more.
  co_await drop_origin(connection, names.cleaner_origin);
  if (has_guard(entries)) co_await drop_guard(connection, row.id, gate);
  co_await connection.query(fmt::format("DELETE FROM pgrotor.chunks WHERE migration = {0}; DELETE FROM pgrotor.progress WHERE migration = {0}", row.id));
  std::vector<std::string> made;
  for (const auto& entry : entries) {
    if (entry.kind == "table") made.push_back(entry.name);
  }
  const bool switched = row.state == state::switched || row.state == state::cleaning || row.state == state::done;
  if (!made.empty() && !switched) co_await drop_made_tables(connection, made);
  for (const auto& entry : entries) co_await book.strike_ledger(row.id, entry);
}

task<std::vector<std::string>> leftovers(pg::connection& connection) {
  const auto rows = co_await connection.query("SELECT l FROM pgrotor.leftovers() l ORDER BY l");
  std::vector<std::string> out;
  for (int row = 0; row < rows.rows(); ++row) out.push_back(rows.str(row, 0));
  co_return out;
}

}  // namespace migration
