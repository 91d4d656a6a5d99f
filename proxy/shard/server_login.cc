// Opening a connection to a shard: connect, TLS, startup, SCRAM-SHA-256 or trust, ParameterStatus up to the first ReadyForQuery. Declared
// in proxy/shard/server_connection.h.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include "migration/shard/identity.h"
#include "protocol/frontend.h"
#include "proxy/config/errors.h"
#include "proxy/config/shard_address.h"
#include "proxy/net/crypto.h"
#include "proxy/shard/conversation.h"
#include "proxy/shard/server_connection.h"
#include "routing/analysis/fixed_settings.h"

namespace proxy {

namespace {

constexpr std::uint32_t max_login_frame = 64u << 10;

// PBKDF2 takes milliseconds of the worker's time, and a pool asks for the same one with every connection it opens.
protocol::scram_key remembered_pbkdf2(std::string_view password, std::string_view salt, std::uint32_t iterations) {
  constexpr std::size_t most = 256;
  using question = std::tuple<std::string, std::string, std::uint32_t>;
  thread_local std::map<question, protocol::scram_key> known;
  const question asked{password, salt, iterations};
  if (const auto found = known.find(asked); found != known.end()) return found->second;
  if (known.size() >= most) known.clear();
  return known[asked] = openssl_crypto().pbkdf2(password, salt, iterations);
}

const protocol::scram_crypto& remembering_crypto() {
  static const protocol::scram_crypto crypto = [] {
    auto made = openssl_crypto();
    made.pbkdf2 = remembered_pbkdf2;
    return made;
  }();
  return crypto;
}

// One login under way.
struct login {
  server_connection& server;
  const server_target& target;
  const shard_location& where;
  wakeup& wake;
  clock::time_point deadline;
  std::optional<protocol::scram_client> scram;
  bool server_proved = false, let_in = false;
  std::optional<protocol::notice> failed;
  bool other_way = false;  // refused before anything was proved: with or without TLS, as it was not, it might not be
  bool unreachable = false;

