// The configuration: one documented struct tree with defaults, read from a TOML file. check() reports every problem at once as
// "file:line: key: what is wrong; what helps". Read at start and on RELOAD; each worker has a
// copy of its own.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/tcp_options.h"

namespace proxy {

// what() has one line a problem: "file:line: key: what is wrong; what helps".
class config_error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct endpoint {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;  // 0: any free port (printed at start)
};
// TLS for clients. Paths that are not absolute are seen from the configuration file's folder.
struct listen_tls {
  enum class mode {
    disable,  // SSLRequest is answered 'N'
    allow,    // the client decides
    require,  // without TLS only a CancelRequest is taken
  };
  mode how = mode::disable;
  std::string certificate, key;  // PEM, the key without passphrase
  std::string client_ca;         // PEM; then a client must show a certificate that descends from it
  int line = 0;                  // of the section in the file, for messages
};
struct shard_config {
  std::string name, dsn;  // dsn: libpq keyword/value string without user and password: host=... port=... dbname=...
  int line = 0;           // of the dsn in the file, for messages
};

// When a client gives its server connection back: at the end of a transaction, of its session, or of a statement (no transaction blocks).
enum class pooling { transaction, session, statement };
inline constexpr std::array<std::string_view, 3> pooling_names{"transaction", "session", "statement"};
inline std::string_view to_string(pooling mode) noexcept { return pooling_names[static_cast<std::size_t>(mode)]; }

struct config {
  std::string path;  // of the file, for messages

  endpoint listen{"127.0.0.1", 6432};  // [listen] host, port
  listen_tls tls;                      // [listen.tls] mode, certificate, key, client_ca
  endpoint http{"127.0.0.1", 6433};    // [http] host, port: /metrics and /healthz

  // [auth] users_file: lines of "user" "secret", the secret a SCRAM-SHA-256 verifier (as in pg_authid) or a password.
  // A path that is not absolute is seen from the configuration file's folder.
  std::string users_file;
  std::chrono::milliseconds login_recheck{30'000};  // [auth] recheck_ms: a client's user has logged in to the default shard no longer ago
  std::vector<std::string> admin_users;  // [auth] admin_users: who may enter the admin console (database pgrotor)

  // [catalog] dsn: with user and password; lease_ms: of the term (migration/README.md). [shards_role] user, password: the role of deploy/shard_rights.sql on every shard.
  std::string catalog_dsn;
  int catalog_line = 0;
  std::chrono::milliseconds catalog_lease{10'000};
  std::string shards_user = "pgrotor", shards_password;

  // default_shard and [[shard]] name, dsn: what `pgrotor init` writes into an empty catalog.
  std::vector<shard_config> shards;
  std::string default_shard;

  int workers = 1;                                   // [proxy] workers: threads
  int pool_size = 20;                                // [pool] size: server connections per user, database and shard, all workers together
  int pool_reserve = 0;                              // [pool] reserve: that many more for those who have waited reserve_wait_ms
  int pool_min = 0;                                  // [pool] min: of pool_size, kept open
  int pool_max_per_shard = 0;                        // [pool] max_per_shard: all users and databases together; 0: no bound
  std::chrono::milliseconds pool_wait{10'000};       // [pool] wait_ms
  std::chrono::milliseconds pool_reserve_wait{5'000};     // [pool] reserve_wait_ms
  std::chrono::milliseconds pool_lifetime{3'600'000};     // [pool] lifetime_ms: a connection this old is closed; 0: never
  std::chrono::milliseconds pool_idle_timeout{600'000};   // [pool] idle_timeout_ms: 0: never
  std::chrono::milliseconds pool_check{30'000};      // [pool] check_ms: idle so long, a connection is checked before it is given out; 0: never
  std::string pool_check_query = ";";                // [pool] check_query
  pooling pool_mode = pooling::transaction;          // [pool] mode
  std::string pool_order = "last_used";              // [pool] order: last_used, round_robin
  std::chrono::milliseconds connect_timeout{5'000};  // [pool] connect_timeout_ms; also for answers to questions of the proxy's own

  std::size_t max_clients = 2'000;               // [limits] max_clients
  std::size_t max_message_bytes = 64u << 20;     // [limits] max_message_bytes: gathered of one message, or of a pipeline up to its Sync
  std::size_t max_prepared = 1'000;              // [limits] max_prepared: named statements a client
  std::chrono::milliseconds login_timeout{15'000};  // [limits] login_timeout_ms

  // [timeouts]; 0: none. [limits] login_timeout_ms is the one of logins.
  std::chrono::milliseconds query_timeout{0};                // query_ms
  std::chrono::milliseconds idle_in_transaction_timeout{0};  // idle_in_transaction_ms
  std::chrono::milliseconds transaction_timeout{0};          // transaction_ms
  std::chrono::milliseconds client_idle_timeout{0};          // client_idle_ms

  tcp_options tcp;  // [tcp] keepalive_idle_ms, keepalive_interval_ms, keepalive_count, user_timeout_ms: clients and shards

  std::size_t pull_limit = 256u << 20;               // [scatter] pull_limit: bytes of rows that are copied for one statement
  std::size_t gate_max_waiters = 10'000;             // [gate] max_waiters: held statements a worker
  std::chrono::milliseconds gate_hold_budget{10'000};  // [gate] hold_budget_ms
  std::chrono::milliseconds cutover_budget{500};       // [cutover] budget_ms
  std::chrono::milliseconds recover_after{10'000};     // [two_phase] recover_after_ms
  int migrations_at_once = 1;                          // [cutover] migrations_at_once
  bool end_strangers = true;                           // [cutover] strangers: "end", else "name"
  std::chrono::milliseconds drain_timeout{30'000};     // [proxy] drain_timeout_ms: SIGTERM waits so long for open transactions

  std::string pg_dump = "pg_dump";  // [tools] pg_dump
  std::string log_level = "info";   // [log] level: debug, info, warning, error
};

// Throws config_error with every problem of the file at once.
config load_config(const std::string& path);

}  // namespace proxy
