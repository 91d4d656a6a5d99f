// How a session ends: its last words, what fails inside it, and what it gives back. Declared in proxy/session/session.h.
#include <fmt/format.h>

#include <algorithm>

#include "proxy/config/log.h"
#include "proxy/session/session.h"

namespace proxy {

namespace {
constexpr auto goodbye_time = std::chrono::seconds(1);

// Is what a server says in place of an answer true of everything that it was asked before? A time-out of clients that idle strikes before the
// next message is read, and an error of the statement's own (exit_on_error) undoes it; what comes from outside may find it committed.
bool is_certain(std::string_view code) {
  if (code == sqlstate::idle_session_timeout || code == sqlstate::idle_in_transaction_timeout) return true;
  constexpr std::string_view from_outside[] = {"08", "53", "57", "58", "XX"};
  return std::ranges::none_of(from_outside, [code](std::string_view kind) { return code.starts_with(kind); });
}

}  // namespace

// Once, and never in the middle of a message that is being passed on.
void session::fatal(protocol::notice why) {
  const bool can_be_told = !told_why_ && (!here_.server || here_.server->answers.at_boundary());
  closing_ = true;
  if (!can_be_told) return;
  if (here_.server) keep_passed();
  if (logged_in_) log_info("client {} (user {}, database {}): ended: {} ({})", pid_, user_, database_, why.message, why.sqlstate);
  protocol::append_error(out_, as_fatal(std::move(why)));
  told_why_ = true;
}

// What a server that is gone leaves of the client's work, as far as its last words tell.
struct session::loss {
  std::optional<protocol::notice> words;
  bool unread = false;      // it went before it had read anything of the client's
  bool block = false;       // a transaction block was open
  bool keeps = false;       // ... or state that outlives transactions may have been there
  bool whole = true;        // the client is not in the middle of a message
  bool may_commit = false;  // and nobody knows whether it has

