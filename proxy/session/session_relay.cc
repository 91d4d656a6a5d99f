// Bytes between client and server, what the end of an answer means for the transaction, and what becomes of a client whose server goes
// away. Declared in proxy/session/session.h.
#include <fmt/format.h>

#include <algorithm>

#include "proxy/config/log.h"
#include "proxy/session/session.h"

namespace proxy {

using protocol::transaction_status;

namespace {
constexpr std::size_t kept_output = 64u << 10;
}  // namespace

transaction_status session::status() const noexcept { return here_.server && !here_.borrowed ? here_.status : held_.status(); }

void session::begin_unit() {
  unit_open_ = true;
  unit_started_ = clock::now();
  unit_in_block_ = status() != transaction_status::idle;
  unit_writes_ = unit_may_commit_ = unit_misreads_ = cancelled_ = false;
  unit_says_ = said_in_unit::nothing;
  prepared_on_.clear();
  clock_work();
}

bool session::flush_client() {
  if (!client_output_pending()) return false;
  const auto pending = std::string_view(out_).substr(out_at_);
  const auto relayed = here_.passed > 0 ? here_.server->in.view().substr(0, here_.passed) : std::string_view();
  const iovec pieces[] = {{const_cast<char*>(pending.data()), pending.size()}, {const_cast<char*>(relayed.data()), relayed.size()}};
  const auto result = client_.write(std::span(pieces).subspan(pending.empty() ? 1 : 0, pending.empty() || relayed.empty() ? 1 : 2));
  if (result.closed) {  // nobody reads any more
    closing_ = true;
    out_.clear();
    out_at_ = 0;
    if (here_.server) here_.server->in.consume(std::exchange(here_.passed, 0));
    return true;
  }
  w_.counted.bytes_to_clients += result.bytes;
  const auto own = std::min(result.bytes, pending.size());
  out_at_ += own;
  if (const auto theirs = result.bytes - own) {
    here_.server->in.consume(theirs);
    here_.passed -= theirs;
  }
  if (out_at_ == out_.size()) {
    out_.clear();
    out_at_ = 0;
    if (out_.capacity() > kept_output) out_.shrink_to_fit();
  }
  return result.bytes > 0;
}

bool session::flush_server() {
  if (!here_.server || !here_.server->output_pending()) return false;
  const auto result = here_.server->flush();
  if (!result.closed) return result.bytes > 0;
  // What the server said before it went comes first; the end of its input then tells that it is gone.
  here_.server->out.clear();
  here_.server->out_at = 0;
  return true;
}

// Reads what the server has sent and passes it on. Only called when the client has taken everything before.
bool session::step_server() {
  bool moved = false;
  if (here_.server->socket.readable() && here_.server->in.size() < here_.whole + byte_queue::block_size) {
    // As much of a large result as is there: fewer system calls for as many bytes.
    const auto result = here_.server->socket.read(here_.server->in, std::max(here_.whole, here_.server->in.size_with(here_.rest)));
    here_.rest = result.rest;
    if (result.closed && here_.server->in.empty()) return server_lost("The shard closed the connection."), true;
    here_.closed = result.closed;
    moved = result.bytes > 0;
  }
  const auto before = out_.size();
  const auto step = here_.server->answers.feed(here_.server->in.view(), out_);
  here_.server->in.consume(step.used - step.run.size());
  here_.passed = step.run.size();
  here_.whole = step.whole;
  moved = moved || step.used > 0 || out_.size() > before;
  take_asides(*here_.server);
  on_step(step);
  if (here_.server && here_.closed && !moved) return server_lost("The shard closed the connection."), true;
  return moved;
}

void session::on_step(const exchange::step& step) {
  switch (step.what) {
    case exchange::event::need_more:
      if (here_.borrowed && here_.server->answers.idle() && !here_.server->output_pending()) release_server();
      return;
    case exchange::event::error: return on_error_relayed();
    case exchange::event::ready: return finish_unit(step);
    case exchange::event::captured: return on_captured(step.status);
    case exchange::event::copy_in:
      here_.copy_in = true;
      here_.copy_simple = here_.server->answers.has(request::query);
      query_waits_ = false;  // what waits for the pipeline's answers has come into the COPY
      return;
    case exchange::event::put_in_failed: return on_put_in_failed();
    case exchange::event::fatal: return server_lost("The shard ended the connection.");
    case exchange::event::unexpected: return server_lost("The shard sent a message that does not belong here.");
  }
}

void session::on_error_relayed() {
  ++w_.counted.errors_from_shards;
  auto& answers = here_.server->answers;
  const auto& skipped = answers.skipped();
  for (auto one = skipped.rbegin(); one != skipped.rend(); ++one) {
    names_.undo(one->undo);
    if (one->what == request::parse && one->statement != 0) here_.server->statements.forget(one->statement);
    if (one->what == request::parse && one->statement == 0) here_.server->statements.unnamed = 0;
    if (one->what == request::close && one->statement != 0) here_.server->statements.add(one->statement);
  }
  // PostgreSQL drops the unnamed statement before it parses its successor.
  const bool parsed = !skipped.empty() && skipped.front().what == request::parse && skipped.front().how == fate::relay;
  if (parsed && skipped.front().statement == 0) names_.erase("");
  // A statement that the server lost or can no longer run under its name.
  if (answers.sqlstate() == sqlstate::feature_not_supported || answers.sqlstate() == sqlstate::invalid_statement_name)
    here_.server->reprepare |= here_.server->statements.size() > 0;
  // The primary has become a standby, or was made read only: the next transaction looks for the one that writes.
  if (answers.sqlstate() == sqlstate::read_only_transaction && here_.server->must_write) here_.server->leaving = true;
  if (!here_.borrowed) here_.transaction.note_failure(), here_.unbound = false;
  if (unit_says_ == said_in_unit::savepoints) log_.lose_savepoints();
  else if (unit_says_ == said_in_unit::several) log_.lose();
  here_.map_after_end.reset();
  if (here_.borrowed && held_.open()) held_.fail();
  // What the client still sends for the COPY is for nobody. A simple query ends by itself.
  if (std::exchange(here_.copy_in, false) && !here_.copy_simple) pipeline_open_ = true;
  if (pipeline_open_) skip_to_sync_ = true;
  send_fence();
}

// Without the BEGIN in front of it, the client's statement is run on its own, and committed at once.
void session::on_put_in_failed() {
  if (!unit_in_block_) return void(here_.server->unusable = true);
  const auto why = protocol::decode_notice(std::string_view(here_.server->answers.put_in_error()).substr(protocol::frame_header_size));
  unit_may_commit_ = unit_may_commit_ || unit_writes_;
  server_lost(fmt::format("The transaction could not be begun: {}.", why ? why->message : "the shard does not say why"));
}

// Never in the middle of a message that is being passed on.
void session::send_fence() {
  if (copy_bytes_ > 0 || !here_.server->answers.needs_fence()) return;
  protocol::append_sync(here_.server->out);
  protocol::append(here_.server->out, protocol::query{""});
  here_.server->statements.unnamed = 0;
  here_.server->answers.fence();
}

void session::append_ready(transaction_status status) {
  if (told_why_) return;  // nothing comes behind the last words
  if (status == transaction_status::idle) tell_notifications();
  tell_changes(std::exchange(state_.reset_to, nullptr));
  if (here_.server && here_.server->reported != state_.told) tell_changes(here_.server->reported);
  if (!generation_is_told()) {
    generation_told_ = w_.map->number();
    const auto number = std::to_string(generation_told_.value);
    protocol::append(out_, protocol::parameter_status{"pgrotor.generation", number});
  }
  protocol::append(out_, protocol::ready_for_query{status});
}

// The server has answered everything up to Sync, or a simple query. The client gets its answer before the server is given away.
void session::finish_unit(const exchange::step& step) {
  const auto status = step.status;
  here_.copy_in = false;
  if (!here_.borrowed) here_.status = status;
  const bool over = here_.borrowed || status == transaction_status::idle;
  if (!step.ready_in_run || here_.borrowed || !generation_is_told() || here_.server->reported != state_.told || state_.reset_to || !state_.notifications.empty()) {
    const auto replaced = step.ready_in_run ? exchange::ready_size : 0;
    here_.passed -= replaced;
    keep_passed();
    here_.server->in.consume(replaced);
    append_ready(here_.borrowed ? held_.status() : status);
  }
  if (here_.map_after_end) renew_snapshot();
  names_.settle();
  claims_.clear();
  unit_open_ = pipeline_open_ = skip_to_sync_ = here_.unsynced = false;
  const auto now = clock::now();
  const auto took = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now - unit_started_).count());
  w_.counted.statement_done(took);
  w_.latency.add(now, took);
  flush_client();
  if (over) {
    keep_passed();
    ++w_.counted.transactions;
    if (here_.borrowed) release_server();
    else finish_transaction();
  }
  clock_rest(now);
}

