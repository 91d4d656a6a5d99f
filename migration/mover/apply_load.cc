// apply_session's part that reads what earlier movers left on the target, and loads chunks.
#include <stdexcept>

#include <fmt/format.h>

#include "migration/base/log.h"
#include "migration/mover/apply_session.h"

namespace migration {
namespace {

constexpr milliseconds load_budget{6 * 3600 * 1000};

std::string array_sql(const std::optional<key_bound>& bound) {
  if (!bound) return "NULL";
  std::string out;
  for (const auto& value : bound->text) out += (out.empty() ? "" : ", ") + pg::quote_literal(value);
  return "ARRAY[" + out + "]::pg_catalog.text[]";
}

std::string key_sql(const std::optional<key_bound>& bound) {
  if (!bound) return "NULL";
  std::string hex;
  for (const char c : bound->key) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return "pg_catalog.decode('" + hex + "', 'hex')";
}

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return out;
}

std::string chunk_query(std::uint64_t migration, std::size_t table, std::size_t width) {
  std::string bounds;
  for (const char* side : {"lower", "upper"}) {
    bounds += fmt::format(", pg_catalog.encode({}_key, 'hex')", side);
    for (std::size_t i = 1; i <= width; ++i) bounds += fmt::format(", {}_text[{}]", side, i);
  }
  return fmt::format(
      "SELECT chunk_no, snapshot, high_lsn, rows, bytes, scanned{} FROM pgrotor.chunks WHERE migration = {} AND table_no = {} "
      "ORDER BY lower_key NULLS FIRST",
      bounds, migration, table);
}

std::optional<key_bound> stored_bound(const pg::result& result, int row, int first, std::size_t width) {
  if (result.is_null(row, first)) return std::nullopt;
  key_bound out;
  out.key = from_hex(result.get(row, first));
  for (std::size_t i = 1; i <= width; ++i) out.text.push_back(result.str(row, first + static_cast<int>(i)));
  return out;
}

}  // namespace

task<void> apply_session::read_tables() {
  for (auto& table : context_.tables) {
    const auto relation = pg::quote_literal(table.name()) + "::pg_catalog.regclass";
    const auto unique = co_await target_->query(fmt::format(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_index WHERE indrelid = {} AND NOT indisprimary AND (indisunique OR indisexclusion))",
        relation));
    table.other_unique = unique.boolean(0, 0);
    const auto identity = co_await target_->query(
        fmt::format("SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = {} AND attidentity = 'a' AND NOT attisdropped", relation));
    for (int row = 0; row < identity.rows(); ++row)
      for (std::size_t i = 0; i < table.table().columns.size(); ++i)
        if (table.table().columns[i].name == identity.get(row, 0)) table.always_identity[i] = true;
  }
}

task<std::vector<stored_chunk>> apply_session::read_chunks() {
  std::vector<stored_chunk> out;
  for (std::size_t table = 0; table < context_.tables.size(); ++table) {
    const auto width = context_.tables[table].slicing().size();
    const auto found = co_await target_->query(chunk_query(context_.settings.migration, table, width));
    for (int row = 0; row < found.rows(); ++row) {
      stored_chunk chunk;
      chunk.slice.table = table;
      chunk.slice.lower = stored_bound(found, row, 6, width);
      chunk.slice.upper = stored_bound(found, row, 7 + static_cast<int>(width), width);
      chunk.number = static_cast<int>(found.integer(row, 0));
      chunk.seen = parse_snapshot(found.get(row, 1)).value();
      chunk.high = protocol::parse_lsn(found.get(row, 2)).value();
      chunk.rows = static_cast<std::uint64_t>(found.integer(row, 3));
      chunk.bytes = static_cast<std::uint64_t>(found.integer(row, 4));
      chunk.scanned = static_cast<std::uint64_t>(found.integer(row, 5));
      out.push_back(std::move(chunk));
    }
  }
  co_return out;
}