  // A session that PostgreSQL ends is ended. A server that ends between two transactions of its pool ends none.
  bool ends_session() const { return keeps || (words && !(unread || (went_idle() && !block))); }
  bool went_idle() const { return words->sqlstate == sqlstate::idle_session_timeout; }
};

session::loss session::loss_of_server() const {
  const auto& server = *here_.server;
  loss it;
  it.words = server.answers.last_words();
  const bool in_order = it.words && it.words->severity != "WARNING";
  const bool begun = here_.status != protocol::transaction_status::idle || !elsewhere_.empty();
  it.unread = in_order && !begun && server.answers.is_at_put_in();
  it.block = !here_.borrowed && (unit_open_ ? unit_in_block_ : begun);
  it.keeps = server.pinned != 0 || here_.asking == question::leftovers;
  it.whole = here_.alone || server.answers.at_boundary();
  it.may_commit = unit_open_ && unit_may_commit_ && !it.unread && !(in_order && is_certain(it.words->sqlstate));
  return it;
}

// Nothing that may have committed is ever run again, and nobody is told that it failed (I5).
void session::server_lost(std::string_view why) {
  keep_passed();
  const auto it = loss_of_server();
  if (it.words) why = it.words->message;
  auto error = connection_broke(here_.server->shard_name, why);
  if (here_.asking == question::leftovers) error.hint = "The last transaction ended as it was answered; what it left in the session is not known. Connect again.";
  drop_server(why);
  if (it.may_commit) ++w_.counted.commits_unknown;
  if (!it.whole) return void(closing_ = true);  // nothing can be told
  if (it.may_commit) return fatal(commit_unknown(std::move(error)));
  if (it.ends_session()) return fatal(it.words ? *it.words : std::move(error));
  if (it.block) {
    held_.clear();
    held_.fail();
  }
  if (!unit_open_ || here_.alone) return void(lost_ = std::move(error));
  answer_error(error);
  if (pipeline_open_) skip_to_sync_ = true;
  else finish_alone();
}

// ... and what is open on other shards with it.
void session::drop_server(std::string_view why) {
  auto server = std::move(here_.server);
  const bool borrowed = here_.borrowed;
  here_.detach();
  here_.copy_in = false;
  skip_bytes_ += std::exchange(copy_bytes_, 0);
  if (server->pinned != 0) --w_.counted.pinned_now;
  forget_questions();
  here_.transaction.clear();
  here_.has = {};
  here_.unsynced = false;
  if (!borrowed) lose_branches();
  log_warning("shard {}: connection of client {} lost: {}", server->shard_name, pid_, why);
  server->home->discard(std::move(server));
  if (!borrowed) end_transaction();
}

// Of a server that is one of several, or not the one at hand: as PostgreSQL, which is one, would end.
protocol::notice session::broke(const server_connection& server, std::string_view why) {
  if (auto words = server.answers.last_words()) fatal(std::move(*words));
  return connection_broke(server.shard_name, why);
}

void session::leave_told() noexcept try {
  leave_told(w_.retired ? *w_.retired : make_error(sqlstate::admin_shutdown, "terminating connection: pgrotor is shutting down"));
} catch (...) {
  fail(std::current_exception());
}

void session::leave_told(protocol::notice why) noexcept try {
  const bool can_be_told = logged_in_ && !closing_ && replication_ == replication::none;
  if (can_be_told && !(unit_open_ && unit_may_commit_)) fatal(std::move(why));
  leave_now();
} catch (...) {
  fail(std::current_exception());
}

// Not waited for: it may be one of a flood.
void session::make_room() noexcept try {
  const bool can_be_told = !closing_ && (!client_.tls() || client_.tls()->ready());
  if (can_be_told) fatal(make_error(sqlstate::too_many_connections, "too many connections are logging in", "", "Connect again."));
  told_why_ = false;
  leave_now();
} catch (...) {
  fail(std::current_exception());
}

// A bug of pgrotor's ends the session that met it, and its server connection with it, which may be in any state.
void session::tell_failure(std::exception_ptr what) noexcept try {
  ++w_.counted.sessions_failed;
  log_failure(fmt::format("client {} (user {}, database {}): the session failed", pid_, user_, database_), what);
  if (here_.passed > 0) return;
  fatal(make_error(sqlstate::internal_error, "terminating connection because of an error inside pgrotor"));
  flush_client();
} catch (const std::exception& failure) {
  log_error("client {}: {}", pid_, failure.what());
}

void session::fail(std::exception_ptr what) noexcept {
  tell_failure(what);
  leave_now();
}

// The last words reach a client that reads; one that does not is not waited for. A client that is still sending would lose them to the
// reset that closing with unread input causes: what it sends is read and dropped.
task<void> session::say_goodbye() {
  const auto deadline = clock::now() + goodbye_time;
  bool in_time = true;
  while (client_output_pending() && in_time) {
    const bool moved = flush_client();
    if (moved) continue;
    client_.watch_write();
    in_time = co_await wake_.wait(deadline);
  }
  if (!told_why_) co_return;
  client_.shut_output();
  want_whole_ = 0;
  bool gone = false;
  while (!gone && in_time) {
    gone = client_.readable() && client_.read(in_).closed;
    in_.consume(in_.size());
    if (gone || client_.readable()) continue;
    client_.watch_read();
    in_time = co_await wake_.wait(deadline);
  }
}

void session::finish_session() noexcept {
  client_.close();
  queue_place_.abandon();
  if (given_) w_.give_back(std::move(given_));
  if (here_.server) {
    here_.server->socket.close();
    pin(0);
    auto* home = here_.server->home;
    if (home) home->discard(std::move(here_.server));
    else --w_.counted.servers_now, here_.server.reset();
  }
  lose_branches();
  leave_parked();
  end_transaction();
  unclaim();
  names_.clear();
  w_.shared.processes->leave_client(pid_);
  w_.session_ended(pid_);
}

}  // namespace proxy
