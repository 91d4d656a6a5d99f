#include "proxy/serve/reach.h"

#include <doctest/doctest.h>

#include "migration/base/refused.h"
#include "migration/shard/prepare.h"
#include "scratch.h"

namespace {

using migration::pg::sql_error;

const proxy::reachable s3{12, "shard.dsn", "shard s3", "host=127.0.0.1 port=1 dbname=shop user=pgrotor"};
const proxy::reachable the_catalog{9, "catalog.dsn", "catalog", "dbname=shop user=pgrotor"};

std::string unreachable(const proxy::reachable& what, const std::string& message) {
  return proxy::unreachable_text(what, sql_error(what.where, "", message, "", "", true));
}

}  // namespace

TEST_CASE("reach: a shard nobody listens for is named with file, line and key") {
  const scratch folder;
  folder.write("users.txt", "\"ada\" \"pw\"\n");
  const auto c = proxy::load_config(folder.write("pgrotor.toml", R"(default_shard = "s1"
[auth]
users_file = "users.txt"
[catalog]
dsn = "host=127.0.0.1 port=1 dbname=shop user=pgrotor"
[[shard]]
name = "s1"
dsn = "host=127.0.0.1 port=5432 dbname=shop"

[[shard]]
name = "s3"
dsn = "host=127.0.0.1 port=1 dbname=shop"
)"));
  std::vector<std::string> problems;
  const auto look = [&c, &problems]() -> migration::task<void> {
    const auto catalog = co_await proxy::try_open(c, proxy::catalog_of(c), problems);
    const auto shard = co_await proxy::try_open(c, proxy::shard_of(c, c.shards.at(1)), problems);
    CHECK(catalog == nullptr);
    CHECK(shard == nullptr);
  };
  proxy::run_to_end(look());
  REQUIRE(problems.size() == 2);
  CHECK(folder.without_folder(problems[0]) ==
        "pgrotor.toml:5: catalog.dsn: catalog (host=127.0.0.1 port=1) cannot be reached: connection refused; start that server, or correct host and port");
  CHECK(folder.without_folder(problems[1]) ==
        "pgrotor.toml:12: shard.dsn: shard s3 (host=127.0.0.1 port=1) cannot be reached: connection refused; start that server, or correct host and port");
}

TEST_CASE("reach: what helps depends on what is wrong") {
  struct row { proxy::reachable what; std::string message, expected; };
  const row table[] = {
      {s3, "connection to server at \"127.0.0.1\", port 1 failed: FATAL:  password authentication failed for user \"pgrotor\"",
       "shard s3 (host=127.0.0.1 port=1) cannot be reached: password authentication failed for user \"pgrotor\"; run deploy/shard_rights.sql there, "
       "and check [shards_role] and pg_hba.conf"},
      {the_catalog, "connection to server on socket \"/run/.s.PGSQL.5432\" failed: FATAL:  role \"pgrotor\" does not exist",
       "catalog (host=(default) port=5432) cannot be reached: role \"pgrotor\" does not exist; run deploy/catalog_rights.sql there, and check user, "
       "password and pg_hba.conf"},
      {s3, "connection to server at \"127.0.0.1\", port 1 failed: FATAL:  database \"shop\" does not exist",
       "shard s3 (host=127.0.0.1 port=1) cannot be reached: database \"shop\" does not exist; create the database, or correct dbname"},
      {s3, "could not translate host name \"db1\" to address: Name or service not known",
       "shard s3 (host=127.0.0.1 port=1) cannot be reached: could not translate host name \"db1\" to address: Name or service not known; correct host"},
      {s3, "no answer within the time allowed",
       "shard s3 (host=127.0.0.1 port=1) cannot be reached: no answer within the time allowed; start that server, or correct host and port"},
  };
  for (const auto& row : table) {
    CAPTURE(row.message);
    CHECK(unreachable(row.what, row.message) == row.expected);
  }
}

TEST_CASE("reach: a refusal is one line with detail and remedy") {
  protocol::notice notice;
  notice.message = "shard s3: role pgrotor lacks rights";
  notice.detail = "Missing: replication.";
  notice.hint = "Run:\nALTER ROLE pgrotor REPLICATION;";
  CHECK(proxy::refusal_text(s3, migration::refused(notice)) ==
        "shard s3: role pgrotor lacks rights; Missing: replication; Run: ALTER ROLE pgrotor REPLICATION;");
  CHECK(proxy::refusal_text(s3, sql_error("shard s3", "42501", "permission denied", "", "", false)) == "shard s3: permission denied");
  CHECK(proxy::refusal_text(s3, std::runtime_error("checksum differs")) == "shard s3: checksum differs");
}

TEST_CASE("reach: who has to run init is told with which file") {
  proxy::config c;
  c.path = "/etc/pgrotor.toml";
  CHECK(proxy::problem_line(c, the_catalog, "catalog: there is no pgrotor catalog in this database; Run `pgrotor init` first.") ==
        "/etc/pgrotor.toml:9: catalog.dsn: catalog: there is no pgrotor catalog in this database; run pgrotor init -c /etc/pgrotor.toml first");
}

TEST_CASE("reach: run_to_end throws what the coroutine threw") {
  const auto fail = []() -> migration::task<void> {
    throw std::runtime_error("as it was");
    co_return;
  };
  CHECK_THROWS_WITH(proxy::run_to_end(fail()), "as it was");
}
