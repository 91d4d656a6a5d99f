// Which shard a message runs on, the gate in front of it, and the server it gets. Declared in proxy/session/session.h.
#include <fmt/format.h>

#include "migration/engine/commit_recovery.h"
#include "proxy/session/session.h"
#include "routing/analysis/refusals.h"

namespace proxy {

using routing::destination_kind;

void session::begin_choice(choice& c) const {
  const bool attached = here_.server && !here_.borrowed;
  if (attached && !may_move() && !may_branch()) c.shard = here_.server->shard;
  c.failed = status() == protocol::transaction_status::failed && !here_.unsynced;
  c.misreads = unit_misreads_;
  c.writes = here_.unsynced && unit_writes_;
  c.foreign_snapshot = attached ? here_.foreign_snapshot : held_.imports_snapshot();
}

bool session::add_to_choice(choice& c, const routing::statement_plan& plan, std::span<const routing::parameter> values) {
  const auto prepared = plan.execute ? find_sql(plan.execute->name) : nullptr;
  const bool elsewhere = prepared && plan.destination == destination_kind::default_shard;  // CREATE TABLE AS EXECUTE
  auto decided = prepared && !elsewhere ? routing::route(*prepared, *plan.execute, *w_.map, values) : routing::route(plan, *w_.map, values);
  if (const auto found = plan.kind == routing::statement_kind::finish_prepared ? shard_of_prepared(plan.gid) : std::nullopt) {
    decided.destination = destination_kind::default_shard;
    decided.shard = *found;
  }
  if (prepared) c.executes.push_back(prepared);
  if (decided.destination == destination_kind::refused && may_scatter(c, plan, decided)) {
    c.scatter.assign(decided.scattered.begin(), decided.scattered.end());
    c.pulls = decided.pulls;
    c.bound = true;
    return true;
  }
  if (decided.destination == destination_kind::refused && c.refused) return false;
  if (decided.destination == destination_kind::refused) {
    ++w_.counted.refused_not_one_shard;
    c.refused = as_notice(*decided.refused);
    return false;
  }
  // One that no server knows of stays so behind COMMIT, which has to say ROLLBACK.
  if (held_.failed() ? undoes(plan.kind) && !c.ended : undoes(plan.kind) || ends_transaction(plan.kind)) c.failed = false;
  if (ends_transaction(plan.kind)) c.ended = true, c.foreign_snapshot = false;
  c.foreign_snapshot = c.foreign_snapshot || plan.imports_snapshot;
  c.bound = c.bound || !plan.unbound;
  c.sequence_values = c.sequence_values || (plan.effects.makes & routing::state::sequence_values) != 0;
  if (!plan.deallocate.empty() && !c.shard)
    for (const auto& server : state_.parked)
      if (server->sql.find(plan.deallocate)) c.shard = server->shard;
  if (decided.destination == destination_kind::any) return true;
  if (c.failed) return true;  // its server says so, whatever comes
  const bool other = c.shard && *c.shard != decided.shard;
  c.departed = c.departed || (here_.server && !c.shard && !may_move() && moved_away(decided));
  if (other) {
    ++w_.counted.refused_not_one_shard;
    c.refused = plan.home_effect.empty() || !other ? second_shard(decided) : at_home_only(plan.home_effect);
    return false;
  }
  c.shard = decided.shard;
  if (decided.destination != destination_kind::by_key) return true;
  if (c.foreign_snapshot) {
    c.refused = foreign_snapshot_refused();
    return false;
  }
  c.by_key = true;
  c.arrived = c.arrived || (here_.server && !c.ended && has_arrived(decided));
  c.row_locks = c.row_locks || plan.row_locks;
  if (!w_.gate.nothing_known()) c.touches.insert(c.touches.end(), decided.touches.begin(), decided.touches.end());
  return true;
}

// A key that a shard of the transaction owned when the transaction came to it belongs to another one now.
bool session::moved_away(const routing::decision& decided) const noexcept {
  const auto from = [&](const branch& b) {
    if (!b.server || b.borrowed || !b.map_at_attach || b.map_at_attach == w_.map || b.server->shard == decided.shard) return false;
    return std::all_of(decided.touches.begin(), decided.touches.end(), [&](const routing::touch& touch) {
      const auto* then = b.map_at_attach->find_distribution(touch.distribution);
      return then && then->owner_of(touch.value) == b.server->shard;
    });
  };
  return !decided.touches.empty() && (from(here_) || std::any_of(elsewhere_.begin(), elsewhere_.end(), from));
}

// To run it again helps where the key has moved. Else the statement's shard is not one that the transaction can go to.
protocol::notice session::second_shard(const routing::decision& decided) const {
  if (moved_away(decided))
    return make_error(sqlstate::serialization_failure, "could not serialize access: the shard key moved to another shard",
                      "The transaction was open on the old owner when the key moved.", "Retry the transaction.");
  const bool pipeline = here_.unsynced || log_.size() == 0 || log_.complete();
  return make_error(sqlstate::not_one_shard, "the transaction already runs on another shard",
                    pipeline ? "The statements of one message or pipeline must stay on one shard."
                             : "It has run code that pgrotor does not know, or opened a cursor, and must stay on that shard.",
                    "End the transaction first, or use keys that live together.");
}

protocol::notice session::at_home_only(std::string_view effect) const {
  return as_notice(routing::home_only(effect, w_.map->find_shard(w_.map->default_shard())->name));
}

task<std::optional<protocol::notice>> session::hold_at_gate(touch_bits bits) {
  using enum gate_queue::outcome;
  waiting_ = true;
  const auto held = co_await w_.held.wait(bits, wake_, cancelled_, closing_, w_.settings.gate_max_waiters, w_.settings.gate_hold_budget);
  waiting_ = false;
  const auto budget = held.budget.count();
  switch (held.how) {
    case released: co_return std::nullopt;
    case left: co_return make_error(sqlstate::query_canceled, "canceling statement due to user request");
    case full:
      co_return make_error(sqlstate::out_of_memory_budget, "too many statements wait for a migration to switch",
                           fmt::format("{} statements wait already.", w_.held.size()), "Retry.");
    case expired: break;
  }
  if (w_.lapsed())
    co_return make_error(sqlstate::hold_expired, "the statement touches keys that are being moved, and the catalog cannot be reached; it was not run",
                         fmt::format("It waited {} ms for the catalog: without it another pgrotor may have moved them.", budget), "Retry.");
  co_return make_error(sqlstate::hold_expired, "the statement was held for a migration longer than its budget and was not run",
                       fmt::format("It waited {} ms.", budget), "Retry.");
}

pool* session::pool_for(routing::shard_id shard) {
  if (pools_map_ != w_.map->number() || pools_version_ != w_.pools_version) pools_.clear();
  pools_map_ = w_.map->number();
  pools_version_ = w_.pools_version;
  for (const auto& known : pools_)
    if (known.shard == shard) return known.where;
  auto* found = w_.find_or_make_pool(pool_key{user_, database_, parameters_, shard}, secret_);
  pools_version_ = w_.pools_version;
  if (found) pools_.push_back({shard, found});
  return found;
}

// False: it has to be waited for, a server or that it takes the session's settings.
bool session::attach_now(routing::shard_id shard, bool sequence_values) {
  if (w_.shared.recovery && w_.shared.recovery->in_doubt(shard)) return false;
  auto found = take_parked(shard);
  if (found && !found->answers.idle()) return park(std::move(found)), false;
  if (!found) {
    auto* from = pool_for(shard);
    found = take_given(from);
    const bool any = from && !sequence_values;  // else one that remembers what the client has drawn, if there is one
    if (!found && any) found = from->acquire_idle(state_.wanted);
    if (!found && any && from->must_queue()) awaited_ = from;
  }
  if (!found) return false;
  if (found->applied != state_.wanted && adjust(found->applied, state_.wanted).wait) {
    if (found->pinned == 0) w_.give_back(std::move(found));
    else park(std::move(found));
    return false;
  }
  take_server(std::move(found));
  catch_up();
  return true;
}

server_ptr session::take_given(const pool* from) { return given_ && given_->home == from ? std::move(given_) : nullptr; }

void session::take_server(server_ptr server) {
  here_.server = std::move(server);
  here_.server->socket.listen(this);
  begin_with_server();
  here_.status = protocol::transaction_status::idle;
  here_.map_at_attach = w_.map;
  here_.snapshot_map.reset();
  here_.foreign_snapshot = here_.borrowed = here_.unbound = false;
}

// What was committed over several shards, and could not be carried out on this one yet, is seen by nobody before it is.
task<std::optional<protocol::notice>> session::settle_commits(routing::shard_id shard) {
  const auto recovery = w_.shared.recovery;
  if (!recovery || !recovery->in_doubt(shard)) co_return std::nullopt;
  const bool settled = co_await recovery->settle(shard, clock::now() + w_.settings.connect_timeout);
  if (settled) co_return std::nullopt;
  co_return make_error(sqlstate::connection_failure, "a transaction over several shards has not ended on this shard yet",
                       "It is prepared there, and what it did is not to be seen until it has been carried out.", "Retry.");
}

task<std::optional<protocol::notice>> session::attach(routing::shard_id shard, bool sequence_values) {
  auto unfinished = co_await settle_commits(shard);
  if (unfinished) co_return unfinished;
  if (auto parked = take_parked(shard)) {
    take_server(std::move(parked));
    if (!here_.server->answers.idle()) co_return co_await hear_late_answer();
    co_return std::nullopt;
  }
  auto* from = pool_for(shard);
  if (!from) co_return make_error(sqlstate::too_many_connections, "too many combinations of user, database and startup parameters");
  waiting_ = true;
  auto got = co_await from->acquire(wake_, cancelled_, state_.wanted, sequence_values ? pid_ : 0);
  waiting_ = false;
  if (!got.server) co_return std::move(got.failed);
  take_server(std::move(got.server));
  co_return std::nullopt;
}

// Nothing is sent to a server that has yet to answer an earlier question. Without a notice it has.
task<std::optional<protocol::notice>> session::hear_late_answer() {
  const auto shard = here_.server->shard_name;
  here_.asking = question::late;
  co_await wait_for_answer();
  if (here_.server && !closing_) co_return std::nullopt;
  if (!lost_) lost_ = connection_broke(shard, "The session ends.");
  co_return std::exchange(lost_, std::nullopt);
}

// ... and with the session's settings, before anything of the client's is sent.
task<std::optional<protocol::notice>> session::attach_adjusted(routing::shard_id shard, bool sequence_values) {
  auto failed = co_await attach(shard, sequence_values);
  if (failed) *failed = with_severity(std::move(*failed), "ERROR");  // a shard's FATAL ends no session here
  if (!failed) failed = co_await adjust_first();
  co_return failed;
}

// BEGIN and what followed it go in front of the first statement, in the same write.
void session::put_held_in_front() {
  if (!held_.texts().empty()) {
    here_.unbound = true;
    unit_in_block_ = true;
    held_.give(log_);
  }
  if (here_.said != log_.size()) say_missed(here_);
}

void session::touch(const choice& c) {
  if (c.by_key) ++w_.counted.routed_by_key;
  else if (c.scatter.empty()) ++w_.counted.routed_default;
  note_snapshot(c);
  if (here_.unbound) here_.unbound = !c.bound && log_.complete();
  if (!c.says.empty() || c.unsaid) note_sayings(c);
  if (log_.size() > 0 && !log_.complete()) here_.unbound = false;
  if (w_.gate.nothing_known() || c.touches.empty()) return;
  const auto fresh = w_.gate.bits_of(c.touches) & ~touched_;
  note_touch(fresh);
}

void session::touch_if_attached(routing::shard_id source, touch_bits bit) {
  if (!branch_on(source) || (touched_ & bit) != 0) return;
  note_touch(bit);
}

void session::note_touch(touch_bits fresh) {
  if (fresh != 0 && touched_ == 0) touched_since_ = clock::now();
  w_.gate.transaction_touched(fresh);
  touched_ |= fresh;
}

migration::open_transaction session::open_transaction() const {
  const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - touched_since_);
  return {pid_, here_.server ? here_.server->cancels.key.pid : 0, user_, application_, age};
}

// A message that must fail puts the server's transaction, explicit or implicit, into the state that PostgreSQL would be in.
void session::fail_on_server(const protocol::notice& why) {
  protocol::bind nothing;
  nothing.statement = "pgrotor_refused";
  protocol::append(here_.server->out, nothing);
  std::string frame;
  protocol::append_error(frame, why);
  here_.server->answers.expect_failure(frame);
}

}  // namespace proxy
