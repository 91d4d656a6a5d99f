// State that outlives a transaction: asked for when one has ended, put back in front of the next, or parked with its server. Declared in
// proxy/session/session.h.
#include <fmt/format.h>

#include <algorithm>

#include "protocol/wire.h"
#include "proxy/config/log.h"
#include "proxy/counters/pins.h"
#include "proxy/session/session.h"
#include "proxy/shard/conversation.h"
#include "routing/analysis/fixed_settings.h"

namespace proxy {

namespace {

constexpr int max_probe_tries = 2;  // a cancel request of the client may have hit the first

// A server that has no name of an application is about to get the client's.
std::string_view shown(const std::pair<std::string, std::string>& parameter, const std::string& application) {
  return parameter.first == "application_name" && parameter.second.empty() ? std::string_view(application) : parameter.second;
}

// These say what a server is, not what the client made of it.
bool is_of_server(std::string_view name) noexcept { return name == "server_version" || name == "in_hot_standby"; }

void set_value(text_pairs& parameters, std::string_view name, std::string_view value) {
  const auto found = std::find_if(parameters.begin(), parameters.end(), [name](const auto& one) { return one.first == name; });
  if (found != parameters.end()) found->second = value;
  else if (parameters.size() < most_parameters) parameters.emplace_back(std::string(name), std::string(value));
}

}  // namespace

// A server that the transaction has just got.
void session::begin_with_server() {
  here_.reported_before.reset();
  auto& server = *here_.server;
  if (!server.process) {
    server.process = w_.shared.processes->enter(server.shard, server.cancels.key.pid);
    server.answers.name_notifiers(w_.shared.processes.get(), server.shard);
  }
  server.process->client.store(pid_, std::memory_order_release);
}

// Settings that the server may refuse, or all: nothing of the client's is sent before it has taken them. Without a notice and without a
// server, the session is closing.
task<std::optional<protocol::notice>> session::adjust_first(bool all) {
  if (here_.server->applied == state_.wanted) co_return std::nullopt;
  if (!all && !adjust(here_.server->applied, state_.wanted).wait) co_return std::nullopt;
  adjust_along();
  co_await wait_for_answer();
  if (here_.server || closing_) co_return std::nullopt;
  co_return std::exchange(lost_, std::nullopt);
}

// To a question of the proxy's own, with nothing of the client's under way. Afterwards there is one, or no server, or the session is closing.
task<void> session::wait_for_answer() {
  keep_passed();  // a client that does not read has not taken what came before
  here_.alone = true;
  while (here_.server && here_.asking != question::none && !closing_) {
    bool moved = false;
    const auto why = hear_server(out_, moved);
    if (why) server_lost(*why);
    if (why || moved || end_overdue_question()) continue;
    watch(*here_.server);
    co_await wake_.wait();
  }
  here_.alone = false;
}

// Beside the relay: what the server says goes to `into`, and no bytes in its buffer may still be on their way to the client. A reason when it
// is lost.
std::optional<std::string> session::hear_server(std::string& into, bool& moved) {
  auto& server = *here_.server;
  exchange_conversation talk(server.answers, into);
  moved = step(server, talk);
  take_asides(server);
  if (talk.how() != conversation::ending::none && talk.how() != conversation::ending::answered) return talk.why();
  if (talk.what() == exchange::event::error) on_error_relayed();
  if (talk.what() == exchange::event::ready) here_.status = talk.status();
  if (talk.what() == exchange::event::captured) on_captured(talk.status());
  return std::nullopt;
}

// In the same write as the client's statement.
void session::adjust_along() {
  if (here_.server->applied == state_.wanted) return;
  const auto made = adjust(here_.server->applied, state_.wanted);
  if (!made.encoding.empty() && !made.sql.empty()) here_.server->put_in(made.encoding);
  here_.server->applied = state_.wanted;
  here_.asking = question::settings;
  ++w_.counted.replays;
  here_.server->ask(made.sql.empty() ? made.encoding : made.sql);
}

// Everything that a server must be told before the client's own messages.
void session::catch_up() {
  adjust_along();
  forget_sequences_of_others();
  drop_stale_sql();
  drop_statements();
}

void session::forget_sequences() {
  here_.server->put_in("DISCARD SEQUENCES");
  here_.server->sequences_of = 0;
}

void session::forget_sequences_of_others() {
  if (here_.server->sequences_of != 0 && here_.server->sequences_of != pid_ && here_.server->home->sequence_values()) forget_sequences();
}

// currval and lastval must never give what another client has drawn. Where that cannot be told from the client's own, it is an error,
// and never again in this pool.
std::optional<protocol::notice> session::allow_sequence_values() {
  here_.server->home->note_sequence_values();
  if (here_.server->sequences_of == 0 || here_.server->sequences_of == pid_) return std::nullopt;
  if (!here_.has.wrote && !here_.unsynced) return forget_sequences(), std::nullopt;
  return make_error(sqlstate::wrong_state, "the value of the sequence in this session is not known",
                    "The server connection has drawn values for other clients before this transaction.", "Retry the transaction.");
}

std::optional<protocol::notice> session::prepare_for(const choice& c) {
  for (const auto& statement : c.executes) {
    if (here_.server->sql.find(statement->name) == statement || here_.sql_changed.find(statement->name) == statement) continue;
    if (here_.server->sql.find(statement->name)) send_sql(fmt::format("DEALLOCATE {}", quoted_name(statement->name)));
    send_sql(state_.escapes ? routing::with_escapes(statement->text) : statement->text);
    here_.server->sql.set(statement);
  }
  return c.sequence_values ? allow_sequence_values() : std::nullopt;
}

sql_prepare_ptr session::find_sql(std::string_view name) const {
  if (auto made = here_.sql_changed.find(name)) return made;
  return state_.sql.find(name);
}

// PREPARE or DEALLOCATE of the proxy's own. In a pipeline that has begun it must not end the client's implicit transaction.
void session::send_sql(std::string_view sql) {
  routing::session_effects effects;
  effects.makes = state::sql_statements;
  here_.transaction.note(effects);
  if (!here_.unsynced) return here_.server->put_in(sql);
  auto& out = here_.server->out;
  auto& answers = here_.server->answers;
  here_.server->statements.unnamed = 0;
  protocol::parse parse;
  parse.sql = sql;
  protocol::append(out, parse);
  answers.expect(request::parse, fate::swallow);
  protocol::append(out, protocol::bind{});
  answers.expect(request::bind, fate::swallow);
  protocol::append(out, protocol::execute{});
  answers.expect(request::execute, fate::swallow);
}

// Those of the protocol: the server has lost one, or can no longer run it.
void session::drop_statements() {
  if (!std::exchange(here_.server->reprepare, false)) return;
  const auto all = here_.server->statements.all();
  for (const auto id : all) close_statement(id);
  protocol::append_sync(here_.server->out);
  here_.server->answers.expect(request::sync, fate::swallow);
  here_.server->statements.clear();
}

// A parked server may hold what the client has given up since.
void session::drop_stale_sql() {
  if (here_.server->sql.empty()) return;
  const auto held = here_.server->sql.all();
  for (const auto& one : held) {
    if (state_.sql.find(one->name) == one) continue;
    send_sql(fmt::format("DEALLOCATE {}", quoted_name(one->name)));
    here_.server->sql.erase(one->name);
  }
}

// DEALLOCATE ALL: servers that were kept for nothing else go at once, others forget when they are next used.
void session::forget_sql() {
  state_.sql.clear();
  here_.sql_changed.clear();
  for (auto& server : state_.parked) {
    if (server->pinned != state::sql_statements) continue;
    --w_.counted.pinned_now;
    ++w_.counted.unpins;
    auto* home = server->home;
    home->discard(std::move(server));
  }
  std::erase(state_.parked, nullptr);
}

// Drivers close statements of the protocol with DEALLOCATE too.
bool session::closes_own(const routing::statement_plan& plan) const { return !plan.deallocate.empty() && names_.find(plan.deallocate) != nullptr; }

void session::finish_transaction() {
  end_transaction();
  auto& transaction = here_.transaction;
  auto& home = *here_.server->home;
  const bool wrote = std::exchange(here_.has, {}).wrote;
  if (elsewhere_.empty() && !log_.is_new()) log_.clear();
  if (transaction.has_prepared_of_temp_objects()) here_.server->reprepare = true;
  if ((wrote && home.triggers_make_state()) || (here_.server->pinned & state::anything) != 0) transaction.note_unknown();
  if (here_.reported_before && here_.reported_before != here_.server->reported && !transaction.changes_settings()) transaction.note_any_setting();
  for (const auto& name : transaction.names())
    if (is_custom(name)) {
      remember_name(state_.own_names, name);
      remember_name(w_.custom_settings, name);
    }
  here_.asked = transaction.question(here_.server->applied, here_.server->pinned, home.defaults(), state_.own_names, w_.custom_settings);
  here_.asked.triggers = wrote && !home.knows_triggers(unit_started_);
  const auto mode = w_.settings.pool_mode == pooling::session && !here_.server->unusable && !here_.server->leaving ? session_mode : state_bits{};
  pin(static_cast<state_bits>((here_.server->pinned & ~(hidden_state | session_mode)) | transaction.hidden(here_.server->pinned) | mode));
  transaction.clear();
  here_.probe_tries = 0;
  if (here_.asked.empty()) return release_server();
  ask_server();
}

void session::ask_server() {
  here_.asking = question::leftovers;
  clock_question();
  ++here_.probe_tries;
  ++w_.counted.probes;
  const auto sql = probe_sql(here_.asked);
  here_.server->ask(sql);
  flush_server();
}

// Of a query of the proxy's own; none: it has succeeded.
std::optional<protocol::notice> session::failure_of(const exchange& answers, std::string_view otherwise) {
  const std::string_view frame = answers.failure();
  if (frame.empty()) return std::nullopt;
  auto why = protocol::decode_notice(frame.substr(protocol::frame_header_size));
  return why ? std::move(why) : make_error(sqlstate::internal_error, std::string(otherwise));
}

// The answer to a query of the proxy's own is there.
void session::on_captured(protocol::transaction_status status) {
  const auto& answers = here_.server->answers;
  question_place_.unlink();
  const auto asked = std::exchange(here_.asking, question::none);
  if (asked == question::aside && !here_.borrowed) here_.status = status;
  if (asked == question::aside || asked == question::prepared || asked == question::late) return;
  if (asked == question::settings) {
    here_.reported_before.reset();
    auto why = failure_of(answers, "the settings of the session cannot be made again");
    if (!why) return;
    // What came behind them, in the same write, is run all the same.
    const bool commits = unit_open_ && unit_may_commit_;
    if (commits) ++w_.counted.commits_unknown;
    fatal(commits ? commit_unknown(std::move(*why)) : std::move(*why));
    return;
  }
  const auto why = failure_of(answers);
  const auto found = why ? std::nullopt : read_findings(answers.rows());
  const bool locked = why && why->sqlstate == sqlstate::lock_not_available;
  if (!found && !locked && here_.probe_tries < max_probe_tries) return ask_server();
  if (!found) pin(here_.server->pinned | state::anything);
  else if (!take_findings(*found)) return ask_server();
  release_server();
  clock_rest(clock::now());  // the time-outs of the client may be others
}

// False: there is more to ask.
bool session::take_findings(const findings& found) {
  auto& home = *here_.server->home;
  auto& defaults = home.defaults();
  defaults.learn(here_.asked, found);
  here_.server->applied = settings_after(here_.server->applied, here_.asked, found, defaults, state_.own_names, user_);
  state_.wanted = or_as_started(here_.server->applied, state_.started_with);
  end_if_misled();
  if ((here_.asked.state & state::sql_statements) != 0) settle_statements(found.statements, here_.sql_changed, state_.sql, here_.server->sql);
  here_.sql_changed.clear();
  const auto answered = here_.asked.all_settings ? here_.asked.state | state::anything : here_.asked.state;  // the first: everything was asked
  pin(static_cast<state_bits>((here_.server->pinned & ~answered) | found.state));
  if (!here_.asked.triggers) return true;
  const bool before = home.triggers_make_state();
  home.note_triggers(found.triggers, unit_started_);
  if (before || !found.triggers) return true;
  state_of_transaction unknown;
  unknown.note_unknown();
  here_.asked = unknown.question(here_.server->applied, here_.server->pinned, defaults, state_.own_names, w_.custom_settings);
  here_.probe_tries = 0;
  return false;
}

// The one door to a server's reasons: counts what is new, and that it is free again.
void session::pin(state_bits reasons) {
  if (reasons == here_.server->pinned) return;
  for_each_pin(static_cast<state_bits>(reasons & ~here_.server->pinned), [this](std::size_t i) { ++w_.counted.pins[i]; });
  if (reasons != 0 && here_.server->pinned == 0) ++w_.counted.pinned_now;
  if (reasons == 0 && here_.server->pinned != 0) --w_.counted.pinned_now, ++w_.counted.unpins;
  here_.server->pinned = reasons;
}

void session::park_unheard() {
  keep_passed();
  pin(here_.server->pinned | state::anything);
  forget_questions();
  auto server = std::move(here_.server);
  here_.detach();
  park(std::move(server));
  clock_rest(clock::now());
}

void session::park(server_ptr server) {
  if (server->answers.idle()) server->answers.clear();
  server->in.release_if_empty();
  state_.parked.push_back(std::move(server));
}

server_ptr session::take_parked(routing::shard_id shard) {
  if (state_.parked.empty()) return nullptr;
  const auto found = std::find_if(state_.parked.begin(), state_.parked.end(), [shard](const auto& one) { return one->shard == shard; });
  if (found == state_.parked.end()) return nullptr;
  auto server = std::move(*found);
  state_.parked.erase(found);
  return server;
}

// Where a statement runs that may run anywhere: with the client's own state, as long as the map knows that shard.
routing::shard_id session::usual_shard() const {
  const auto fallback = w_.map->default_shard();
  routing::shard_id usual = fallback;
  for (const auto& server : state_.parked) {
    if (server->shard == fallback) return fallback;
    if (w_.map->find_shard(server->shard)) usual = server->shard;
  }
  return usual;
}

server_connection* session::holding(const pool* home, std::uint64_t serial) const noexcept {
  const auto is_it = [&](const server_ptr& one) { return one && one->home == home && one->serial == serial; };
  if (is_it(here_.server)) return here_.server.get();
  for (const auto& other : elsewhere_)
    if (is_it(other.server)) return other.server.get();
  const auto found = std::find_if(state_.parked.begin(), state_.parked.end(), is_it);
  return found == state_.parked.end() ? nullptr : found->get();
}

// Between transactions: notifications, notices, changed parameters, or the end of the connection and of the state that it holds.
bool session::step_parked() {
  if (here_.server || unit_open_ || status() != protocol::transaction_status::idle) return false;
  bool moved = false;
  for (auto& server : state_.parked) {
    if (!server->socket.readable()) continue;
    const auto result = server->socket.read(server->in);
    const auto step = server->answers.feed(server->in.view(), out_);
    out_.append(step.run);
    moved = moved || step.used > 0 || result.bytes > 0;
    server->in.consume(step.used);
    const bool late = step.what == exchange::event::captured;
    if (result.closed || (step.what != exchange::event::need_more && !late)) {
      state_lost(*server, "The shard closed the connection.");
      return true;
    }
    const bool news = server->answers.has_reports();
    take_asides(*server);
    tell_notifications();
    if (news && server->applied == state_.wanted) tell_changes(server->reported);
  }
  return moved;
}

void session::state_lost(const server_connection& server, std::string_view why) {
  log_warning("shard {}: connection of client {} lost with {}: {}", server.shard_name, pid_, pins_text(server.pinned), why);
  auto error = broke(server, why);
  error.hint = "State of the session was lost with it; connect again.";
  fatal(std::move(error));
}

void session::watch_parked() {
  for (auto& server : state_.parked) server->socket.watch_read();
}

void session::leave_parked() {
  for (auto& server : state_.parked) {
    --w_.counted.pinned_now;
    server->socket.listen(nullptr);  // the session may be gone before it is reset
    w_.reset_and_give_back(std::move(server));
  }
  state_.parked.clear();
}

// DISCARD ALL: nothing is wanted, and servers with state go.
void session::forget_state() {
  leave_parked();
  forget_sql();
  state_.wanted = state_.started_with;
  here_.transaction.clear();
  if (here_.server) {
    here_.server->unusable = here_.server->unusable || here_.server->pinned != 0;
    pin(0);
  }
  if (const auto* home = pool_for(w_.map->default_shard())) state_.reset_to = home->reported();
}

// What a server says beside its answers. Notifications wait for the end of the client's transaction, as PostgreSQL's do: its server may have
// said them before it was sent BEGIN.
void session::keep_asides(server_connection& server) {
  if (server.answers.has_reports()) absorb_reports(server);
  if (server.answers.has_notifications()) state_.notifications += server.answers.take_notifications();
}

void session::absorb_reports(server_connection& server) {
  const auto reports = server.answers.take_reports();
  text_pairs now = server.reported->values();
  protocol::wire_reader in(reports);
  while (in.ok() && !in.rest().empty()) {
    const auto name = in.read_cstring();
    const auto value = in.read_cstring();
    if (!in.ok()) break;
    set_value(now, name, value);
    if (const auto why = name == "client_encoding" ? routing::misleading_value(name, value) : std::nullopt) fatal(as_notice(*why));
  }
  if (!here_.reported_before) here_.reported_before = server.reported;
  server.reported = name_values::make(std::move(now));
}

void session::note_told(name_values_ptr parameters) {
  state_.told = std::move(parameters);
  const auto value = [this](std::string_view name) {
    const auto* found = state_.told->find(name);
    return found ? std::string_view(*found) : std::string_view();
  };
  const auto encoding = value("client_encoding"), server = value("server_encoding");
  state_.escapes = value("standard_conforming_strings") == "off";
  state_.recodes = encoding != server && encoding != "SQL_ASCII" && server != "SQL_ASCII";
}

// What is new to the client, right before ReadyForQuery, as PostgreSQL does.
void session::tell_changes(const name_values_ptr& reported) {
  if (reported == state_.told || !reported) return;
  const text_pairs none;
  const auto& before = state_.told ? state_.told->values() : none;
  for (const auto& one : reported->values()) {
    if (is_of_server(one.first)) continue;
    const auto value = shown(one, application_);
    const auto known = std::find_if(before.begin(), before.end(), [&](const auto& other) { return other.first == one.first; });
    if (known == before.end() || shown(*known, application_) != value) protocol::append(out_, protocol::parameter_status{one.first, value});
  }
  note_told(reported);
}

}  // namespace proxy
