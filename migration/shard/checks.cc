#include "migration/shard/checks.h"

#include <algorithm>

#include <fmt/format.h>

#include "migration/base/log.h"
#include "migration/catalog/schema_version.h"
#include "migration/shard/equal_shards.h"
#include "migration/shard/schema_copy.h"
#include "migration/shard/sql_text.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;

constexpr milliseconds whole_scan{3'600'000};

// Each row: what is missing, and the statement that gives it.
constexpr std::string_view missing_rights = R"sql(
  SELECT 'replication', format('ALTER ROLE %I REPLICATION;', session_user)
    FROM pg_roles r WHERE r.rolname = session_user AND NOT r.rolreplication AND NOT r.rolsuper
  UNION ALL
  SELECT 'role pgrotor_guard', 'CREATE ROLE pgrotor_guard NOLOGIN;' WHERE to_regrole('pgrotor_guard') IS NULL
  UNION ALL
  SELECT 'membership in pgrotor_guard', format('GRANT pgrotor_guard TO %I;', session_user)
    WHERE to_regrole('pgrotor_guard') IS NULL OR NOT pg_has_role(to_regrole('pgrotor_guard')::oid, 'USAGE')
  UNION ALL
  SELECT 'statistics of other sessions', format('GRANT pg_read_all_stats TO %I;', session_user) WHERE NOT pg_has_role('pg_read_all_stats', 'USAGE')
  UNION ALL
  SELECT 'ending sessions of clients', format('GRANT pg_signal_backend TO %I;', session_user) WHERE NOT pg_has_role('pg_signal_backend', 'USAGE')
  UNION ALL
  SELECT 'CREATE on the database', format('GRANT CREATE ON DATABASE %I TO %I;', current_database(), session_user)
    WHERE NOT has_database_privilege(current_database(), 'CREATE')
  UNION ALL
  SELECT 'session_replication_role', $replication_role
  UNION ALL
  SELECT 'replication origins', format('GRANT EXECUTE ON FUNCTION %s TO %I;', string_agg(f.oid::regprocedure::text, ', ' ORDER BY f.oid::regprocedure::text), session_user)
    FROM pg_proc f
    WHERE f.oid IN ('pg_replication_origin_create(text)'::regprocedure, 'pg_replication_origin_drop(text)'::regprocedure,
                    'pg_replication_origin_oid(text)'::regprocedure, 'pg_replication_origin_session_setup(text)'::regprocedure,
                    'pg_replication_origin_session_reset()'::regprocedure, 'pg_replication_origin_session_progress(boolean)'::regprocedure,
                    'pg_replication_origin_xact_setup(pg_lsn, timestamptz)'::regprocedure,
                    'pg_replication_origin_progress(text, boolean)'::regprocedure, 'pg_show_replication_origin_status()'::regprocedure)
      AND NOT has_function_privilege(f.oid, 'EXECUTE')
    HAVING count(*) > 0
)sql";

// How to get the right to set it, where it is missing. Before 15 a function of the superuser's sets it (set_replication_role).
constexpr std::string_view replication_role_by_grant =
    "format('GRANT SET ON PARAMETER session_replication_role TO %I;', session_user) WHERE NOT has_parameter_privilege('session_replication_role', 'SET')";
constexpr std::string_view replication_role_by_function =
    "CASE WHEN to_regnamespace('pgrotor_rights') IS NULL THEN '-- deploy/shard_rights.sql makes a function for it.'"
    " ELSE format('GRANT EXECUTE ON FUNCTION pgrotor_rights.set_replication_role(text) TO %I;', session_user) END"
    " WHERE NOT coalesce((SELECT has_function_privilege(p.oid, 'EXECUTE') FROM pg_proc p WHERE p.pronamespace = to_regnamespace('pgrotor_rights')"
    " AND p.proname = 'set_replication_role'), false)";

