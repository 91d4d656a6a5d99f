#include "migration/shard/verify.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "migration/shard/guard.h"
#include "migration/shard/sql_text.h"
#include "routing/map/placement.h"

namespace migration {
namespace {

constexpr milliseconds scan_budget{6 * 3'600'000};
constexpr int bucket_mask = 4'095;
constexpr int fetch_rows = 2'000;
constexpr std::size_t most_examples = 10;

// A pinned session (pg.cc) gives one text form of a value on every server; what it leaves out and md5 depends on is here.
constexpr const char* begin_reading =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lc_monetary = 'C'; SET LOCAL xmloption = 'content'; "
    "SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_current_snapshot()";

struct compared_table {
  const moving_table& table;
  std::vector<std::string> columns;  // quoted, generated ones too
  std::string filter, bucket;        // SQL
};

struct digest {
  std::uint64_t rows = 0;
  std::string sums;
  bool operator==(const digest&) const = default;
};
using digests = std::map<std::int64_t, digest>;

// Every column in the source's order: the target may have them in another one.
task<std::vector<std::string>> all_columns(pg::connection& source, const moving_table& table) {
  const auto rows = co_await source.query("SELECT quote_ident(attname) FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped AND attrelid = " +
                                          pg::quote_literal(qualified(table)) + "::regclass ORDER BY attnum");
  std::vector<std::string> out;
  for (int row = 0; row < rows.rows(); ++row) out.push_back(rows.str(row, 0));
  co_return out;
}

std::string joined(const std::vector<std::string>& parts) { return fmt::format("{}", fmt::join(parts, ", ")); }

std::string row_digest(const compared_table& t) { return "md5(ROW(" + joined(t.columns) + ")::text)"; }
std::string key_text(const compared_table& t) { return "ROW(" + primary_key_list(t.table) + ")::text"; }

// Sums of the two halves of each row's md5: equal whatever order the rows come in, and no sort.
task<digests> read_digests(pg::connection& connection, const compared_table& t) {
  const auto rows = co_await connection.query(
      fmt::format("SELECT b, count(*), sum(('x' || substr(d, 1, 16))::bit(64)::bigint) || ':' || sum(('x' || substr(d, 17))::bit(64)::bigint)"
                  " FROM (SELECT {} AS b, {} AS d FROM {} WHERE {}) r GROUP BY b",
                  t.bucket, row_digest(t), qualified(t.table), t.filter),
      scan_budget);
  digests out;
  for (int row = 0; row < rows.rows(); ++row) {
    digest found{static_cast<std::uint64_t>(rows.integer(row, 1)), rows.str(row, 2)};
    out.emplace(rows.integer(row, 0), std::move(found));
  }
  co_return out;
}

std::string differing_buckets(const digests& source, const digests& target) {
  std::string out;
  const auto add = [&](std::int64_t bucket) { out += (out.empty() ? "" : ",") + std::to_string(bucket); };
  for (const auto& [bucket, found] : source) {
    const auto twin = target.find(bucket);
    if (twin == target.end() || !(twin->second == found)) add(bucket);
  }
  for (const auto& [bucket, found] : target) {
    if (!source.contains(bucket)) add(bucket);
  }
  return out;
}

// Rows of the differing buckets in one order on both servers, a page at a time.
class row_cursor {
 public:
  explicit row_cursor(pg::connection& connection) : connection_(connection) {}
  task<void> open(const compared_table& t, const std::string& buckets) {
    co_await connection_.query(
        fmt::format("DECLARE pgrotor_rows NO SCROLL CURSOR FOR SELECT k, d FROM (SELECT {} AS k, {} AS d FROM {} WHERE {} AND {} IN ({})) r"
                    " ORDER BY k COLLATE \"C\"",
                    key_text(t), row_digest(t), qualified(t.table), t.filter, t.bucket, buckets),
        scan_budget);
    co_await fetch();
  }
  bool at_end() const { return at_ >= page_.rows(); }
  std::string_view key() const { return page_.get(at_, 0); }
  std::string_view row() const { return page_.get(at_, 1); }
  task<void> next() {
    if (++at_ >= page_.rows() && page_.rows() == fetch_rows) co_await fetch();
  }
  task<void> close() { co_await connection_.query("CLOSE pgrotor_rows"); }