  // There is no server that answers as one.
  void fail_to_reach(std::string_view why) {
    fail(why);
    unreachable = true;
  }
  void fail(std::string_view why) {
    failed = make_error(sqlstate::connection_failure, fmt::format("cannot log in to shard {} as {}", target.shard_name, target.user),
                        std::string(why));
  }
};

task<bool> connect_one(login& l, boost::asio::generic::stream_protocol::endpoint to) {
  if (!l.server.socket.start_connect(to, l.target.tcp)) {
    l.fail_to_reach(fmt::format("connect: {}", std::strerror(errno)));
    co_return false;
  }
  l.server.socket.listen(&l.wake);
  while (!l.server.socket.writable()) {
    l.server.socket.watch_write();
    const bool in_time = co_await l.wake.wait(l.deadline);
    if (!in_time) {
      l.fail_to_reach("The connection was not made in time.");
      co_return false;
    }
  }
  if (const int error = l.server.socket.connect_error()) {
    l.fail_to_reach(fmt::format("connect: {}", std::strerror(error)));
    co_return false;
  }
  l.server.cancels.address = to;
  l.failed.reset();
  l.unreachable = false;
  co_return true;
}

// False: it failed. A shard without TLS is fine when nothing was demanded.
task<bool> secure(login& l, tls_target target, bool demanded) {
  std::string why;
  const auto became = co_await encrypt(l.server.socket, l.server.in, target, l.wake, l.deadline, why);
  if (became == encryption::done) {
    l.server.cancels.tls = std::move(target);
    co_return true;
  }
  if (became == encryption::refused && !demanded) co_return true;
  l.fail(became == encryption::refused ? "The shard speaks no TLS, and its sslmode demands it." : why);
  l.other_way = became == encryption::failed;
  co_return false;
}

task<bool> connect(login& l, bool encrypted) {
  const auto& where = l.where;
  tls_target target;
  target.check_host = where.ssl == sslmode::verify_full;
  if (encrypted) {
    auto loaded = shard_tls_context(where.files);
    if (!loaded.context) co_return l.fail(loaded.problem), false;
    target.context = std::move(loaded.context);
  }
  for (const auto& address : where.addresses) {
    const auto endpoints = co_await resolve(address);
    if (endpoints.empty()) l.fail_to_reach(fmt::format("The name {} is not known.", address.host));
    target.host = address.host.empty() ? address.hostaddr : address.host;
    for (const auto& to : endpoints) {
      bool made = co_await connect_one(l, to);
      if (made && encrypted && to.protocol().family() != AF_UNIX) made = co_await secure(l, target, where.ssl >= sslmode::require);
      if (made || l.other_way) co_return made;
    }
  }
  co_return false;
}

bool offers(std::string_view mechanisms, std::string_view wanted) {
  while (!mechanisms.empty() && mechanisms.front() != '\0') {
    const auto end = mechanisms.find('\0');
    if (mechanisms.substr(0, end) == wanted) return true;
    if (end == std::string_view::npos) return false;
    mechanisms.remove_prefix(end + 1);
  }
  return false;
}

void start_scram(login& l, std::string_view mechanisms) {
  const auto& secret = l.target.secret;
  const auto binding = l.server.socket.tls() && l.where.may_bind ? l.server.socket.tls()->end_point() : std::string();
  const bool plus = !binding.empty() && offers(mechanisms, protocol::scram_plus_name);
  if (!plus && l.where.must_bind) return l.fail("channel_binding=require, and the shard offers no SCRAM-SHA-256-PLUS.");
  if (!plus && !offers(mechanisms, protocol::scram_name)) return l.fail("The shard offers no SCRAM-SHA-256.");
  if (secret.password) l.scram.emplace(remembering_crypto(), *secret.password);
  else if (secret.keys) l.scram.emplace(openssl_crypto(), *secret.keys);
  else return l.fail("The shard asks for a password and none is known.");
  const auto first = l.scram->first(binding, plus);
  protocol::append(l.server.out, protocol::sasl_initial_response{plus ? protocol::scram_plus_name : protocol::scram_name, first});
}

void on_authentication(login& l, std::string_view body) {
  const auto asked = protocol::decode_authentication(body);
  l.other_way = false;
  if (!asked) return l.fail("The answer is not that of a PostgreSQL server.");
  switch (static_cast<protocol::auth>(asked->kind)) {
    case protocol::auth::ok:
      if (l.scram && !l.server_proved) l.fail("The shard accepted the login without proving that it knows the user.");
      if (!l.scram && l.where.must_bind) l.fail("channel_binding=require, and the shard asks for no password.");
      l.let_in = true;
      return;
    case protocol::auth::sasl: return start_scram(l, asked->data);
    case protocol::auth::sasl_continue: {
      const auto answer = l.scram ? l.scram->next(asked->data) : std::nullopt;
      if (!answer) return l.fail("The SCRAM exchange failed.");
      return protocol::append(l.server.out, protocol::sasl_response{*answer});
    }
    case protocol::auth::sasl_final:
      l.server_proved = l.scram && l.scram->verify(asked->data);
      if (!l.server_proved) l.fail("The shard does not know the user's verifier.");
      return;
    default:
      return l.fail(fmt::format("The shard asks for authentication method {}; pgrotor speaks SCRAM-SHA-256 and trust.", asked->kind));
  }
}

// The client reads the shard's own words.
void on_error(login& l, std::string_view body) {
  l.failed = protocol::decode_notice(body);
  if (!l.failed) return l.fail("The shard refused the connection.");
  l.unreachable = l.failed->sqlstate == sqlstate::cannot_connect_now;  // it starts, stops or recovers
  if (l.failed->sqlstate == sqlstate::bad_authorization && l.failed->hint.empty())
    l.failed->hint = "The shard must hold the same SCRAM verifier (salt and iterations too) as the users file, or the users file the password.";
}

// Servers before PostgreSQL 18 answer so to version 3.2, which differs from 3.0 in nothing but the length of cancel keys.
void on_negotiation(login& l, std::string_view body) {
  const auto spoken = protocol::decode_negotiate_protocol_version(body);
  if (!spoken || spoken->newest < protocol::protocol_3_0 || spoken->newest > protocol::protocol_3_2 || !spoken->unknown_options.empty())
    l.fail("The answer is not that of a PostgreSQL server.");
}

// True when the server is ready.
bool on_frame(login& l, char type, std::string_view body) {
  const bool may_come = l.let_in || type == 'R' || type == 'E' || type == 'v';
  if (!may_come) return l.fail("The shard goes on without having let pgrotor in."), false;
  switch (type) {
    case 'R': on_authentication(l, body); break;
    case 'E': on_error(l, body); break;
    case 'S':
      if (const auto status = protocol::decode_parameter_status(body); status && l.server.parameters.size() < most_parameters)
        l.server.parameters.emplace_back(std::string(status->name), std::string(status->value));
      break;
    case 'K':
      if (auto key = protocol::decode_backend_key_data(body)) l.server.cancels.key = std::move(*key);
      break;
    case 'v': on_negotiation(l, body); break;
    case 'Z': return true;
    case 'N': break;
    default: l.fail("The answer is not that of a PostgreSQL server.");
  }
  return false;
}

bool is_for_replication(const server_target& target) {
  return std::ranges::any_of(target.parameters, [](const auto& one) { return one.first == "replication"; });
}

std::string_view parameter(const server_connection& server, std::string_view name) {
  for (const auto& [key, value] : server.parameters)
    if (key == name) return value;
  return {};
}

// What the analysis of statements relies on. It sees none of replication.
void check_parameters(login& l) {
  if (is_for_replication(l.target)) return;
  if (auto why = routing::misleading_value("client_encoding", parameter(l.server, "client_encoding"))) l.failed = as_notice(*why);
}

class login_conversation final : public framed_conversation {
 public:
  explicit login_conversation(login& l) noexcept : framed_conversation(max_login_frame), login_(l) {}

