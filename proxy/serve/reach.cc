#include "proxy/serve/reach.h"

#include <algorithm>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/shard/prepare.h"
#include "proxy/config/dsn.h"

namespace proxy {
namespace {

// libpq's text begins with the address, which the message names already, and may go on with advice on a line of its own.
std::string reason_of(const std::string& message) {
  std::string text = message.substr(0, message.find('\n'));
  const auto server = text.find("connection to server ");
  const auto failed = text.find(" failed: ", server == std::string::npos ? text.size() : server);
  if (failed != std::string::npos) text.erase(0, failed + 9);
  if (text.starts_with("FATAL:")) text.erase(0, text.find_first_not_of(' ', 6));
  if (text.size() > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a' && text[1] <= 'z') text[0] = static_cast<char>(text[0] + 32);
  return text;
}

std::string_view remedy_for(std::string_view key, std::string_view reason) {
  const auto says = [reason](std::string_view word) { return reason.find(word) != std::string_view::npos; };
  if (says("password") || says("pg_hba.conf") || (says("role") && says("does not exist"))) {
    return key != "catalog.dsn" ? "run deploy/shard_rights.sql there, and check [shards_role] and pg_hba.conf"
                              : "run deploy/catalog_rights.sql there, and check user, password and pg_hba.conf";
  }
  if (says("certificate") || says("SSL")) return "correct sslmode, sslrootcert, sslcert or sslkey of its dsn, or the server's certificate";
  if (says("database") && says("does not exist")) return "create the database, or correct dbname";
  if (says("could not translate host name")) return "correct host";
  return "start that server, or correct host and port";
}

std::string address_of(const reachable& what) {
  const auto parts = parse_dsn(what.dsn);
  return fmt::format("host={} port={}", parts.host.empty() ? "(default)" : parts.host, parts.port.empty() ? "5432" : parts.port);
}

}  // namespace

reachable catalog_of(const config& c) { return {c.catalog_line, "catalog.dsn", "catalog", c.catalog_dsn}; }

reachable shard_of(const config& c, const shard_config& shard) {
  return {shard.line, shard.line > 0 ? "shard.dsn" : "map", "shard " + shard.name, with_role(shard.dsn, c.shards_user, c.shards_password)};
}

std::vector<shard_config> all_shards(const config& c, const routing::shard_map::parts& map) {
  auto all = c.shards;
  for (const auto& shard : map.shards)
    if (std::ranges::find(c.shards, shard.name, &shard_config::name) == c.shards.end()) all.push_back({shard.name, shard.dsn, 0});
  return all;
}

migration::pg::connect_options options_for(const reachable& what, const config& c) {
  migration::pg::connect_options options;
  options.dsn = what.dsn;
  options.where = what.where;
  options.timeout = c.connect_timeout;
  return options;
}

std::string problem_line(const config& c, const reachable& what, std::string_view text) {
  const auto place = what.line > 0 ? fmt::format("{}:{}", c.path, what.line) : c.path;
  std::string line = fmt::format("{}: {}: {}", place, what.key, text);
  constexpr std::string_view general = "Run `pgrotor init` first.";
  if (line.ends_with(general)) line.replace(line.size() - general.size(), general.size(), fmt::format("run pgrotor init -c {} first", c.path));
  return line;
}

std::shared_ptr<const tls_context> load_client_tls(const config& c, std::string& problem) {
  auto loaded = tls_context::for_clients({c.tls.certificate, c.tls.key, c.tls.client_ca});
  if (!loaded.context) problem = fmt::format("{}:{}: listen.tls: {}", c.path, c.tls.line, loaded.problem);
  return std::move(loaded.context);
}

std::string unreachable_text(const reachable& what, const migration::pg::sql_error& error) {
  const auto reason = reason_of(error.message);
  return fmt::format("{} ({}) cannot be reached: {}; {}", what.where, address_of(what), reason, remedy_for(what.key, reason));
}

std::string refusal_text(const reachable& what, const std::exception& error) {
  const auto joined = [&what](const std::string& message, const std::string& detail, const std::string& hint) {
    std::string text = message.starts_with(what.where) ? message : fmt::format("{}: {}", what.where, message);
    for (const auto& more : {detail, hint}) {
      if (more.empty()) continue;
      if (text.ends_with('.')) text.pop_back();
      text += "; " + more;
    }
    std::ranges::replace(text, '\n', ' ');  // several GRANTs come one a line
    return text;
  };
  if (const auto* refused = dynamic_cast<const migration::refused*>(&error)) {
    return joined(refused->notice.message, refused->notice.detail, refused->notice.hint);
  }
  if (const auto* sql = dynamic_cast<const migration::pg::sql_error*>(&error)) return joined(sql->message, sql->detail, sql->hint);
  return joined(error.what(), "", "");
}

migration::task<std::unique_ptr<migration::pg::connection>> try_open(const config& c, reachable what, std::vector<std::string>& problems) {
  const auto executor = co_await boost::asio::this_coro::executor;
  auto options = options_for(what, c);
  try {
    co_return co_await migration::pg::connection::open(executor, std::move(options));
  } catch (const migration::pg::sql_error& error) {
    problems.push_back(problem_line(c, what, unreachable_text(what, error)));
  }
  co_return nullptr;
}

void run_to_end(migration::task<void> work) {
  boost::asio::io_context io(1);
  std::exception_ptr failed;
  boost::asio::co_spawn(io, std::move(work), [&failed](std::exception_ptr error) { failed = error; });
  io.run();
  if (failed) std::rethrow_exception(failed);
}

}  // namespace proxy
