// The extended protocol: all messages up to Sync or Flush are read, placed by the values of Bind, and only then sent. `end` is the type of
// the last one: 'S', 'H', or 'B' for a large Bind of which the front is here (session_large.cc). Declared in proxy/session/session.h.
#include <fmt/format.h>

#include <algorithm>

#include "proxy/session/session.h"

namespace proxy {

using routing::destination_kind;
using routing::statement_kind;

namespace {

// Neither its values nor the state of session or transaction decide where it runs and what comes of it, and it leaves nothing.
bool is_plain(const routing::statement_plan& plan) {
  const auto& effects = plan.effects;
  const bool calls = !effects.calls.empty() || effects.unknown_calls;
  const bool leaves_nothing = effects.makes == 0 && effects.ends == 0 && !effects.resets && effects.settings.empty() && !calls;
  const bool other = plan.prepare || plan.execute || !plan.deallocate.empty() || !plan.gid.empty() || asks_of_clients(plan);
  return plan.kind == statement_kind::query && plan.destination != destination_kind::refused && plan.keys.empty() && leaves_nothing && !other;
}

// What follows has to be read with what is left.
bool forgets(const routing::statement_plan* plan) {
  return plan && (plan->kind == statement_kind::discard_all || plan->kind == statement_kind::deallocate_all || !plan->deallocate.empty());
}

bool is_more_than_end(std::string_view frames) { return !frames.empty() && frames.front() != 'S' && frames.front() != 'H'; }

}  // namespace

// In a transaction block, or in the implicit transaction of a pipeline that has begun.
bool session::in_transaction() const noexcept { return status() != protocol::transaction_status::idle || here_.unsynced; }

bool session::answered_by_proxy(const routing::statement_plan& plan) const {
  return plan.kind == statement_kind::discard_all || plan.kind == statement_kind::deallocate_all || closes_own(plan);
}

// Where not all of them are read, the others are taken as what comes behind a Flush.
bool session::batch_now(std::string_view frames, char end) {
  if (!unit_open_) begin_unit();
  read_batch(frames);
  if (scanned_ > 0 && scanned_ < frames.size()) end = 'H';
  pipeline_open_ = end != 'S';
  return try_now(end, frames);
}

// Of a pipeline that was read.
need session::try_batch(char end, choice& c) {
  find_plans();
  if (!batch_is_plain_) {
    mark_resets();
    for (const auto& item : batch_)
      if (item.type == 'E' && item.plan && refuse_block(*item.plan)) return need::nothing;
    if (batch_ends_branches()) return need::end;
    if (!done_.gids && gids_are_missing()) return need::prepared_shard;
    if (!done_.types && types_are_missing()) return need::types;
    if (!done_.clients && has_calls_about_clients()) return need::clients;
    if (has_names_to_claim()) return need::name;
  }
  choose_for_batch(c);
  if (!c.scatter.empty() && !batch_scatters(end)) {
    ++w_.counted.refused_not_one_shard;
    cut_batch(0, scattered_beside_others());
    c = choice();
    choose_for_batch(c);
  }
  const auto lacking = place_batch(end, c);
  if (lacking != need::nothing) return lacking;
  if (c.refused) refuse_held_up(end, std::move(*c.refused));
  else send_batch(end);
  return need::nothing;
}

// Has a server for it where it needs one, and what is held in front of it sent; or c.refused says why not.
need session::place_batch(char end, choice& c) {
  if (here_.server || batch_needs_transaction(end)) {
    const auto lacking = lacks(c);
    if (lacking != need::nothing || c.refused) return lacking;
    put_held_in_front();
    touch(c);
    return need::nothing;
  }
  if (!batch_needs_server()) return need::nothing;
  c.shard = preparing_shard();
  here_.borrowed = attach_now(*c.shard);
  return here_.borrowed ? need::nothing : need::server;
}

void session::send_batch(char end) {
  if (here_.server) write_batch(end);
  else answer_batch_alone(end);
  batch_.clear();
  batch_refused_.reset();
}

void session::read_batch(std::string_view frames) {
  batch_.clear();
  batch_refused_.reset();
  prepare_refused_ = false;
  if (lost_) batch_refused_ = std::exchange(lost_, std::nullopt);
  while (!batch_refused_ && !frames.empty()) {
    protocol::frame_header header;
    protocol::read_header(frames, protocol::peer::frontend, protocol::max_frame_size, header);
    if (header.type == 'S' || header.type == 'H') return;
    auto& item = batch_.emplace_back();
    item.type = header.type;
    item.frame = frames.substr(0, header.size);
    frames.remove_prefix(item.frame.size());
    // From here on 'd' and 'c' are other items; what is meant for a COPY goes on as it is, and outside of one the server ignores it.
    if (item.type == 'd') item.type = 'y';
    if (item.type == 'c' || item.type == 'f') item.type = 'z';
    if (!read_item(item)) batch_.pop_back();
    else if (scanned_ > 0 && forgets(item.type == 'E' ? plan_of(item.statement) : nullptr) && is_more_than_end(frames)) return void(scanned_ -= frames.size());
  }
}

// False when it was refused, or is nothing to answer.
bool session::read_item(batch_item& item) {
  switch (item.type) {
    case 'P': return read_parse(item);
    case 'B': return read_bind(item);
    case 'D': return read_describe(item);
    case 'C': return read_close(item);
    case 'y':
    case 'z': return true;
    default: break;
  }
  const auto execute = protocol::decode_execute(item.body());
  if (!execute) return refuse_item(make_error(sqlstate::protocol_violation, "invalid message format")), false;
  const auto portal = std::find_if(portals_.begin(), portals_.end(), [&](const auto& p) { return p.first == execute->portal; });
  if (portal != portals_.end()) item.statement = portal->second;
  return true;
}

void session::refuse_item(protocol::notice why) { batch_refused_ = std::move(why); }

bool session::read_parse(batch_item& item) {
  const auto parse = protocol::decode_parse(item.body());
  if (!parse) return refuse_item(make_error(sqlstate::protocol_violation, "invalid message format")), false;
  item.named = !parse->name.empty();
  if (item.named && names_.find(parse->name)) {
    refuse_item(make_error(sqlstate::duplicate_statement, fmt::format("prepared statement \"{}\" already exists", parse->name)));
    return false;
  }
  if (item.named && names_.size() >= w_.settings.max_prepared) {
    refuse_item(make_error(sqlstate::program_limit, "too many prepared statements",
                           fmt::format("The client holds {} of them.", names_.size()), "Close some, or raise [limits] max_prepared."));
    return false;
  }
  item.statement = w_.statements.find_or_make(parse->sql, parse->types, item.named, statement_scope());
  if (!item.statement) {
    refuse_item(make_error(sqlstate::out_of_memory_budget, "prepared statements of all clients take too much memory"));
    return false;
  }
  item.undo = names_.set(parse->name, item.statement);
  return true;
}

bool session::read_bind(batch_item& item) {
  const auto* bind = &w_.bind;
  if (!protocol::decode_bind_names(item.body(), w_.bind))
    return refuse_item(make_error(sqlstate::protocol_violation, "invalid message format")), false;
  item.named = !bind->statement.empty();
  item.statement = names_.find(bind->statement);
  if (!item.statement) {
    refuse_item(make_error(sqlstate::invalid_statement_name, item.named ? fmt::format("prepared statement \"{}\" does not exist", bind->statement)
                                                                        : "unnamed prepared statement does not exist"));
    return false;
  }
  const auto portal = std::find_if(portals_.begin(), portals_.end(), [&](const auto& p) { return p.first == bind->portal; });
  if (portal != portals_.end()) return portal->second = item.statement, true;
  if (portals_.size() >= w_.settings.max_prepared)
    return refuse_item(make_error(sqlstate::program_limit, "too many open portals")), false;
  portals_.emplace_back(std::string(bind->portal), item.statement);
  return true;
}

bool session::read_describe(batch_item& item) {
  const auto describe = protocol::decode_describe(item.body());
  if (!describe) return refuse_item(make_error(sqlstate::protocol_violation, "invalid message format")), false;
  if (describe->kind != 'S') {
    const auto portal = std::find_if(portals_.begin(), portals_.end(), [&](const auto& p) { return p.first == describe->name; });
    if (portal != portals_.end()) item.statement = portal->second;
    item.type = 'd';  // from here on: Describe of a portal
    return true;
  }
  item.named = !describe->name.empty();
  item.statement = names_.find(describe->name);
  if (item.statement) return true;
  refuse_item(make_error(sqlstate::invalid_statement_name, item.named ? fmt::format("prepared statement \"{}\" does not exist", describe->name)
                                                                      : "unnamed prepared statement does not exist"));
  return false;
}

bool session::read_close(batch_item& item) {
  const auto close = protocol::decode_close(item.body());
  if (!close) return refuse_item(make_error(sqlstate::protocol_violation, "invalid message format")), false;
  if (close->kind == 'S') {
    item.type = 'c';  // from here on: Close of a statement, which only the proxy knows
    item.undo = names_.erase(close->name);
  } else {
    std::erase_if(portals_, [&](const auto& p) { return p.first == close->name; });
  }
  return true;
}

// The map may have changed while the session waited.
void session::find_plans() {
  batch_is_plain_ = true;
  for (auto& item : batch_) {
    item.plan = plan_of(item.statement);
    batch_is_plain_ = batch_is_plain_ && item.plan && item.statement->plain;
  }
}

// DISCARD ALL, DEALLOCATE ALL, and DEALLOCATE of a statement of the protocol are answered by the proxy where PostgreSQL would run them:
// the first outside of a transaction, to which a pipeline's own counts, the others in one that has not failed. Said before anything waits.
void session::mark_resets() {
  bool open = in_transaction(), failed = status() == protocol::transaction_status::failed;
  for (auto& item : batch_) {
    const auto* plan = item.plan;
    const bool discards = plan && plan->kind == statement_kind::discard_all;
    item.reset = plan && answered_by_proxy(*plan) && !(discards ? open : failed);
    if (item.type != 'E') continue;
    const bool ends = plan && ends_transaction(plan->kind), alone = item.reset && discards;
    if (ends || (plan && plan->kind == statement_kind::rollback_to)) failed = false;
    if (ends) open = plan->chain;
    else if (!alone && !(plan && plan->kind == statement_kind::finish_prepared)) open = true;
  }
}

// The analysis of a statement; nullptr for what PostgreSQL itself refuses in a Parse (several statements).
const routing::statement_plan* session::plan_of(const statement_ptr& statement) {
  if (!statement) return nullptr;
  if (!statement->plan || statement->plan_version != w_.map->schema_version()) {
    statement->plan = w_.plans.prepared(*w_.map, statement->standard_sql());
    statement->plan_version = w_.map->schema_version();
    statement->plain = statement->plan->statements.size() == 1 && is_plain(statement->plan->statements.front());
  }
  return statement->plan->statements.size() == 1 ? &statement->plan->statements.front() : nullptr;
}

void session::choose_for_batch(choice& chosen) {
  begin_choice(chosen);
  const bool plain = batch_is_plain_ && !held_.failed() && !chosen.misreads && !state_.recodes;
  const bool attached = here_.server && !here_.borrowed;
  if (attached ? here_.unbound : held_.open()) chosen.bound = (attached && !may_move()) || !batch_runs_once();
  bool decided = false;  // of plain statements those that do not run just anywhere run on the default shard
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    const bool places = batch_[i].type == 'B' || (attached && (batch_[i].type == 'P' || batch_[i].type == 'D'));
    if (plain && (decided || !places || batch_[i].plan->destination == destination_kind::any)) continue;
    decided = batch_[i].type == 'B';  // a Parse says where, not that anything is done there
    if (choose_for_item(batch_[i], chosen)) continue;
    cut_batch(i, std::move(*chosen.refused));
    chosen.refused.reset();
    break;
  }
  chosen.unsaid = chosen.unsaid || (!chosen.says.empty() && !batch_runs_once());
}

