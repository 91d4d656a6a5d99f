#include "migration/shard/pg_dump.h"

#include <algorithm>
#include <array>
#include <system_error>

#include <fmt/format.h>

#include "migration/base/child_process.h"
#include "migration/base/refused.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr milliseconds dump_budget{60'000};
constexpr std::string_view entry_header = "--\n-- Name: ", end_of_dump = "--\n-- PostgreSQL database dump complete";

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

bool is_wanted(std::string_view statement) {
  constexpr std::array<std::string_view, 2> settings{"SET ", "SELECT pg_catalog.set_config('search_path'"};
  for (const auto prefix : settings) {
    if (statement.starts_with(prefix)) return false;
  }
  const bool about_trigger = statement.starts_with("CREATE TRIGGER ") || statement.find(" TRIGGER ") != std::string_view::npos;
  return !(about_trigger && statement.find("\"~~pgrotor_") != std::string_view::npos);
}

// "orders; Type: TABLE; Schema: shop; Owner: shop_owner"
dump_entry entry_of(std::string_view line) {
  constexpr std::string_view type = "; Type: ", schema = "; Schema: ", owner = "; Owner: ";
  const auto at_owner = line.rfind(owner), at_schema = line.rfind(schema, at_owner), at_type = line.rfind(type, at_schema);
  dump_entry out;
  if (at_type == std::string_view::npos || at_schema == std::string_view::npos) return out;
  out.name = line.substr(0, at_type);
  out.type = line.substr(at_type + type.size(), at_schema - at_type - type.size());
  out.schema = line.substr(at_schema + schema.size(), at_owner - at_schema - schema.size());
  return out;
}

std::string_view trimmed(std::string_view text) {
  const auto from = text.find_first_not_of("\n ");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of("\n ") - from + 1);
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

std::vector<dump_entry> entries_of(std::string_view dump) {
  std::vector<dump_entry> out;
  dump = dump.substr(0, dump.rfind(end_of_dump));
  for (auto at = dump.find(entry_header); at != std::string_view::npos;) {
    const auto line_end = std::min(dump.find('\n', at + entry_header.size()), dump.size());
    const auto next = dump.find(entry_header, line_end);
    auto entry = entry_of(dump.substr(at + entry_header.size(), line_end - at - entry_header.size()));
    auto body = dump.substr(line_end, next == std::string_view::npos ? next : next - line_end);
    if (body.starts_with("\n--\n")) body.remove_prefix(4);
    entry.sql = trimmed(body);
    out.push_back(std::move(entry));
    at = next;
  }
  return out;
}

task<std::vector<dump_entry>> run_pg_dump(pg::connection& source, const std::string& program, std::vector<std::string> options) {
  std::vector<std::string> arguments{program, "--schema-only", "--no-publications", "--no-subscriptions", "--no-tablespaces", "--encoding=UTF8"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  child_result dump;
  try {
    dump = co_await run_child(std::move(arguments), environment_of(source), dump_budget);
  } catch (const std::system_error& error) {
    refuse(protocol::sqlstate::wrong_state, fmt::format("cannot run {}: {}", program, error.code().message()),
           "It makes the tables that the target has not got.", "Install PostgreSQL's client programs, or create the tables yourself.");
  }
  if (dump.exit_code != 0) {
    refuse(protocol::sqlstate::wrong_state, fmt::format("{}: {} ended with exit code {}", source.where(), program, dump.exit_code), dump.errors);
  }
  co_return entries_of(dump.output);
}

}  // namespace migration
