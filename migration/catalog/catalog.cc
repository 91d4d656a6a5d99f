#include "migration/catalog/catalog.h"

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/catalog/catalog_map.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr int kept_maps = 16;

std::string row_json(const migration_row& row, state to) {
  json_object out;
  out.text("state", to_string(to)).raw("resume_to", row.resume_to ? json_string(to_string(*row.resume_to)) : "null");
  out.number("attempt", row.attempt).text("error", row.error).text("sqlstate", row.sqlstate).optional_number("rows_compared", row.rows_compared);
  return out.optional_number("rows_differing", row.rows_differing).optional_number("pause_us", row.pause_us).take();
}

std::string entry_json(const journal_entry& entry) {
  json_object out;
  out.text("from_state", entry.from).text("to_state", entry.to).text("step", entry.step).number("attempt", entry.attempt);
  return out.number("elapsed_us", entry.elapsed_us).text("note", entry.note).take();
}

std::string ledger_json(const ledger_entry& entry) {
  return json_object().number("shard", entry.shard.value).text("kind", entry.kind).text("name", entry.name).take();
}

std::string range_json(const routing::placement_range& range) {
  json_object out;
  add_range(out, range);
  return out.take();
}

std::string migration_json(const migration_row& row) {
  json_object out;
  out.text("kind", to_string(row.kind)).number("distribution", row.distribution.value).number("source", row.source.value);
  out.number("target", row.target.value).text("strategy", to_string(row.options.strategy)).text("transport", to_string(row.options.transport));
  out.number("max_rate", row.options.max_rate).number("max_pause_ms", row.options.max_pause.count());
  out.number("auto_cutover", row.options.auto_cutover).text("state", to_string(row.state));
  return out.raw("ranges", json_array(row.ranges, range_json)).take();
}

std::optional<std::uint64_t> optional_count(const pg::result& rows, int row, int column) {
  if (rows.is_null(row, column)) return std::nullopt;
  return static_cast<std::uint64_t>(rows.integer(row, column));
}

std::chrono::system_clock::time_point at_microsecond(std::int64_t since_epoch) {
  return std::chrono::system_clock::time_point(std::chrono::microseconds(since_epoch));
}

// Nothing of a migration may be guessed.
template <typename T>
T known(std::uint64_t migration, std::string_view what, const std::string& text, std::optional<T> parsed) {
  if (parsed) return *parsed;
  refuse(protocol::sqlstate::feature_not_supported, fmt::format("migration {} has {} \"{}\", which this version does not know", migration, what, text), "",
         "Run the version of pgrotor that began it.");
}

migration_row to_migration(const pg::result& rows, int row) {
  migration_row out;
  const auto count = [&](int column) { return static_cast<std::uint64_t>(rows.integer(row, column)); };
  const auto small = [&](int column) { return static_cast<std::uint32_t>(rows.integer(row, column)); };
  out.id = count(0);
  out.job = count(1);
  out.kind = known(out.id, "kind", rows.str(row, 2), parse_kind(rows.get(row, 2)));
  out.distribution.value = small(3);
  out.source.value = small(4);
  out.target.value = small(5);
  out.options.strategy = known(out.id, "strategy", rows.str(row, 6), parse_strategy(rows.get(row, 6)));
  out.options.transport = known(out.id, "transport", rows.str(row, 7), parse_transport(rows.get(row, 7)));
  out.options.max_rate = count(8);
  out.options.max_pause = milliseconds(rows.integer(row, 9));
  out.options.auto_cutover = rows.boolean(row, 10);
  out.state = parse_state(rows.get(row, 11)).value_or(state::failed);
  if (!rows.is_null(row, 12)) out.resume_to = parse_state(rows.get(row, 12));
  out.epoch = count(13);
  out.attempt = small(14);
  out.error = rows.str(row, 15);
  out.rows_compared = optional_count(rows, row, 16);
  out.rows_differing = optional_count(rows, row, 17);
  out.pause_us = optional_count(rows, row, 18);
  out.sqlstate = rows.str(row, 19);
  out.created = at_microsecond(rows.integer(row, 20));
  out.changed = at_microsecond(rows.integer(row, 21));
  return out;
}

[[noreturn]] void rethrow_superseded(const pg::sql_error& error) {
  if (error.sqlstate == "RT010" || error.sqlstate == "RT011") throw superseded(error.what());
  throw error;
}

// Runs one catalog function that checks the epoch; its refusal becomes `superseded`.
task<pg::result> call(pg::connection& connection, std::string sql, pg::text_params params) {
  try {
    co_return co_await connection.exec(std::move(sql), std::move(params));
  } catch (const pg::sql_error& error) {
    rethrow_superseded(error);
  }
}

