// The simple protocol: a text goes whole to one shard, or is answered here. Declared in proxy/session/session.h.
#include <algorithm>

#include "proxy/session/session.h"

namespace proxy {

using routing::statement_kind;

namespace {

bool only_blanks(const routing::text_plan& plan) {
  return std::all_of(plan.statements.begin(), plan.statements.end(), [](const auto& s) { return s.kind == statement_kind::empty; });
}

// Beside others it stands in their transaction, which PostgreSQL refuses.
bool stands_alone(const routing::text_plan& plan) { return plan.statements.size() == 1; }

}  // namespace

need session::try_query(std::string_view frame, choice& c) {
  if (!unit_open_) begin_unit();
  pipeline_open_ = false;
  const auto decoded = protocol::decode_query(frame.substr(protocol::frame_header_size));
  if (!decoded) return fatal(make_error(sqlstate::protocol_violation, "invalid message format")), need::nothing;
  names_.drop_unnamed();  // as in PostgreSQL: a simple query drops the unnamed statement
  names_.settle();
  const auto plan = w_.plans.simple(*w_.map, as_read(decoded->sql), literals_);
  for (const auto& statement : plan->statements)
    if (refuse_block(statement)) return need::nothing;
  if (ends_branches(plan->statements)) return need::end;
  if (answer_query_alone(*plan, decoded->sql)) return need::nothing;
  if (!done_.gids && stands_alone(*plan) && must_be_found(&plan->statements.front())) return need::prepared_shard;
  if (!done_.clients && stands_alone(*plan) && asks_of_clients(plan->statements.front())) return need::clients;
  if (!done_.name_refused && has_names_to_claim(plan->statements)) return need::name;
  choose_for_query(*plan, decoded->sql, c);
  const auto lacking = lacks(c);
  if (lacking != need::nothing) return lacking;
  if (c.refused) refuse_held_up('Q', std::move(*c.refused));
  else if (done_.name_refused) refuse_prepare(*done_.name_refused);
  else send_query(frame, *plan, c);
  return need::nothing;
}

std::shared_ptr<const routing::text_plan> session::plan_of_query(std::string_view frame) {
  return w_.plans.simple(*w_.map, as_read(protocol::decode_query(frame.substr(protocol::frame_header_size))->sql), literals_);
}

void session::send_query(std::string_view frame, const routing::text_plan& plan, const choice& chosen) {
  put_held_in_front();
  touch(chosen);
  for (const auto& statement : plan.statements) note_effects(&statement, true);
  unit_may_commit_ = unit_may_commit_ || (!unit_in_block_ && unit_writes_);
  here_.server->statements.unnamed = 0;
  here_.server->out.append(frame);
  here_.server->answers.expect(request::query);
  if (stands_alone(plan)) amend_answer(plan.statements.front());
}

// PREPARE TRANSACTION alone, whose name cannot be had.
void session::refuse_prepare(const protocol::notice& why) {
  ++w_.counted.errors_by_proxy;
  put_held_in_front();
  here_.unbound = false;
  fail_prepare(why, true);
}

// Statement pooling, in PgBouncer's words.
bool session::refuse_block(const routing::statement_plan& plan) {
  if (plan.kind != statement_kind::begin || w_.settings.pool_mode != pooling::statement) return false;
  fatal(make_error(sqlstate::protocol_violation, "transaction blocks not allowed in statement pooling mode"));
  return true;
}

void session::choose_for_query(const routing::text_plan& plan, std::string_view sql, choice& c) {
  begin_choice(c);
  if (lost_) return void(c.refused = std::exchange(lost_, std::nullopt));
  for (const auto& statement : plan.statements) {
    const bool undone = statement.kind == statement_kind::rollback || (undoes(statement.kind) && !held_.texts().empty());  // its savepoints may be gone
    if (held_.failed() && c.failed && !undone)
      return void(c.refused = transaction_aborted());
    if (may_be_misread(c, statement, sql)) return void(c.refused = misread());
    if (statement.kind == statement_kind::deallocate_all && plan.statements.size() > 1)
      return void(c.refused = make_error(sqlstate::feature_not_supported, "DEALLOCATE ALL must be sent alone"));
    if (!elsewhere_.empty()) c.refused = refuse_savepoint(statement, stands_alone(plan));
    if (c.refused) return;
    here_.transaction.name(statement.effects, literals_);
    if (!add_to_choice(c, statement, literals_)) return;
  }
  if (!c.scatter.empty() && !stands_alone(plan)) c.refused = scattered_beside_others();
  if (!stands_alone(plan)) note_sayings_of(c, plan, sql);
  else note_saying(c, plan.statements.front(), sql, literals_);
}

// A text of several statements is said as a whole, or what it says is not known.
void session::note_sayings_of(choice& c, const routing::text_plan& plan, std::string_view sql) const {
  choice each;
  for (const auto& statement : plan.statements) note_saying(each, statement, sql, literals_);
  if (each.says.empty() && !each.unsaid) return;
  const bool settings = !each.unsaid && std::all_of(plan.statements.begin(), plan.statements.end(), [](const auto& s) {
    return s.unbound && !moves_savepoints(s.kind) && s.kind != statement_kind::begin && !ends_transaction(s.kind);
  });
  if (settings) c.says.push_back(saying{saying::what::setting, std::string(sql), {}});
  else c.unsaid = true;
  if (std::any_of(plan.statements.begin(), plan.statements.end(), [](const auto& s) { return ends_transaction(s.kind); }))
    c.says.push_back(saying{saying::what::end, {}, {}});
}

// What needs no shard: blanks, transaction control while no server is attached, resets of what only the proxy keeps.
bool session::answer_query_alone(const routing::text_plan& plan, std::string_view sql) {
  keep_passed();
  if (only_blanks(plan) && !here_.unsynced) {
    protocol::append_empty_query_response(out_);
  } else if (plan.statements.size() == 1 && answered_by_proxy(plan.statements.front())) {
    if (!answer_reset(plan.statements.front())) return false;
    if (here_.unsynced) return sync_server(), true;
  } else if (!here_.server && held_.can_answer(plan.statements) && !(lost_ && plan.statements.front().kind != statement_kind::rollback)) {
    lost_.reset();
    for (const auto& statement : plan.statements) answer_control(statement, sql, out_);
    held_.keep(sql, !stands_alone(plan) && std::any_of(plan.statements.begin(), plan.statements.end(), [](const auto& s) { return moves_savepoints(s.kind); }));
  } else {
    return false;
  }
  finish_alone();
  return true;
}

void session::answer_control(const routing::statement_plan& plan, std::string_view sql, std::string& out) {
  const auto answer = held_.run(plan, sql);
  if (answer.already_in_progress) protocol::append_notice(out, as_warning(make_error("25001", "there is already a transaction in progress")));
  protocol::append(out, protocol::command_complete{answer.tag});
}

// False: PostgreSQL refuses it in this transaction, and says so itself.
bool session::answer_reset(const routing::statement_plan& plan) {
  if (status() == protocol::transaction_status::failed) return false;
  if (plan.kind == statement_kind::discard_all && in_transaction()) return false;
  std::string answer;
  protocol::append(answer, protocol::command_complete{forget(plan)});
  if (!here_.unsynced) return out_ += answer, true;
  here_.server->answers.emit(answer);
  unit_may_commit_ = unit_may_commit_ || (!unit_in_block_ && unit_writes_);
  return true;
}

// The end of what the client has there without one.
void session::sync_server() {
  protocol::append_sync(here_.server->out);
  here_.server->answers.expect(request::sync);
}

// DISCARD ALL, DEALLOCATE ALL, or DEALLOCATE of a statement of the protocol; the tag of the answer.
std::string_view session::forget(const routing::statement_plan& plan) {
  if (closes_own(plan)) {
    names_.erase(plan.deallocate);
    return "DEALLOCATE";
  }
  names_.clear();
  if (plan.kind == statement_kind::discard_all) forget_state();
  else forget_sql();
  return plan.kind == statement_kind::discard_all ? "DISCARD ALL" : "DEALLOCATE ALL";
}

// The transaction fails as it would in PostgreSQL; without one the session just goes on.
void session::refuse_query(const protocol::notice& why) {
  if (here_.server) {
    ++w_.counted.errors_by_proxy;
    fail_on_server(why);
    return sync_server();
  }
  answer_error(why);
  finish_alone();
}

// Function calls by number: large objects of libpq and JDBC, which belong to the whole database.
need session::try_call(std::string_view frame, choice& c) {
  if (!unit_open_) begin_unit();
  pipeline_open_ = false;
  begin_choice(c);
  if (c.shard && *c.shard != w_.map->default_shard()) {
    ++w_.counted.refused_not_one_shard;
    c.refused = at_home_only("a function call (large objects)");
  } else if (held_.failed()) {
    c.refused = make_error(sqlstate::failed_transaction, "current transaction is aborted");
  }
  c.shard = w_.map->default_shard();
  const auto lacking = lacks(c);
  if (lacking != need::nothing) return lacking;
  if (c.refused) return refuse_held_up('F', std::move(*c.refused)), need::nothing;
  put_held_in_front();
  unit_may_commit_ = !unit_in_block_;
  note_effects(nullptr, false);
  here_.unbound = false;
  here_.server->out.append(frame);
  pass_rest();
  here_.server->answers.expect(request::query);
  return need::nothing;
}

}  // namespace proxy
