#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

#include "migration/catalog_map.h"
#include "migration/prepare.h"
#include "proxy/commands.h"
#include "proxy/reach.h"
#include "proxy/server_tls.h"
#include "proxy/users.h"
#include "proxy/wakeup.h"

namespace proxy {
namespace {


// False: a finding.
task<bool> certificates_are_fine(const config& c, reachable what, std::vector<std::string>& findings) {
  auto executor = co_await boost::asio::this_coro::executor;
  auto& io = static_cast<boost::asio::io_context&>(executor.context());
  const auto problem = co_await probe_certificates(io, what.dsn, clock::now() + c.connect_timeout);
  if (problem.empty()) co_return true;
  findings.push_back(problem_line(c, what, fmt::format("{}: {}", what.where, problem)));
  co_return false;
}

task<void> check_catalog(const config& c, std::vector<std::string>& findings) {
  const auto what = catalog_of(c);
  const bool fine = co_await certificates_are_fine(c, what, findings);
  if (!fine) co_return;
  const auto connection = co_await try_open(c, what, findings);
  if (!connection) co_return;
  try {
    const auto newest = co_await migration::read_map(*connection);
    if (newest.number.value == 0) findings.push_back(problem_line(c, what, "the catalog has no map; run pgrotor init -c " + c.path));
  } catch (const migration::pg::sql_error& error) {
    const bool missing = error.sqlstate == "3F000" || error.sqlstate == "42P01";
    findings.push_back(problem_line(c, what, missing ? "the catalog is not initialised; run pgrotor init -c " + c.path : refusal_text(what, error)));
  } catch (const std::exception& error) {
    findings.push_back(problem_line(c, what, refusal_text(what, error)));
  }
}

task<void> check_one(const config& c, const shard_config& shard, std::vector<std::string>& findings) {
  const auto what = shard_of(c, shard);
  const bool fine = co_await certificates_are_fine(c, what, findings);
  if (!fine) co_return;
  const auto connection = co_await try_open(c, what, findings);
  if (!connection) co_return;
  try {
    co_await migration::check_shard(*connection);
  } catch (const std::exception& error) {
    findings.push_back(problem_line(c, what, refusal_text(what, error)));
  }
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

task<void> check_all(const config& c, std::vector<std::string>& findings) {
  co_await check_catalog(c, findings);
  for (const auto& shard : c.shards) co_await check_one(c, shard, findings);
}

}  // namespace

int run_check(const std::string& config_path) {
  const config c = load_config(config_path);
  load_users(c);
  std::vector<std::string> findings;
  check_pg_dump(c, findings);
  check_client_tls(c, findings);
  run_to_end(check_all(c, findings));
  for (const auto& finding : findings) fmt::print(stderr, "{}\n", finding);
  if (findings.empty()) fmt::print("{}: catalog and {} shards are fine\n", c.path, c.shards.size());
  return findings.empty() ? 0 : 1;
}

}  // namespace proxy
