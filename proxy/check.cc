#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

#include "migration/catalog.h"
#include "migration/catalog_map.h"
#include "migration/identity.h"
#include "migration/prepare.h"
#include "proxy/commands.h"
#include "proxy/reach.h"
#include "proxy/server_tls.h"
#include "proxy/users.h"
#include "proxy/wakeup.h"

namespace proxy {
namespace {

// What a shard lets clients prepare. pgrotor prepares nothing itself, so that no number is wrong as such.
struct two_phase {
  reachable shard;
  std::int64_t allowed = 0, used = 0;
};

// False: a finding.
task<bool> certificates_are_fine(const config& c, reachable what, std::vector<std::string>& findings) {
  auto executor = co_await boost::asio::this_coro::executor;
  auto& io = static_cast<boost::asio::io_context&>(executor.context());
  const auto problem = co_await probe_certificates(io, what.dsn, clock::now() + c.connect_timeout);
  if (problem.empty()) co_return true;
  findings.push_back(problem_line(c, what, fmt::format("{}: {}", what.where, problem)));
  co_return false;
}

// What the catalog says of the shards; no number when it could not be asked.
struct known_shards {
  migration::cluster_mark cluster;
  routing::shard_map::parts map;
};

task<void> check_catalog(const config& c, std::vector<std::string>& findings, known_shards& known) {
  const auto what = catalog_of(c);
  const bool fine = co_await certificates_are_fine(c, what, findings);
  if (!fine) co_return;
  const auto connection = co_await try_open(c, what, findings);
  if (!connection) co_return;
  try {
    auto newest = co_await migration::read_map(*connection);
    if (newest.number.value == 0) findings.push_back(problem_line(c, what, "the catalog has no map; run pgrotor init -c " + c.path));
    known.cluster = co_await migration::read_cluster(*connection);
    known.map = std::move(newest);
  } catch (const migration::pg::sql_error& error) {
    const bool missing = error.sqlstate == "3F000" || error.sqlstate == "42P01" || error.sqlstate == "42883";
    findings.push_back(problem_line(c, what, missing ? "the catalog is not initialised for this version; run pgrotor init -c " + c.path : refusal_text(what, error)));
  } catch (const std::exception& error) {
    findings.push_back(problem_line(c, what, refusal_text(what, error)));
  }
}

task<two_phase> read_two_phase(migration::pg::connection& connection, reachable shard) {
  const auto row = co_await connection.query(
      "SELECT pg_catalog.current_setting('max_prepared_transactions')::bigint, (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_xacts)");
  two_phase read{std::move(shard), row.integer(0, 0), row.integer(0, 1)};
  co_return read;
}

task<void> check_one(const config& c, const shard_config& shard, const known_shards& known, std::vector<std::string>& findings,
                     std::vector<two_phase>& prepared) {
  const auto what = shard_of(c, shard);
  const bool fine = co_await certificates_are_fine(c, what, findings);
  if (!fine) co_return;
  const auto connection = co_await try_open(c, what, findings);
  if (!connection) co_return;
  try {
    auto of_shard = co_await read_two_phase(*connection, what);
    prepared.push_back(std::move(of_shard));
    co_await migration::check_shard(*connection);
    const auto found = std::ranges::find(known.map.shards, shard.name, &routing::shard::name);
    if (found != known.map.shards.end()) co_await migration::check_identity(*connection, known.cluster, found->id);
  } catch (const std::exception& error) {
    findings.push_back(problem_line(c, what, refusal_text(what, error)));
  }
}

// A key that moves between shards that differ takes PREPARE TRANSACTION away from its clients. False: all were asked,
// and not one has it, as PostgreSQL is installed; most clients do not miss it.
bool check_two_phase(const config& c, const std::vector<two_phase>& prepared, std::vector<std::string>& findings) {
  const bool any = std::ranges::any_of(prepared, [](const two_phase& one) { return one.allowed > 0; });
  for (const auto& [shard, allowed, used] : prepared) {
    if (any && allowed == 0)
      findings.push_back(problem_line(c, shard, fmt::format("{}: max_prepared_transactions is 0, and more on other shards; PREPARE TRANSACTION fails with "
                                                            "55000 on this one; run: ALTER SYSTEM SET max_prepared_transactions = 10; and restart the server",
                                                            shard.where)));
    if (allowed > 0 && used >= allowed)
      findings.push_back(problem_line(c, shard, fmt::format("{}: no free prepared transaction; {} of {} are in use; end those of pg_prepared_xacts that were "
                                                            "forgotten, or run: ALTER SYSTEM SET max_prepared_transactions = {}; and restart the server",
                                                            shard.where, used, allowed, allowed * 2)));
  }
  return any || prepared.size() < c.shards.size();
}

// PREPARE runs it to make tables that a new owner lacks: found out here rather than then.
void check_pg_dump(const config& c, std::vector<std::string>& findings) {
  const std::string_view path = std::getenv("PATH") == nullptr ? "" : std::getenv("PATH");
  bool found = c.pg_dump.find('/') != std::string::npos && access(c.pg_dump.c_str(), X_OK) == 0;
  for (std::size_t at = 0; !found && c.pg_dump.find('/') == std::string::npos && at < path.size();) {
    const auto end = std::min(path.find(':', at), path.size());
    found = access(fmt::format("{}/{}", path.substr(at, end - at), c.pg_dump).c_str(), X_OK) == 0;
    at = end + 1;
  }
  if (!found) findings.push_back(fmt::format("{}: tools.pg_dump: {} is not a program that can be run; install PostgreSQL's client programs or give its path", c.path, c.pg_dump));
}

void check_client_tls(const config& c, std::vector<std::string>& findings) {
  if (c.tls.how == listen_tls::mode::disable) return;
  std::string problem;
  const auto loaded = load_client_tls(c, problem);
  if (!loaded) return findings.push_back(problem);
  if (const auto worry = loaded->worry(); !worry.empty())
    findings.push_back(fmt::format("{}:{}: listen.tls.certificate: {}: {}", c.path, c.tls.line, c.tls.certificate, worry));
}

task<void> check_all(const config& c, std::vector<std::string>& findings, std::vector<two_phase>& prepared) {
  known_shards known;
  co_await check_catalog(c, findings, known);
  for (const auto& shard : c.shards) co_await check_one(c, shard, known, findings, prepared);
}

}  // namespace

int run_check(const std::string& config_path) {
  const config c = load_config(config_path);
  load_users(c);
  std::vector<std::string> findings;
  check_pg_dump(c, findings);
  check_client_tls(c, findings);
  std::vector<two_phase> prepared;
  run_to_end(check_all(c, findings, prepared));
  if (!check_two_phase(c, prepared, findings))
    fmt::print("{}: max_prepared_transactions is 0 on every shard: PREPARE TRANSACTION fails with 55000; raise it where clients use two-phase commit\n", c.path);
  for (const auto& finding : findings) fmt::print(stderr, "{}\n", finding);
  if (findings.empty()) fmt::print("{}: catalog and {} shards are fine\n", c.path, c.shards.size());
  return findings.empty() ? 0 : 1;
}

}  // namespace proxy
