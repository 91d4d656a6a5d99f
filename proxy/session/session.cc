// The loop of one client: take a message when it is the client's turn, pass on what the server says, wait. Declared in proxy/session/session.h.
#include "proxy/session/session.h"

#include <malloc.h>

#include <algorithm>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include "proxy/counters/pins.h"
#include "proxy/net/crypto.h"

namespace proxy {

namespace {
constexpr std::size_t login_answers = 512;  // bytes, mostly
constexpr std::size_t server_backlog = 256u << 10;  // on its way to a server that reads slowly
}

session::session(services& w, int client_socket, std::int32_t pid, std::unique_ptr<channel> bytes)
    : w_(w), client_(w.io, client_socket, std::move(bytes)), wake_(w.io), pid_(pid), connected_(clock::now()), literals_(w.literals) {
  const auto random = random_bytes(key_.size());
  std::copy(random.begin(), random.end(), key_.begin());
  client_.listen(this);
  out_.reserve(login_answers);
}

task<void> session::run() {
  const auto self = shared_from_this();
  try {
    bool known = co_await greet();
    if (known) known = co_await authenticate();
    if (known) known = has_place();
    logged_in_ = known;
    if (known) w_.session_let_in(pid_);
    const bool console = known && is_console();
    if (console) co_await serve_console();
    else if (known && replication_ != replication::none) co_await serve_replication();
    else if (known) known = co_await welcome();
    if (known && !console && replication_ == replication::none) co_await serve();
    co_await say_goodbye();
  } catch (...) {
    tell_failure(std::current_exception());
  }
  finish_session();
}

task<void> session::serve() {
  clock_rest(clock::now());
  wake_.forget_alarm();
  while (!closing_) {
    if (held_up_ && !waiting_) {  // on_ready() may have left it
      co_await run_held_up();
      continue;
    }
    const auto next = serve_rounds();
    if (next == turn::again) co_await boost::asio::post(w_.io, boost::asio::use_awaitable);
    if (next != turn::wait) continue;
    resting_ = true;
    co_await wake_.wait();
    resting_ = false;
    if (rest_failed_) std::rethrow_exception(rest_failed_);
  }
}

// Most of what happens needs no coroutine, and is done before it would have been resumed.
void session::on_ready() {
  if (!resting_ || rest_failed_) return wake_.on_ready();
  auto next = turn::leave;
  try {
    next = serve_rounds();
  } catch (...) {
    rest_failed_ = std::current_exception();
  }
  if (next == turn::again) wake_.notify();
  if (next == turn::leave) wake_.on_ready();
}

session::turn session::serve_rounds() {
  for (int rounds = 0; rounds < rounds_in_a_row; ++rounds) {
    const bool moved = serve_once();
    if (closing_ || (held_up_ && !waiting_)) return turn::leave;
    if (moved) continue;
    watch_everything();
    return turn::wait;
  }
  return turn::again;
}

// True when there may be more to do.
bool session::serve_once() {
  flush_client();
  if (waiting_) return leave_queue();
  bool moved = here_.server && !client_output_pending() && server_may_move() && step_server() && here_.server;
  if (expired_) obey_time();
  if (held_up_) return true;  // a pipeline that was cut
  if (here_.asking != question::none && !client_output_pending()) end_overdue_question();
  if (killed_) obey_kill();
  if (!state_.parked.empty() && !client_output_pending() && step_parked()) moved = true;
  if (!elsewhere_.empty() && !unit_open_ && !client_output_pending() && step_elsewhere()) moved = true;
  if (leaving_ && !unit_open_ && status() == protocol::transaction_status::idle)
    fatal(make_error(sqlstate::admin_shutdown, "terminating connection: pgrotor is shutting down"));
  if (!closing_ && may_take() && has_input() && take_message()) moved = true;
  return flush_server() || moved || (client_output_pending() && client_.writable());
}

// step_server() has something to work on: input, an answer of the proxy's own, or the end of a loan.
bool session::server_may_move() const noexcept {
  return here_.server->socket.readable() || !here_.server->in.empty() || here_.closed || here_.borrowed || here_.server->answers.emits_wait();
}

// One message or pipeline at a time; while a pipeline is open, or the server waits for CopyData, the client goes on speaking.
bool session::may_take() const noexcept {
  if (out_.size() - out_at_ > byte_queue::block_size || here_.borrowed || here_.asking == question::leftovers || waiting_) return false;
  if (here_.server && here_.server->out.size() - here_.server->out_at >= server_backlog) return false;
  if (!unit_open_ && here_.server && here_.server->answers.is_at_put_in()) return false;  // a BEGIN that went ahead: it may have to be taken back
  if (here_.copy_in && !here_.server->answers.at_boundary()) return false;  // what is refused is told behind CopyInResponse
  if (query_waits_ && answers_are_missing()) return false;
  if (here_.server && here_.server->answers.in_doubt() && !here_.copy_in && copy_bytes_ == 0) return false;
  return !unit_open_ || pipeline_open_ || here_.copy_in || copy_bytes_ > 0;
}

void session::watch_everything() {
  if (client_output_pending()) client_.watch_write();
  if (may_take()) client_.watch_read();
  if (in_.empty()) in_.release_if_empty();
  if (!here_.server) return watch_parked();
  for (auto& other : elsewhere_) other.server->socket.watch_read();
  if (here_.server->output_pending()) here_.server->socket.watch_write();
  if (!client_output_pending()) here_.server->socket.watch_read();
}

// True when something was read, or the client is gone.
bool session::read_client() {
  if (!client_.readable()) return false;
  // As much of a message that is not gathered as is there: fewer system calls for as many bytes.
  const bool passes = copy_bytes_ > 0 || skip_bytes_ > 0;
  const auto result = client_.read(in_, std::max(want_whole_, passes ? in_.size_with(client_rest_) : 0));
  client_rest_ = result.rest;
  w_.counted.bytes_from_clients += result.bytes;
  if (result.closed) closing_ = true;
  return result.closed || result.bytes > 0;
}

// True when something was done.
bool session::take_message() {
  if (skip_bytes_ > 0) return skip_input();
  if (here_.copy_in || copy_bytes_ > 0) return forward() || (in_.size() < byte_queue::block_size && read_client());
  query_waits_ = false;
  if (in_.empty()) read_client();
  protocol::frame_header header;
  if (!next_frame(0, header)) return closing_ || read_client();
  if (skip_to_sync_ && header.type != 'S' && header.type != 'X' && header.type != 'p') return skip_frame(header);
  switch (header.type) {
    case 'X': return !wait_for_answers() && (closing_ = true);
    case 'd':
    case 'c':
    case 'f':
      // Outside of COPY they are ignored, as by PostgreSQL; whether it is one shows when what was flushed has been answered.
      return !wait_for_answers() && skip_frame(header);
    case 'p': return !wait_for_answers() && (fatal(make_error(sqlstate::protocol_violation, "unexpected password message")), true);
    case 'Q':
    case 'F': break;
    default: return take_pipeline();
  }
  const bool streamed = header.type == 'F' && is_streamed(header, 0);
  if (!streamed && !have_whole(header.size)) return closing_ || read_client();
  // In a pipeline without Sync it runs when all before it is known to have succeeded; after an error it would be skipped.
  if (wait_for_answers()) return false;
  if (streamed) skip_bytes_ = header.size - in_.size();
  taken(header.type, header.size - skip_bytes_, header.type == 'Q' && try_now('Q', in_.view().substr(0, header.size)));
  return true;
}

// Up to the last byte.
bool session::answers_are_missing() const noexcept {
  return here_.server && (!here_.server->answers.idle() || !here_.server->answers.at_boundary());
}

// The server says what came of the pipeline so far.
bool session::wait_for_answers() {
  query_waits_ = pipeline_open_ && answers_are_missing();
  if (query_waits_) protocol::append_flush(here_.server->out);
  return query_waits_;
}

void session::taken(char type, std::size_t size, bool done) {
  auto* awaited = std::exchange(awaited_, nullptr);
  if (!done) {
    held_up_ = type;
    held_up_size_ = size;
    if (awaited) queue_up(*awaited);
    return;
  }
  in_.consume(size);
  unclaim();
}

// Nothing but a server is missing: no coroutine is needed to wait for it.
void session::queue_up(pool& where) {
  waiting_ = true;
  where.enter(queue_place_);
  w_.deadlines.start(timed::server, question_place_, clock::now());
}

// The message that waits is sent with the server that it was given, where it still belongs there. False: it goes on waiting.
bool session::leave_queue() {
  if (!queue_place_.settled() && !cancelled_ && question_place_.is_linked()) return false;
  waiting_ = false;
  question_place_.unlink();
  auto got = queue_place_.leave(cancelled_);
  const char type = std::exchange(held_up_, 0);
  bool done = true;
  if ((given_ = std::move(got.server))) {
    done = try_now(type, in_.view().substr(0, held_up_size_));
    if (given_) w_.give_back(std::move(given_));
  } else {
    refuse_held_up(type, with_severity(std::move(got.failed), "ERROR"));
  }
  taken(type, held_up_size_, done);
  return true;
}

// Messages of the extended protocol are taken together, up to Sync or Flush: a pipeline that is held at the gate has sent nothing. One that
// has its shard is taken as it comes.
bool session::take_pipeline() {
  protocol::frame_header header;
  const auto all = in_.view();
  while (true) {
    const auto seen = protocol::read_header(all.substr(scanned_), protocol::peer::frontend, protocol::max_frame_size, header);
    if (seen == protocol::frame_error::need_more) return next_frame(scanned_, header), gather_more();
    const bool alone = header.type == 'Q' || header.type == 'F' || header.type == 'p' || header.type == 'X';
    if (seen != protocol::frame_error::none || alone) {
      header.type = 'H';  // what came before it is run as if a Flush had ended it
      break;
    }
    if (scanned_ + header.size > all.size()) {
      if (header.type == 'B' && is_streamed(header, scanned_)) return take_front(header);
      return have_whole(scanned_ + header.size), gather_more();
    }
    scanned_ += header.size;
    if (header.type == 'S' || header.type == 'H') break;
    if (scanned_ < most_gathered || !may_cut()) continue;
    header.type = 'H';
    break;
  }
  return run_gathered(header.type);
}

// Its place is known, whatever follows.
bool session::may_cut() const noexcept { return elsewhere_.empty() && (here_.server || held_.failed() || w_.map->shards().size() == 1); }

// What is there is run soon, though neither Sync nor Flush has come: PostgreSQL tells an error at once.
bool session::gather_more() {
  if (closing_ || read_client()) return true;
  if (scanned_ > 0 && !question_place_.is_linked() && may_cut()) w_.deadlines.start(timed::gathering, question_place_, clock::now());
  return false;
}

bool session::run_gathered(char end) {
  if (!have_whole(scanned_)) return true;
  question_place_.unlink();
  const auto whole = scanned_;
  bool done = true;
  if (skip_to_sync_) end_skipping();
  else done = batch_now(in_.view().substr(0, whole), end);
  const auto size = std::exchange(scanned_, 0);
  taken(size < whole ? 'H' : end, size, done);
  return true;
}

bool session::next_frame(std::size_t at, protocol::frame_header& header) {
  const auto seen = protocol::read_header(in_.view().substr(at), protocol::peer::frontend, protocol::max_frame_size, header);
  if (seen == protocol::frame_error::none) return true;
  if (seen != protocol::frame_error::need_more && wait_for_answers()) return false;
  if (seen == protocol::frame_error::bad_length) fatal(make_error(sqlstate::protocol_violation, "invalid message length"));
  if (seen == protocol::frame_error::unknown_type) fatal(make_error(sqlstate::protocol_violation, "invalid frontend message type"));
  want_whole_ = std::max(want_whole_, at + protocol::frame_header_size);
  return false;
}

bool session::have_whole(std::size_t bytes) {
  if (bytes > w_.settings.max_message_bytes) {
    fatal(make_error(sqlstate::program_limit, "message or pipeline too large",
                     "It has more than " + std::to_string(w_.settings.max_message_bytes) + " bytes.",
                     "Send smaller ones, or raise [limits] max_message_bytes."));
    return false;
  }
  want_whole_ = bytes;
  if (in_.size() < bytes) claim(bytes);
  return in_.size() >= bytes;
}

// Large messages and pipelines are gathered on account of all clients of the worker (I9).
void session::claim(std::size_t bytes) {
  if (bytes <= byte_queue::block_size || bytes <= claimed_) return;
  if (w_.gathered - claimed_ + bytes > w_.gather_limit())
    return fatal(make_error(sqlstate::out_of_memory_budget, "too many large messages at a time", "", "Retry, or send smaller ones."));
  w_.gathered += bytes - claimed_;
  claimed_ = bytes;
}

void session::unclaim() noexcept {
  if (claimed_ >= much_memory) malloc_trim(0);  // what its analysis took goes back to the system
  want_whole_ = 0;
  w_.gathered -= std::exchange(claimed_, 0);
}

bool session::skip_input() {
  if (in_.empty() && !read_client()) return false;
  const auto part = std::min(skip_bytes_, in_.size());
  in_.consume(part);
  skip_bytes_ -= part;
  return true;
}

bool session::skip_frame(const protocol::frame_header& header) {
  skip_bytes_ = header.size;
  scanned_ = 0;
  return true;
}

// Sync after an error: the server, if it took part, has been discarding messages too.
void session::end_skipping() {
  skip_to_sync_ = pipeline_open_ = false;
  if (!here_.server || here_.borrowed) return finish_alone();
  sync_server();
}

// Nothing is answered, and a wrong key takes as long as a right one: guessing costs the guesser only.
void session::cancel(std::string_view key) noexcept try {
  if (logged_in_ && equal_in_constant_time(key, cancel_key())) cancel_now();
} catch (...) {
  fail(std::current_exception());
}

void session::obey_signal(process_signal what) noexcept try {
  if (what == process_signal::cancel) return cancel_now();
  if (here_.server && unit_open_) cancel_running();  // or it would run to its end, and hold what it holds
  kill();
} catch (...) {
  fail(std::current_exception());
}

void session::cancel_now() {
  ++w_.counted.cancels;
  const bool runs = here_.server && unit_open_ && !(waiting_ && here_.server->answers.idle());
  if (runs) cancel_running();
  if (!waiting_) return;
  cancelled_ = true;
  wake_.notify();
}

// What was put in front of the client's own is not what is to be cancelled: without BEGIN the statement behind it would be committed at once.
void session::cancel_running() {
  const auto cancel_on = [this](branch& b) {
    if (!b.server->answers.is_at_put_in()) w_.cancel_on_server(*b.server);
  };
  cancel_on(here_);
  if (scattering_) std::for_each(elsewhere_.begin(), elsewhere_.end(), cancel_on);
}

void session::leave_when_idle() {
  leaving_ = true;
  wake_.notify();
}

void session::leave_now() noexcept {
  closing_ = leaving_ = cancelled_ = true;
  wake_.notify();
}

std::vector<std::optional<std::string>> session::describe() const {
  const auto now = clock::now();
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - connected_).count();
  const auto busy = unit_open_ ? std::chrono::duration_cast<std::chrono::microseconds>(now - unit_started_).count() : 0;
  const char* state = waiting_ ? "waiting" : here_.server || unit_open_ ? "active" : "idle";
  auto pins = here_.server ? here_.server->pinned : routing::state_bits{};
  for (const auto& server : state_.parked) pins = static_cast<routing::state_bits>(pins | server->pinned);
  return {std::to_string(pid_), user_, database_, application_, state, std::to_string(age), waiting_ ? std::to_string(busy) : "0",
          here_.server ? std::optional(here_.server->shard_name) : std::nullopt,
          here_.server ? std::optional(std::to_string(here_.server->cancels.key.pid)) : std::nullopt, std::to_string(names_.size()), client_.tls_version(),
          pins != 0 ? std::optional(pins_text(pins)) : std::nullopt};
}

}  // namespace proxy
