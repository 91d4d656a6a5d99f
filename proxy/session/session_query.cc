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

// False: it has to wait, and goes on in handle_query().
bool session::query_now(std::string_view frame) {
  if (!unit_open_) begin_unit();
  pipeline_open_ = false;
  const auto decoded = protocol::decode_query(frame.substr(protocol::frame_header_size));
  if (!decoded) return fatal(make_error(sqlstate::protocol_violation, "invalid message format")), true;
  names_.drop_unnamed();  // as in PostgreSQL: a simple query drops the unnamed statement
  names_.settle();
  const auto plan = w_.plans.simple(*w_.map, decoded->sql, literals_);
  for (const auto& statement : plan->statements)
    if (refuse_block(statement)) return true;
  if (ends_branches(plan->statements)) return false;
  if (answer_query_alone(*plan, decoded->sql)) return true;
  if (stands_alone(*plan) && must_be_found(&plan->statements.front())) return false;
  if (has_names_to_claim(plan->statements)) return false;
  const auto chosen = choose_for_query(*plan, decoded->sql);
  if (chosen.refused) return refuse_query(*chosen.refused), true;
  if (!chosen.scatter.empty() || !settle_now(chosen)) return false;
  send_query(frame, *plan, chosen);
  return true;
}

task<void> session::handle_query(std::string_view frame) {
  const auto sql = protocol::decode_query(frame.substr(protocol::frame_header_size))->sql;
  std::optional<protocol::notice> name_refused;
  while (!closing_) {
    const auto plan = w_.plans.simple(*w_.map, sql, literals_);
    if (ends_branches(plan->statements)) co_return co_await end_by_query(plan->statements.front(), stands_alone(*plan));
    if (stands_alone(*plan) && must_be_found(&plan->statements.front())) {
      auto why = co_await find_prepared(plan->statements.front().gid);
      if (closing_) co_return;
      if (why) co_return refuse_query(*why);
    }
    if (!name_refused) name_refused = co_await claim_names(plan->statements);
    if (closing_) co_return;
    if (name_refused && !stands_alone(*plan)) co_return refuse_query(*name_refused);
    const auto chosen = choose_for_query(*plan, sql);
    if (chosen.refused) co_return refuse_query(*chosen.refused);
    bool again = false;
    if (!chosen.scatter.empty()) {
      const bool done = co_await scatter_query(chosen, plan->statements.front(), sql, again);
      if (done || closing_) co_return;
      if (scatter_refused_) co_return refuse_query(*std::exchange(scatter_refused_, std::nullopt));
      continue;
    }
    const auto failed = co_await settle(chosen, again);
    if (failed) co_return refuse_query(*failed);
    if (!again && name_refused) co_return refuse_prepare(*name_refused);
    if (!again) co_return send_query(frame, *plan, chosen);
  }
}

void session::send_query(std::string_view frame, const routing::text_plan& plan, const choice& chosen) {
  put_held_in_front();
  touch(chosen);
  for (const auto& statement : plan.statements) note_effects(&statement, true);
  unit_may_commit_ = unit_may_commit_ || (!unit_in_block_ && unit_writes_);
  here_.server->statements.unnamed = 0;
  here_.server->out.append(frame);
  here_.server->answers.expect(request::query);
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

session::choice session::choose_for_query(const routing::text_plan& plan, std::string_view sql) {
  auto chosen = empty_choice();
  if (lost_) {
    chosen.refused = std::exchange(lost_, std::nullopt);
    return chosen;
  }
  if (held_.failed()) {
    chosen.refused = make_error(sqlstate::failed_transaction,
                                "current transaction is aborted, commands ignored until end of transaction block");
    return chosen;
  }
  for (const auto& statement : plan.statements) {
    if (may_be_misread(chosen, statement, sql)) {
      chosen.refused = misread();
      return chosen;
    }
    if (statement.kind == statement_kind::deallocate_all && plan.statements.size() > 1) {
      chosen.refused = make_error(sqlstate::feature_not_supported, "DEALLOCATE ALL must be sent alone");
      return chosen;
    }
    if (!elsewhere_.empty()) chosen.refused = refuse_savepoint(statement, stands_alone(plan));
    if (chosen.refused) return chosen;
    here_.transaction.name(statement.effects, literals_);
    if (!add_to_choice(chosen, statement, literals_)) return chosen;
  }
  if (!chosen.scatter.empty() && !stands_alone(plan)) chosen.refused = scattered_beside_others();
  note_sayings_of(chosen, plan, sql);
  return chosen;
}

// A text of several statements is said as a whole, or what it says is not known.
void session::note_sayings_of(choice& c, const routing::text_plan& plan, std::string_view sql) const {
  if (stands_alone(plan)) return note_saying(c, plan.statements.front(), sql, literals_);
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
  if (only_blanks(plan)) {
    protocol::append_empty_query_response(out_);
  } else if (plan.statements.size() == 1 && answered_by_proxy(plan.statements.front())) {
    if (!answer_reset(plan.statements.front())) return false;
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
  if (answer.already_in_progress) {
    auto warning = make_error("25001", "there is already a transaction in progress");
    warning.severity = "WARNING";
    protocol::append_notice(out, warning);
  }
  protocol::append(out, protocol::command_complete{answer.tag});
}

// False: PostgreSQL refuses it in this transaction, and says so itself.
bool session::answer_reset(const routing::statement_plan& plan) {
  if (status() == protocol::transaction_status::failed) return false;
  if (plan.kind == statement_kind::discard_all && in_transaction()) return false;
  protocol::append(out_, protocol::command_complete{forget(plan)});
  return true;
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
    protocol::append_sync(here_.server->out);
    here_.server->answers.expect(request::sync);
    return;
  }
  answer_error(why);
  finish_alone();
}

// Function calls by number: large objects of libpq and JDBC, which belong to the whole database.
task<void> session::handle_function_call(std::string_view frame) {
  if (!unit_open_) begin_unit();
  pipeline_open_ = false;
  while (!closing_) {
    auto chosen = empty_choice();
    if (chosen.shard && *chosen.shard != w_.map->default_shard()) {
      ++w_.counted.refused_not_one_shard;
      co_return refuse_query(at_home_only("a function call (large objects)"));
    }
    chosen.shard = w_.map->default_shard();
    if (held_.failed()) co_return refuse_query(make_error(sqlstate::failed_transaction, "current transaction is aborted"));
    bool again = false;
    const auto failed = co_await settle(chosen, again);
    if (failed) co_return refuse_query(*failed);
    if (again) continue;
    put_held_in_front();
    unit_may_commit_ = !unit_in_block_;
    here_.transaction.note_unknown();
    here_.unbound = false;
    here_.server->out.append(frame);
    pass_rest();
    here_.server->answers.expect(request::query);
    co_return;
  }
}

}  // namespace proxy
