#include "migration/schema_copy.h"

#include <array>
#include <system_error>

#include <fmt/format.h>

#include "migration/child_process.h"
#include "migration/prepare.h"
#include "migration/sql_text.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr milliseconds dump_budget{60'000};

// Every libpq parameter that the source's connection was made with, by its environment variable.
std::vector<std::string> environment_of(pg::connection& connection) {
  std::vector<std::string> out;
  PQconninfoOption* const options = PQconninfo(connection.native());
  for (const auto* option = options; option && option->keyword; ++option) {
    if (option->envvar && option->val) out.push_back(fmt::format("{}={}", option->envvar, option->val));
  }
  PQconninfoFree(options);
  return out;
}

task<std::vector<std::string>> with_partitions(pg::connection& source, const std::vector<moving_table>& tables) {
  std::vector<std::string> out;
  const auto rows = co_await source.query("SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pgrotor.with_partitions(" +
                                          relation_array(tables) + ") r JOIN pg_class c ON c.oid = r JOIN pg_namespace n ON n.oid = c.relnamespace");
  for (int row = 0; row < rows.rows(); ++row) out.push_back(rows.str(row, 0));
  co_return out;
}

bool is_wanted(std::string_view statement) {
  constexpr std::array<std::string_view, 2> settings{"SET ", "SELECT pg_catalog.set_config('search_path'"};
  for (const auto prefix : settings) {
    if (statement.starts_with(prefix)) return false;
  }
  const bool about_trigger = statement.starts_with("CREATE TRIGGER ") || statement.find(" TRIGGER ") != std::string_view::npos;
  return !(about_trigger && statement.find("\"~~pgrotor_") != std::string_view::npos);
}

}  // namespace

std::string wanted_statements(std::string_view dump) {
  // pg_dump ends a statement with ";\n" and parts entries by blank lines; comments and psql's \restrict have lines of their own.
  std::string out, statement;
  while (!dump.empty()) {
    const auto end = dump.find('\n');
    const auto line = dump.substr(0, end);
    dump.remove_prefix(end == std::string_view::npos ? dump.size() : end + 1);
    if (statement.empty() && (line.empty() || line.starts_with("--") || line.starts_with('\\'))) continue;
    statement += line;
    statement += '\n';
    if (!line.ends_with(';')) continue;
    if (is_wanted(statement)) out += statement;
    statement.clear();
  }
  return out;
}

task<std::vector<moving_table>> missing_tables(pg::connection& target, const std::vector<moving_table>& tables) {
  std::vector<moving_table> out;
  for (const auto& table : tables) {
    const auto found = co_await target.query("SELECT to_regclass(" + pg::quote_literal(qualified(table)) + ") IS NULL");
    if (found.boolean(0, 0)) out.push_back(table);
  }
  co_return out;
}

task<void> copy_definitions(pg::connection& source, pg::connection& target, const std::vector<moving_table>& tables,
                            const std::string& pg_dump, const std::string& guards) {
  std::vector<std::string> arguments{pg_dump, "--schema-only", "--no-publications", "--no-subscriptions", "--no-tablespaces", "--encoding=UTF8"};
  const auto names = co_await with_partitions(source, tables);
  for (const auto& name : names) arguments.push_back("--table=" + name);
  child_result dump;
  try {
    dump = co_await run_child(std::move(arguments), environment_of(source), dump_budget);
  } catch (const std::system_error& error) {
    refuse(protocol::sqlstate::wrong_state, fmt::format("cannot run {}: {}", pg_dump, error.code().message()),
           "It makes the tables that the target has not got.", "Install PostgreSQL's client programs, or create the tables yourself.");
  }
  if (dump.exit_code != 0) {
    refuse(protocol::sqlstate::wrong_state, fmt::format("{}: {} ended with exit code {}", source.where(), pg_dump, dump.exit_code), dump.errors);
  }
  try {
    co_await target.query("SET LOCAL search_path = ''; " + wanted_statements(dump.output) + guards);
    co_return;
  } catch (const pg::sql_error& error) {
    if (error.connection_lost) throw;
    refuse(protocol::sqlstate::wrong_state, fmt::format("{}: cannot create the tables: {}", target.where(), error.message), error.detail,
           "Create there what they need (types, functions, roles, reference tables), or the tables themselves.");
  }
}

}  // namespace migration