 private:
  task<void> fetch() {
    page_ = co_await connection_.query(fmt::format("FETCH {} FROM pgrotor_rows", fetch_rows), scan_budget);
    at_ = 0;
  }
  pg::connection& connection_;
  pg::result page_;
  int at_ = 0;
};

task<pg::result> one_row(pg::connection& connection, const compared_table& t, const std::string& key) {
  std::string list;
  for (const auto& column : t.columns) list += (list.empty() ? "" : ", ") + std::string("md5(") + column + "::text)";
  co_return co_await connection.query(
      fmt::format("SELECT {} FROM {} WHERE {} AND {} = {}", list, qualified(t.table), t.filter, key_text(t), pg::quote_literal(key)), scan_budget);
}

class comparison {
 public:
  comparison(pg::connection& source, pg::connection& target) : source_(source), target_(target) {}

  task<void> table(const compared_table& t) {
    const auto here = co_await read_digests(source_, t);
    const auto there = co_await read_digests(target_, t);
    for (const auto& [bucket, found] : here) result.rows_compared += found.rows;
    const auto buckets = differing_buckets(here, there);
    if (!buckets.empty()) co_await rows(t, buckets);
  }

  verify_result result;

 private:
  task<void> rows(const compared_table& t, const std::string& buckets) {
    row_cursor here(source_), there(target_);
    co_await here.open(t, buckets);
    co_await there.open(t, buckets);
    std::vector<std::string> altered;
    while (!here.at_end() || !there.at_end()) {
      const int order = here.at_end() ? 1 : there.at_end() ? -1 : here.key().compare(there.key());
      if (order < 0) differs(t, here.key(), "missing on the target");
      if (order > 0) differs(t, there.key(), "only on the target");
      if (order == 0 && here.row() != there.row()) {
        ++result.rows_differing;
        if (altered.size() < most_examples) altered.emplace_back(here.key());
      }
      if (order <= 0) co_await here.next();
      if (order >= 0) co_await there.next();
    }
    co_await here.close();
    co_await there.close();
    for (const auto& key : altered) co_await name_columns(t, key);
  }

  void differs(const compared_table& t, std::string_view key, std::string_view how) {
    ++result.rows_differing;
    example(t, key, how);
  }
  void example(const compared_table& t, std::string_view key, std::string_view how) {
    if (result.examples.size() < most_examples) result.examples.push_back(fmt::format("{} {}: {}", plain_name(t.table), key, how));
  }
  task<void> name_columns(const compared_table& t, const std::string& key) {
    const auto here = co_await one_row(source_, t, key);
    const auto there = co_await one_row(target_, t, key);
    std::string columns;
    for (int column = 0; column < here.columns(); ++column) {
      if (here.is_null(0, column) == there.is_null(0, column) && here.get(0, column) == there.get(0, column)) continue;
      columns += (columns.empty() ? "" : ", ") + t.columns[static_cast<std::size_t>(column)];
    }
    example(t, key, "differs in " + columns);
  }

  pg::connection& source_;
  pg::connection& target_;
};

}  // namespace

task<void> take_snapshot(pg::connection& target) { co_await target.query(begin_reading); }

task<verify_result> compare(pg::connection& source, pg::connection& target, routing::key_type type,
                            const std::vector<routing::placement_range>& ranges, const std::vector<moving_table>& tables) {
  comparison work(source, target);
  std::exception_ptr failed;
  try {
    co_await source.query(begin_reading);
    for (const auto& table : tables) {
      const auto key = quoted_key(table);
      const auto columns = co_await all_columns(source, table);
      const compared_table t{table, columns, placement_filter(type, ranges, key),
                             fmt::format("({} & {})", routing::placement_sql(type, key), bucket_mask)};
      co_await work.table(t);
    }
  } catch (...) {
    failed = std::current_exception();
  }
  if (!source.broken()) co_await source.query("COMMIT");
  if (!target.broken()) co_await target.query("COMMIT");
  if (failed) std::rethrow_exception(failed);
  co_return std::move(work.result);
}

}  // namespace migration