task<bool> apply_session::load(read_chunk& chunk, const std::vector<const held_change*>& pending, const relation_book& relations,
                               load_position where) {
  const auto& table = context_.tables[chunk.slice.table];
  try {
    co_await load_in_transaction(chunk, pending, relations, where);
    co_return true;
  } catch (const pg::sql_error& error) {
    if (error.sqlstate != "23505" && error.sqlstate != "23P01") throw;  // unique and exclusion violations
    if (!table.other_unique || error.connection_lost) throw;
    log_info("migration {}: a chunk of {} is read again: {}", context_.settings.migration, table.name(), error.what());
  }
  co_await roll_back();
  co_return false;
}

task<void> apply_session::load_in_transaction(read_chunk& chunk, const std::vector<const held_change*>& pending,
                                              const relation_book& relations, load_position where) {
  in_transaction_ = true;
  if (chunk.rows > 0) {
    const auto& table = context_.tables[chunk.slice.table];
    const auto loaded = co_await target_->copy_in("BEGIN; " + table.copy_in_sql(), chunk.bytes.pieces(), load_budget);
    if (loaded != chunk.rows)
      throw std::runtime_error(fmt::format("{}: {} rows of a chunk were read and {} were loaded", table.name(), chunk.rows, loaded));
  } else {
    queue_plain("BEGIN");
  }
  queue_pending(pending, relations);
  queue_record(chunk, where.floor);
  co_await commit(where.position, where.commit_time);
}

// The two halves of an update that moves a row inside the chunk are one UPDATE again, which keeps values the server did not send.
void apply_session::queue_pending(const std::vector<const held_change*>& pending, const relation_book& relations) {
  for (std::size_t i = 0; i < pending.size(); ++i) {
    const auto decoded = protocol::pgoutput::decode(pending[i]->message);
    const auto change = decoded ? read_row_change(*decoded, relations, context_) : std::nullopt;
    if (!change) throw std::logic_error("a held change cannot be read again");
    const bool pair = i + 1 < pending.size() && pending[i]->part == change_part::delete_old && change->moved &&
                      pending[i + 1]->part == change_part::insert_new && pending[i + 1]->message == pending[i]->message;
    queue(*change, pair ? change_part::whole : pending[i]->part, pending[i]->message);
    if (pair) ++i;
  }
}

void apply_session::queue_record(const read_chunk& chunk, protocol::lsn floor) {
  const auto migration = context_.settings.migration;
  queue_plain(fmt::format(
      "INSERT INTO pgrotor.chunks (migration, table_no, chunk_no, lower_text, upper_text, lower_key, upper_key, snapshot, high_lsn, rows, "
      "bytes, scanned) VALUES ({}, {}, {}, {}, {}, {}, {}, {}, '{}', {}, {}, {})",
      migration, chunk.slice.table, context_.next_chunk_number[chunk.slice.table], array_sql(chunk.slice.lower), array_sql(chunk.slice.upper),
      key_sql(chunk.slice.lower), key_sql(chunk.slice.upper), pg::quote_literal(chunk.snapshot_text), protocol::to_string(chunk.high),
      chunk.rows, chunk.bytes.size(), chunk.scanned));
  queue_plain(fmt::format(
      "INSERT INTO pgrotor.progress (migration, hold_floor) VALUES ({}, '{}') "
      "ON CONFLICT (migration) DO UPDATE SET hold_floor = excluded.hold_floor, updated_at = pg_catalog.clock_timestamp()",
      migration, protocol::to_string(floor)));
}

task<void> apply_session::roll_back() {
  if (PQpipelineStatus(target_->native()) != PQ_PIPELINE_OFF) target_->pipeline_end();
  co_await target_->query("ROLLBACK");
  co_await target_->query("DEALLOCATE ALL");
  prepared_.clear();
  queued_.clear();
  queued_bytes_ = 0;
  in_transaction_ = false;
}

}  // namespace migration
