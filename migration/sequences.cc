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

// Where the target's must stand at least.
std::int64_t wanted(const sequence_pair& pair, std::int64_t source_last) { return source_last + pair.reserve; }
bool is_behind(const sequence_pair& pair, std::int64_t wanted) {
  return pair.increment > 0 ? pair.target_last < wanted : pair.target_last > wanted;
}

// Only forward: the target uses it for its own rows meanwhile.
std::string raise(const sequence_pair& pair, std::int64_t value) {
  return fmt::format("SELECT setval({}::regclass, {}, true) FROM {} s WHERE s.last_value {} {};", pg::quote_literal(pair.target), value,
                     pair.target, pair.increment > 0 ? "<" : ">", value);
}

}  // namespace

task<std::vector<sequence_pair>> pair_sequences(pg::connection& source, pg::connection& target, const std::vector<moving_table>& tables) {
  std::vector<sequence_pair> out;
  const auto here = co_await sequences_of(source, tables);
  if (here.empty()) co_return out;
  const auto there = co_await sequences_of(target, tables);
  for (const auto& one : here) {
    const auto twin = std::ranges::find(there, one.column, &owned_sequence::column);
    if (twin == there.end()) continue;
    sequence_pair pair{one.name, twin->name, one.last, twin->last, one.increment, one.reserve};
    out.push_back(std::move(pair));
  }
  co_return out;
}

task<void> advance_sequences(pg::connection& source, pg::connection& target, const std::vector<moving_table>& tables) {
  const auto before = co_await pair_sequences(source, target, tables);
  const auto behind = [](const sequence_pair& pair) { return is_behind(pair, wanted(pair, pair.source_last)); };
  if (!std::ranges::any_of(before, behind)) co_return;
  co_await pause_for(sample_time);
  const auto now = co_await pair_sequences(source, target, tables);
  std::string sql;
  for (const auto& pair : now) {
    const auto earlier = std::ranges::find(before, pair.source, &sequence_pair::source);
    if (!behind(pair) || earlier == before.end()) continue;
    const auto minute = (pair.source_last - earlier->source_last) * (60'000 / sample_time.count());
    sql += raise(pair, wanted(pair, pair.source_last) + minute);
  }
  if (!sql.empty()) co_await target.query(sql);
}

task<void> settle_sequences(pg::connection& source, pg::connection& target, const std::vector<sequence_pair>& pairs) {
  if (pairs.empty()) co_return;
  std::string read;
  for (const auto& pair : pairs) {
    read += fmt::format("{}coalesce(pg_sequence_last_value({}::regclass), {})", read.empty() ? "SELECT " : ", ", pg::quote_literal(pair.source),
                        pair.source_last);
  }
  const auto last = co_await source.query(std::move(read));
  std::string sql;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const auto value = wanted(pairs[i], last.integer(0, static_cast<int>(i)));
    if (is_behind(pairs[i], value)) sql += raise(pairs[i], value);
  }
  if (!sql.empty()) co_await target.query(sql);
}

}  // namespace migration
