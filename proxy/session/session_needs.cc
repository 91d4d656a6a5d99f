// What the message at hand lacks before it can be sent, and how that is had. One piece of code decides a message (try_query, try_call, try_batch):
// it sends it, or says the first thing that is missing. After each wait the message is decided anew by the same code, as the map, a gate, a pool
// or the transaction may have changed meanwhile; where nothing is missing there is no coroutine. Declared in proxy/session/session.h.
#include "proxy/session/session.h"

namespace proxy {

namespace {

protocol::notice row_locks_refused() {
  return make_error(sqlstate::not_one_shard, "row locks on keys that are being moved are not possible",
                    "A migration moves the range of this key; FOR UPDATE and FOR SHARE on it are refused until it is done.",
                    "Lock by writing (UPDATE), or retry after the migration.");
}

}  // namespace

need session::attempt(char type, std::string_view frame, choice& c) {
  switch (type) {
    case 'Q': return try_query(frame, c);
    case 'F': return try_call(frame, c);
    default: return try_batch(type, c);
  }
}

// False: it lacks something, and waits in the queue of a pool (queue_up) or goes on in run_held_up().
bool session::try_now(char type, std::string_view frame) {
  choice c;
  return attempt(type, frame, c) == need::nothing;
}

// What could not be sent at once. Most messages can, and cost no coroutine.
task<void> session::run_held_up() {
  const char type = std::exchange(held_up_, 0);
  const auto frame = in_.view().substr(0, held_up_size_);
  while (!closing_ && !done_.over) {
    choice c;
    const auto lacking = attempt(type, frame, c);
    awaited_ = nullptr;  // it is waited for in here
    if (lacking == need::nothing) break;
    auto why = co_await provide(lacking, c, type, frame);
    if (!why || closing_) continue;
    refuse_held_up(type, std::move(*why));
    break;
  }
  if (given_) w_.give_back(std::move(given_));
  done_ = {};
  in_.consume(held_up_size_);
  unclaim();
}

void session::refuse_held_up(char type, protocol::notice why) {
  if (done_.gone_back) log_.lose_savepoints();  // the others have gone back, this one has not
  if (type == 'Q' || type == 'F') return refuse_query(why);
  cut_batch(0, std::move(why));
  send_batch(type);
}

// Of a message that is placed, in this order. With `nothing` and c.refused it is not to be sent.
need session::lacks(choice& c) {
  if (!c.refused && w_.retired) c.refused = w_.retired;
  if (c.refused) return need::nothing;
  if (!c.scatter.empty()) return need::scatter;
  const bool attached = here_.server && !here_.borrowed;
  if (attached && must_move(c)) return need::move;
  if (!w_.gate.nothing_known() && !c.touches.empty()) {
    const auto bits = w_.gate.bits_of(c.touches);
    switch (w_.gate.judge(bits, c.row_locks, attached_shards(), holds_since_)) {
      case gate_book::verdict::pass:
        if (attached || bits == 0 || !w_.lapsed()) break;
        [[fallthrough]];
      case gate_book::verdict::wait: return need::gate;
      case gate_book::verdict::refuse_row_locks: return c.refused = row_locks_refused(), need::nothing;
    }
  }
  if (!attached) {
    if (!attach_now(shard_for(c), c.sequence_values)) return need::server;
  } else {
    if (must_branch(c)) return need::branch;
    if (c.arrived) return need::snapshot;
    if (!done_.gone_back && !elsewhere_.empty() && must_go_back(c)) return need::going_back;
  }
  if (!c.executes.empty() || c.sequence_values) c.refused = prepare_for(c);
  return need::nothing;
}

// Afterwards the message is decided anew, unless it is over. A notice refuses it.
task<std::optional<protocol::notice>> session::provide(need lacking, const choice& c, char type, std::string_view frame) {
  switch (lacking) {
    case need::nothing: co_return std::nullopt;
    case need::end:
      done_.over = true;
      if (type == 'Q') co_await end_by_query(frame);
      else co_await end_by_batch(type);
      co_return std::nullopt;
    case need::prepared_shard: done_.gids = true; co_return co_await find_prepared_of(type, frame);
    case need::types: done_.types = true; co_return co_await learn_types();
    case need::clients: done_.clients = true; co_return co_await answer_calls(type, frame);
    case need::name: co_return co_await claim_names_of(type, frame);
    case need::scatter: {
      if (type == 'Q') co_return co_await scatter_query(c, frame);
      auto failed = co_await run_scattered(c, false);
      if (done_.over) batch_.clear();
      co_return failed;
    }
    case need::move: co_return co_await leave_shard();
    case need::gate: co_return co_await hold_at_gate(w_.gate.bits_of(c.touches));
    case need::branch: co_return co_await join_branch(c);
    case need::snapshot: co_return co_await judge_snapshot();
    case need::going_back: done_.gone_back = true; co_return co_await go_back_elsewhere(c);
    case need::server: co_return co_await fetch_server(c);
  }
  co_return std::nullopt;
}

// Where the transaction came before a key has left it has no rows of the key: they left before it had touched them.
task<std::optional<protocol::notice>> session::join_branch(const choice& c) {
  const auto version = w_.routing_version;
  if (c.departed) {
    auto why = co_await judge_snapshot();
    if (why || closing_ || version != w_.routing_version) co_return why;
  }
  hush();
  co_return co_await go_to(*c.shard);
}

// One that has taken the session's settings, for the message as it is decided then: it may belong elsewhere by now.
task<std::optional<protocol::notice>> session::fetch_server(const choice& c) {
  if (given_) w_.give_back(std::move(given_));
  auto failed = co_await attach_adjusted(shard_for(c), c.sequence_values);
  if (failed || closing_ || !here_.server) co_return failed;
  if (here_.server->pinned != 0) park(std::move(here_.server));
  else given_ = std::move(here_.server);
  here_.detach();
  co_return std::nullopt;
}

}  // namespace proxy