bool session::choose_for_item(const batch_item& item, choice& chosen) {
  const auto* plan = item.plan;
  if (!plan) return true;
  // Tables that are not sharded are there on the default shard only.
  const bool names_local = (item.type == 'P' || item.type == 'D') && plan->destination == destination_kind::default_shard;
  if (names_local && !chosen.shard && may_branch()) chosen.shard = w_.map->default_shard();
  if (item.type != 'P' && item.type != 'B') return true;
  if (held_.failed() && chosen.failed && !ends_transaction(plan->kind) && !undoes(plan->kind)) {
    chosen.refused = transaction_aborted();
    return false;
  }
  if (item.type == 'B' && plan->kind == statement_kind::finish_prepared && out_of_place(chosen)) {
    chosen.refused = prepared_in_pipeline();
    return false;
  }
  if (item.type == 'P') {
    if (plan->destination != destination_kind::refused || plan->adds_up || plan->pulls) return true;
    return add_to_choice(chosen, *plan, {});
  }
  literals_.clear();
  if (!plan->unbound) chosen.bound = true;
  const bool wants_values = !plan->keys.empty() || !plan->effects.settings.empty() || !plan->effects.calls.empty() || plan->execute;
  if (wants_values && item.is_front()) chosen.refused = read_front(item);
  else if (wants_values && !read_values(item)) chosen.refused = make_error(sqlstate::protocol_violation, "invalid message format");
  if (chosen.refused) return false;
  if (!elsewhere_.empty()) chosen.refused = refuse_savepoint(*plan, true);
  if (chosen.refused) return false;
  if (!plan->effects.settings.empty()) here_.transaction.name(plan->effects, literals_);
  if (may_be_misread(chosen, *plan, item.statement->sql)) {
    chosen.refused = misread();
    return false;
  }
  if (!add_to_choice(chosen, *plan, literals_)) return false;
  note_saying(chosen, *plan, item.statement->sql, literals_);
  chosen.misreads = chosen.misreads || changes_reading(*plan);
  chosen.writes = chosen.writes || (plan->kind == statement_kind::query && !plan->plain_read);
  return true;
}

