// A placed pipeline on its way to the server: statement names become those of the server, Parse is put in where the server lacks a
// statement, and answers of the proxy take their place in the order. Declared in proxy/session/session.h.
#include "protocol/wire.h"
#include "proxy/session/session.h"

namespace proxy {

using routing::statement_kind;

namespace {

bool notifies(const routing::statement_plan& plan) { return plan.home_effect == "NOTIFY" || plan.home_effect == "pg_notify()"; }

// So may triggers and code that is not known. Not what else belongs to the whole database: a server that says LISTEN for one client may still have
// to tell of what another has notified.
bool may_notify(const routing::statement_plan* plan) { return !plan || (plan->home_effect.empty() && !plan->unbound) || notifies(*plan); }

std::string_view server_name(const statement_ptr& statement, bool named) { return named ? std::string_view(statement->server_name) : ""; }

}  // namespace

void session::write_batch(char end) {
  here_.unsynced = end != 'S' && !here_.borrowed;
  for (const auto& item : batch_) write_item(item);
  end_run();
  if (batch_refused_) {
    ++w_.counted.errors_by_proxy;
    if (here_.borrowed && held_.open()) held_.fail();
    if (prepare_refused_) fail_prepare(*batch_refused_, false);
    else fail_on_server(*batch_refused_);
  }
  if (end == 'S') {
    if (!unit_in_block_ && unit_writes_) unit_may_commit_ = true;
    sync_server();
  } else if (here_.borrowed) {
    // Nothing of the client's transaction is there: the server is free as soon as it has answered.
    protocol::append_sync(here_.server->out);
    here_.server->answers.expect(request::sync, fate::swallow);
  } else if (end == 'H') {
    protocol::append_flush(here_.server->out);
  }
}

void session::write_item(const batch_item& item) {
  auto& answers = here_.server->answers;
  const auto* plan = item.plan;
  const bool alone = item.reset || (here_.borrowed && is_ours(item));
  if (item.type == 'c' || alone) {
    std::string answer;
    answer_item(item, answer);
    return answers.emit(answer, item.undo);
  }
  switch (item.type) {
    case 'P': return write_parse(item);
    case 'B': return write_bind(item);
    case 'y':
    case 'z':
      pass_frame(item.frame);
      if (item.type == 'z') answers.expect(request::copy_end);
      return;
    case 'D':
      ensure_prepared(item);
      if (item.named) end_run(), protocol::append(here_.server->out, protocol::describe{'S', item.statement->server_name});
      else pass_frame(item.frame);
      return answers.expect(request::describe_statement);
    case 'd': pass_frame(item.frame); return answers.expect(request::describe_portal);
    case 'C': pass_frame(item.frame); return answers.expect(request::close);
    default:
      note_effects(plan, plan != nullptr);
      pass_frame(item.frame);
      answers.expect(request::execute);
      if (plan) amend_answer(*plan);
      return;
  }
}

// Frames that are next to each other are copied together.
void session::pass_frame(std::string_view frame) {
  if (run_.data() + run_.size() != frame.data()) end_run();
  run_ = run_.empty() ? frame : std::string_view(run_.data(), run_.size() + frame.size());
}

void session::end_run() {
  if (!run_.empty()) here_.server->out.append(std::exchange(run_, {}));
}

// The transaction has failed, nothing on its way may end it, and this does not either.
bool session::fails_for_certain(const batch_item& item) const noexcept {
  if (item.plan && (ends_transaction(item.plan->kind) || undoes(item.plan->kind))) return false;
  return here_.status == protocol::transaction_status::failed && !here_.server->answers.has(request::execute);
}

void session::write_parse(const batch_item& item) {
  auto& server = *here_.server;
  if (!item.named) {
    pass_frame(item.frame);
    server.answers.expect(request::parse, fate::relay, 0, item.undo);
    explain_failure(item);
    server.statements.unnamed = item.statement->id;
    return;
  }
  const bool known = server.statements.touch(item.statement->id);
  if (known && fails_for_certain(item)) {
    pass_frame(item.frame);
    return server.answers.expect(request::parse, fate::relay, 0, item.undo);
  }
  end_run();
  // What it was made of may have changed, and only who made it before that is to hear of it (0A000).
  if (known) close_statement(item.statement->id);
  else make_room_for_statement();
  protocol::parse parse;
  parse.name = item.statement->server_name;
  parse.sql = text_of(*item.statement);
  parse.types = item.statement->types;
  protocol::append(server.out, parse);
  server.answers.expect(request::parse, fate::relay, item.statement->id, item.undo);
  explain_failure(item);
  server.statements.add(item.statement->id);
  here_.transaction.note_parse();
}

// A table of the default shard need not be on the shard where the transaction runs.
void session::explain_failure(const batch_item& item) {
  const bool elsewhere = item.plan && item.plan->destination == routing::destination_kind::default_shard;
  if (!elsewhere || here_.server->shard == w_.map->default_shard()) return;
  std::string frame;
  protocol::append_error(frame, second_shard({}));
  here_.server->answers.tell_instead(frame);
}

void session::write_bind(const batch_item& item) {
  ensure_prepared(item);
  here_.server->answers.expect(request::bind);
  if (!item.named && !item.is_front()) return pass_frame(item.frame);
  end_run();
  auto& out = here_.server->out;
  // Only the statement's name differs: portal, name, and the rest as the client sent it, which may be still to come.
  const auto body = item.body();
  const auto portal_end = body.find('\0') + 1;
  const auto name_end = body.find('\0', portal_end) + 1;
  const auto name = server_name(item.statement, item.named);
  out.push_back('B');
  protocol::append_int(out, static_cast<std::int32_t>(item.size() - 1 - (name_end - portal_end) + name.size() + 1));
  out.append(body.substr(0, portal_end)).append(name).push_back('\0');
  out.append(body.substr(name_end));
  if (item.is_front()) pass_rest();
}

// The server may be one that has never seen the statement.
void session::ensure_prepared(const batch_item& item) {
  auto& server = *here_.server;
  const auto& statement = *item.statement;
  if (item.named ? server.statements.touch(statement.id) : server.statements.unnamed == statement.id) return;
  end_run();
  if (item.named) make_room_for_statement();
  protocol::parse parse;
  parse.name = server_name(item.statement, item.named);
  parse.sql = text_of(statement);
  parse.types = statement.types;
  protocol::append(server.out, parse);
  server.answers.expect(request::parse, fate::swallow, item.named ? statement.id : 0);
  explain_failure(item);
  if (item.named) server.statements.add(statement.id);
  else server.statements.unnamed = statement.id;
  if (item.named) here_.transaction.note_parse();
  ++w_.counted.parses_injected;
}

void session::make_room_for_statement() {
  if (const auto oldest = here_.server->statements.surplus()) close_statement(*oldest);
}

void session::close_statement(std::uint64_t id) {
  auto& server = *here_.server;
  const auto name = server_statement_name(id);
  protocol::append(server.out, protocol::close{'S', name});
  server.answers.expect(request::close, fate::swallow, id);
  server.statements.forget(id);
}

// The answer of the proxy itself to one message.
bool session::answer_item(const batch_item& item, std::string& out) {
  const auto* plan = item.plan;
  switch (item.type) {
    case 'P': protocol::append_parse_complete(out); return true;
    case 'B': protocol::append_bind_complete(out); return true;
    case 'D': protocol::append_no_parameters(out); [[fallthrough]];
    case 'd': protocol::append_no_data(out); return true;
    case 'C':
    case 'c': protocol::append_close_complete(out); return true;
    default: break;
  }
  if (!plan) return false;
  if (item.reset) {
    protocol::append(out, protocol::command_complete{forget(*plan)});
    return true;
  }
  answer_control(*plan, item.statement->sql, out);
  held_.keep(item.statement->sql);
  return true;
}

// What of it has to be committed together with the rest (two_phase.h).
void session::note_stake(const routing::statement_plan* plan) {
  auto& has = here_.has;
  constexpr auto unpreparable = routing::state::temp_objects | routing::state::held_cursors | routing::state::listening;
  has.wrote = has.wrote || !plan || !plan->only_locks;
  has.locked = has.locked || !plan || plan->only_locks || plan->effects.makes != 0;
  const bool stays = plan && (notifies(*plan) || plan->home_effect == "pg_export_snapshot()");
  has.must_decide = has.must_decide || stays || (plan && (plan->effects.makes & unpreparable) != 0);
  if (!holds_since_) holds_since_ = unit_started_;
}

// What a lost connection would leave unknown, and what the transaction may leave on the server.
void session::note_effects(const routing::statement_plan* plan, bool known) {
  const auto kind = known ? plan->kind : statement_kind::query;
  const bool two_phase = kind == statement_kind::prepare_transaction || kind == statement_kind::finish_prepared;
  if (kind == statement_kind::commit || two_phase) unit_may_commit_ = true;
  const bool harmless = known && (plan->plain_read || two_phase || is_transaction_control(kind) || kind == statement_kind::empty);
  unit_writes_ = unit_writes_ || !harmless;
  if (!harmless) {
    note_stake(known ? plan : nullptr);
    if (may_notify(known ? plan : nullptr)) here_.server->process->notifier.store(pid_, std::memory_order_release);
    if (here_.server->sequences_of != pid_) here_.server->sequences_of = here_.server->sequences_of == 0 ? pid_ : -1;
  }
  unit_misreads_ = unit_misreads_ || !known || changes_reading(*plan);
  if (!known) return here_.transaction.note_unknown();
  if (undoes(kind)) here_.transaction.note_undone();
  if (kind == statement_kind::discard_all) {  // the server will refuse it; if it should not, nothing is left of what is known
    here_.transaction.note_unknown();
    here_.server->reprepare = true;
  }
  here_.transaction.note(plan->effects);
  if (plan->effects.calls_by_name && here_.server->home->hidden_functions()) here_.transaction.note_unknown();
  if (plan->prepare) here_.sql_changed.made(plan->prepare);
  if (!plan->deallocate.empty()) here_.sql_changed.dropped(plan->deallocate);
  if (!plan->execute) return;
  const auto prepared = find_sql(plan->execute->name);
  if (!prepared) return here_.transaction.note_unknown();
  here_.transaction.note(prepared->inner->effects);
  here_.transaction.name(prepared->inner->effects, {});
}

}  // namespace proxy
