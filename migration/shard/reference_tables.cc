#include "migration/shard/reference_tables.h"

#include <fmt/format.h>

#include "migration/pg/relations.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;

constexpr milliseconds longest_read{60'000};

std::string quoted(const routing::table& table) { return pg::quote_ident(table.schema, table.name); }

// Of all rows in any order: their number, and a sum of their hashes.
std::string digest_sql(const routing::table& table) {
  std::string row;
  for (const auto& column : table.columns) row += (row.empty() ? "t." : ", t.") + pg::quote_ident(column);
  return fmt::format("SELECT pg_catalog.count(*), coalesce(pg_catalog.sum(pg_catalog.hashtextextended(ROW({})::pg_catalog.text, 0)::pg_catalog.numeric), 0)"
                     " FROM {} t",
                     row, quoted(table));
}

struct contents {
  bool there = false;
  std::int64_t rows = 0;
  std::string digest;
};

task<contents> read_contents(pg::connection& shard, const routing::table& table) {
  contents out;
  out.there = co_await relation_exists(shard, quoted(table));
  if (!out.there) co_return out;
  const auto read = co_await shard.query(digest_sql(table), longest_read);
  out.rows = read.integer(0, 0);
  out.digest = read.str(0, 1);
  co_return out;
}

std::string copy_hint(const compared_shard& from, const compared_shard& to, const routing::table& table, bool empty_first) {
  const auto name = quoted(table);
  // pg_dump 17 and newer write a setting that older servers do not know.
  const auto filter = to.connection.server_version() < 170'000 ? "sed '/^SET transaction_timeout/d' | " : "";
  return fmt::format("Copy it, in a shell: {}pg_dump {}-t '{}' '{}' | {}psql -v ON_ERROR_STOP=1 '{}'",
                     empty_first ? fmt::format("psql -c 'TRUNCATE {}' '{}' && ", name, to.dsn) : "", empty_first ? "--data-only " : "", name, from.dsn,
                     filter, to.dsn);
}

}  // namespace

task<void> compare_references(compared_shard standard, compared_shard other, const std::vector<routing::table>& tables, problems& found) {
  for (const auto& table : tables) {
    const auto right = co_await read_contents(standard.connection, table);
    const auto here = co_await read_contents(other.connection, table);
    if (!here.there) {
      found.add(sqlstate::undefined_object, fmt::format("{} lacks reference table {}", other.connection.where(), quoted(table)),
                "Statements that read it would fail there.", copy_hint(standard, other, table, false));
    } else if (right.rows != here.rows || right.digest != here.digest) {
      found.add(sqlstate::wrong_state,
                fmt::format("{} has other rows of reference table {} than {}", other.connection.where(), quoted(table), standard.connection.where()),
                fmt::format("It has {} rows, {} has {}.", here.rows, standard.connection.where(), right.rows), copy_hint(standard, other, table, true));
    }
  }
}

}  // namespace migration
