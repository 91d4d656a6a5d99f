#include "migration/mover/mover.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <list>
#include <stdexcept>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>

#include "migration/mover/applier.h"
#include "migration/mover/apply_session.h"
#include "migration/mover/backfill.h"
#include "migration/mover/change_stream.h"
#include "migration/mover/mover_context.h"

namespace migration {

namespace asio = boost::asio;

namespace {

constexpr milliseconds poll_interval{100};
constexpr std::size_t most_samples = 1'000;

protocol::lsn lsn_of(const pg::result& result, int column) { return protocol::parse_lsn(result.get(0, column)).value(); }

}  // namespace

std::uint64_t mover_context::estimate_rows() const {
  if (copied()) return figures.rows_copied;
  double sum = 0;
  for (std::size_t i = 0; i < rows_scanned.size(); ++i) {
    const auto whole = static_cast<double>(std::max(settings.tables[i].estimated_rows, rows_scanned[i]));
    const auto share = rows_scanned[i] == 0 ? 1.0 : static_cast<double>(rows_copied[i]) / static_cast<double>(rows_scanned[i]);
    sum += whole * share;
  }
  return static_cast<std::uint64_t>(sum);
}

// The parts and what keeps them alive: each part's frame holds a reference, so that it may outlast the mover.
struct mover::engine {
  engine(asio::any_io_executor executor_in, mover_settings settings_in)
      : executor(std::move(executor_in)), context(std::move(settings_in)), session(context) {}

  asio::any_io_executor executor;
  mover_context context;
  apply_session session;
  std::unique_ptr<pg::connection> poll_connection;
  std::unique_ptr<migration::change_stream> stream;
  std::unique_ptr<migration::backfill> copy;
  std::unique_ptr<migration::applier> apply;
  std::optional<marker_token> expected;

  std::list<asio::cancellation_signal> cancels;
  std::size_t running = 0;
  std::exception_ptr failure;
  wakeup part_ended;
  struct sample {
    clock::time_point at;
    protocol::lsn insert;
  };
  std::deque<sample> samples;  // of the source's insert position that the target has not reached

  void stop() {
    if (context.stopping) return;
    context.stop();
    part_ended.notify();
    for (auto& cancel : cancels) cancel.emit(asio::cancellation_type::terminal);
  }

  void part_done(std::exception_ptr error) {
    --running;
    if (error && !failure && !context.stopping) failure = error;
    if (error) stop();
    part_ended.notify();
  }

  static task<void> read(std::shared_ptr<engine> self) { co_await self->copy->read_all(); }
  static task<void> follow(std::shared_ptr<engine> self) { co_await self->stream->run(); }
  static task<void> write(std::shared_ptr<engine> self) { co_await self->apply->run(); }
  static task<void> poll(std::shared_ptr<engine> self) { co_await self->poll_source(); }
  static task<void> all(std::shared_ptr<engine> self) {
    co_await self->set_up();
    self->spawn(self, follow(self));
    self->spawn(self, write(self));
    self->spawn(self, poll(self));
    for (int i = 0; i < std::max(1, self->context.settings.readers); ++i) self->spawn(self, read(self));
  }

  void spawn(std::shared_ptr<engine> self, task<void> part) {
    if (context.stopping) return;
    ++running;
    auto& cancel = cancels.emplace_back();
    asio::co_spawn(executor, std::move(part),
                   asio::bind_cancellation_slot(cancel.slot(), [self](std::exception_ptr error) { self->part_done(error); }));
  }