std::string missing_rights_on(const pg::connection& connection) {
  return replaced(std::string(missing_rights), "$replication_role",
                  connection.server_version() >= 150'000 ? replication_role_by_grant : replication_role_by_function);
}

void check_version(pg::connection& connection, problems& found) {
  if (connection.server_version() >= 140'000) return;
  found.add(sqlstate::feature_not_supported, fmt::format("{}: PostgreSQL 14 or newer is needed", connection.where()),
            fmt::format("The server is version {}.{}.", connection.server_version() / 10'000, connection.server_version() % 10'000),
            "Upgrade the server.");
}

task<void> check_rights_into(pg::connection& connection, problems& found) {
  const auto rows = co_await connection.query(missing_rights_on(connection));
  if (rows.rows() == 0) co_return;
  std::string what, grants;
  for (int row = 0; row < rows.rows(); ++row) {
    what += (row > 0 ? ", " : "") + rows.str(row, 0);
    grants += (row > 0 ? "\n" : "") + rows.str(row, 1);
  }
  const auto who = co_await connection.query("SELECT session_user");
  found.add(sqlstate::insufficient_privilege, fmt::format("{}: role {} lacks rights", connection.where(), who.get(0, 0)),
            "Missing: " + what + ".", "As superuser run deploy/shard_rights.sql, or:\n" + grants);
}

task<void> check_wal_level(pg::connection& connection, problems& found) {
  const auto level = co_await connection.query("SHOW wal_level");
  if (level.get(0, 0) == "logical") co_return;
  found.add(sqlstate::wrong_state, fmt::format("{}: wal_level is {}, logical is needed", connection.where(), level.get(0, 0)),
            "Changes during a move are read from a logical replication slot.",
            "Run: ALTER SYSTEM SET wal_level = logical; and restart the server.");
}

// What is counted against a limit of the server: one more is needed.
struct limited {
  std::string_view setting, things, used;
};
constexpr limited limits[] = {
    {"max_replication_slots", "replication slot", "SELECT count(*) FROM pg_replication_slots"},
    {"max_replication_slots", "replication origin", "SELECT count(*) FROM pg_show_replication_origin_status()"},
    {"max_wal_senders", "walsender", "SELECT count(*) FROM pg_stat_replication"},
};

task<void> check_limits(pg::connection& connection, problems& found) {
  for (const auto& limit : limits) {
    const auto row = co_await connection.query(fmt::format("SELECT ({}), current_setting('{}')::bigint", limit.used, limit.setting));
    if (row.integer(0, 0) < row.integer(0, 1)) continue;
    found.add(sqlstate::configuration_limit_exceeded, fmt::format("{}: no free {}", connection.where(), limit.things),
              fmt::format("{} of {} are in use.", row.get(0, 0), row.get(0, 1)),
              fmt::format("Drop what is not needed any more, or run: ALTER SYSTEM SET {} = {}; and restart the server.", limit.setting,
                          row.integer(0, 1) * 2 + 10));
  }
}

// What the two must have in common beside the tables. What is only told goes to the log: nobody waits for PREPARE's answer.
task<void> check_equal(pg::connection& source, pg::connection& target, const std::vector<moving_table>& tables, problems& found) {
  std::vector<pg::connection*> both{&source, &target};
  std::vector<std::string> names;
  for (const auto& table : tables) names.push_back(qualified(table));
  problems told;
  co_await compare_shards(std::move(both), std::move(names), found, told);
  for (const auto& one : told.all()) log_warning("{}; {}", one.message, one.detail);
}

}  // namespace

task<void> check_rights(pg::connection& connection) {
  problems found;
  check_version(connection, found);
  found.refuse_if_any(connection.where());
  co_await check_rights_into(connection, found);
  found.refuse_if_any(connection.where());
}

namespace {

// False: what follows could not be asked.
task<bool> find_server_problems(pg::connection& connection, problems& found) {
  const auto before = found.count();
  check_version(connection, found);
  if (found.count() > before) co_return false;
  co_await check_rights_into(connection, found);
  co_await check_wal_level(connection, found);
  if (found.count() > before) co_return false;
  co_await check_limits(connection, found);
  co_return true;
}

}  // namespace

task<void> find_shard_problems(pg::connection& connection, problems& found) {
  const bool goes_on = co_await find_server_problems(connection, found);
  if (!goes_on) co_return;
  const auto version = co_await read_version(connection, schema_part::shard);
  if (const auto problem = version_problem(connection, schema_part::shard, version)) {
    found.add(named(connection, *problem));
    co_return;
  }
  const auto objects = co_await connection.query("SELECT to_regprocedure('pgrotor.set_owner_guard(regclass, text, text, text, text)') IS NULL"
                                                " OR to_regprocedure('pgrotor.admit(uuid, text, integer, bigint, text)') IS NULL");
  if (objects.boolean(0, 0)) {
    found.add(sqlstate::wrong_state, connection.where() + ": functions of schema pgrotor are missing",
              "They move registers and put up guards.", "Run `pgrotor init` first.");
  }
}

task<void> check_new_shard(pg::connection& connection) {
  problems found;
  co_await find_server_problems(connection, found);
  const auto version = co_await read_version(connection, schema_part::shard);
  const auto problem = version_problem(connection, schema_part::shard, version);
  if (version.number > version_made(schema_part::shard)) found.add(named(connection, *problem));  // init_shard takes any other
  found.refuse_if_any(connection.where());
}

task<void> check_shard(pg::connection& connection) {
  problems found;
  co_await find_shard_problems(connection, found);
  found.refuse_if_any(connection.where());
}

task<void> find_table_problems(pg::connection& source, pg::connection& target, const routing::distribution& distribution,
                               const migration_row& row, const std::vector<moving_table>& tables, const std::string& pg_dump, milliseconds scan,
                               problems& found) {
  co_await check_equal(source, target, tables, found);
  co_await check_names(source, found);
  co_await check_names(target, found);
  const auto missing = co_await missing_tables(target, tables);
  co_await check_missing_tables(source, target, distribution.type, missing, tables, pg_dump, found);
  co_await check_grants(source, target, tables, found);
  for (const auto& table : tables) {
    co_await check_source_table(source, table, tables, found);
    if (std::ranges::any_of(missing, [&](const auto& each) { return qualified(each) == qualified(table); })) continue;
    co_await check_target_table(source, target, distribution.type, row.ranges, table, tables, scan, found);
  }
}

task<void> check_tables(pg::connection& source, pg::connection& target, const routing::distribution& distribution, const migration_row& row,
                        const std::vector<moving_table>& tables, const std::string& pg_dump) {
  problems found;
  co_await find_table_problems(source, target, distribution, row, tables, pg_dump, whole_scan, found);
  found.refuse_if_any(fmt::format("distribution {}", distribution.name));
}

}  // namespace migration