pg::text_params text_params(std::initializer_list<std::string> values) { return {values.begin(), values.end()}; }

void demand_transition(const migration_row& row, state from, state to) {
  if (may_go(row.options.strategy, from, to)) return;
  throw std::logic_error(fmt::format("migration {} must not go from {} to {}", row.id, to_string(from), to_string(to)));
}

constexpr std::string_view call_switch = "SELECT pgrotor.commit_switch($1::bigint, $2::bigint, $3::jsonb, $4::jsonb, $5::jsonb, $6, $7)";

}  // namespace

task<std::shared_ptr<const routing::shard_map>> catalog::load_map() {
  auto parts = co_await read_map(*connection_);
  if (parts.number.value == 0) co_return nullptr;
  co_return routing::shard_map::make(std::move(parts));
}

task<void> catalog::save_map(const routing::shard_map::parts& parts, std::string reason) {
  const auto json = map_json(parts);
  auto params = text_params({std::to_string(epoch_), json, map_checksum(json), std::move(reason)});
  co_await call(*connection_, "SELECT pgrotor.save_map($1::bigint, $2::jsonb, $3, $4)", std::move(params));
  co_await connection_->query(
      fmt::format("DELETE FROM pgrotor.maps WHERE generation <= {}", static_cast<std::int64_t>(parts.number.value) - kept_maps));
}

task<bool> catalog::has_map(const routing::shard_map::parts& parts) {
  const auto found = co_await connection_->query(fmt::format("SELECT checksum FROM pgrotor.maps WHERE generation = {}", parts.number.value));
  co_return found.rows() > 0 && found.get(0, 0) == map_checksum(map_json(parts));
}

task<std::uint64_t> catalog::next_job() {
  const auto drawn = co_await connection_->query("SELECT nextval('pgrotor.job_number')");
  co_return static_cast<std::uint64_t>(drawn.integer(0, 0));
}

task<bool> catalog::has_job(std::uint64_t job) {
  const auto found = co_await connection_->query(fmt::format("SELECT EXISTS (SELECT FROM pgrotor.migrations WHERE job = {})", job));
  co_return found.boolean(0, 0);
}

task<std::vector<migration_row>> catalog::insert(std::vector<migration_row> rows, const routing::shard_map::parts* parts, std::string reason) {
  auto job = rows.empty() ? 0 : rows.front().job;
  if (job == 0) job = co_await next_job();
  pg::text_params params{std::to_string(epoch_), std::to_string(job), json_array(rows, migration_json), std::nullopt, std::nullopt, std::nullopt};
  if (parts) {
    params[3] = map_json(*parts);
    params[4] = map_checksum(*params[3]);
    params[5] = std::move(reason);
  }
  const auto ids = co_await call(
      *connection_, "SELECT i.id FROM pgrotor.insert_job($1::bigint, $2::bigint, $3::jsonb, $4::jsonb, $5, $6) i ORDER BY i.place", std::move(params));
  for (int row = 0; row < ids.rows(); ++row) {
    auto& made = rows.at(static_cast<std::size_t>(row));
    made.id = static_cast<std::uint64_t>(ids.integer(row, 0));
    made.job = job;
    made.epoch = epoch_;
    made.created = made.changed = std::chrono::system_clock::now();
  }
  co_return rows;
}

task<std::vector<migration_row>> catalog::load_migrations() {
  std::vector<migration_row> out;
  const auto rows = co_await connection_->query(
      "SELECT id, job, kind, distribution, source, target, strategy, transport, max_rate, max_pause_ms, auto_cutover, state, resume_to, "
      "epoch,"
      " attempt, error, rows_compared, rows_differing, pause_us, sqlstate, (extract(epoch FROM created_at) * 1000000)::bigint,"
      " (extract(epoch FROM changed_at) * 1000000)::bigint FROM pgrotor.migrations ORDER BY id");
  for (int row = 0; row < rows.rows(); ++row) out.push_back(to_migration(rows, row));
  const auto ranges = co_await connection_->query("SELECT migration, lower, upper FROM pgrotor.migration_ranges ORDER BY migration, lower");
  auto at = out.begin();
  for (int row = 0; row < ranges.rows(); ++row) {
    const auto id = static_cast<std::uint64_t>(ranges.integer(row, 0));
    while (at != out.end() && at->id < id) ++at;
    if (at == out.end() || at->id != id) continue;
    at->ranges.push_back(read_range(ranges, row, 1));
  }
  co_return out;
}

