#include "proxy/config/config.h"

#include <regex>

#include <doctest/doctest.h>

#include "proxy/config/dsn.h"
#include "proxy/console/admin_answers.h"
#include "scratch.h"

namespace {

const std::string complete = R"(default_shard = "s1"
[auth]
users_file = "users.txt"
admin_users = ["ada"]
[catalog]
dsn = "host=127.0.0.1 port=5433 dbname=shop user=pgrotor password=secret"
[shards_role]
password = "hush"
[[shard]]
name = "s1"
dsn = "host=127.0.0.1 port=5433 dbname=shop"
[[shard]]
name = "s2"
dsn = "host=127.0.0.1 port=5434 dbname=shop"
)";

std::string problems_of(const std::string& text) {
  const scratch folder;
  folder.write("users.txt", "\"ada\" \"pw\"\n");
  try {
    proxy::load_config(folder.write("pgrotor.toml", text));
  } catch (const proxy::config_error& error) {
    return folder.without_folder(error.what());
  }
  return "";
}

proxy::config loaded(const std::string& text) {
  const scratch folder;
  folder.write("users.txt", "\"ada\" \"pw\"\n");
  return proxy::load_config(folder.write("pgrotor.toml", text));
}

}  // namespace

TEST_CASE("config: a file with what must be there gets every default") {
  const auto c = loaded(complete);
  const proxy::config defaults;
  CHECK(c.listen.host == "127.0.0.1");
  CHECK(c.listen.port == 6432);
  CHECK(c.http.port == 6433);
  CHECK(c.default_shard == "s1");
  REQUIRE(c.shards.size() == 2);
  CHECK(c.shards[1].name == "s2");
  CHECK(c.shards[1].dsn == "host=127.0.0.1 port=5434 dbname=shop");
  CHECK(c.shards[1].line == 14);
  CHECK(c.catalog_line == 6);
  CHECK(c.shards_user == "pgrotor");
  CHECK(c.shards_password == "hush");
  CHECK(c.admin_users == std::vector<std::string>{"ada"});
  CHECK(c.pool_size == defaults.pool_size);
  CHECK(c.gate_hold_budget == defaults.gate_hold_budget);
  CHECK(c.log_level == "info");
}

TEST_CASE("config: every key is read") {
  const auto c = loaded(complete + R"([listen]
host = "0.0.0.0"
port = 7000
[http]
host = "::1"
port = 7001
[proxy]
workers = 3
drain_timeout_ms = 11
[pool]
size = 33
reserve = 5
reserve_wait_ms = 21
min = 3
max_per_shard = 99
order = "round_robin"
mode = "statement"
lifetime_ms = 22
idle_timeout_ms = 23
check_ms = 24
check_query = "SELECT 1"
wait_ms = 12
connect_timeout_ms = 13
[timeouts]
query_ms = 31
idle_in_transaction_ms = 32
transaction_ms = 33
client_idle_ms = 34
[tcp]
keepalive_idle_ms = 35
keepalive_interval_ms = 36000
keepalive_count = 37
user_timeout_ms = 38
[limits]
max_clients = 14
max_message_bytes = 2048
max_prepared = 15
login_timeout_ms = 160
[gate]
max_waiters = 17
hold_budget_ms = 1800
[cutover]
budget_ms = 190
migrations_at_once = 3
[tools]
pg_dump = "/usr/bin/pg_dump"
[log]
level = "debug"
)");
  CHECK(c.listen.host == "0.0.0.0");
  CHECK(c.listen.port == 7000);
  CHECK(c.http.host == "::1");
  CHECK(c.http.port == 7001);
  CHECK(c.workers == 3);
  CHECK(c.drain_timeout.count() == 11);
  CHECK(c.pool_size == 33);
  CHECK(c.pool_reserve == 5);
  CHECK(c.pool_reserve_wait.count() == 21);
  CHECK(c.pool_min == 3);
  CHECK(c.pool_max_per_shard == 99);
  CHECK(c.pool_order == "round_robin");
  CHECK(c.pool_mode == proxy::pooling::statement);
  CHECK(c.pool_lifetime.count() == 22);
  CHECK(c.pool_idle_timeout.count() == 23);
  CHECK(c.pool_check.count() == 24);
  CHECK(c.pool_check_query == "SELECT 1");
  CHECK(c.pool_wait.count() == 12);
  CHECK(c.connect_timeout.count() == 13);
  CHECK(c.query_timeout.count() == 31);
  CHECK(c.idle_in_transaction_timeout.count() == 32);
  CHECK(c.transaction_timeout.count() == 33);
  CHECK(c.client_idle_timeout.count() == 34);
  CHECK(c.tcp.keepalive_idle.count() == 35);
  CHECK(c.tcp.keepalive_interval.count() == 36000);
  CHECK(c.tcp.keepalive_count == 37);
  CHECK(c.tcp.user_timeout.count() == 38);
  CHECK(c.max_clients == 14);
  CHECK(c.max_message_bytes == 2048);
  CHECK(c.max_prepared == 15);
  CHECK(c.login_timeout.count() == 160);
  CHECK(c.gate_max_waiters == 17);
  CHECK(c.gate_hold_budget.count() == 1800);
  CHECK(c.cutover_budget.count() == 190);
  CHECK(c.migrations_at_once == 3);
  CHECK(c.pg_dump == "/usr/bin/pg_dump");
  CHECK(c.log_level == "debug");
}

