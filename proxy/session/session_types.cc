// Questions that stand between two messages of the client. A shard key that is an undeclared parameter with other uses too: PostgreSQL infers
// its type from one of them, and only a shard can say which. It is asked once by Parse and Describe, before the pipeline is placed. And what a
// statement asks of other clients, or does to them (process_question.h): that is answered before the statement is sent, which then has its
// own answer amended. Declared in proxy/session/session.h.
#include <fmt/format.h>

#include <algorithm>

#include "protocol/wire.h"
#include "proxy/session/session.h"

namespace proxy {

namespace {

bool undeclared(const std::vector<std::uint32_t>& types, std::size_t index) noexcept { return index >= types.size() || types[index] == 0; }

}  // namespace

// Of the first of these DataRow frames; empty: there is none, or it is NULL.
std::string session::first_column(std::string_view rows) {
  if (rows.empty()) return {};
  protocol::wire_reader in(rows.substr(protocol::frame_header_size));
  in.read<std::int16_t>();
  const auto size = in.read<std::int32_t>();
  return size > 0 ? std::string(in.read_bytes(static_cast<std::size_t>(size))) : std::string();
}

// What tables and functions the client's unqualified names mean.
std::string session::names_scope() const {
  auto scope = user_;
  for (const auto& [name, value] : parameters_) scope.append(1, '\0').append(name).append(1, '\0').append(value);
  const auto* path = state_.wanted ? state_.wanted->find("search_path") : nullptr;
  if (path) scope.append(1, '\0').append(*path);
  for (const auto& [name, value] : reading()) scope.append(1, '\0').append(name).append(value);
  if (here_.transaction.changes_settings()) scope.append(1, '\0').append(std::to_string(pid_));  // SET LOCAL search_path
  return scope;
}

// What a server analyses a prepared statement under; none: as it started. What SET LOCAL has changed is the client's alone.
settings_ptr session::statement_scope() {
  constexpr std::string_view matters[] = {"search_path", "role", "session_authorization"};
  const auto& changed = here_.transaction.names();
  const bool plain = changed.empty() && !state_.escapes && !state_.recodes;
  if (plain && state_.scope_of == state_.wanted) return state_.scope;
  text_pairs scope = reading();
  for (const auto name : matters) {
    const auto* value = state_.wanted ? state_.wanted->find(name) : nullptr;
    if (value) scope.emplace_back(name, *value);
    if (std::find(changed.begin(), changed.end(), name) != changed.end()) scope.emplace_back(std::to_string(pid_), name);
  }
  auto made = make_settings(std::move(scope));
  if (plain) state_.scope_of = state_.wanted, state_.scope = made;
  return made;
}

// Of the statement's parameters, as far as they are known; what route() is given.
const std::vector<std::uint32_t>& session::types_of(const prepared_statement& statement, const routing::statement_plan& plan) const {
  if (!wants_types(statement, plan)) return statement.types;
  const auto* known = w_.inferred.find(names_scope(), statement.sql, statement.types, clock::now());
  return known ? *known : statement.types;
}

bool session::wants_types(const prepared_statement& statement, const routing::statement_plan& plan) noexcept {
  return std::any_of(plan.keys.begin(), plan.keys.end(), [&](const routing::key_source& key) {
    const auto* index = std::get_if<std::size_t>(&key.value);
    return index && key.inferred_elsewhere && undeclared(statement.types, *index);
  });
}

bool session::types_are_missing() {
  return std::any_of(batch_.begin(), batch_.end(), [this](const batch_item& item) {
    const auto* plan = item.type == 'B' ? item.plan : nullptr;
    return plan && wants_types(*item.statement, *plan) && !w_.inferred.find(names_scope(), item.statement->sql, item.statement->types, clock::now());
  });
}

// Without an answer the statement stays refused; the notice says that the shard went away meanwhile. Not in the middle of a pipeline,
// whose answers would come first.
task<std::optional<protocol::notice>> session::learn_types() {
  for (const auto& item : batch_) {
    const auto* plan = item.type == 'B' ? plan_of(item.statement) : nullptr;
    if (!plan || !wants_types(*item.statement, *plan)) continue;
    if (w_.inferred.find(names_scope(), item.statement->sql, item.statement->types, clock::now())) continue;
    if (here_.server && (!here_.server->answers.idle() || here_.status == protocol::transaction_status::failed)) co_return std::nullopt;
    const bool own = !here_.server;
    if (own) {
      const auto failed = co_await borrow_server();
      if (failed || closing_) co_return std::nullopt;
    }
    auto types = co_await ask_types(*item.statement);
    if (own && here_.server) release_server();
    if (closing_ || types.empty()) co_return std::exchange(lost_, std::nullopt);
    w_.inferred.remember(names_scope(), item.statement->sql, item.statement->types, std::move(types), clock::now());
  }
  co_return std::nullopt;
}

// Empty: the server refused the statement, or is gone. A refusal in the client's transaction fails it, as the client's own Parse would.
task<std::vector<std::uint32_t>> session::ask_types(const prepared_statement& statement) {
  auto& server = *here_.server;
  protocol::parse parse;
  parse.sql = text_of(statement);
  parse.types = statement.types;
  protocol::append(server.out, parse);
  server.answers.expect(request::parse, fate::capture);
  const protocol::describe describe{'S', ""};
  protocol::append(server.out, describe);
  server.answers.expect(request::describe_statement, fate::capture);
  const auto frames = co_await end_aside();
  const bool told = frames.starts_with('t');
  co_return told ? protocol::decode_parameter_description(std::string_view(frames).substr(protocol::frame_header_size)).value_or(std::vector<std::uint32_t>())
                 : std::vector<std::uint32_t>();
}

// In front of end_aside(). Under a portal's name of its own: the client's unnamed one may be open.
void session::put_in_for_answer(std::string_view sql) {
  constexpr std::string_view portal = "pgrotor_question";
  auto& out = here_.server->out;
  auto& answers = here_.server->answers;
  protocol::parse parse;
  parse.sql = sql;
  protocol::append(out, parse);
  answers.expect(request::parse, fate::capture);
  protocol::bind bind;
  bind.portal = portal;
  protocol::append(out, bind);
  answers.expect(request::bind, fate::capture);
  protocol::execute execute;
  execute.portal = portal;
  protocol::append(out, execute);
  answers.expect(request::execute, fate::capture);
  const protocol::close close{'P', portal};
  protocol::append(out, close);
  answers.expect(request::close, fate::capture);
}

// Puts a Sync behind a question of the proxy's own that stands between two messages of the client. What has been captured of its answer.
task<std::string> session::end_aside() {
  auto& server = *here_.server;
  protocol::append_sync(server.out);
  server.answers.expect(request::sync, fate::capture);
  server.statements.unnamed = 0;
  here_.asking = question::aside;
  clock_question();
  co_await wait_for_answer();
  co_return here_.server && !closing_ ? here_.server->answers.rows() : std::string();
}

// With the client's settings, for a question and nothing else. A snapshot of another level may have to be waited for.
task<std::optional<protocol::notice>> session::borrow_server() {
  auto failed = co_await attach(w_.map->default_shard());
  if (!failed) failed = co_await adjust_first(true);
  if (failed || closing_) co_return failed;
  here_.borrowed = true;
  put_in_for_answer(own_isolation);
  co_return std::nullopt;
}

// The first value of the first row.
task<std::string> session::ask_aside(std::string_view sql) {
  put_in_for_answer(sql);
  const auto rows = co_await end_aside();
  co_return first_column(rows);
}

// The values of the Bind decide, and the Execute behind it runs it.
bool session::asks_of_clients_when_run(std::size_t bind) const {
  const auto& item = batch_[bind];
  if (item.type != 'B' || item.is_front() || !item.plan || !asks_of_clients(*item.plan)) return false;
  return is_executed(std::span(batch_).subspan(bind));
}

bool session::has_calls_about_clients() const {
  for (std::size_t i = 0; i < batch_.size(); ++i)
    if (asks_of_clients_when_run(i)) return true;
  return false;
}

// A notice refuses the message.
task<std::optional<protocol::notice>> session::answer_calls(char type, std::string_view frame) {
  if (type == 'Q') {
    const auto plan = plan_of_query(frame);  // its literals are parameters
    auto asked = question_of(plan->statements.front().processes.front(), literals_);
    co_return co_await answer_call(std::move(asked));
  }
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    batch_[i].plan = plan_of(batch_[i].statement);
    if (!asks_of_clients_when_run(i)) continue;
    literals_.clear();
    if (!read_values(batch_[i])) co_return std::nullopt;
    auto asked = question_of(batch_[i].plan->processes.front(), literals_);
    auto failed = co_await answer_call(std::move(asked));
    if (failed || closing_) co_return failed;
  }
  co_return std::nullopt;
}