task<void> catalog::advance(migration_row& row, state from, state to, journal_entry entry) {
  demand_transition(row, from, to);
  auto params =
      text_params({std::to_string(epoch_), std::to_string(row.id), std::string(to_string(from)), row_json(row, to), entry_json(entry)});
  co_await call(*connection_, "SELECT pgrotor.advance($1::bigint, $2::bigint, $3, $4::jsonb, $5::jsonb)", std::move(params));
  if (row.state != to) row.changed = std::chrono::system_clock::now();
  row.state = to;
  row.epoch = epoch_;
}

task<void> catalog::commit_switch(migration_row& row, const routing::shard_map::parts& parts, journal_entry entry) {
  demand_transition(row, state::cutting_over, state::switched);
  const auto json = map_json(parts);
  auto params = text_params({std::to_string(epoch_), std::to_string(row.id), row_json(row, state::switched), entry_json(entry), json,
                             map_checksum(json), fmt::format("migration {} switched", row.id)});
  co_await call(*connection_, std::string(call_switch), std::move(params));
  row.state = state::switched;
  row.epoch = epoch_;
}

task<void> catalog::warm_switch() {
  // A rehearsal with the newest map as its own successor, rolled back: every statement of the commit point is planned, and the pages
  // that it touches are in memory.
  auto parts = co_await read_map(*connection_);
  ++parts.number.value;
  const auto json = map_json(parts);
  auto params =
      text_params({std::to_string(epoch_), "0", row_json({}, state::switched), entry_json({}), json, map_checksum(json), "rehearsal"});
  co_await connection_->query("BEGIN");
  std::exception_ptr failed;
  try {
    co_await call(*connection_, std::string(call_switch), std::move(params));
  } catch (...) {
    failed = std::current_exception();
  }
  co_await connection_->query("ROLLBACK");
  if (failed) std::rethrow_exception(failed);
  co_await connection_->query(
      fmt::format("DELETE FROM pgrotor.maps WHERE generation < {}", static_cast<std::int64_t>(parts.number.value) - kept_maps));
}

task<void> catalog::journal(std::uint64_t migration, std::vector<journal_entry> entries) {
  auto params = text_params({std::to_string(migration), json_array(entries, entry_json)});
  co_await connection_->exec("SELECT pgrotor.write_journal($1::bigint, $2::jsonb)", std::move(params));
}

task<std::vector<std::pair<std::string, journal_entry>>> catalog::read_journal(std::uint64_t migration) {
  std::vector<std::pair<std::string, journal_entry>> out;
  const auto rows = co_await connection_->query(fmt::format(
      "SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), from_state, to_state, step, attempt, elapsed_us, note"
      " FROM pgrotor.journal WHERE migration = {} ORDER BY id",
      migration));
  for (int row = 0; row < rows.rows(); ++row) {
    journal_entry entry;
    entry.from = rows.str(row, 1);
    entry.to = rows.str(row, 2);
    entry.step = rows.str(row, 3);
    entry.attempt = static_cast<std::uint32_t>(rows.integer(row, 4));
    entry.elapsed_us = static_cast<std::uint64_t>(rows.integer(row, 5));
    entry.note = rows.str(row, 6);
    out.emplace_back(rows.str(row, 0), std::move(entry));
  }
  co_return out;
}

task<void> catalog::write_ledger(std::uint64_t migration, std::vector<ledger_entry> entries) {
  auto params = text_params({std::to_string(epoch_), std::to_string(migration), json_array(entries, ledger_json)});
  co_await call(*connection_, "SELECT pgrotor.write_ledger($1::bigint, $2::bigint, $3::jsonb)", std::move(params));
}

task<std::vector<ledger_entry>> catalog::read_ledger(std::uint64_t migration) {
  std::vector<ledger_entry> out;
  const auto rows = co_await connection_->query(
      fmt::format("SELECT shard, kind, name FROM pgrotor.ledger WHERE migration = {} ORDER BY written_at, shard, kind, name", migration));
  for (int row = 0; row < rows.rows(); ++row) {
    out.push_back({routing::shard_id{static_cast<std::uint32_t>(rows.integer(row, 0))}, rows.str(row, 1), rows.str(row, 2)});
  }
  co_return out;
}

task<void> catalog::strike_ledger(std::uint64_t migration, ledger_entry entry) {
  auto params = text_params({std::to_string(epoch_), std::to_string(migration), std::to_string(entry.shard.value), entry.kind, entry.name});
  co_await call(*connection_, "SELECT pgrotor.strike_ledger($1::bigint, $2::bigint, $3::integer, $4, $5)", std::move(params));
}

}  // namespace migration