// An answer that needed no server.
void session::finish_alone() {
  answer_alone();
  begin_where_it_listens();
}

void session::answer_alone() {
  append_ready(status());
  names_.settle();
  claims_.clear();
  unit_open_ = pipeline_open_ = skip_to_sync_ = false;
  if (!here_.server && held_.status() == transaction_status::idle) portals_.clear();
  flush_client();
  clock_rest(clock::now());
}

// Notifications wait in PostgreSQL's queue while a listener's transaction is open: its server has to know of it.
void session::begin_where_it_listens() {
  if (unit_open_ || closing_ || here_.server || !held_.open() || held_.failed()) return;
  const auto found = std::ranges::find_if(state_.parked, [](const auto& one) { return (one->pinned & routing::state::listening) != 0; });
  if (found == state_.parked.end() || !attach_now((*found)->shard)) return;
  put_held_in_front();
  here_.status = transaction_status::in_transaction;
}

void session::answer_error(const protocol::notice& why) {
  if (told_why_) return;  // what waited when the session was ended is not told that it was cancelled
  keep_passed();
  ++w_.counted.errors_by_proxy;
  if (!here_.server && held_.open()) held_.fail();
  protocol::append_error(out_, why);
}

void session::end_transaction() noexcept {
  portals_.clear();
  holds_since_.reset();
  if (touched_ == 0) return;
  w_.gate.transaction_ended(std::exchange(touched_, 0));
  w_.touching_transaction_ended();
}

