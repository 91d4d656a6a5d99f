#include "migration/shard/schema_copy.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/pg/lock_retry.h"
#include "migration/pg/relations.h"
#include "migration/shard/ownership.h"
#include "migration/shard/sql_text.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr milliseconds lock_budget{60'000};       // of PREPARE, for the tables that the new ones refer to
constexpr milliseconds short_lock{15};            // everybody who comes after a waiting lock request waits too
constexpr milliseconds rehearsal_budget{1'000}, between_rehearsals{50};

task<std::vector<std::string>> with_partitions(pg::connection& source, const std::vector<moving_table>& tables) {
  std::vector<std::string> out;
  const auto rows = co_await source.query("SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pgrotor.with_partitions(" +
                                          relation_array(tables) + ") r JOIN pg_class c ON c.oid = r"
                                          " JOIN pg_namespace n ON n.oid = c.relnamespace");
  for (int row = 0; row < rows.rows(); ++row) out.push_back(rows.str(row, 0));
  co_return out;
}

bool is_lock_missed(const pg::sql_error& error) { return error.sqlstate == "55P03" || error.sqlstate == "40P01"; }

// What a statement says when one before it has failed, or when something is missing of which the DBA has been told.
bool is_consequence(const pg::sql_error& error) {
  constexpr std::string_view states[]{"42704", "42883", "42P01", "42703", "3F000", "42501"};
  return std::ranges::find(states, error.sqlstate) != std::end(states);
}

task<std::optional<pg::sql_error>> try_entry(pg::connection& target, const dump_entry& entry) {
  std::optional<pg::sql_error> failed;
  try {
    co_await target.query("SAVEPOINT pgrotor_try; " + entry.sql + "; RELEASE SAVEPOINT pgrotor_try");
  } catch (const pg::sql_error& error) {
    if (error.connection_lost) throw;
    failed = error;
  }
  if (failed) co_await target.query("ROLLBACK TO SAVEPOINT pgrotor_try; RELEASE SAVEPOINT pgrotor_try");
  co_return failed;
}

// One try of all entries. True when a lock was not to be had.
task<bool> try_once(pg::connection& target, const std::vector<dump_entry>& entries, problems& found) {
  bool lock_missed = false;
  co_await target.query(fmt::format("BEGIN; SET LOCAL search_path = ''; SET LOCAL lock_timeout = {}", short_lock.count()));
  for (const auto& entry : entries) {
    const auto failed = co_await try_entry(target, entry);
    if (!failed) continue;
    lock_missed = lock_missed || is_lock_missed(*failed);
    if (is_lock_missed(*failed) || (is_consequence(*failed) && (lock_missed || !found.empty()))) continue;
    const auto tried = entry.sql.substr(0, entry.sql.find_last_not_of('\n') + 1);
    found.add(protocol::sqlstate::wrong_state,
              fmt::format("{}: {} {} of schema {} cannot be made there: {}", target.where(), entry.type, entry.name, entry.schema,
                          failed->message),
              fmt::format("{}{}Tried was: {}", failed->detail, failed->detail.empty() ? "" : " ", tried),
              failed->hint.empty() ? "Make there what it needs and remove what is in its way, or make the table itself." : failed->hint);
  }
  co_await target.query("ROLLBACK");
  co_return lock_missed;
}

// A table of the target whose lock the foreign keys need.
task<std::string> referred_table(pg::connection& source, const std::vector<moving_table>& tables) {
  const auto array = relation_array(tables);
  const auto rows = co_await source.query("SELECT k.confrelid::regclass::text FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = ANY (" +
                                          array + ") AND k.confrelid <> ALL (" + array + ") ORDER BY 1 LIMIT 1");
  co_return rows.rows() > 0 ? rows.str(0, 0) : std::string("pg_catalog.pg_class");
}

}  // namespace

task<std::vector<moving_table>> missing_tables(pg::connection& target, const std::vector<moving_table>& tables) {
  std::vector<moving_table> out;
  for (const auto& table : tables) {
    const bool there = co_await relation_exists(target, qualified(table));
    if (!there) out.push_back(table);
  }
  co_return out;
}

task<std::vector<dump_entry>> table_definitions(pg::connection& source, const std::vector<moving_table>& tables, routing::key_type type,
                                                const std::string& pg_dump) {
  std::vector<std::string> options;
  const auto names = co_await with_partitions(source, tables);
  for (const auto& name : names) options.push_back("--table=" + name);
  auto entries = co_await run_pg_dump(source, pg_dump, std::move(options));
  for (auto& entry : entries) entry.sql = wanted_statements(entry.sql + "\n");
  std::erase_if(entries, [](const auto& entry) { return entry.sql.empty(); });
  auto guards = co_await guards_of_new_tables(source, tables, type);
  dump_entry last{"OWNERSHIP GUARD", tables.front().schema, tables.front().name, std::move(guards)};
  entries.push_back(std::move(last));
  co_return entries;
}

task<void> try_definitions(pg::connection& target, const std::vector<dump_entry>& entries, problems& found) {
  for (const auto until = clock::now() + rehearsal_budget;;) {
    auto with_these = found;
    const bool lock_missed = co_await try_once(target, entries, with_these);
    if (!lock_missed || clock::now() >= until) {
      found = std::move(with_these);
      co_return;
    }
    co_await sleep_for(jittered(between_rehearsals));
  }
}

task<void> make_definitions(pg::connection& source, pg::connection& target, const std::vector<moving_table>& tables,
                            const std::vector<dump_entry>& entries) {
  std::string sql = "SET LOCAL search_path = ''; ";
  for (const auto& entry : entries) sql += entry.sql;
  auto relation = co_await referred_table(source, tables);
  std::vector<lock_step> steps;
  steps.push_back({std::move(sql), std::move(relation), "make the tables of the migration"});
  try {
    co_await take_locks(target, std::move(steps), lock_budget);
    co_return;
  } catch (const pg::sql_error& error) {
    if (error.connection_lost) throw;
    refuse(protocol::sqlstate::wrong_state, fmt::format("{}: cannot create the tables: {}", target.where(), error.message), error.detail,
           "Create there what they need (types, functions, roles, reference tables), or the tables themselves.");
  }
}

}  // namespace migration
