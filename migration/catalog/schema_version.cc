#include "migration/catalog/schema_version.h"

#include <span>
#include <string_view>

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/base/sql.h"
#include "migration/plan/state.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;

constexpr milliseconds turn_patience{10'000}, script_time{60'000};

struct step {
  int version;  // that it leads to
  const std::string_view* sql;
};
constexpr step catalog_steps[] = {{1, &sql::catalog_1}};
constexpr step shard_steps[] = {{1, &sql::shard_1}};
// Behind the steps; each can be run again at any time.
constexpr const std::string_view* catalog_scripts[] = {&sql::catalog, &sql::dump_rights};
constexpr const std::string_view* shard_scripts[] = {&sql::shard_objects, &sql::identity, &sql::ownership, &sql::sequences,
                                                     &sql::two_phase, &sql::dump_rights};

struct part_of_schema {
  std::string_view name, mark, missing;  // mark: true where the part has been made
  std::span<const step> steps;
  std::span<const std::string_view* const> scripts;
};

const part_of_schema& facts_of(schema_part part) noexcept {
  static constexpr part_of_schema catalog{"catalog", "to_regclass('pgrotor.coordinator') IS NOT NULL", "there is no pgrotor catalog",
                                          catalog_steps, catalog_scripts};
  static constexpr part_of_schema shard{"shard", "to_regproc('pgrotor.set_register') IS NOT NULL", "schema pgrotor of a shard is missing",
                                        shard_steps, shard_scripts};
  return part == schema_part::catalog ? catalog : shard;
}

std::string made_by(const schema_version& found) {
  return found.number == 0 ? "It was made by a pgrotor that knew no versions" : fmt::format("It was made by pgrotor {}", found.build);
}

protocol::notice problem(std::string message, std::string detail, std::string hint) {
  return protocol::make_error(sqlstate::wrong_version, std::move(message), std::move(detail), std::move(hint));
}

protocol::notice newer(const pg::connection& connection, int understood, const schema_version& found) {
  return problem(fmt::format("schema pgrotor of database {} has version {}, and this pgrotor understands version {}", connection.database(),
                             found.number, understood),
                 fmt::format("{}, this is {}.", made_by(found), PGROTOR_VERSION), "Use that pgrotor, or a newer one.");
}

// Whatever fails in it is undone.
task<void> run_script(pg::connection& connection, std::string_view sql, std::string doing) {
  try {
    co_await connection.query(std::string(sql), script_time);
  } catch (const pg::sql_error& error) {
    if (error.connection_lost) throw;
    const bool waited = error.sqlstate == "55P03";
    throw pg::sql_error(error.where, error.sqlstate, fmt::format("{}: {}; nothing was changed", doing, error.message), error.detail,
                        waited ? "Somebody else holds a lock there, maybe another pgrotor init; pg_locks shows who." : error.hint, false);
  }
}

task<upgrade_report> upgrade(pg::connection& connection, schema_part part, const upgrade_hooks& hooks) {
  const auto& facts = facts_of(part);
  co_await run_script(connection, fmt::format("SET LOCAL lock_timeout = {}; SELECT pg_advisory_xact_lock({}, 1)", turn_patience.count(),
                                              coordinator_lock_namespace), "init waits for its turn");
  co_await run_script(connection, sql::versions, "making schema pgrotor");
  const auto found = co_await read_version(connection, part);
  const upgrade_report report{!found.made, found.number, version_made(part)};
  if (report.from > report.to) throw refused(named(connection, newer(connection, report.to, found)));
  if (report.upgraded() && hooks.before) co_await hooks.before();
  for (const auto& each : facts.steps) {
    if (each.version > report.from) co_await run_script(connection, *each.sql, fmt::format("step {} of schema pgrotor", each.version));
  }
  for (const auto* script : facts.scripts) co_await run_script(connection, *script, "functions of schema pgrotor");
  pg::text_params params{std::string(facts.name), std::to_string(report.to), PGROTOR_VERSION};
  co_await connection.exec("INSERT INTO pgrotor.versions AS v (part, version, build) VALUES ($1, $2::integer, $3)"
                           " ON CONFLICT (part) DO UPDATE SET version = excluded.version, build = excluded.build, made_at = excluded.made_at"
                           " WHERE (v.version, v.build) <> (excluded.version, excluded.build)", std::move(params));
  if (hooks.after) co_await hooks.after(report);
  co_return report;
}

}  // namespace

int version_made(schema_part part) noexcept { return facts_of(part).steps.back().version; }

std::string upgrade_report::text() const {
  if (made) return fmt::format("schema pgrotor has been made, version {}", to);
  if (upgraded()) return fmt::format("schema pgrotor has been upgraded from version {} to {}", from, to);
  return fmt::format("schema pgrotor has version {} already", to);
}

task<schema_version> read_version(pg::connection& connection, schema_part part) {
  schema_version found;
  try {
    const auto sql = fmt::format("SELECT version, build FROM pgrotor.versions WHERE part = '{}'", facts_of(part).name);
    const auto row = co_await connection.query(sql);
    if (row.rows() > 0) {
      found = {true, static_cast<int>(row.integer(0, 0)), row.str(0, 1)};
      co_return found;
    }
  } catch (const pg::sql_error& error) {
    if (error.sqlstate != "42P01" && error.sqlstate != "3F000") throw;
  }
  const auto there = co_await connection.query(fmt::format("SELECT {}", facts_of(part).mark));
  found.made = there.boolean(0, 0);
  co_return found;
}

std::optional<protocol::notice> version_problem(const pg::connection& connection, schema_part part, const schema_version& found) {
  const int needed = version_made(part);
  if (found.number == needed) return std::nullopt;
  if (!found.made)
    return problem(fmt::format("{} in database {}", facts_of(part).missing, connection.database()), "", "Run `pgrotor init` first.");
  if (found.number > needed) return newer(connection, needed, found);
  return problem(fmt::format("schema pgrotor of database {} has version {}, and this pgrotor needs version {}", connection.database(),
                             found.number, needed),
                 made_by(found) + (part == schema_part::catalog ? "; if that one still runs, stop it." : "."), "Run `pgrotor init` first.");
}

std::optional<protocol::notice> greeting_problem(std::string_view code) {
  if (code != sqlstate::undefined_function && code != sqlstate::undefined_schema) return std::nullopt;
  return problem(fmt::format("schema pgrotor of this shard is missing or has no version, and this pgrotor needs version {}", version_made(schema_part::shard)),
                 "", "Run `pgrotor init` first.");
}

protocol::notice named(const pg::connection& connection, protocol::notice problem) {
  problem.message = connection.where() + ": " + problem.message;
  return problem;
}

task<upgrade_report> upgrade_schema(pg::connection& connection, schema_part part, upgrade_hooks hooks) {
  std::exception_ptr failed;
  co_await connection.query("BEGIN");
  try {
    const auto report = co_await upgrade(connection, part, hooks);
    co_await connection.query("COMMIT");
    co_return report;
  } catch (...) {
    failed = std::current_exception();
  }
  if (!connection.broken()) co_await connection.query("ROLLBACK");
  std::rethrow_exception(failed);
}

}  // namespace migration