// What was to be relayed from the server's buffer moves to the session's own.
void session::keep_passed() {
  if (here_.passed == 0) return;
  out_.append(here_.server->in.view().substr(0, here_.passed));
  here_.server->in.consume(std::exchange(here_.passed, 0));
}

void session::release_server() {
  keep_passed();
  forget_questions();
  auto server = std::move(here_.server);
  const bool borrowed = here_.borrowed;
  here_.detach();
  if (!borrowed) end_transaction();
  server->unusable = server->unusable || copy_bytes_ > 0;  // half a message
  skip_bytes_ += std::exchange(copy_bytes_, 0);
  if (!server->in.empty()) hear_rest(*server);
  if (!unit_open_ && status() == transaction_status::idle) tell_notifications();
  // Answers that nobody asked for would reach the next session.
  server->unusable = server->unusable || !server->answers.idle() || server->output_pending();
  if (server->pinned == 0) return w_.give_back(std::move(server));
  if (!server->unusable) return park(std::move(server));
  state_lost(*server, "It was left in an unknown state.");
  --w_.counted.pinned_now;
  server->home->discard(std::move(server));
}

// What came behind the answer, in the same read: notifications, notices, parameters. Half of one goes on being read where the client keeps
// the server.
void session::hear_rest(server_connection& server) {
  const auto rest = server.answers.feed(server.in.view(), out_);
  out_.append(rest.run);
  server.in.consume(rest.used);
  take_asides(server);
  server.unusable = server.unusable || rest.what != exchange::event::need_more || (!server.in.empty() && server.pinned == 0);
}

// Without a server nobody waits for one's answer.
void session::forget_questions() noexcept {
  here_.asking = question::none;
  question_place_.unlink();
}

// CopyData and the rest of a large message go on as they come, whatever their length; CopyDone and CopyFail end a COPY.
bool session::forward() {
  const auto all = in_.view();
  const bool during_copy = here_.copy_in;
  std::size_t at = 0;
  bool moved = false;
  while (!closing_ && at < all.size()) {
    const auto part = std::min(copy_bytes_, all.size() - at);
    at += part;
    copy_bytes_ -= part;
    if (part > 0) continue;
    if (!here_.copy_in) break;
    protocol::frame_header header;
    const auto seen = protocol::read_header(all.substr(at), protocol::peer::frontend, protocol::max_frame_size, header);
    if (seen == protocol::frame_error::need_more) break;
    if (at > 0 && header.type != 'd') break;  // first what came before it
    if (seen != protocol::frame_error::none || !take_copy_frame(header)) refuse_copy_frame(all[at]);
    moved = true;
    if (copy_bytes_ == 0) break;
  }
  if (at == 0) return moved;
  here_.server->send(all.substr(0, at));
  in_.consume(at);
  if (!during_copy) clock_arrival();
  if (copy_bytes_ > 0) return true;
  send_fence();
  // Whether it ended well decides about the Syncs before, and is waited for: nothing else would make the server say it.
  if (!here_.copy_in && pipeline_open_ && here_.server->answers.in_doubt()) protocol::append_flush(here_.server->out);
  return true;
}

// As PostgreSQL does, which has no way back from there.
void session::refuse_copy_frame(char type) {
  keep_passed();
  answer_error(make_error(sqlstate::protocol_violation, fmt::format("unexpected message type 0x{:02X} during COPY from stdin",
                                                                    static_cast<unsigned>(static_cast<unsigned char>(type)))));
  fatal(make_error(sqlstate::protocol_violation, "terminating connection because protocol synchronization was lost"));
}

bool session::take_copy_frame(const protocol::frame_header& header) {
  switch (header.type) {
    case 'c':
    case 'f':
      // What follows is no longer meant for the COPY: in the extended protocol the rest of a pipeline, else the next query.
      here_.copy_in = false;
      pipeline_open_ = !here_.copy_simple;
      [[fallthrough]];
    case 'd': copy_bytes_ = header.size; return true;
    case 'S': here_.server->answers.doubt_sync(); [[fallthrough]];
    case 'H':
      // The server ignores them, unless the COPY has failed already: it has to see them too.
      copy_bytes_ = header.size;
      return header.size == protocol::frame_header_size;
    default: return false;
  }
}

}  // namespace proxy
