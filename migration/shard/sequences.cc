// Sequences that moved tables take values from (prepare.h). Where DISTRIBUTE TABLE gave them a stride (sql/sequences.sql) no two shards give out
// the same value; that a target is raised above its source besides is for ids that came from elsewhere.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "migration/pg/lock_retry.h"
#include "migration/shard/prepare.h"
#include "migration/shard/schema_copy.h"
#include "migration/shard/sql_text.h"

namespace migration {
namespace {

constexpr milliseconds stride_wait{60'000};
constexpr milliseconds sample_time{200};  // of the rate at which sequences are used

struct owned_sequence {
  std::string name, column;               // column: "1.id", the table's place and the column it belongs to
  std::int64_t last = 0, increment = 1, reserve = 0;  // reserve: values that sessions may have cached
};

task<std::vector<owned_sequence>> sequences_of(pg::connection& connection, const std::vector<moving_table>& tables) {
  const auto rows = co_await connection.query(
      "SELECT u.sequence::text, u.place || '.' || u.column_name, coalesce(pg_sequence_last_value(q.seqrelid), q.seqstart - q.seqincrement),"
      " q.seqincrement, q.seqincrement * q.seqcache * current_setting('max_connections')::bigint FROM pgrotor.sequences_of(" + relation_array(tables) +
      ") u JOIN pg_sequence q ON q.seqrelid = u.sequence ORDER BY 2, 1");
  std::vector<owned_sequence> out;
  for (int row = 0; row < rows.rows(); ++row) {
    owned_sequence sequence{rows.str(row, 0), rows.str(row, 1), rows.integer(row, 2), rows.integer(row, 3), rows.integer(row, 4)};
    out.push_back(std::move(sequence));
  }
  co_return out;
}

// Where the target's must stand at least.
std::int64_t wanted(const sequence_pair& pair, std::int64_t source_last) { return source_last + pair.reserve; }

// The first value from `least` on that the target's would give out by itself: its remainder stays its own.
std::int64_t in_steps(const sequence_pair& pair, std::int64_t least) {
  const auto distance = least - pair.target_last, step = pair.target_increment;
  return pair.target_last + (distance / step + (distance % step != 0 ? 1 : 0)) * step;
}
bool is_behind(const sequence_pair& pair, std::int64_t wanted) {
  return pair.increment > 0 ? pair.target_last < wanted : pair.target_last > wanted;
}

// Only forward: the target uses it for its own rows meanwhile.
std::string raise(const sequence_pair& pair, std::int64_t least) {
  const auto value = in_steps(pair, least);
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
    sequence_pair pair{one.name, twin->name, one.column, one.last, twin->last, one.increment, twin->increment, one.reserve};
    out.push_back(std::move(pair));
  }
  co_return out;
}

task<void> give_stride(pg::connection& shard, std::string sequence, routing::shard_id id, std::int64_t base) {
  std::vector<lock_step> steps;
  steps.push_back({fmt::format("SELECT pgrotor.stride_sequence({}::regclass, {}, {}, {})", pg::quote_literal(sequence), sequence_remainder(id), sequence_stride, base),
                   sequence, "give sequence " + sequence + " a stride"});
  co_await take_locks(shard, std::move(steps), stride_wait);
}

task<void> raise_sequence(pg::connection& shard, std::string sequence, routing::shard_id id, std::int64_t base) {
  std::vector<lock_step> steps;
  steps.push_back({fmt::format("SELECT pgrotor.raise_sequence({}::regclass, {}, {}, {})", pg::quote_literal(sequence), sequence_remainder(id), sequence_stride, base),
                   sequence, fmt::format("raise sequence {} above {}", sequence, base)});
  co_await take_locks(shard, std::move(steps), stride_wait);
}

task<void> find_highest(pg::connection& shard, const std::vector<moving_table>& tables, std::map<std::string, std::int64_t>& highest) {
  const auto missing = co_await missing_tables(shard, tables);
  if (!missing.empty()) co_return;  // it has given no values
  const auto found = co_await sequences_of(shard, tables);
  for (const auto& one : found) {
    const auto at = highest.try_emplace(one.column, one.last).first;
    at->second = std::max(at->second, one.last);
  }
}

task<void> align_sequences(pg::connection& source, pg::connection& target, const std::vector<moving_table>& tables, const migration_row& row,
                           const std::map<std::string, std::int64_t>& highest) {
  const auto pairs = co_await pair_sequences(source, target, tables);
  for (const auto& pair : pairs) {
    if (pair.increment != sequence_stride) continue;  // distributed before there were strides
    const auto elsewhere = highest.find(pair.column);
    co_await give_stride(source, pair.source, row.source, 0);
    co_await give_stride(target, pair.target, row.target, std::max(pair.source_last, elsewhere == highest.end() ? 0 : elsewhere->second));
  }
}

task<void> advance_sequences(pg::connection& source, pg::connection& target, const std::vector<moving_table>& tables) {
  const auto before = co_await pair_sequences(source, target, tables);
  const auto behind = [](const sequence_pair& pair) { return is_behind(pair, wanted(pair, pair.source_last)); };
  if (!std::ranges::any_of(before, behind)) co_return;
  co_await sleep_for(sample_time);
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
