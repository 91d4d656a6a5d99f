#include "migration/mover/slice_planner.h"

#include <algorithm>

#include <fmt/format.h>

namespace migration {
namespace {

constexpr std::uint64_t fewest_rows = 1, most_rows = 5'000'000;
constexpr int rows_looked_at = 100;
constexpr std::uint64_t rows_a_millisecond = 50;  // a slower source is busy: smaller chunks would only add round trips
constexpr std::size_t most_bytes = 16u << 20, fewest_bytes = 64u << 10;

}  // namespace

slice_planner::slice_planner(mover_context& context) : context_(context) {
  for (std::size_t table = 0; table < context_.tables.size(); ++table) add_table(table);
  context_.planned = spans_.empty();
}

// The gaps between loaded slices are left to read.
void slice_planner::add_table(std::size_t table) {
  std::optional<key_bound> lower;
  bool open_end = true;
  for (const auto& slice : context_.loaded[table]) {
    const bool gap = slice.lower && (!lower || lower->key < slice.lower->key);
    if (gap) spans_.push_back({table, lower, slice.lower});
    lower = slice.upper;
    open_end = slice.upper.has_value();
  }
  if (open_end) spans_.push_back({table, lower, std::nullopt});
}

task<std::optional<slice_planner::planned>> slice_planner::next(pg::connection& source) {
  const auto turn = co_await turn_.lock();
  planned out;
  if (!context_.given_back.empty()) {
    out.slice = std::move(context_.given_back.front());
    context_.given_back.pop_front();
    co_return out;
  }
  if (spans_.empty()) {
    context_.planned = true;
    co_return std::nullopt;
  }
  auto& span = spans_.front();
  const auto& table = context_.tables[span.table];
  out.slice = span;
  co_await size_for(source, span.table);
  if (!table.slicing().empty()) {
    const auto found = co_await source.query(table.bound_sql(pointer(span.lower), pointer(span.upper), rows_));
    if (found.rows() > 0) {
      out.slice.upper = table.read_bound(found, 0, 0);
      out.rows = rows_;
    }
  }
  const bool to_the_end = out.rows == 0 || (span.upper && span.upper->key == out.slice.upper->key);
  if (to_the_end) {
    spans_.pop_front();
  } else {
    span.lower = out.slice.upper;
  }
  ++context_.unloaded;
  context_.planned = spans_.empty();
  co_return out;
}

// The first slice of a table: nobody has seen its rows yet, and they may be a thousand times as large as those of the last one. Some rows
// tell; what is stored apart is counted without being read.
task<void> slice_planner::size_for(pg::connection& source, std::size_t table) {
  if (sized_for_ == table) co_return;
  const auto& plan = context_.tables[table];
  std::string width = "0";
  for (const auto& column : plan.table().columns) {
    width += fmt::format(" + coalesce(pg_catalog.pg_column_size({}), 0)", pg::quote_ident(column.name));
  }
  const auto found = co_await source.query(fmt::format(
      "SELECT coalesce(pg_catalog.avg({}), 0)::pg_catalog.int8 FROM (SELECT * FROM {} LIMIT {}) AS looked_at", width, plan.name(), rows_looked_at));
  const auto bytes = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(found.integer(0, 0)));
  rows_ = std::clamp<std::uint64_t>(byte_cap() / bytes, fewest_rows, rows_);
  sized_for_ = table;
}

// A slow copy comes in small pieces, so that it flows instead of bursting.
std::size_t slice_planner::byte_cap() const noexcept {
  const auto rate = static_cast<std::size_t>(static_cast<double>(context_.settings.max_rate) * context_.throttle_factor);
  return rate == 0 ? most_bytes : std::clamp(rate / 4, fewest_bytes, most_bytes);
}

void slice_planner::measured(std::uint64_t rows, milliseconds took, std::size_t bytes) {
  if (rows == 0) return;
  const auto wanted = context_.settings.chunk_time;
  const auto by_time = static_cast<double>(rows) * static_cast<double>(wanted.count()) / std::max(1.0, static_cast<double>(took.count()));
  const auto least = static_cast<double>(rows_a_millisecond) * static_cast<double>(wanted.count());
  auto next = std::max(by_time, std::min(least, 2.0 * static_cast<double>(rows)));
  if (bytes > 0) next = std::min(next, static_cast<double>(rows) * static_cast<double>(byte_cap()) / static_cast<double>(bytes));
  next = std::clamp(next, 0.1 * static_cast<double>(rows), 2.0 * static_cast<double>(rows));
  rows_ = std::clamp(static_cast<std::uint64_t>(next), fewest_rows, most_rows);
}

}  // namespace migration