TEST_CASE("config: every problem is reported at once with file, line and key") {
  CHECK(problems_of(R"(default_shard = "s9"
[listen]
prot = 6432
port = 70000
[htpp]
port = 6433
[auth]
admin_users = "ada"
[catalog]
dsn = "host=127.0.0.1 dbname=shop"
[[shard]]
name = "S-1"
dsn = "host=127.0.0.1 dbname=shop user=me"
[[shard]]
name = "s3"
dsn = "port=1 dbnam=shop"
[pool]
size = "many"
[log]
level = "loud"
)") == R"(pgrotor.toml:1: default_shard: "s9" is none of the [[shard]] names
pgrotor.toml:3: listen.prot: unknown key; nearest: listen.port
pgrotor.toml:4: listen.port: 70000 is out of bounds; it must lie between 0 and 65535
pgrotor.toml:5: htpp: unknown section; nearest: http
pgrotor.toml:7: auth.users_file: is missing; it names the file of users and secrets
pgrotor.toml:8: auth.admin_users: must be a list of texts, as in ["ada", "ben"]
pgrotor.toml:10: catalog.dsn: has no user; add user=pgrotor
pgrotor.toml:12: shard.name: "S-1" is no shard name; up to 63 lower-case letters, digits and _, a letter first
pgrotor.toml:13: shard.dsn: must not hold user or password; clients log in as themselves and pgrotor as [shards_role]
pgrotor.toml:16: shard.dsn: invalid connection option "dbnam"
pgrotor.toml:18: pool.size: must be a whole number between 1 and 10000, without quotes
pgrotor.toml:20: log.level: "loud" is no level; one of debug, info, warning, error)");
}

TEST_CASE("config: single problems") {
  struct problem { std::string name, text, message; };
  const std::string s1 = "[[shard]]\nname = \"s1\"\n";
  const problem table[] = {
      {"no TOML", complete + "[log\n", "pgrotor.toml:15: Error while parsing table header: expected ']', saw '\\n'"},
      {"users file missing", complete + "[auth2]\n", "pgrotor.toml:15: auth2: unknown section; nearest: auth"},
      {"shard as a table", "[shard]\nname = \"s1\"\n" + complete.substr(0, complete.find("[[shard]]")),
       "pgrotor.toml:1: shard: must be written [[shard]], once for each shard"},
      {"the same name twice", complete + s1 + "dsn = \"host=h dbname=d\"\n", "pgrotor.toml:16: shard.name: s1 is the name of another shard above"},
      {"several hosts", complete + "[[shard]]\nname = \"s3\"\ndsn = \"host=a,b dbname=d\"\n",
       "pgrotor.toml:17: shard.dsn: names several hosts; add target_session_attrs=read-write (or primary), since a shard is one primary"},
      {"a URI", complete + "[[shard]]\nname = \"s3\"\ndsn = \"postgresql://h/d\"\n",
       "pgrotor.toml:17: shard.dsn: must be written host=... port=... dbname=..., not as a URI"},
      {"no dbname", complete + "[[shard]]\nname = \"s3\"\ndsn = \"host=h\"\n", "pgrotor.toml:17: shard.dsn: has no dbname"},
      {"one port for both", complete + "[http]\nport = 6432\n", "pgrotor.toml:16: http.port: 6432 is the port of [listen] too; choose another"},
      {"a least above the most", complete + "[pool]\nmin = 21\n", "pgrotor.toml:16: pool.min: 21 is more than pool.size (20)"},
      {"a shard's bound below the pool's", complete + "[pool]\nmax_per_shard = 5\n",
       "pgrotor.toml:16: pool.max_per_shard: 5 is less than pool.size (20); no pool could ever be full"},
      {"an order that is none", complete + "[pool]\norder = \"lifo\"\n",
       "pgrotor.toml:16: pool.order: \"lifo\" is no order; last_used or round_robin"},
      {"a check of nothing", complete + "[pool]\ncheck_query = \"\"\n", "pgrotor.toml:16: pool.check_query: is empty; \";\" costs a server nothing"},
      {"budgets the wrong way round", complete + "[cutover]\nbudget_ms = 20000\n",
       "pgrotor.toml:16: cutover.budget_ms: must be less than gate.hold_budget_ms, or every cutover that is late fails the statements it holds"},
      {"a float", complete + "[pool]\nwait_ms = 1.5\n", "pgrotor.toml:16: pool.wait_ms: must be a whole number between 1 and 3600000, without quotes"},
      {"a section that is a value", "log = 1\n" + complete, "pgrotor.toml:1: log: must be a section, [log]"},
  };
  for (const auto& row : table) {
    CAPTURE(row.name);
    CHECK(problems_of(row.text) == row.message);
  }
}

TEST_CASE("config: the example in deploy/ loads, and the defaults it shows are the defaults") {
  std::ifstream file(PGROTOR_EXAMPLE_CONFIG);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto shown = [](const std::string& from) {
    const scratch folder;
    folder.write("users.txt", "\"admin\" \"pw\"\n");
    std::string out;
    for (const auto& row : proxy::show_config(proxy::load_config(folder.write("pgrotor.toml", from))).rows) out += *row[0] + "=" + *row[1] + "\n";
    return folder.without_folder(out);
  };
  const auto everything = std::regex_replace(text, std::regex("(^|\n)# (\\w+ *= )"), "$1$2");
  CHECK(everything.size() < text.size() - 30);  // there were defaults to uncomment
  CHECK(shown(everything) == shown(text));
}

TEST_CASE("config: a file that is not there") {
  try {
    proxy::load_config("/nonexistent/pgrotor.toml");
    FAIL("it was read");
  } catch (const proxy::config_error& error) {
    CHECK(std::string(error.what()) == "/nonexistent/pgrotor.toml: cannot be read");
  }
}

TEST_CASE("config: SHOW CONFIG has no password") {
  const auto shown = proxy::show_config(loaded(complete));
  bool catalog = false;
  for (const auto& row : shown.rows) {
    REQUIRE(row.size() == 2);
    CHECK(row[1]->find("secret") == std::string::npos);
    CHECK(row[1]->find("hush") == std::string::npos);
    catalog = catalog || (*row[0] == "catalog.dsn" && row[1]->find("user=pgrotor") != std::string::npos);
  }
  CHECK(catalog);
}

TEST_CASE("config: TLS for clients") {
  const std::string tls = complete + "[listen.tls]\ncertificate = \"server.crt\"\nkey = \"/etc/server.key\"\n";
  CHECK(loaded(complete).tls.how == proxy::listen_tls::mode::disable);
  CHECK(problems_of(tls) == "pgrotor.toml:15: listen.tls.mode: is missing; allow or require make use of the certificate");
  const auto c = loaded(tls + "mode = \"allow\"\n");
  CHECK(c.tls.how == proxy::listen_tls::mode::allow);
  CHECK(c.tls.certificate.ends_with("/server.crt"));
  CHECK(c.tls.certificate.starts_with("/tmp/"));
  CHECK(c.tls.key == "/etc/server.key");
  CHECK(c.tls.line == 15);
  CHECK(loaded(tls + "mode = \"require\"\nclient_ca = \"/ca\"\n").tls.client_ca == "/ca");
  CHECK(loaded(tls + "mode = \"disable\"\n").tls.how == proxy::listen_tls::mode::disable);
  CHECK(problems_of(complete + "[listen.tls]\nmode = \"prefer\"\n") ==
        "pgrotor.toml:15: listen.tls.certificate: is missing; it names a file with pgrotor's certificate in PEM\n"
        "pgrotor.toml:15: listen.tls.key: is missing; it names a file with the certificate's private key in PEM\n"
        "pgrotor.toml:16: listen.tls.mode: \"prefer\" is none of disable, allow, require");
  CHECK(problems_of(tls + "client_ca = \"/ca\"\nmode = \"allow\"\n") ==
        "pgrotor.toml:18: listen.tls.client_ca: asks for certificates of clients that use TLS only; set mode = \"require\"");
  CHECK(problems_of(complete + "[listen.tls]\ncertificat = \"x\"\nmode = \"disable\"\n").find("listen.tls.certificat") != std::string::npos);
}

TEST_CASE("config: what a shard's dsn says of TLS is checked") {
  CHECK(problems_of(complete + "[[shard]]\nname = \"s3\"\ndsn = \"host=h dbname=d sslmode=full\"\n") ==
        "pgrotor.toml:17: shard.dsn: sslmode \"full\" is none of disable, allow, prefer, require, verify-ca, verify-full");
}

TEST_CASE("dsn: a role is added in a form that libpq reads back") {
  const auto parts = proxy::parse_dsn(proxy::with_role("host=h port=1 dbname=d", "it's", R"(back\slash 'n quote)"));
  CHECK(parts.error.empty());
  CHECK(parts.user == "it's");
  CHECK(parts.password == R"(back\slash 'n quote)");
  CHECK(parts.host == "h");
}

TEST_CASE("dsn: a password is left out of URIs as well") {
  CHECK(proxy::without_password("postgresql://ada:pw@h:5433/shop") == "user=ada dbname=shop host=h port=5433");
}
