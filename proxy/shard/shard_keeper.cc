#include "proxy/shard/shard_keeper.h"

#include <algorithm>

#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>

#include "proxy/config/errors.h"
#include "proxy/config/log.h"
#include "proxy/shard/conversation.h"

namespace proxy {

namespace {

constexpr auto look_after = std::chrono::seconds(30);
constexpr int max_logins = 3;  // to find out what differs, to give it, and once more where the default shard changes meanwhile

bool is_superuser(const server_connection& server) {
  const auto found = std::find_if(server.parameters.begin(), server.parameters.end(), [](const auto& one) { return one.first == "is_superuser"; });
  return found != server.parameters.end() && found->second == "on";
}

// Role, password, pg_hba.conf, the right to connect; not that too many are connected.
bool is_about_user(std::string_view state) {
  return state.starts_with("28") || state == sqlstate::insufficient_privilege || state == sqlstate::no_database || state == sqlstate::wrong_state;
}

void give(text_pairs& given, const std::string& name, const std::string& value) {
  const auto found = std::find_if(given.begin(), given.end(), [&](const auto& one) { return one.first == name; });
  if (found != given.end()) found->second = value;
  else given.emplace_back(name, value);
}

}  // namespace

shard_keeper::shard_keeper(boost::asio::io_context& io, shard_watch& watch, standard_ptr standard)
    : io_(io), watch_(watch), standard_(std::move(standard)) {
  standard_->keepers.push_back(this);
}

shard_keeper::~shard_keeper() { std::erase(standard_->keepers, this); }

void shard_keeper::open(clock::time_point deadline) {
  boost::asio::co_spawn(io_, open_one(deadline), [](std::exception_ptr failure) { log_failure("opening a connection", failure); });
}

task<void> shard_keeper::open_one(clock::time_point deadline) {
  wakeup wake(io_);
  open_result result;
  try {
    result = co_await open_equal(wake, deadline);
  } catch (const std::exception& failure) {
    result.failed = make_error(sqlstate::internal_error, fmt::format("cannot log in to shard {}", target_.shard_name), failure.what());
  }
  if (!result.server) log_warning("shard {}: {} ({})", target_.shard_name, result.failed.message, result.failed.detail);
  pool_->opened(std::move(result));
}

task<std::optional<protocol::notice>> shard_keeper::refuses_login(wakeup& wake, clock::time_point deadline) {
  const auto target = target_;  // another client may bring its own meanwhile
  auto tried = co_await open_server(io_, target, wake, deadline);
  if (tried.server || tried.unreachable || !is_about_user(tried.failed.sqlstate)) co_return std::nullopt;
  co_return std::move(tried.failed);
}

// Where it had no answer others may have had one: what keeps it from answering keeps new connections too.
task<bool> shard_keeper::answers(server_connection& server, const std::string& query, wakeup& wake, clock::time_point deadline) {
  server.socket.listen(&wake);
  const auto how = co_await run_alone(server, query, wake, deadline);
  if (how == conversation::ending::answered) co_return true;
  if (how == conversation::ending::silent)
    unreachable(make_error(sqlstate::connection_failure, fmt::format("shard {} does not answer", target_.shard_name)));
  co_return false;
}

bool shard_keeper::watch(server_connection& server) {
  if (server.socket.has_ended()) return false;
  server.socket.listen(&server);
  // Over TLS or a Unix socket only a read would have told that nothing is left.
  if (server.socket.readable()) {
    if (!server.socket.quiet()) return false;
    server.socket.not_readable();
  }
  server.socket.watch_read();
  return true;
}

bool shard_keeper::quiet(server_connection& server, bool just_used) {
  return (just_used && !server.socket.readable()) || server.socket.quiet();
}

bool shard_keeper::hold(server_connection& server) {
  server.socket.listen(nullptr);
  return !server.socket.has_ended();
}

bool shard_keeper::due_for_look(clock::time_point now) const noexcept { return seen_ && now - looked_at_ >= look_after; }

protocol::notice shard_keeper::refused_start(const std::vector<std::string>& differences) const {
  return make_error(sqlstate::wrong_state, fmt::format("shard {} would answer differently than the default shard", target_.shard_name),
                    fmt::format("For user {}: {}.", target_.user, fmt::join(differences, "; ")),
                    "Make the two alike with ALTER DATABASE, ALTER ROLE or ALTER SYSTEM; a database has its encoding for ever.");
}

// A login as it should be, or the reason why there is none.
task<open_result> shard_keeper::open_equal(wakeup& wake, clock::time_point deadline) {
  open_result result;
  for (int logins = 0; logins < max_logins; ++logins) {
    auto target = target_;
    target.parameters.insert(target.parameters.end(), given_.begin(), given_.end());
    result = co_await open_server(io_, target, wake, deadline);
    if (!result.server) {
      if (!given_.empty() && !result.unreachable && result.failed.hint.empty())
        result.failed.hint = "The settings of the default shard are given to every shard, and this one has to know their values.";
      co_return result;
    }
    auto seen = co_await ask_settings(*result.server, wake, deadline, result.failed);
    if (!seen) {
      result.server.reset();
      result.unreachable = result.failed.sqlstate == sqlstate::connection_failure;
      co_return result;
    }
    const bool settled = accept_settings(std::move(*seen), result);
    if (settled) co_return result;
    result.server.reset();
  }
  std::vector<std::string> names;
  for (const auto& one : given_) names.push_back(one.first + " stays as it is");
  result.failed = refused_start(names);
  co_return result;
}

task<std::optional<server_settings>> shard_keeper::ask_settings(server_connection& server, wakeup& wake, clock::time_point deadline, protocol::notice& failed) {
  std::vector<std::string> names;
  if (standard_->values) names = names_to_ask(*standard_->values);
  alone_answer answer;
  server.socket.listen(&wake);
  const auto sql = settings_question(names);
  auto how = co_await run_alone(server, sql, wake, deadline, &answer);
  server.socket.listen(nullptr);
  server.statements.unnamed = 0;
  std::optional<server_settings> read;
  if (how == conversation::ending::answered) read = read_server_settings(answer.rows);
  if (read) pool_->note_hidden_functions(read->hidden_functions);
  if (read) co_return read;
  auto why = answer.refusal();
  if (how == conversation::ending::answered) how = conversation::ending::failed;
  failed = why ? std::move(*why)
               : make_error(sqlstate::connection_failure, fmt::format("shard {} does not say what its sessions start with", target_.shard_name),
                            std::string(words_of(how)));
  co_return std::nullopt;
}

// False: another login, with more to give, may be as it should be.
bool shard_keeper::accept_settings(server_settings seen, open_result& result) {
  looked_at_ = clock::now();
  client_timeouts timeouts;
  for (const auto& one : seen.all) take(timeouts, one.name, one.value);
  pool_->note_timeouts(timeouts);
  if (target_.standard) return set_standard(std::move(seen)), true;
  if (!standard_->values) {
    result.server.reset();
    result.failed = make_error(sqlstate::wrong_state, "the default shard has not said yet what its sessions start with", "", "Connect again.");
    return true;
  }
  auto found = compare_settings(*standard_->values, seen, is_superuser(*result.server));
  for (const auto& [name, value] : found.give) give(given_, name, value);
  if (found.refused.empty() && !found.give.empty()) return false;
  if (!found.refused.empty()) {
    result.server.reset();
    result.failed = refused_start(found.refused);
    return true;
  }
  if (found.told != told_ && !found.told.empty())
    log_warning("shard {}: differs from the default shard for user {}: {}", target_.shard_name, target_.user, fmt::join(found.told, "; "));
  told_ = std::move(found.told);
  seen_ = std::move(seen);
  return true;
}

void shard_keeper::set_standard(server_settings seen) {
  const bool news = standard_->values && *standard_->values != seen;
  if (news) {
    log_info("default shard {}: sessions of user {} start with other settings: connections are made anew", target_.shard_name, target_.user);
    for (auto* one : standard_->keepers) one->pool_->reconnect();
  }
  seen_ = seen;
  standard_->values = std::move(seen);
}

// False: another login would have other settings, or it does not say.
task<bool> shard_keeper::starts_as_now(server_connection& server, wakeup& wake, clock::time_point deadline) {
  looked_at_ = clock::now();
  protocol::notice failed;
  const auto seen = co_await ask_settings(server, wake, deadline, failed);
  if (!seen) co_return false;
  if (!seen_ || started_alike(*seen, *seen_)) co_return true;
  log_info("shard {}: sessions of user {} start with other settings: connections are made anew", target_.shard_name, target_.user);
  pool_->reconnect();
  co_return false;
}

}  // namespace proxy
