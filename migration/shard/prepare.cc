#include "migration/shard/prepare.h"

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/base/task.h"
#include "migration/base/test_hooks.h"
#include "migration/shard/checks.h"
#include "migration/shard/guard.h"
#include "migration/shard/schema_copy.h"
#include "migration/shard/sql_text.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr milliseconds slot_attempt{5'000};   // of creating the slot: it waits for every transaction that is open
constexpr milliseconds patience{60'000};      // with old transactions, before they are named to the DBA
constexpr milliseconds poll{20};

struct preparation {
  ledger& book;
  pg::connection& source;
  pg::connection& target;
  const migration_row& row;
  const std::vector<moving_table>& tables;
  object_names names;
};

void list_guard(std::vector<ledger_entry>& entries, const preparation& p, routing::shard_id shard) {
  entries.push_back({shard, "register", p.names.register_sequence});
  entries.push_back({shard, "function", p.names.guard_function});
  for (const auto& table : p.tables) entries.push_back({shard, "trigger", qualified(table)});
  entries.push_back({shard, "origin", p.names.cleaner_origin});
}

task<void> write_ledger(preparation& p, const std::vector<moving_table>& missing) {
  std::vector<ledger_entry> entries;
  for (const auto& table : missing) entries.push_back({p.row.target, "table", qualified(table)});
  list_guard(entries, p, p.row.source);
  list_guard(entries, p, p.row.target);
  entries.push_back({p.row.source, "publication", p.names.publication});
  entries.push_back({p.row.source, "slot", p.names.slot});
  entries.push_back({p.row.target, "origin", p.names.origin});
  co_await p.book.write_ledger(p.row.id, std::move(entries));
}

// The oldest transaction that has a number, as "pid 123 (app, idle in transaction for 12 s)".
task<std::string> oldest_writer(pg::connection& connection) {
  const auto rows = co_await connection.query(
      "SELECT who FROM (SELECT xact_start AS since, format('pid %s (%s, %s for %s s)', pid, coalesce(nullif(application_name, ''), usename),"
      " state, round(extract(epoch FROM clock_timestamp() - coalesce(state_change, xact_start)))) AS who FROM pg_stat_activity"
      " WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
      " UNION ALL SELECT prepared, format('prepared transaction %L of %s in database %s, prepared %s s ago', gid, owner, database,"
      " round(extract(epoch FROM clock_timestamp() - prepared))) FROM pg_prepared_xacts) w ORDER BY since LIMIT 1");
  co_return rows.rows() > 0 ? rows.str(0, 0) : std::string("a transaction that has just ended");
}

[[noreturn]] void refuse_old_transaction(const preparation& p, const std::string& who) {
  refuse(protocol::sqlstate::wrong_state,
         fmt::format("{}: slot {} cannot start, an old transaction is in the way: {}", p.source.where(), p.names.slot, who),
         fmt::format("The change stream begins when every transaction that was open has ended; waited {} s.", patience.count() / 1000),
         "End that transaction (COMMIT, ROLLBACK PREPARED or pg_terminate_backend).");
}

// PostgreSQL 18 refuses updates of a table with REPLICA IDENTITY FULL whose generated columns are not published; the mover skips them.
std::string publication_options(const pg::connection& source) {
  return std::string("publish_via_partition_root = true") + (source.server_version() >= 180'000 ? ", publish_generated_columns = stored" : "");
}

task<void> make_publication(preparation& p) {
  const auto found = co_await p.source.query("SELECT FROM pg_publication WHERE pubname = " + pg::quote_literal(p.names.publication));
  if (found.rows() > 0) co_return;
  std::string names;
  for (const auto& table : p.tables) names += (names.empty() ? "" : ", ") + qualified(table);
  co_await p.source.query(fmt::format("CREATE PUBLICATION {} FOR TABLE {} WITH ({})", pg::quote_ident(p.names.publication), names,
                                      publication_options(p.source)));
}

task<bool> slot_exists(preparation& p) {
  const auto found = co_await p.source.query("SELECT wal_status FROM pg_replication_slots WHERE slot_name = " + pg::quote_literal(p.names.slot));
  if (found.rows() > 0 && found.get(0, 0) == "lost") {
    refuse(protocol::sqlstate::wrong_state, fmt::format("{}: slot {} has lost WAL that it needs", p.source.where(), p.names.slot),
           "max_slot_wal_keep_size was reached.", "Give it more room: ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf();");
  }
  co_return found.rows() > 0;
}

task<void> make_slot(preparation& p) {
  const bool exists = co_await slot_exists(p);
  if (exists) co_return;
  const auto sql = fmt::format("SET LOCAL statement_timeout = {}; SELECT pg_create_logical_replication_slot({}, 'pgoutput')", slot_attempt.count(),
                               pg::quote_literal(p.names.slot));
  for (const auto until = clock::now() + patience;;) {
    try {
      co_await p.source.query(sql, slot_attempt * 2);
      co_return;
    } catch (const pg::sql_error& error) {
      if (error.sqlstate != "57014" || error.connection_lost) throw;
    }
    if (clock::now() >= until) refuse_old_transaction(p, co_await oldest_writer(p.source));
  }
}

// A commit is in the stream before it is visible: only when all who were open at the slot's start are gone, a snapshot can be
// compared with the stream.
task<void> wait_for_first_snapshot(preparation& p) {
  const auto first = co_await p.source.query("SELECT pg_snapshot_xmax(pg_current_snapshot())");
  const auto reached = "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= " + pg::quote_literal(first.get(0, 0)) + "::xid8";
  for (const auto until = clock::now() + patience;;) {
    const auto passed = co_await p.source.query(reached);
    if (passed.boolean(0, 0)) co_return;
    if (clock::now() >= until) refuse_old_transaction(p, co_await oldest_writer(p.source));
    co_await sleep_for(poll);
  }
}

task<void> make_origin(pg::connection& connection, std::string name) {
  const auto quoted = pg::quote_literal(name);
  co_await connection.query("SELECT pg_replication_origin_create(" + quoted + ") WHERE pg_replication_origin_oid(" + quoted + ") IS NULL");
}

task<void> make_guards(preparation& p, routing::key_type type, newcomer_gate* at_source, newcomer_gate* at_target) {
  const register_value open{p.row.epoch, 0, true}, closed{p.row.epoch, 0, false};
  co_await make_guard(p.target, p.row.id, type, p.row.ranges, p.tables, closed, at_target);
  co_await make_guard(p.source, p.row.id, type, p.row.ranges, p.tables, open, at_source);
  co_await p.source.query(fmt::format("SELECT pgrotor.record_fingerprint({}, {})", p.row.id, relation_array(p.tables)));
}

}  // namespace

task<upgrade_report> init_shard(pg::connection& connection, std::optional<shard_claim> claim) {
  co_await check_rights(connection);
  upgrade_hooks hooks;
  if (claim) hooks.after = [&connection, &claim](const upgrade_report&) { return claim_shard(connection, *claim); };
  co_return co_await upgrade_schema(connection, schema_part::shard, std::move(hooks));
}

task<void> prepare(ledger& book, pg::connection& source, pg::connection& target, const routing::distribution& distribution,
                   const migration_row& row, const std::vector<moving_table>& tables, const std::string& pg_dump, newcomer_gate* at_source,
                   newcomer_gate* at_target) {
  preparation p{book, source, target, row, tables, object_names(row.id)};
  const auto missing = co_await missing_tables(target, tables);
  co_await write_ledger(p, missing);
  PGROTOR_STOP_POINT("prepare.ledger");
  if (!missing.empty()) {
    const auto definitions = co_await table_definitions(source, missing, distribution.type, pg_dump);
    co_await make_definitions(source, target, missing, definitions);
  }
  PGROTOR_STOP_POINT("prepare.tables");
  co_await make_guards(p, distribution.type, at_source, at_target);
  PGROTOR_STOP_POINT("prepare.guards");
  co_await make_origin(target, p.names.origin);
  co_await make_origin(target, p.names.cleaner_origin);
  co_await make_origin(source, p.names.cleaner_origin);
  PGROTOR_STOP_POINT("prepare.origins");
  co_await make_publication(p);
  PGROTOR_STOP_POINT("prepare.publication");
  co_await make_slot(p);
  PGROTOR_STOP_POINT("prepare.slot");
  co_await wait_for_first_snapshot(p);
}

}  // namespace migration
