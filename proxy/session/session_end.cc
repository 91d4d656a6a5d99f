// How a session ends: its last words, what fails inside it, and what it gives back. Declared in proxy/session/session.h.
#include <fmt/format.h>

#include "proxy/config/log.h"
#include "proxy/session/session.h"

namespace proxy {

namespace {
constexpr auto goodbye_time = std::chrono::seconds(1);
}

void session::fatal(protocol::notice why) {
  if (here_.server) keep_passed();
  if (logged_in_) log_info("client {} (user {}, database {}): ended: {} ({})", pid_, user_, database_, why.message, why.sqlstate);
  protocol::append_error(out_, as_fatal(std::move(why)));
  closing_ = told_why_ = true;
}

void session::leave_told() noexcept try {
  leave_told(w_.retired ? *w_.retired : make_error(sqlstate::admin_shutdown, "terminating connection: pgrotor is shutting down"));
} catch (...) {
  fail(std::current_exception());
}

void session::leave_told(protocol::notice why) noexcept try {
  const bool can_be_told = logged_in_ && !closing_ && replication_ == replication::none && (!here_.server || here_.server->answers.at_boundary());
  if (can_be_told && !(unit_open_ && unit_may_commit_)) fatal(std::move(why));
  leave_now();
} catch (...) {
  fail(std::current_exception());
}

// A bug of pgrotor's ends the session that met it, and its server connection with it, which may be in any state.
void session::tell_failure(std::exception_ptr what) noexcept try {
  ++w_.counted.sessions_failed;
  log_failure(fmt::format("client {} (user {}, database {}): the session failed", pid_, user_, database_), what);
  if (here_.passed > 0 || (here_.server && !here_.server->answers.at_boundary())) return;
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
  w_.session_ended(pid_);
}

}  // namespace proxy