bool session::may_ask_aside() const noexcept {
  if (!here_.server) return !held_.failed();
  return !here_.unsynced && here_.server->answers.idle() && here_.status != protocol::transaction_status::failed;
}

// About who is no client, or where nothing can be asked, the shard says what it likes.
task<std::optional<protocol::notice>> session::answer_call(std::optional<process_question> asked) {
  const auto user = asked ? w_.shared.processes->user_of(asked->number) : std::nullopt;
  if (!user || !may_ask_aside()) co_return done_.truths.emplace_back(), std::nullopt;
  const bool own = !here_.server;
  if (own) {
    auto failed = co_await borrow_server();
    if (failed || closing_) co_return failed;
  }
  const auto shard = here_.server->shard;
  const auto& book = *w_.shared.processes;
  std::vector<std::int32_t> among;
  for (const auto number : asked->among)
    for (const auto process : book.processes_of(number, shard)) among.push_back(process);
  const auto sql = asked->is == process_question::what::is_blocked ? blocked_sql(book.processes_of(asked->number, shard), among) : permission_sql(*user);
  const auto said = co_await ask_aside(sql);
  if (own && here_.server) release_server();
  if (closing_ || lost_) co_return std::exchange(lost_, std::nullopt);
  if (asked->is == process_question::what::is_blocked) co_return done_.truths.emplace_back(said == "t"), std::nullopt;
  if (auto refused = refusal(asked->is, said)) co_return refused;
  co_return co_await signal_client(*std::move(asked));
}

