// Sessions of a pool start with what those of the default shard start with (equal_settings.h): looked at with each login, and now and then
// on connections that are open, as postgresql.conf may be read again. Declared in proxy/shard/pool.h.
#include <algorithm>

#include <fmt/format.h>

#include "proxy/config/errors.h"
#include "proxy/config/log.h"
#include "proxy/shard/pool.h"

namespace proxy {

namespace {

constexpr auto look_after = std::chrono::seconds(30);
constexpr int max_logins = 3;  // to find out what differs, to give it, and once more where the default shard changes meanwhile

bool is_superuser(const server_connection& server) {
  const auto found = std::find_if(server.parameters.begin(), server.parameters.end(), [](const auto& one) { return one.first == "is_superuser"; });
  return found != server.parameters.end() && found->second == "on";
}

void give(text_pairs& given, const std::string& name, const std::string& value) {
  const auto found = std::find_if(given.begin(), given.end(), [&](const auto& one) { return one.first == name; });
  if (found != given.end()) found->second = value;
  else given.emplace_back(name, value);
}

}  // namespace

bool pool::due_for_look(clock::time_point now) const noexcept { return seen_ && now - looked_at_ >= look_after; }

protocol::notice pool::refused_start(const std::vector<std::string>& differences) const {
  return make_error(sqlstate::wrong_state, fmt::format("shard {} would answer differently than the default shard", target_.shard_name),
                    fmt::format("For user {}: {}.", key_.user, fmt::join(differences, "; ")),
                    "Make the two alike with ALTER DATABASE, ALTER ROLE or ALTER SYSTEM; a database has its encoding for ever.");
}

// A login as it should be, or the reason why there is none.
task<open_result> pool::open_equal(wakeup& wake) {
  const auto deadline = clock::now() + limits_.connect_timeout;
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

task<std::optional<server_settings>> pool::ask_settings(server_connection& server, wakeup& wake, clock::time_point deadline, protocol::notice& failed) {
  std::vector<std::string> names;
  if (standard_->values) names = names_to_ask(*standard_->values);
  alone_answer answer;
  server.socket.listen(&wake);
  const auto sql = settings_question(names);
  const auto how = co_await run_alone(server, sql, wake, deadline, &answer);
  server.socket.listen(nullptr);
  server.statements.unnamed = 0;
  std::optional<server_settings> read;
  if (how == alone_result::answered) read = read_server_settings(answer.rows);
  if (read) co_return read;
  auto why = answer.failure.empty() ? std::nullopt : protocol::decode_notice(std::string_view(answer.failure).substr(protocol::frame_header_size));
  failed = why ? std::move(*why)
               : make_error(sqlstate::connection_failure, fmt::format("shard {} does not say what its sessions start with", target_.shard_name),
                            how == alone_result::silent   ? "The shard did not answer in time."
                            : how == alone_result::failed ? "The shard closed the connection."
                                                          : "The answer is not that of a PostgreSQL server.");
  co_return std::nullopt;
}

// False: another login, with more to give, may be as it should be.
bool pool::accept_settings(server_settings seen, open_result& result) {
  looked_at_ = clock::now();
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
    log_warning("shard {}: differs from the default shard for user {}: {}", target_.shard_name, key_.user, fmt::join(found.told, "; "));
  told_ = std::move(found.told);
  seen_ = std::move(seen);
  return true;
}

void pool::set_standard(server_settings seen) {
  const bool news = standard_->values && *standard_->values != seen;
  if (news) {
    log_info("default shard {}: sessions of user {} start with other settings: connections are made anew", target_.shard_name, key_.user);
    for (auto* one : standard_->pools) one->reconnect();
  }
  seen_ = seen;
  standard_->values = std::move(seen);
}

// False: another login would have other settings, or it does not say.
task<bool> pool::started_as_now(server_connection& server, wakeup& wake) {
  looked_at_ = clock::now();
  protocol::notice failed;
  const auto seen = co_await ask_settings(server, wake, looked_at_ + limits_.connect_timeout, failed);
  if (!seen) co_return false;
  if (!seen_ || started_alike(*seen, *seen_)) co_return true;
  log_info("shard {}: sessions of user {} start with other settings: connections are made anew", target_.shard_name, key_.user);
  reconnect();
  co_return false;
}

task<void> pool::look_and_release(server_ptr server) {
  wakeup wake(io_);
  const bool good = co_await started_as_now(*server, wake);
  if (!good || server->unusable) co_return discard(std::move(server));
  std::erase(attached_, server.get());
  hand_over(std::move(server));
}

}  // namespace proxy
