// A shard key that is an undeclared parameter with other uses too: PostgreSQL infers its type from one of them, and only a shard can say
// which. It is asked once by Parse and Describe, before the pipeline is placed. Declared in proxy/session/session.h.
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
  if (here_.transaction.changes_settings()) scope.append(1, '\0').append(std::to_string(pid_));  // SET LOCAL search_path
  return scope;
}

// What a server analyses a prepared statement under; empty: as it started.
std::string session::statement_scope() const {
  constexpr std::string_view matters[] = {"search_path", "role", "session_authorization"};
  std::string scope;
  for (const auto name : matters) {
    const auto* value = state_.wanted ? state_.wanted->find(name) : nullptr;
    if (value) scope.append(name).append(1, '=').append(*value).append(1, '\0');
    const auto& changed = here_.transaction.names();
    if (std::find(changed.begin(), changed.end(), name) != changed.end()) scope.append(std::to_string(pid_)).append(1, '\0');  // SET LOCAL
  }
  return scope;
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
      auto failed = co_await attach(w_.map->default_shard());
      if (!failed) failed = co_await adjust_first(true);
      if (failed || closing_) co_return std::nullopt;
      here_.borrowed = true;
    }
    if (own) put_in_for_answer("SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
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
  parse.sql = statement.sql;
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

}  // namespace proxy
