// Time-outs of a client, and its end by the console (KILL). The worker's tick says that time is up; the session's own loop obeys.
// SQLSTATEs and words are PostgreSQL's. Declared in proxy/session/session.h.
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "migration/base/test_hooks.h"
#include "proxy/session/session.h"

namespace proxy {

using protocol::transaction_status;

// The client's message has come.
void session::clock_work() {
  w_.deadlines.start(timed::statement, unit_place_, unit_started_);
  if (!transaction_place_.is_linked()) w_.deadlines.start(timed::transaction, transaction_place_, unit_started_);
}

// More of a large message has come: its time counts from its end, as that of a message which is gathered.
void session::clock_arrival() {
  unit_started_ = clock::now();
  clock_work();
}

// It is the client's turn.
void session::clock_rest(clock::time_point now) {
  const bool idle = status() == transaction_status::idle;
  if (idle) transaction_place_.unlink();
  if (idle) state_.block_since.reset();
  else if (!state_.block_since) state_.block_since = unit_started_;
  w_.deadlines.start(idle ? timed::client_idle : timed::idle_in_transaction, unit_place_, now, own_limit(now));
}

// As SET, the role, the database or the startup packet have them.
const client_timeouts& session::own_timeouts() {
  const auto* home = pool_for(w_.map->default_shard());
  return state_.timeouts.of(state_.wanted, home ? home->timeouts() : client_timeouts());
}

// How long the client may idle from now on. Where its transaction has one server, that says so.
std::chrono::milliseconds session::own_limit(clock::time_point now) {
  if (here_.asking == question::leftovers) return {};  // it may have set another time
  if (state_.block_since && here_.server && elsewhere_.empty()) return {};
  const auto& own = own_timeouts();
  if (!state_.block_since) return own.idle_session;
  if (own.transaction.count() == 0) return own.idle_in_transaction;
  const auto left = std::max(own.transaction - std::chrono::duration_cast<std::chrono::milliseconds>(now - *state_.block_since), std::chrono::milliseconds(1));
  return own.idle_in_transaction.count() == 0 ? left : std::min(left, own.idle_in_transaction);
}

// The server is asked something on the proxy's own account. What stands in front of the client's statement takes of that one's time.
void session::clock_question() {
  if (may_end_question()) w_.deadlines.start(timed::question, question_place_, clock::now());
}

bool session::may_end_question() const noexcept { return here_.asking == question::leftovers || may_give_server_up(); }

// It has nothing of the client's.
bool session::may_give_server_up() const noexcept {
  const bool apart = here_.asking == question::prepared || (here_.asking == question::aside && here_.borrowed);
  return apart && here_.server->pinned == 0;
}

// Whose time is up stands in no list any more. True: the server has not answered, and is given up. What is in its socket is looked at
// first: nobody reads it while the client does not take what came before, and a worker that stood still itself is late for all of them.
// Who has been asked what a transaction has left stays with the client, and is not waited for any longer.
bool session::end_overdue_question() {
  if (!here_.server || here_.asking == question::none || question_place_.is_linked() || !may_end_question()) return false;
  if (!here_.server->socket.quiet()) return clock_question(), false;
  if (here_.asking == question::leftovers) {
    if (here_.server->output_pending()) return clock_question(), false;
    return park_unheard(), true;
  }
  server_lost("The shard did not answer a question of pgrotor's within [pool] connect_timeout_ms.");
  return true;
}

// From the worker's tick. Waits for a pool or a gate end as if cancelled; everything else is for the loop.
void session::time_is_up(timed kind) noexcept try {
  note_time(kind);
} catch (...) {
  fail(std::current_exception());
}

void session::note_time(timed kind) {
  if (kind == timed::question || kind == timed::server) return wake_.notify();
  if (waiting_) cancelled_ = true;
  if (kind != timed::statement) expired_ = kind;
  else cancel_overdue();
  wake_.notify();
}

void session::cancel_overdue() {
  ++w_.counted.timeouts_statement;
  if (!here_.server || !unit_open_) return;
  cancel_running();
  w_.deadlines.start(timed::obey, unit_place_, clock::now());
}

void session::obey_time() {
  const bool idle = status() == transaction_status::idle;
  switch (*std::exchange(expired_, std::nullopt)) {
    case timed::statement:
    case timed::question:
    case timed::server: return;
    case timed::gathering:
      if (scanned_ > 0 && may_take() && may_cut()) run_gathered('H');
      return;
    case timed::obey: return end_disobedience();
    case timed::idle_in_transaction:
      if (!unit_open_ && !idle) end_idle_transaction();
      return;
    case timed::transaction: return end_overdue_transaction();
    case timed::client_idle:
      if (unit_open_ || !idle) return;
      ++w_.counted.timeouts_client_idle;
      return fatal(make_error(sqlstate::idle_session_timeout, "terminating connection due to idle-session timeout"));
  }
}

// The cancel of an overdue statement has changed nothing. It could not, where the server waits for the rest of a message.
void session::end_disobedience() {
  if (!here_.server || !unit_open_) return;
  server_lost(copy_bytes_ > 0 && !here_.copy_in ? "The shard took no more of a large message for [timeouts] query_ms, and did not obey a cancel."
                                           : disobedient);
}

void session::end_idle_transaction() {
  const auto limit = own_timeouts().transaction;
  if (limit.count() > 0 && *state_.block_since + limit <= unit_place_.due) return end_overdue_transaction();
  ++w_.counted.timeouts_idle_in_transaction;
  fatal(make_error(sqlstate::idle_in_transaction_timeout, "terminating connection due to idle-in-transaction timeout"));
}

// A commit under way is waited for: nobody is told that it failed when it may not have (I5).
void session::end_overdue_transaction() {
  if (unit_open_ && unit_may_commit_) return;
  ++w_.counted.timeouts_transaction;
  if (here_.server && unit_open_) cancel_running();
  fatal(make_error(sqlstate::transaction_timeout, "terminating connection due to transaction timeout"));
}

void session::kill() noexcept try {
  if (waiting_) return leave_told(terminated());
  killed_ = true;
  wake_.notify();
} catch (...) {
  fail(std::current_exception());
}

void session::obey_kill() {
  killed_ = false;
  if (migration::test_hooks::broken("session_fails")) throw std::runtime_error("session_fails");
  fatal(terminated());
}

}  // namespace proxy
