// Sequences owned by moved tables (prepare.h).
#include <algorithm>

#include <fmt/format.h>

#include "migration/lock_retry.h"
#include "migration/prepare.h"
#include "migration/sql_text.h"

namespace migration {
namespace {

constexpr milliseconds sample_time{200};  // of the rate at which sequences are used

struct owned_sequence {
  std::string name, column;               // column: "1.id", the table's place and the column it belongs to
  std::int64_t last = 0, increment = 1, reserve = 0;  // reserve: values that sessions may have cached
};

task<std::vector<owned_sequence>> sequences_of(pg::connection& connection, const std::vector<moving_table>& tables) {
  const auto rows = co_await connection.query(
      "SELECT q.seqrelid::regclass::text, r.place || '.' || a.attname, coalesce(pg_sequence_last_value(q.seqrelid), q.seqstart - q.seqincrement),"
      " q.seqincrement, q.seqincrement * q.seqcache * current_setting('max_connections')::bigint FROM unnest(" + relation_array(tables) +
      ") WITH ORDINALITY r(relation, place) JOIN pg_depend d ON d.refobjid = r.relation AND d.classid = 'pg_class'::regclass AND d.refclassid ="
      " 'pg_class'::regclass AND d.deptype IN ('a', 'i') JOIN pg_sequence q ON q.seqrelid = d.objid JOIN pg_attribute a ON a.attrelid ="
      " d.refobjid AND a.attnum = d.refobjsubid ORDER BY 2");
  std::vector<owned_sequence> out;
  for (int row = 0; row < rows.rows(); ++row) {
    owned_sequence sequence{rows.str(row, 0), rows.str(row, 1), rows.integer(row, 2), rows.integer(row, 3), rows.integer(row, 4)};
    out.push_back(std::move(sequence));
  }
  co_return out;
}

const owned_sequence* twin_of(const owned_sequence& sequence, const std::vector<owned_sequence>& others) {
  const auto found = std::ranges::find(others, sequence.column, &owned_sequence::column);
  return found == others.end() ? nullptr : &*found;
}

bool is_behind(std::int64_t value, const owned_sequence& other) {
  return other.increment > 0 ? value < other.last + other.reserve : value > other.last + other.reserve;
}

bool any_behind(const std::vector<owned_sequence>& there, const std::vector<owned_sequence>& here) {
  return std::ranges::any_of(here, [&](const auto& sequence) {
    const auto* twin = twin_of(sequence, there);
    return twin && is_behind(twin->last, sequence);
  });
}

}  // namespace

task<void> advance_sequences(pg::connection& source, pg::connection& target, const std::vector<moving_table>& tables, bool measure) {
  const auto before = co_await sequences_of(source, tables);
  if (before.empty()) co_return;
  const auto there = co_await sequences_of(target, tables);
  if (!any_behind(there, before)) co_return;
  auto here = before;
  if (measure) {
    co_await pause_for(sample_time);
    here = co_await sequences_of(source, tables);
  }
  std::string sql;
  for (const auto& sequence : here) {
    const auto* twin = twin_of(sequence, there);
    const auto* earlier = twin_of(sequence, before);
    if (!twin || !is_behind(twin->last, sequence)) continue;
    const auto minute = earlier ? (sequence.last - earlier->last) * (60'000 / sample_time.count()) : 0;
    sql += fmt::format("SELECT setval({}::regclass, {}, true);", pg::quote_literal(twin->name), sequence.last + sequence.reserve + minute);
  }
  if (!sql.empty()) co_await target.query(sql);
}

}  // namespace migration
