// A shard key that is an undeclared parameter with other uses too: PostgreSQL infers its type from one of them, and only a shard can say
// which. It is asked once by Parse and Describe, before the pipeline is placed. Declared in proxy/session/session.h.
#include <algorithm>

#include "protocol/wire.h"
#include "proxy/session/session.h"

namespace proxy {

namespace {

bool undeclared(const std::vector<std::uint32_t>& types, std::size_t index) noexcept { return index >= types.size() || types[index] == 0; }

}  // namespace

// Of a DataRow's body.
std::string session::first_column(std::string_view row) {
  protocol::wire_reader in(row);
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
    auto types = co_await ask_types(*item.statement);
    if (own && here_.server) release_server();
    if (closing_ || types.empty()) co_return std::exchange(lost_, std::nullopt);
    w_.inferred.remember(names_scope(), item.statement->sql, item.statement->types, std::move(types), clock::now());
  }
  co_return std::nullopt;
}

// Empty: the server refused the statement, or is gone. A refusal in the client's transaction fails it, as the client's own Parse would.
task<std::vector<std::uint32_t>> session::ask_types(const prepared_statement& statement) {
  protocol::parse parse;
  parse.sql = statement.sql;
  parse.types = statement.types;
  protocol::append(here_.server->out, parse);
  const protocol::describe describe{'S', ""};
  protocol::append(here_.server->out, describe);
  protocol::append_sync(here_.server->out);
  auto answer = co_await hear_aside();
  co_return std::move(answer.types);
}

// What the server says to a question of the proxy's own that was just put behind nothing else, up to its ReadyForQuery.
task<session::heard> session::hear_aside() {
  here_.server->statements.unnamed = 0;
  heard answer;
  here_.asking = question::aside;
  here_.alone = true;
  clock_question();
  while (here_.server && !closing_) {
    flush_server();
    protocol::frame_header header;
    const auto seen = protocol::read_header(here_.server->in.view(), protocol::peer::backend, protocol::max_frame_size, header);
    if (seen == protocol::frame_error::none && here_.server->in.size() >= header.size) {
      const bool over = take_aside(header, answer);
      if (over) break;
      continue;
    }
    if (here_.server->socket.readable()) {
      const auto whole = seen == protocol::frame_error::none ? header.size : 0;
      const auto result = here_.server->socket.read(here_.server->in, whole);
      if (result.closed) server_lost("The shard closed the connection.");
      continue;
    }
    if (end_overdue_question()) break;
    if (here_.server->output_pending()) here_.server->socket.watch_write();
    here_.server->socket.watch_read();
    co_await wake_.wait();
  }
  here_.asking = question::none;
  here_.alone = false;
  question_place_.unlink();
  if (here_.server && closing_) here_.server->unusable = true;  // its answer is still to come
  co_return answer;
}

// True at ReadyForQuery. What the server says on its own account is the client's to hear.
bool session::take_aside(const protocol::frame_header& header, heard& answer) {
  const auto frame = here_.server->in.view().substr(0, header.size);
  const auto body = frame.substr(protocol::frame_header_size);
  if (header.type == 't') answer.types = protocol::decode_parameter_description(body).value_or(std::vector<std::uint32_t>());
  if (header.type == 'D') answer.text = first_column(body);
  if (header.type == 'S' || header.type == 'A') here_.server->answers.feed(frame, out_);
  if (here_.server->answers.has_reports()) absorb_reports(*here_.server);
  const auto ready = header.type == 'Z' ? protocol::decode_ready_for_query(body) : std::nullopt;
  if (ready && !here_.borrowed) here_.status = ready->status;
  here_.server->in.consume(header.size);
  return ready.has_value();
}

}  // namespace proxy