  task<void> set_up();
  task<bool> read_database();
  task<protocol::lsn> read_slot();
  void restore(const std::vector<stored_chunk>&, protocol::lsn applied, protocol::lsn start);
  task<void> poll_source();
  void note_insert(protocol::lsn insert);
};

// Text of the default collation sorts by bytes in C and POSIX, in libc's C.UTF-8, which sorts by code point, and wherever PostgreSQL 17 and newer
// bring the locale themselves (provider b). Before 15 the locale was libc's, and pg_database had no column for its provider.
task<bool> mover::engine::read_database() {
  const auto found = co_await poll_connection->query(
      "SELECT d.datcollate, coalesce(pg_catalog.to_jsonb(d)->>'datlocprovider', 'c'), pg_catalog.pg_encoding_to_char(d.encoding) "
      "FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()");
  const auto collate = found.get(0, 0);
  const bool code_points = (collate == "C.UTF-8" || collate == "C.utf8") && found.get(0, 2) == "UTF8";
  const auto provider = found.get(0, 1);
  co_return provider == "b" || (provider == "c" && (collate == "C" || collate == "POSIX" || code_points));
}

task<protocol::lsn> mover::engine::read_slot() {
  const auto& slot = context.settings.names.slot;
  const auto found = co_await poll_connection->query(
      fmt::format("SELECT confirmed_flush_lsn, wal_status FROM pg_catalog.pg_replication_slots WHERE slot_name = {}", pg::quote_literal(slot)));
  if (found.rows() == 0)
    throw std::runtime_error(fmt::format("{}: replication slot {} is gone: the copy must start again", poll_connection->where(), slot));
  if (found.get(0, 1) == "lost")
    throw std::runtime_error(fmt::format("{}: replication slot {} was invalidated (max_slot_wal_keep_size): the copy must start again",
                                         poll_connection->where(), slot));
  co_return lsn_of(found, 0);
}

void mover::engine::restore(const std::vector<stored_chunk>& chunks, protocol::lsn applied, protocol::lsn start) {
  context.decisions = std::make_unique<svb>(context.tables.size(), applied, start);
  for (const auto& chunk : chunks) {
    const auto table = chunk.slice.table;
    context.decisions->restore(table, chunk.slice.keys(), chunk.seen, chunk.high);
    context.loaded[table].push_back(chunk.slice);
    context.next_chunk_number[table] = std::max(context.next_chunk_number[table], chunk.number + 1);
    context.count_loaded(table, chunk.rows, chunk.bytes, chunk.scanned);
  }
  context.figures.applied = context.figures.received = start;
}

task<void> mover::engine::set_up() {
  const auto& settings = context.settings;
  auto options = settings.source;
  options.application_name = session_name("poll", settings.migration, options.application_name);
  poll_connection = co_await pg::connection::open(executor, std::move(options));
  const bool byte_ordered = co_await read_database();
  for (const auto& table : settings.tables) context.tables.emplace_back(table, settings.key_type, settings.ranges, byte_ordered);
  const auto count = context.tables.size();
  context.next_chunk_number.assign(count, 0);
  context.loaded.resize(count);
  context.rows_copied.assign(count, 0);
  context.rows_scanned.assign(count, 0);
  co_await session.open();
  const auto applied = co_await session.read_progress();
  const auto floor = co_await session.read_hold_floor();
  const auto confirmed = co_await read_slot();
  co_await session.read_tables();
  const auto chunks = co_await session.read_chunks();
  if (!chunks.empty() && applied == protocol::lsn{})
    throw std::runtime_error(fmt::format("{}: replication origin {} was made anew, but chunks are loaded: the copy must start again",
                                         settings.target.where, settings.names.origin));
  const auto start = std::max(floor, confirmed);
  restore(chunks, applied, start);
  stream = std::make_unique<change_stream>(context, start);
  copy = std::make_unique<backfill>(context);
  apply = std::make_unique<applier>(context, session, *stream);
  if (expected) apply->expect(*expected);
}

// One small query that serves the lag figures and, while changes are held, the drop rule.
task<void> mover::engine::poll_source() {
  while (!context.stopping) {
    const auto found = co_await poll_connection->query("SELECT pg_catalog.pg_current_snapshot(), pg_catalog.pg_current_wal_insert_lsn()");
    const auto insert = lsn_of(found, 1);
    if (context.decisions->held() > 0) {
      context.decisions->observe(parse_snapshot(found.get(0, 0)).value(), insert);
      context.copy.notify();
    }
    note_insert(insert);
    co_await part_ended.wait(clock::now() + poll_interval);
  }
}

void mover::engine::note_insert(protocol::lsn insert) {
  auto& figures = context.figures;
  figures.source_insert = insert;
  if (samples.size() < most_samples) samples.push_back({clock::now(), insert});
}

mover::mover(asio::any_io_executor executor, mover_settings settings)
    : engine_(std::make_shared<engine>(std::move(executor), std::move(settings))) {}

mover::~mover() { engine_->stop(); }

task<void> mover::run() {
  const auto self = engine_;
  struct stopper {
    engine& parts;
    ~stopper() { parts.stop(); }
  } at_end{*self};
  self->spawn(self, engine::all(self));
  while (self->running > 0) co_await self->part_ended.wait();
  if (self->failure) std::rethrow_exception(self->failure);
}

void mover::stop() { engine_->stop(); }

void mover::pause_copy() { engine_->context.paused = true; }

void mover::resume_copy() {
  engine_->context.paused = false;
  engine_->context.copy.notify();
}

void mover::set_throttle(double factor, std::string reason) {
  engine_->context.throttle_factor = std::clamp(factor, 0.01, 1.0);
  engine_->context.throttle_reason = std::move(reason);
  engine_->context.copy.notify();
}

mover_progress mover::progress() const {
  const auto& context = engine_->context;
  auto out = context.figures;
  out.copied = context.copied();
  out.rows_estimated = context.estimate_rows();
  if (context.decisions) out.held_bytes = context.decisions->held_bytes();
  if (out.copied) {
    out.throttle.clear();
    out.copy_bytes_per_second = 0;
  }
  auto& samples = engine_->samples;
  while (!samples.empty() && samples.front().insert <= out.applied) samples.pop_front();
  if (!samples.empty()) out.apply_lag = std::chrono::duration_cast<milliseconds>(clock::now() - samples.front().at);
  return out;
}

void mover::expect_marker(marker_token token) {
  engine_->expected = token;
  if (engine_->apply) engine_->apply->expect(token);
}

void mover::forget_marker() {
  engine_->expected.reset();
  if (engine_->apply) engine_->apply->forget();
}

task<std::optional<protocol::lsn>> mover::wait_marker(clock::time_point until) {
  const auto self = engine_;
  for (;;) {
    if (self->apply && self->apply->ended()) co_return self->apply->ended();
    if (self->context.stopping || clock::now() >= until) co_return std::nullopt;
    co_await self->context.marker.wait(until);
  }
}

}  // namespace migration