// As in PostgreSQL, who signals himself does not hear that it has gone well.
task<std::optional<protocol::notice>> session::signal_client(process_question asked) {
  const bool cancels = asked.is == process_question::what::cancel;
  done_.truths.emplace_back(true);
  if (asked.number != pid_) {
    w_.signal(asked.number, cancels ? process_signal::cancel : process_signal::terminate);
    if (asked.patience.count() > 0) co_await outwait(asked);
    co_return std::nullopt;
  }
  if (cancels) co_return make_error(sqlstate::query_canceled, "canceling statement due to user request");
  fatal(terminated());
  co_return std::nullopt;
}

// Until that client is gone.
task<void> session::outwait(process_question asked) {
  constexpr auto look_again = std::chrono::milliseconds(10);
  const auto until = clock::now() + asked.patience;
  const auto is_there = [&] { return w_.shared.processes->user_of(asked.number).has_value(); };
  waiting_ = true;
  while (is_there() && clock::now() < until && !closing_ && !cancelled_) co_await wake_.wait(std::min(clock::now() + look_again, until));
  waiting_ = false;
  if (!is_there()) co_return;
  done_.truths.back() = false;
  const auto late = make_error(sqlstate::warning, fmt::format("backend with PID {} did not terminate within {} milliseconds", asked.number, asked.patience.count()));
  protocol::append_notice(out_, as_warning(late));
}

void session::amend_columns(const routing::statement_plan& plan) {
  std::vector<amendment> told;
  for (const auto& call : plan.processes) {
    const auto column = static_cast<std::uint16_t>(call.column);
    if (call.is == process_question::what::own_number) {
      told.push_back({column, amendment::kind::number, pid_});
    } else if (done_.truths_told < done_.truths.size()) {
      if (const auto truth = done_.truths[done_.truths_told++]) told.push_back({column, amendment::kind::truth, *truth});
    }
  }
  if (!told.empty()) here_.server->answers.amend(told);
}

}  // namespace proxy