 private:
  void hear_frame(char type, std::string_view frame) override {
    const bool ready = on_frame(login_, type, frame.substr(protocol::frame_header_size));
    if (login_.failed) end(ending::failed);
    else if (ready) end(ending::answered);
  }
  login& login_;
};

task<void> log_in(login& l, const std::string& dbname) {
  protocol::startup start;
  start.version = protocol::protocol_3_2;
  start.parameters = {{"user", l.target.user}, {"database", dbname}};
  start.parameters.insert(start.parameters.end(), l.target.parameters.begin(), l.target.parameters.end());
  protocol::append(l.server.out, start);
  login_conversation talk(l);
  co_await converse(l.server, talk, l.wake, l.deadline);
  switch (talk.how()) {
    case conversation::ending::answered: co_return check_parameters(l);
    case conversation::ending::failed:
      if (!l.failed) l.fail(words_of(talk.how()));
      co_return;
    default: co_return l.fail_to_reach(words_of(talk.how()));
  }
}

// Of a time-out that the client has for all its statements, BEGIN too, and between them: the next client may have none.
bool is_of_a_timeout(std::string_view state) noexcept {
  return state == sqlstate::query_canceled || state == sqlstate::transaction_timeout || state == sqlstate::idle_session_timeout;
}

// That it is the shard that the map means, and serves no later term: before anything of a client's runs on it.
task<void> greet(login& l) {
  const bool standby = parameter(l.server, "in_hot_standby") == "on";
  const auto sql = migration::admit_sql(l.target.pass, l.target.shard, standby);
  alone_answer answer;
  const auto how = co_await run_alone(l.server, sql, l.wake, l.deadline, &answer);
  if (how == conversation::ending::answered) co_return;
  const auto refused = answer.refusal();
  if (!refused) co_return l.fail_to_reach(words_of(how));
  if (is_of_a_timeout(refused->sqlstate)) co_return void(l.failed = *refused);
  l.fail_to_reach(fmt::format("{} ({}){}{}", refused->message, refused->sqlstate, refused->detail.empty() ? "" : "; ", refused->detail));
  const auto nothing_there = migration::greeting_problem(refused->sqlstate);
  if (nothing_there) l.failed->detail = nothing_there->message + "; " + l.failed->detail, l.failed->hint = nothing_there->hint;
}

// One attempt, with or without TLS. `other_way`: the other one may fare better.
task<open_result> open_once(boost::asio::io_context& io, const server_target& target, const shard_location& where, bool encrypted,
                                   wakeup& wake, clock::time_point deadline, bool& other_way) {
  open_result result;
  result.server = std::make_unique<server_connection>(io);
  login l{*result.server, target, where, wake, deadline, {}, false, false, {}, false, false};
  const auto dbname = where.dbname.empty() ? target.user : where.dbname;
  const bool connected = co_await connect(l, encrypted);
  if (connected) {
    l.other_way = encrypted == (l.server.cancels.tls.context != nullptr);
    co_await log_in(l, dbname);
    const bool ask = !l.failed && !target.pass.process.empty();
    if (ask) co_await greet(l);
  }
  result.server->socket.listen(nullptr);
  result.server->opened = result.server->idle_since = clock::now();
  result.server->shard_name = target.shard_name;
  other_way = l.other_way;
  if (l.failed) {
    result.failed = std::move(*l.failed);
    result.unreachable = l.unreachable;
    result.server.reset();
  }
  co_return result;
}

// One host, with and without TLS as its sslmode says.
task<open_result> open_host(boost::asio::io_context& io, const server_target& target, const shard_location& where, wakeup& wake,
                            clock::time_point deadline) {
  const bool first = where.ssl >= sslmode::prefer;
  const bool choice = where.ssl == sslmode::allow || where.ssl == sslmode::prefer;
  bool other_way = false;
  auto result = co_await open_once(io, target, where, first, wake, deadline, other_way);
  if (result.server || !choice || !other_way) co_return result;
  co_return co_await open_once(io, target, where, !first, wake, deadline, other_way);
}

void check_role(open_result& result, const server_target& target, const shard_location& where, session_attrs wanted) {
  const bool standby = parameter(*result.server, "in_hot_standby") == "on";
  const bool read_only = parameter(*result.server, "default_transaction_read_only") == "on";
  result.server->must_write = wanted == session_attrs::read_write || wanted == session_attrs::primary;
  if (fits(wanted, standby, read_only)) return;
  const auto& at = where.addresses.front();
  result.failed = make_error(sqlstate::connection_failure, fmt::format("cannot log in to shard {} as {}", target.shard_name, target.user),
                             fmt::format("{} port {} is {}.", at.host.empty() ? at.hostaddr : at.host, at.port,
                                         standby ? "a standby" : read_only ? "read only" : "no standby"));
  result.server.reset();
  result.unreachable = true;
}

// The hosts in their order. Each has an even part of the time that is left, so that one that is silent does not keep from the next. As
// in libpq a host that says no to the login is the last one tried, one that starts or stops is not.
task<open_result> open_first_fit(boost::asio::io_context& io, const server_target& target, const shard_location& where,
                                 session_attrs wanted, wakeup& wake, clock::time_point deadline) {
  open_result result;
  auto left = static_cast<int>(where.addresses.size());
  for (const auto& address : where.addresses) {
    const auto now = clock::now();
    auto one = where;
    one.addresses = {address};
    result = co_await open_host(io, target, one, wake, now + (deadline - now) / left--);
    if (result.server) check_role(result, target, one, wanted);
    if (result.server || !result.unreachable) co_return result;
  }
  co_return result;
}

// Whatever comes, until the other side closes.
class unheard final : public conversation {
  std::size_t hear(std::string_view in) override { return in.size(); }
};

}  // namespace

task<open_result> open_server(boost::asio::io_context& io, const server_target& target, wakeup& wake, clock::time_point deadline) {
  const auto where = parse_shard_dsn(target.dsn);
  open_result result;
  if (!where.error.empty()) {
    result.failed = make_error(sqlstate::connection_failure, fmt::format("shard {} has a wrong DSN", target.shard_name), where.error);
    co_return result;
  }
  if (where.attrs != session_attrs::prefer_standby) co_return co_await open_first_fit(io, target, where, where.attrs, wake, deadline);
  const auto now = clock::now();
  result = co_await open_first_fit(io, target, where, session_attrs::standby, wake, now + (deadline - now) / 2);
  if (result.server || !result.unreachable) co_return result;
  co_return co_await open_first_fit(io, target, where, session_attrs::any, wake, deadline);
}

task<void> send_cancel(boost::asio::io_context& io, boost::asio::generic::stream_protocol::endpoint to, tls_target tls,
                       protocol::backend_key_data key, clock::time_point deadline) {
  wakeup wake(io);
  const server_target nobody;
  const shard_location somewhere;
  server_connection carrier(io);
  login l{carrier, nobody, somewhere, wake, deadline, {}, false, false, {}, false, false};
  bool ready = co_await connect_one(l, to);
  if (ready && tls.context) ready = co_await secure(l, std::move(tls), true);
  if (!ready) co_return;
  protocol::append(carrier.out, protocol::cancel_request{key.pid, std::move(key.key)});
  unheard talk;
  co_await converse(carrier, talk, wake, deadline);
}

}  // namespace proxy
