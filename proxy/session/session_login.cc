// From the first byte of a client to its first ReadyForQuery (manual 55.2.1, 55.3). Declared in proxy/session/session.h.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "proxy/config/dsn.h"
#include "proxy/config/log.h"
#include "proxy/net/crypto.h"
#include "proxy/session/session.h"
#include "routing/analysis/fixed_settings.h"

namespace proxy {

namespace {

constexpr std::uint32_t max_login_message = 8u << 10;

// Startup parameters that are the proxy's own business and never reach a shard.
bool kept_from_shards(std::string_view name) {
  return name == "user" || name == "database" || name == "replication" || name == "application_name" || name.starts_with("pgrotor.") || name.starts_with("_pq_.");
}

// An unknown user goes through the same exchange with a verifier that no password fits, so that names cannot be guessed by how the
// login fails; the same name gets the same salt every time.
protocol::scram_verifier mock_verifier(const std::string& user) {
  static const std::string secret = random_bytes(32);
  protocol::scram_verifier mock;
  const auto salt = openssl_crypto().hmac(secret, user);
  mock.salt.assign(salt.begin(), salt.begin() + 16);
  const auto noise = random_bytes(64);
  std::copy_n(noise.begin(), 32, mock.stored_key.begin());
  std::copy_n(noise.begin() + 32, 32, mock.server_key.begin());
  return mock;
}

// As PostgreSQL cleans it.
std::string clean_name(std::string_view name, std::string_view server_version) {
  const bool hex = std::atoi(std::string(server_version).c_str()) >= 16;
  std::string clean;
  for (const char c : name) {
    if (c >= 32 && c < 127) clean.push_back(c);
    else if (hex) clean += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else clean.push_back('?');
  }
  return clean;
}

}  // namespace

// Waits for the client until the login deadline. False: it is too slow, or has to leave.
task<bool> session::wait_for_client() {
  client_.watch_read();
  if (client_output_pending()) client_.watch_write();
  const bool in_time = co_await wake_.wait(connected_ + w_.settings.login_timeout);
  if (!in_time) fatal(make_error(sqlstate::query_canceled, "canceling authentication due to timeout"));
  if (leaving_) closing_ = true;
  co_return !closing_;
}

// False: the client is gone or too slow.
task<bool> session::receive_more(std::size_t whole) {
  want_whole_ = whole;
  while (!closing_) {
    flush_client();
    if (read_client()) co_return !closing_;
    co_await wait_for_client();
  }
  co_return false;
}

task<bool> session::greet() {
  bool ssl_asked = false, gssenc_asked = false;
  const bool direct = co_await begins_with_tls();
  if (closing_) co_return false;
  if (direct) {
    const bool secured = co_await secure(true);
    if (!secured) co_return false;
  }
  while (true) {
    auto packet = co_await first_packet();
    if (!packet) co_return false;
    if (packet->kind == protocol::first_packet_kind::startup) co_return accept_startup(packet->startup);
    if (packet->kind == protocol::first_packet_kind::cancel) {
      w_.cancel(std::move(packet->cancel));
      co_return false;
    }
    const bool ssl = packet->kind == protocol::first_packet_kind::ssl_request;
    if (std::exchange(ssl ? ssl_asked : gssenc_asked, true) || client_.tls()) {
      fatal(make_error(sqlstate::feature_not_supported,
                       fmt::format("unsupported frontend protocol 1234.{}: server supports 3.0 to 3.2", ssl ? 5679 : 5680)));
      co_return false;
    }
    const bool answered = co_await answer_request(ssl);
    if (!answered) co_return false;
  }
}

// SSLRequest and GSSENCRequest. Bytes that came with one were sent before its answer: somebody may have put them in (CVE-2021-23214).
task<bool> session::answer_request(bool ssl) {
  const bool encrypt = ssl && w_.client_tls;
  if (!in_.empty()) {
    if (!encrypt) out_.push_back('N');
    fatal(make_error(sqlstate::protocol_violation, fmt::format("received unencrypted data after {} request", ssl ? "SSL" : "GSSAPI encryption"),
                     "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack."));
    co_return false;
  }
  out_.push_back(encrypt ? 'S' : 'N');
  while (client_output_pending() && !closing_)
    if (!flush_client()) co_await wait_for_client();
  if (closing_ || !encrypt) co_return !closing_;
  co_return co_await secure(false);
}

// Direct TLS: the ClientHello instead of a request, which is looked at without taking it from OpenSSL.
task<bool> session::begins_with_tls() {
  constexpr int handshake_record = 0x16;
  if (!w_.client_tls) co_return false;
  int first = client_.peek();
  while (!client_.readable() && !closing_) {
    co_await wait_for_client();
    first = client_.peek();
  }
  co_return !closing_ && first == handshake_record;
}

// The TLS handshake. Who fails it, or takes too long, hears nothing: there is no way yet on which to say it.
task<bool> session::secure(bool direct) {
  client_.start_tls(std::make_unique<tls_channel>(w_.client_tls, client_.native()));
  auto step = client_.handshake();
  bool in_time = true;
  while (step == tls_channel::step::blocked && in_time && !leaving_) {
    client_.watch_read();
    client_.watch_write();
    in_time = co_await wake_.wait(connected_ + w_.settings.login_timeout);
    step = client_.handshake();
  }
  const bool done = step == tls_channel::step::done, right = done && (!direct || client_.tls()->alpn_is_postgresql());
  ++(right ? w_.counted.tls_handshakes : w_.counted.tls_failures);
  if (right) co_return true;
  const auto why = !in_time ? "it took too long" : done ? "direct TLS without ALPN postgresql" : client_.tls()->failure();
  log_info("client {}: no TLS: {}", pid_, why);
  closing_ = true;
  co_return false;
}

task<std::optional<protocol::first_packet>> session::first_packet() {
  while (true) {
    protocol::first_packet packet;
    switch (protocol::read_first_packet(in_.view(), packet)) {
      case protocol::frame_error::none: in_.consume(packet.size); co_return packet;
      case protocol::frame_error::need_more: break;
      case protocol::frame_error::bad_length:
        // As by PostgreSQL: nobody knows yet whether there is a client, and some drivers die of an answer to Terminate.
        log_info("client {}: invalid length of startup packet", pid_);
        co_return std::nullopt;
      case protocol::frame_error::unknown_type:
        fatal(make_error(sqlstate::feature_not_supported, "unsupported frontend protocol or malformed startup packet",
                         "pgrotor speaks version 3.0."));
        co_return std::nullopt;
    }
    const bool more = co_await receive_more(0);
    if (!more) co_return std::nullopt;
  }
}

bool session::accept_startup(const protocol::startup& startup) {
  user_ = startup.get("user");
  database_ = startup.get("database").empty() ? user_ : std::string(startup.get("database"));
  application_ = startup.get("application_name");
  std::vector<std::string_view> unknown;
  for (const auto& [name, value] : startup.parameters) {
    if (name.starts_with("_pq_.")) unknown.push_back(name);
    if (!kept_from_shards(name)) parameters_.emplace_back(name, value);
  }
  protocol_ = std::min(startup.version, protocol::protocol_3_2);
  if (startup.version > protocol::protocol_3_2 || !unknown.empty())
    protocol::append(out_, protocol::negotiate_protocol_version{protocol_, std::move(unknown)});
  // Of a parameter that is sent twice the last counts, so their order stays.
  std::stable_sort(parameters_.begin(), parameters_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  if (w_.settings.tls.how == listen_tls::mode::require && !client_.tls())
    return fatal(make_error(sqlstate::invalid_authorization, "connections without TLS are not accepted", "", "Use sslmode=require or better.")), false;
  if (user_.empty()) return fatal(make_error(sqlstate::invalid_authorization, "no PostgreSQL user name specified in startup packet")), false;
  for (const auto& [name, value] : parameters_) {
    if (routing::decides_reading(name)) continue;  // the shard says what becomes of it
    const auto why = name == "options" ? routing::misleading_options(value) : routing::misleading_value(name, value);
    if (why) return fatal(as_notice(*why)), false;
  }
  if (!accept_replication(startup.get("replication"))) return false;
  if (w_.draining) return fatal(make_error(sqlstate::cannot_connect_now, "pgrotor is shutting down")), false;
  return has_place();
}

bool session::has_place() {
  if (w_.has_place(is_console())) return true;
  fatal(make_error(sqlstate::too_many_connections, "sorry, too many clients already", "", "Raise [limits] max_clients, or close connections that are not used."));
  return false;
}

// Clients know what is behind pgrotor by the name of the default shard's database, as current_database() says it.
bool session::accept_database() {
  if (is_console() || !w_.map || replication_ == replication::of_cluster) return true;
  const auto& dsn = w_.map->find_shard(w_.map->default_shard())->dsn;
  if (w_.served.dsn != dsn) w_.served = {dsn, parse_dsn(dsn).dbname};
  const auto& served = w_.served.name.empty() ? user_ : w_.served.name;  // as libpq has it
  if (database_ == served) return true;
  log_warning("client {}: database \"{}\" does not exist", pid_, database_);
  fatal(make_error(sqlstate::no_database, fmt::format("database \"{}\" does not exist", database_), "", fmt::format("pgrotor serves database \"{}\".", served)));
  return false;
}

// The values are PostgreSQL's, and so are the words for a wrong one.
bool session::accept_replication(std::string_view value) {
  constexpr std::string_view no[] = {"", "false", "off", "no", "0"}, yes[] = {"database", "true", "on", "yes", "1"};
  if (std::find(std::begin(no), std::end(no), value) != std::end(no)) return true;
  if (std::find(std::begin(yes), std::end(yes), value) != std::end(yes)) replication_ = value == yes[0] ? replication::of_database : replication::of_cluster;
  if (replication_ != replication::none) return parameters_.emplace_back("replication", value), true;
  fatal(make_error(sqlstate::invalid_parameter, fmt::format("invalid value for parameter \"replication\": \"{}\"", value), "",
                   "Valid values are: \"false\", 0, \"true\", 1, \"database\"."));
  return false;
}

task<bool> session::authenticate() {
  const auto accounts = w_.accounts;  // a RELOAD may bring others meanwhile
  const auto* known = accounts->find(user_);
  user_secret mock;
  if (!known) mock.verifier = mock_verifier(user_);
  const bool proved = co_await scram_exchange(known ? *known : mock, known != nullptr);
  if (closing_) co_return false;
  if (!proved) {
    ++w_.counted.logins_failed;
    log_warning("client {}: password authentication failed for user {}", pid_, user_);
    fatal(make_error(sqlstate::bad_authorization, fmt::format("password authentication failed for user \"{}\"", user_)));
    co_return false;
  }
  if (is_console() && std::find(w_.settings.admin_users.begin(), w_.settings.admin_users.end(), user_) == w_.settings.admin_users.end()) {
    fatal(make_error(sqlstate::insufficient_privilege, fmt::format("user \"{}\" may not enter the admin console", user_), "",
                     "List the user under [auth] admin_users, or connect to another database."));
    co_return false;
  }
  secret_.password = known->password;
  co_return accept_database();
}

task<bool> session::scram_exchange(const user_secret& secret, bool known_user) {
  using namespace std::string_view_literals;
  auto binding = client_.tls() ? client_.tls()->end_point() : std::string();
  const auto offered = binding.empty() ? "SCRAM-SHA-256\0\0"sv : "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"sv;
  const bool can_bind = !binding.empty();
  protocol::scram_server scram(openssl_crypto(), secret.verifier, std::move(binding));
  append_authentication(protocol::auth::sasl, offered);
  const auto initial = co_await sasl_message();
  if (!initial) co_return false;
  const auto response = protocol::decode_sasl_initial_response(*initial);
  const bool plus = response && can_bind && response->mechanism == protocol::scram_plus_name;
  if (!response || (!plus && response->mechanism != protocol::scram_name)) co_return false;
  const auto challenge = scram.first(response->data, plus);
  if (!challenge) co_return false;
  append_authentication(protocol::auth::sasl_continue, *challenge);
  const auto last = co_await sasl_message();
  if (!last) co_return false;
  const auto proof = scram.final(*last);
  if (!proof || !known_user) co_return false;
  append_authentication(protocol::auth::sasl_final, *proof);
  append_authentication(protocol::auth::ok, "");
  secret_.keys = scram.keys();
  co_return true;
}

void session::append_authentication(protocol::auth kind, std::string_view data) {
  protocol::append(out_, protocol::authentication{static_cast<std::int32_t>(kind), data});
}

// The body of one 'p' message.
task<std::optional<std::string>> session::sasl_message() {
  protocol::frame_header header;
  while (true) {
    const auto seen = protocol::read_header(in_.view(), protocol::peer::frontend, max_login_message, header);
    if (seen == protocol::frame_error::none && header.type != 'p') {
      if (header.type != 'X') fatal(make_error(sqlstate::protocol_violation, "expected SASL response"));
      closing_ = true;
      co_return std::nullopt;
    }
    if (seen == protocol::frame_error::none && in_.size() >= header.size) break;
    if (seen != protocol::frame_error::none && seen != protocol::frame_error::need_more) {
      fatal(make_error(sqlstate::protocol_violation, "invalid message length"));
      co_return std::nullopt;
    }
    const bool more = co_await receive_more(0);
    if (!more) co_return std::nullopt;
  }
  std::string body(in_.view().substr(protocol::frame_header_size, header.size - protocol::frame_header_size));
  in_.consume(header.size);
  co_return body;
}

// What a client may rely on is what a server of the default shard says.
task<bool> session::welcome() {
  if (!w_.map) {
    fatal(make_error(sqlstate::cannot_connect_now, "pgrotor has no routing map yet", "The catalog has not been read.", "Retry."));
    co_return false;
  }
  const auto shard = w_.map->default_shard();
  auto* from = pool_for(shard);
  if (from && !from->parameters().empty()) {
    const auto refused = co_await from->refuses_login(w_.settings.login_recheck, wake_);
    if (refused) {
      log_warning("client {}: the default shard does not let user {} in any more: {}", pid_, user_, refused->message);
      fatal(*refused);
      co_return false;
    }
  } else {
    const auto failed = co_await attach(shard);
    if (failed) {
      fatal(*failed);
      co_return false;
    }
    release_server();
  }
  w_.shared.processes->enter_client(pid_, user_);
  note_told(name_values::make(with_name(from->parameters())));
  tell_parameters(state_.told->values());
  co_return true;
}

std::string_view session::cancel_key() const noexcept {
  return std::string_view(key_.data(), protocol_ >= protocol::protocol_3_2 ? key_.size() : protocol::min_cancel_key);
}

// The application_name that the client gave goes with it from server to server, as a setting: one pool serves clients of all names.
text_pairs session::with_name(text_pairs parameters) {
  const auto find = [&](std::string_view name) { return std::find_if(parameters.begin(), parameters.end(), [=](const auto& p) { return p.first == name; }); };
  const auto version = find("server_version"), name = find("application_name");
  if (application_.empty() || version == parameters.end() || name == parameters.end()) return parameters;
  name->second = application_ = clean_name(application_, version->second);
  state_.started_with = state_.wanted = make_settings({{"application_name", application_}});
  return parameters;
}

void session::tell_parameters(const text_pairs& parameters) {
  for (const auto& [name, value] : parameters) protocol::append(out_, protocol::parameter_status{name, value});
  protocol::append(out_, protocol::backend_key_data{pid_, std::string(cancel_key())});
  append_ready(protocol::transaction_status::idle);
  flush_client();
}

}  // namespace proxy
