#include "migration/mover/applier.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "migration/base/log.h"
#include "migration/base/test_hooks.h"

namespace migration {

namespace pgoutput = protocol::pgoutput;

namespace {

constexpr std::size_t batch_changes = 2'000, batch_bytes = 1u << 20;
constexpr int stream_share = 2;  // a stream that lags gets up to this many times as long as a load took

auto to_milliseconds(clock::duration took) { return std::chrono::duration_cast<milliseconds>(took).count(); }

[[noreturn]] void fail_truncate(std::string_view table) {
  throw std::runtime_error(fmt::format("{} was truncated on the source; cancel the migration and start it again", table));
}

}  // namespace

applier::applier(mover_context& context, apply_target& session, change_source& stream)
    : context_(context), session_(session), stream_(stream), relations_(context.tables) {}

task<void> applier::run() {
  while (!context_.stopping) {
    look_for_end();
    if (ended_) {
      co_await context_.work.wait();
      continue;
    }
    const bool loaded = co_await load_ready();
    const bool applied = co_await apply_ready();
    if (!loaded && !applied && !context_.stopping) co_await context_.work.wait();
  }
}

// A table with another unique index waits until the stream has shown all that the chunk's snapshot saw: else a row of this chunk could
// meet one of another chunk that is still to be deleted.
task<bool> applier::load_ready() {
  auto& chunks = context_.chunks;
  const auto ready = std::find_if(chunks.begin(), chunks.end(), [&](const read_chunk& chunk) {
    return !context_.tables[chunk.slice.table].other_unique || context_.decisions->position() >= chunk.high;
  });
  if (ready == chunks.end() || !context_.decisions->may_load()) co_return false;
  auto chunk = std::move(*ready);
  chunks.erase(ready);
  co_await load(std::move(chunk));
  context_.copy.notify();
  co_return true;
}

task<void> applier::load(read_chunk chunk) {
  auto& decisions = *context_.decisions;
  auto& figures = context_.figures;
  const auto keys = chunk.slice.keys();
  const auto table = chunk.slice.table;
  const auto pending = decisions.pending(table, keys, chunk.seen, chunk.high);
  const load_position where{decisions.floor(), decisions.position(), commit_time_};
  const auto began = clock::now();
  const bool loaded = co_await session_.load(chunk, pending, relations_, where);
  if (!loaded) {
    decisions.abandon(chunk.read);
    context_.given_back.push_back(std::move(chunk.slice));
    co_return;
  }
  load_took_ = clock::now() - began;
  log_debug("migration {}: chunk of {}: {} rows, {} bytes, read in {} ms, loaded in {} ms with {} changes", context_.settings.migration,
            context_.tables[table].name(), chunk.rows, chunk.bytes.size(), to_milliseconds(chunk.read_took), to_milliseconds(load_took_),
            pending.size());
  figures.changes_applied += pending.size();
  decisions.load(table, keys, chunk.read, std::move(chunk.seen), chunk.high);
  ++context_.next_chunk_number[table];
  --context_.unloaded;
  context_.count_loaded(table, chunk.rows, chunk.bytes.size(), chunk.scanned);
  confirm();
}

task<bool> applier::apply_ready() {
  const auto until = clock::now() + stream_share * load_took_;
  bool any = false;
  while (stream_.ready() && !ended_ && !context_.stopping) {
    any = true;
    co_await take(stream_.pop());
    const bool full = session_.queued() >= batch_changes || session_.queued_bytes() >= batch_bytes;
    if (inside_transaction_) {
      if (full) co_await session_.verify();
      if (!stream_.ready()) co_await wait_for_rest();
    } else if (const bool drained = !stream_.ready(); full || halting_ || drained) {
      co_await finish_batch();
      if (!context_.chunks.empty() && (drained || clock::now() >= until)) break;
    }
  }
  co_return any;
}

task<void> applier::wait_for_rest() {
  while (!stream_.ready() && !context_.stopping) co_await context_.work.wait();
}

task<void> applier::finish_batch() {
  if (session_.in_transaction()) {
    PGROTOR_STOP_POINT("mover.batch");
    co_await session_.commit(context_.decisions->position(), commit_time_);
    context_.figures.changes_applied += std::exchange(queued_changes_, 0);
    PGROTOR_STOP_POINT("mover.applied");
  }
  look_for_end();
  confirm();
}

// Called with nothing open on the target. A marker that passed before it was expected counts too: its token is unique to the attempt.
void applier::look_for_end() {
  const bool expected = last_ && expected_ && last_->token == *expected_;
  if (ended_ || (!halting_ && !expected)) return;
  halting_ = false;
  ended_ = last_;
  context_.marker.notify();
}

// Called with nothing open on the target: the whole position is durable there. The expected marker stays behind the confirmed
// position, so that a successor finds it again.
void applier::confirm() {
  const auto& decisions = *context_.decisions;
  context_.figures.applied = decisions.position();
  stream_.confirm(ended_ ? std::min(ended_->commit, decisions.floor()) : decisions.floor());
}

// Views in what is decoded stay valid when the payload is moved: it was cut from a longer message and lives on the heap.
task<void> applier::take(stream_item item) {
  if (item.payload.empty()) {
    if (!inside_transaction_) context_.decisions->advance(item.position);
    co_return;
  }
  const auto decoded = pgoutput::decode(item.payload);
  if (!decoded) throw std::runtime_error("the source sent a change that cannot be read");
  if (const auto* begin = std::get_if<pgoutput::begin>(&*decoded)) {
    transaction_ = {begin->xid, begin->final_lsn};
    inside_transaction_ = true;
  } else if (const auto* commit = std::get_if<pgoutput::commit>(&*decoded)) {
    take_commit(*commit);
  } else if (const auto* relation = std::get_if<pgoutput::relation>(&*decoded)) {
    relations_.add(*relation);
  } else if (const auto* message = std::get_if<pgoutput::message>(&*decoded)) {
    take_message(*message);
  } else if (std::holds_alternative<pgoutput::truncate>(*decoded)) {
    fail_truncate("a table under migration");
  } else {
    co_await take_row(*decoded, std::move(item.payload));
  }
}

void applier::take_commit(const pgoutput::commit& commit) {
  inside_transaction_ = false;
  commit_time_ = commit.commit_time;
  context_.decisions->advance(commit.end_lsn);
  if (!met_) return;
  last_ = passed_marker{*met_, commit.commit_lsn, commit.end_lsn};
  halting_ = counts(*met_);
  met_.reset();
}

// Only the current attempt's marker ends the history: a retried cutover leaves older ones in the stream.
bool applier::counts(const marker_token& token) const {
  if (!expected_) return false;
  return token == *expected_ || (test_hooks::broken("stale_marker") && token.migration == expected_->migration);
}

void applier::take_message(const pgoutput::message& message) {
  if (!message.transactional) return;
  const auto mine = fmt::format("{}:", context_.settings.migration);
  if (message.prefix == truncate_prefix && message.content.starts_with(mine)) fail_truncate(message.content.substr(mine.size()));
  if (message.prefix != marker_prefix) return;
  if (const auto token = parse_marker(message.content)) met_ = *token;
}

task<void> applier::take_row(const pgoutput::change& decoded, std::string message) {
  const auto change = read_row_change(decoded, relations_, context_);
  if (!change) co_return;
  PGROTOR_STOP_POINT("mover.event");
  decide(*change, std::move(message));
}

void applier::decide(const row_change& change, std::string message) {
  const auto& decisions = *context_.decisions;
  const auto judge = [&](const std::string& key) { return decisions.judge(change.table, key, transaction_); };
  if (change.has_old && change.has_new && !change.moved)
    return settle(change, change_part::whole, change.new_key, judge(change.new_key), std::move(message));
  const auto old_verdict = change.old_inside ? judge(change.old_key) : verdict::skip;
  const auto new_verdict = change.new_inside ? judge(change.new_key) : verdict::skip;
  if (change.moved && old_verdict == verdict::apply && new_verdict == verdict::apply)
    return settle(change, change_part::whole, change.new_key, verdict::apply, std::move(message));
  if (change.old_inside) settle(change, change_part::delete_old, change.old_key, old_verdict, message);
  if (change.new_inside) settle(change, change_part::insert_new, change.new_key, new_verdict, std::move(message));
}

void applier::settle(const row_change& change, change_part part, const std::string& key, verdict judged, std::string message) {
  auto& figures = context_.figures;
  if (judged == verdict::apply) {
    session_.queue(change, part, std::move(message));
    ++queued_changes_;
  } else if (judged == verdict::hold) {
    held_change held{change.table, key, transaction_, part, std::move(message)};
    context_.decisions->hold(std::move(held));
    ++figures.changes_held;
  } else {
    ++figures.changes_skipped;
  }
}

void applier::expect(marker_token token) {
  if (ended_ && !(ended_->token == token)) ended_.reset();
  expected_ = token;
  context_.work.notify();
}

void applier::forget() {
  expected_.reset();
  ended_.reset();
  context_.work.notify();
}

}  // namespace migration
