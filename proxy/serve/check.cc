#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

#include "migration/catalog/catalog.h"
#include "migration/catalog/catalog_map.h"
#include "migration/shard/equal_shards.h"
#include "migration/shard/identity.h"
#include "migration/shard/prepare.h"
#include "proxy/auth/users.h"
#include "proxy/net/wakeup.h"
#include "proxy/serve/commands.h"
#include "proxy/serve/reach.h"
#include "proxy/shard/server_tls.h"

namespace proxy {
namespace {

// What a shard lets clients prepare, and of whom pgrotor could not finish it.
struct two_phase {
  reachable shard;
  std::int64_t allowed = 0, used = 0;
  std::string not_finished, grant;  // roles, and what helps
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

// What was found about all servers together, and what is needed for more.
struct fleet {
  std::size_t asked = 0;  // shards
  std::vector<two_phase> prepared;
  std::vector<std::unique_ptr<migration::pg::connection>> shards;  // the default shard first
  std::vector<std::string> tables;
  std::string default_shard;
  std::vector<std::string> clients;  // roles
  migration::cluster_mark cluster;
  routing::shard_map::parts map;  // no number when the catalog could not be asked
  std::vector<std::string> told;
};

task<void> check_catalog(const config& c, std::vector<std::string>& findings, fleet& all) {
  const auto what = catalog_of(c);
  const bool fine = co_await certificates_are_fine(c, what, findings);
  if (!fine) co_return;
  const auto connection = co_await try_open(c, what, findings);
  if (!connection) co_return;
  try {
    co_await migration::check_catalog_version(*connection);
    auto newest = co_await migration::read_map(*connection);
    for (const auto& table : newest.tables) all.tables.push_back(migration::pg::quote_ident(table.schema, table.name));
    for (const auto& shard : newest.shards)
      if (shard.id == newest.default_shard) all.default_shard = shard.name;
    if (newest.number.value == 0) findings.push_back(problem_line(c, what, "the catalog has no map; run pgrotor init -c " + c.path));
    all.cluster = co_await migration::read_cluster(*connection);
    all.map = std::move(newest);
  } catch (const std::exception& error) {
    findings.push_back(problem_line(c, what, refusal_text(what, error)));
  }
}

task<two_phase> read_two_phase(migration::pg::connection& connection, reachable shard, std::vector<std::string> clients) {
  std::string names;
  for (const auto& one : clients) names += (names.empty() ? "" : ", ") + migration::pg::quote_literal(one);
  const std::string needed = connection.server_version() >= 160'000 ? "SET" : "MEMBER";  // for SET ROLE
  const auto found = co_await connection.query(fmt::format(
      "SELECT current_setting('max_prepared_transactions')::bigint, (SELECT count(*) FROM pg_prepared_xacts), coalesce(string_agg(quote_ident(r.rolname), ', '), ''),"
      " quote_ident(current_user) FROM pg_roles r WHERE r.rolname = ANY (ARRAY[{}]::name[]) AND NOT pg_has_role(r.oid, '{}')", names, needed));
  two_phase read{std::move(shard), found.integer(0, 0), found.integer(0, 1), found.str(0, 2), ""};
  if (!read.not_finished.empty()) read.grant = fmt::format("GRANT {} TO {};", read.not_finished, found.get(0, 3));
  co_return read;
}

task<void> check_one(const config& c, const shard_config& shard, std::vector<std::string>& findings, fleet& all) {
  const auto what = shard_of(c, shard);
  const bool fine = co_await certificates_are_fine(c, what, findings);
  if (!fine) co_return;
  auto connection = co_await try_open(c, what, findings);
  if (!connection) co_return;
  try {
    auto of_shard = co_await read_two_phase(*connection, what, all.clients);
    all.prepared.push_back(std::move(of_shard));
    co_await migration::check_shard(*connection);
    const auto found = std::ranges::find(all.map.shards, shard.name, &routing::shard::name);
    if (found != all.map.shards.end()) co_await migration::check_identity(*connection, all.cluster, found->id);
    const auto place = shard.name == all.default_shard ? all.shards.begin() : all.shards.end();
    all.shards.insert(place, std::move(connection));
  } catch (const std::exception& error) {
    findings.push_back(problem_line(c, what, refusal_text(what, error)));
  }
}

// Shards that answer differently. What can be lived with is printed, and no finding.
task<void> check_equal(const config& c, std::vector<std::string>& findings, fleet& all) {
  if (all.shards.empty() || all.shards.front()->where() != "shard " + all.default_shard) co_return;
  std::vector<migration::pg::connection*> shards;
  for (const auto& shard : all.shards) shards.push_back(shard.get());
  migration::problems refused, told;
  co_await migration::compare_shards(std::move(shards), all.tables, refused, told);
  const auto line = [&c](const protocol::notice& one) {
    return fmt::format("{}: {}{}{}{}{}", c.path, one.message, one.detail.empty() ? "" : "; ", one.detail, one.hint.empty() ? "" : " ", one.hint);
  };
  for (const auto& one : refused.all()) findings.push_back(line(one));
  for (const auto& one : told.all()) all.told.push_back(line(one));
}

// A key that moves between shards that differ takes PREPARE TRANSACTION away from its clients. False: all were asked,
// and not one has it, as PostgreSQL is installed; most clients do not miss it.
bool check_two_phase(const config& c, const fleet& asked, std::vector<std::string>& findings) {
  const auto& prepared = asked.prepared;
  const bool any = std::ranges::any_of(prepared, [](const two_phase& one) { return one.allowed > 0; });
  for (const auto& one : prepared) {
    const auto& shard = one.shard;
    const auto allowed = one.allowed, used = one.used;
    if (any && allowed == 0)
      findings.push_back(problem_line(c, shard, fmt::format("{}: max_prepared_transactions is 0, and more on other shards; PREPARE TRANSACTION fails with "
                                                            "55000 on this one; run: ALTER SYSTEM SET max_prepared_transactions = 10; and restart the server",
                                                            shard.where)));
    if (allowed > 0 && used >= allowed)
      findings.push_back(problem_line(c, shard, fmt::format("{}: no free prepared transaction; {} of {} are in use; end those of pg_prepared_xacts that were "
                                                            "forgotten, or run: ALTER SYSTEM SET max_prepared_transactions = {}; and restart the server",
                                                            shard.where, used, allowed, allowed * 2)));
  }
  return any || prepared.size() < asked.asked;
}

// What a commit in two phases needs. What clients do not use, they need not have.
void tell_two_phase(const config& c, const fleet& asked, bool some_prepare) {
  const std::string_view also = asked.asked > 1 ? ", and COMMIT of what has written on several shards" : "";
  if (!some_prepare) fmt::print("{}: max_prepared_transactions is 0 on every shard: PREPARE TRANSACTION fails with 55000{}; raise it where clients use it\n", c.path, also);
  for (const auto& one : asked.prepared) {
    if (asked.asked < 2 || one.not_finished.empty()) continue;
    fmt::print("{}\n", problem_line(c, one.shard, fmt::format("{}: what {} would leave prepared after a crash could not be finished: COMMIT of what has "
                                                              "written on several shards fails with 42501; all else works; where it is used, run as a superuser: {}",
                                                              one.shard.where, one.not_finished, one.grant)));
  }
}

// The key of [listen.tls] is looked at where it is loaded.
void check_secret_files(const config& c, std::vector<std::string>& findings) {
  for (const auto& file : {c.path, c.users_file}) {
    struct stat facts {};
    if (stat(file.c_str(), &facts) != 0 || (facts.st_mode & S_IROTH) == 0) continue;
    findings.push_back(fmt::format("{}: holds passwords, and whoever can log in to this machine can read it; run: chmod o-r {}", file, file));
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

task<void> check_all(const config& c, std::vector<std::string>& findings, fleet& all) {
  co_await check_catalog(c, findings, all);
  const auto shards = all_shards(c, all.map);
  all.asked = shards.size();
  for (const auto& shard : shards) co_await check_one(c, shard, findings, all);
  try {
    co_await check_equal(c, findings, all);
  } catch (const migration::pg::sql_error& error) {
    findings.push_back(fmt::format("{}: the shards could not be compared: {}", c.path, error.what()));
  }
  all.shards.clear();  // not to outlive the io_context that runs this
}

}  // namespace

int run_check(const std::string& config_path) {
  const config c = load_config(config_path);
  const auto known = load_users(c);
  std::vector<std::string> findings;
  check_secret_files(c, findings);
  check_pg_dump(c, findings);
  check_client_tls(c, findings);
  fleet all;
  all.default_shard = c.default_shard;
  all.clients = known.names();
  run_to_end(check_all(c, findings, all));
  for (const auto& one : all.told) fmt::print("{}\n", one);
  const bool some_prepare = check_two_phase(c, all, findings);
  tell_two_phase(c, all, some_prepare);
  for (const auto& finding : findings) fmt::print(stderr, "{}\n", finding);
  if (findings.empty()) fmt::print("{}: catalog and {} shards are fine\n", c.path, all.asked);
  return findings.empty() ? 0 : 1;
}

}  // namespace proxy