// The values of a Bind into literals_. False: it is malformed.
bool session::read_values(const batch_item& item) {
  if (!protocol::decode_bind(item.body(), w_.bind)) return false;
  keep_values(item);
  return true;
}

void session::keep_values(const batch_item& item) {
  const auto& bind = w_.bind;
  const auto& types = types_of(*item.statement, *item.plan);
  for (std::size_t i = 0; i < bind.values.size(); ++i)
    literals_.push_back(routing::parameter{bind.values[i], bind.format_of(i), i < types.size() ? types[i] : 0});
}

// The item and what follows it is not sent; what it changed in the client's names is taken back.
void session::cut_batch(std::size_t from, protocol::notice why) {
  for (std::size_t i = batch_.size(); i-- > from;) names_.undo(batch_[i].undo);
  batch_.resize(from);
  batch_refused_ = std::move(why);
  prepare_refused_ = false;
}

// What the proxy may answer without a server.
bool session::is_ours(const batch_item& item) const {
  const auto* plan = item.plan;
  const bool control = plan && (is_transaction_control(plan->kind) || (plan->kind == statement_kind::prepare_transaction && held_.failed()));
  return control || item.reset;
}

// Does anything in it have to run in the client's transaction on a shard? Transaction control that the proxy can answer does not. A
// portal has to be where it will be executed later: after a Flush, or in an open transaction. Beside what a server may refuse, transaction
// control is the server's too: behind an error it is not run.
bool session::batch_needs_transaction(char end) {
  auto simulated = held_;
  bool controls = false;
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    const auto& item = batch_[i];
    const auto* plan = item.plan;
    const bool stays = item.type == 'B' && (end != 'S' || simulated.open());
    if (stays && (!is_ours(item) || !is_executed(std::span(batch_).subspan(i)))) return true;
    if (item.type != 'E') continue;
    if (!is_ours(item)) return true;
    if (item.reset) continue;
    if (!simulated.can_answer(std::span(plan, 1))) return true;
    simulated.run(*plan, item.statement->sql);
    simulated.keep(item.statement->sql);
    controls = true;
  }
  return controls && batch_needs_server();
}

// Parse and Describe alone: any server will do.
bool session::batch_needs_server() {
  return std::any_of(batch_.begin(), batch_.end(), [this](const batch_item& item) {
    if (is_ours(item)) return false;
    return item.type != 'c' && item.type != 'y' && item.type != 'z';
  });
}

// Tables that are not sharded are there on the default shard only.
routing::shard_id session::preparing_shard() const {
  const bool local = std::any_of(batch_.begin(), batch_.end(), [](const batch_item& item) {
    return item.plan && item.plan->destination == destination_kind::default_shard;
  });
  return local ? w_.map->default_shard() : usual_shard();
}

// No server has a part in it: control statements are answered, an error stands where it would.
void session::answer_batch_alone(char end) {
  for (const auto& item : batch_) answer_item(item, out_);
  if (batch_refused_) {
    answer_error(*batch_refused_);
    if (end != 'S') skip_to_sync_ = true;
  }
  if (end == 'S') finish_alone();
}

}  // namespace proxy
