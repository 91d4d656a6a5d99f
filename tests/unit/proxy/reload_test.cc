#include <doctest/doctest.h>

#include "proxy/serve/reload.h"

using proxy::changes_between;
using proxy::config;

TEST_CASE("reload: what changed is named, and what takes a restart stays as it was") {
  config before, now;
  now.pool_size = 7;
  now.workers = 4;
  now.query_timeout = std::chrono::milliseconds(100);
  now.listen.port = 7777;
  now.tls.certificate = "new.crt";
  now.shards_password = "secret";
  now.shards.push_back({"s9", "host=h dbname=d", 0});
  std::string told;
  for (const auto& one : changes_between(before, now)) {
    told += one.key + (one.needs_restart ? " (restart)" : "") + "\n";
    CHECK(one.now.find("secret") == std::string::npos);
  }
  CHECK(told == "listen.port (restart)\nlisten.tls.certificate\npool.size\nproxy.workers (restart)\nshard s9 (restart)\ntimeouts.query_ms\n"
                "shards_role.password (restart)\n");
  const auto force = proxy::in_force(before, now);
  CHECK(force.pool_size == 7);
  CHECK(force.query_timeout.count() == 100);
  CHECK(force.tls.certificate == "new.crt");
  CHECK(force.workers == before.workers);
  CHECK(force.listen.port == before.listen.port);
  CHECK(force.shards_password.empty());
  CHECK(force.shards.empty());
  // Nothing that takes a restart differs from what is in force.
  for (const auto& one : changes_between(before, force)) CHECK_FALSE(one.needs_restart);
  CHECK(changes_between(now, now).empty());
}
