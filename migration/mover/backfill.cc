#include "migration/mover/backfill.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "migration/base/test_hooks.h"

namespace migration {
namespace {

constexpr std::size_t memory_cap = 32u << 20;  // of one chunk; then it goes to a file
constexpr milliseconds chunk_budget{6 * 3600 * 1000};
constexpr milliseconds unused_credit{250};             // of the rate; older credit is lost
constexpr milliseconds shortest_rest{10}, longest_rest{100};  // inside a chunk: rests are worth a timer, and a stop is soon seen
constexpr milliseconds reason_lasts{1'000};  // so that a status line does not flicker between chunks
protocol::lsn read_lsn(const pg::result& result, int column) {
  const auto found = protocol::parse_lsn(result.get(0, column));
  if (!found) throw std::runtime_error("the source gave no WAL position but '" + result.str(0, column) + "'");
  return *found;
}

// Slices follow the index; JIT and parallel plans cost more than a chunk.
constexpr const char* reader_settings =
    "SET enable_seqscan = off; SET jit = off; SET max_parallel_workers_per_gather = 0; SET default_transaction_read_only = off";

// Flushes like any commit, and does not wait for a standby that may be slow.
constexpr const char* flush_sql =
    "BEGIN; SET LOCAL synchronous_commit = local; SELECT pg_catalog.pg_logical_emit_message(true, 'pgrotor.flush', ''); COMMIT";

}  // namespace

backfill::backfill(mover_context& context) : context_(context), planner_(context) {}

task<void> backfill::read_all() {
  auto options = context_.settings.source;
  options.application_name = session_name("copy", context_.settings.migration, options.application_name);
  const auto executor = co_await boost::asio::this_coro::executor;
  const auto source = co_await pg::connection::open(executor, std::move(options));
  co_await source->query(reader_settings);
  for (;;) {
    const bool go_on = co_await may_read();
    if (!go_on) break;
    auto planned = co_await planner_.next(*source);
    if (planned) {
      co_await read_one(*source, std::move(*planned));
    } else if (context_.unloaded == 0) {
      break;
    } else {
      co_await context_.copy.wait();
    }
  }
}

// What keeps readers from beginning a chunk, in words; "" when nothing does.
std::string backfill::obstacle() const {
  if (context_.paused) return "paused";
  if (context_.decisions->held_bytes() > context_.settings.hold_cap_bytes) return "held changes are above their cap";
  if (context_.chunks.size() >= static_cast<std::size_t>(context_.settings.readers)) return "the target is slower than the source";
  if (clock::now() >= rate_free_at_) return "";
  if (context_.throttle_factor < 1) return context_.throttle_reason;
  return "max_rate";
}

task<bool> backfill::may_read() {
  while (!context_.stopping) {
    const bool all_planned = context_.planned && context_.given_back.empty();
    const auto why = all_planned ? std::string() : obstacle();
    if (all_planned || why.empty()) {
      if (clock::now() > rate_free_at_ + reason_lasts) context_.figures.throttle.clear();
      co_return true;
    }
    context_.figures.throttle = why;
    co_await context_.copy.wait(clock::now() < rate_free_at_ ? rate_free_at_ : clock::now() + milliseconds(100));
  }
  co_return false;
}

task<void> backfill::open_snapshot(pg::connection& source, read_chunk& chunk) {
  chunk.read = context_.decisions->begin_read();
  const auto taken = co_await source.query(
      "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_catalog.pg_current_snapshot(), pg_catalog.pg_current_wal_insert_lsn()");
  chunk.snapshot_text = taken.str(0, 0);
  const auto seen = parse_snapshot(chunk.snapshot_text);
  if (!seen) throw std::runtime_error("the source gave no snapshot but '" + chunk.snapshot_text + "'");
  chunk.seen = *seen;
  context_.decisions->opened(chunk.read, *seen, read_lsn(taken, 1));
}

task<void> backfill::read_one(pg::connection& source, slice_planner::planned planned) {
  read_chunk chunk;
  chunk.slice = std::move(planned.slice);
  chunk.bytes = chunk_buffer(memory_cap);
  const auto began = clock::now();
  co_await open_snapshot(source, chunk);
  PGROTOR_STOP_POINT("mover.chunk_open");
  auto copy = context_.tables[chunk.slice.table].copy_out_sql(pointer(chunk.slice.lower), pointer(chunk.slice.upper));
  const auto sink = [this, &chunk](std::string_view bytes) {
    chunk.bytes.append(bytes);
    pay(bytes.size());
  };
  clock::duration rested{};
  const auto rest = [this, &rested] {
    const auto time = owed();
    rested += time;
    return time;
  };
  std::function<void(std::string_view)> append = sink;
  std::function<milliseconds()> pace = rest;
  chunk.rows = co_await source.copy_out(std::move(copy), std::move(append), chunk_budget, std::move(pace));
  chunk.scanned = std::max(planned.rows, chunk.rows);
  const auto ended =
      co_await source.query("COMMIT; SELECT pg_catalog.pg_current_wal_insert_lsn(), pg_catalog.pg_current_wal_flush_lsn()");
  chunk.high = read_lsn(ended, 0);
  chunk.read_took = clock::now() - began - rested;
  planner_.measured(planned.rows, std::chrono::duration_cast<milliseconds>(chunk.read_took), chunk.bytes.size());
  account(chunk);
  if (read_lsn(ended, 1) < chunk.high) co_await wait_flushed(source, chunk.high);
  PGROTOR_STOP_POINT("mover.chunk_read");
  context_.chunks.push_back(std::move(chunk));
  context_.work.notify();
}

// An asynchronous commit is visible before it is durable: if the source crashed now, the target would know a row that never was.
// When the WAL writer takes its time a commit of our own flushes.
task<void> backfill::wait_flushed(pg::connection& source, protocol::lsn position) {
  for (int round = 0; !context_.stopping; ++round) {
    const auto flushed = co_await source.query("SELECT pg_catalog.pg_current_wal_flush_lsn()");
    if (read_lsn(flushed, 0) >= position) co_return;
    if (round == 2) co_await source.query(flush_sql);
    co_await context_.copy.wait(clock::now() + milliseconds(2));
  }
}

// Rows that have been read under max_rate are paid for at once, by all readers together.
void backfill::pay(std::size_t bytes) {
  if (context_.settings.max_rate == 0) return;
  const auto rate = static_cast<double>(context_.settings.max_rate) * context_.throttle_factor;
  const std::chrono::duration<double> cost(static_cast<double>(bytes) / rate);
  rate_free_at_ = std::max(rate_free_at_, clock::now() - unused_credit) + std::chrono::duration_cast<clock::duration>(cost);
}

// How long to leave the source's socket alone now: what it has not sent yet it does not read either.
milliseconds backfill::owed() const {
  const auto left = std::chrono::duration_cast<milliseconds>(rate_free_at_ - clock::now());
  const bool free = context_.settings.max_rate == 0 || context_.stopping || left < shortest_rest;
  return free ? milliseconds(0) : std::min(left, longest_rest);
}

void backfill::account(const read_chunk& chunk) {
  const auto now = clock::now();
  const auto bytes = chunk.bytes.size();
  if (context_.settings.max_rate == 0 && context_.throttle_factor < 1) {
    const auto rest = (1 / context_.throttle_factor - 1) * std::chrono::duration<double>(chunk.read_took);
    rate_free_at_ = std::max(rate_free_at_, now) + std::chrono::duration_cast<clock::duration>(rest);
  }
  window_bytes_ += bytes;
  const std::chrono::duration<double> window = now - window_start_;
  if (window.count() < 1) return;
  const bool first = window_start_ == clock::time_point{};
  context_.figures.copy_bytes_per_second = first ? 0 : static_cast<double>(window_bytes_) / window.count();
  window_start_ = now;
  window_bytes_ = 0;
}

}  // namespace migration
