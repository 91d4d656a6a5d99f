#include "proxy/console/admin_answers.h"

#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "proxy/config/dsn.h"
#include "proxy/console/admin_help.h"
#include "proxy/console/admin_parser.h"
#include "routing/analysis/analyzer.h"
#include "routing/route/router.h"

namespace proxy {
namespace {

using row = std::vector<std::optional<std::string>>;

std::string_view to_string(routing::statement_kind kind) {
  static constexpr auto names = std::to_array<std::string_view>({"query", "begin", "commit", "rollback", "savepoint", "release", "rollback to",
                                                                 "prepare transaction", "finish prepared", "set local", "discard all",
                                                                 "deallocate all", "copy in", "copy out", "empty"});
  return names[static_cast<std::size_t>(kind)];
}

std::string_view to_string(routing::destination_kind kind) {
  static constexpr auto names = std::to_array<std::string_view>({"any shard", "default shard", "by key", "by key on the default shard", "refused"});
  return names[static_cast<std::size_t>(kind)];
}

bool has_parameters(const routing::statement_plan& plan) {
  for (const auto& key : plan.keys) {
    if (std::holds_alternative<std::size_t>(key.value)) return true;
  }
  return false;
}

std::string keys_text(const routing::statement_plan& plan, const routing::decision& decided, const routing::shard_map& map) {
  std::vector<std::string> parts;
  for (const auto& touch : decided.touches) {
    const auto* distribution = map.find_distribution(touch.distribution);
    parts.push_back(fmt::format("{}: placement {}", distribution->name, touch.value.number()));
  }
  if (!parts.empty()) return fmt::format("{}", fmt::join(parts, ", "));
  for (const auto& key : plan.keys) {
    const auto* distribution = map.find_distribution(key.distribution);
    const auto* index = std::get_if<std::size_t>(&key.value);
    parts.push_back(fmt::format("{}: {}", distribution->name, index ? fmt::format("${}", *index + 1) : std::get<std::string>(key.value)));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string scattered_text(const routing::decision& decided, const routing::shard_map& map) {
  std::vector<std::string_view> names;
  for (const auto id : decided.scattered) names.push_back(map.find_shard(id)->name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// README.md, "Statements over several shards".
constexpr std::string_view scattered_help =
    "concat: the rows of each shard, one shard after the other. All snapshots are taken under the commit barrier: no commit over several shards is seen by "
    "half. It must be alone in its message or pipeline, and is refused while keys of its table are being moved.";
constexpr std::string_view pulled_help =
    "pull: the rows of its tables are copied from these shards into temporary tables on the default shard, at most scatter.pull_limit bytes, and it runs "
    "there. Limit the tables by their shard keys to make it fast. It must be alone in its message or pipeline, and is refused while keys of its tables are "
    "being moved.";

row route_row(const routing::statement_plan& plan, const routing::shard_map& map) {
  routing::decision decided;
  if (has_parameters(plan)) {
    decided.destination = plan.destination;
  } else {
    decided = routing::route(plan, map, {});
  }
  const std::string kind(to_string(plan.kind));
  if (decided.may_scatter() && !plan.execute)
    return {kind, "several shards", scattered_text(decided, map), keys_text(plan, decided, map), std::nullopt,
            std::string(decided.pulls ? pulled_help : scattered_help)};
  const auto refused = decided.refused ? decided.refused : plan.refused;
  std::optional<std::string> shard, refusal, help;
  if (refused) {
    refusal = fmt::format("{}: {}", refused->sqlstate, refused->message);
    if (!refused->detail.empty()) *refusal += fmt::format(" ({})", refused->detail);
    help = refused->hint;
  } else if (has_parameters(plan)) {
    shard = "decided by the parameters";
  } else if (const auto* found = map.find_shard(decided.shard)) {
    shard = found->name;
  }
  return {kind, std::string(to_string(decided.destination)), shard, keys_text(plan, decided, map), refusal, help};
}

}  // namespace

migration::answer show_config(const config& c) {
  migration::answer out{config_columns, {}, "SHOW"};
  const auto add = [&out](std::string_view key, const auto& value) { out.rows.push_back({std::string(key), fmt::format("{}", value)}); };
  add("file", c.path);
  add("listen.host", c.listen.host);
  add("listen.port", c.listen.port);
  constexpr std::string_view modes[] = {"disable", "allow", "require"};
  add("listen.tls.mode", modes[static_cast<std::size_t>(c.tls.how)]);
  add("listen.tls.certificate", c.tls.certificate);
  add("listen.tls.key", c.tls.key);
  add("listen.tls.client_ca", c.tls.client_ca);
  add("http.host", c.http.host);
  add("http.port", c.http.port);
  add("auth.users_file", c.users_file);
  add("auth.admin_users", fmt::to_string(fmt::join(c.admin_users, ", ")));
  add("auth.recheck_ms", c.login_recheck.count());
  add("catalog.dsn", without_password(c.catalog_dsn));
  add("catalog.lease_ms", c.catalog_lease.count());
  add("shards_role.user", c.shards_user);
  add("default_shard", c.default_shard);
  for (const auto& shard : c.shards) add(fmt::format("shard {}", shard.name), shard.dsn);
  add("proxy.workers", c.workers);
  add("proxy.drain_timeout_ms", c.drain_timeout.count());
  add("pool.size", c.pool_size);
  add("pool.reserve", c.pool_reserve);
  add("pool.reserve_wait_ms", c.pool_reserve_wait.count());
  add("pool.min", c.pool_min);
  add("pool.max_per_shard", c.pool_max_per_shard);
  add("pool.order", c.pool_order);
  add("pool.mode", to_string(c.pool_mode));
  add("pool.lifetime_ms", c.pool_lifetime.count());
  add("pool.idle_timeout_ms", c.pool_idle_timeout.count());
  add("pool.check_ms", c.pool_check.count());
  add("pool.check_query", c.pool_check_query);
  add("pool.wait_ms", c.pool_wait.count());
  add("pool.connect_timeout_ms", c.connect_timeout.count());
  add("limits.max_clients", c.max_clients);
  add("limits.max_message_bytes", c.max_message_bytes);
  add("limits.max_prepared", c.max_prepared);
  add("limits.login_timeout_ms", c.login_timeout.count());
  add("timeouts.query_ms", c.query_timeout.count());
  add("timeouts.idle_in_transaction_ms", c.idle_in_transaction_timeout.count());
  add("timeouts.transaction_ms", c.transaction_timeout.count());
  add("timeouts.client_idle_ms", c.client_idle_timeout.count());
  add("tcp.keepalive_idle_ms", c.tcp.keepalive_idle.count());
  add("tcp.keepalive_interval_ms", c.tcp.keepalive_interval.count());
  add("tcp.keepalive_count", c.tcp.keepalive_count);
  add("tcp.user_timeout_ms", c.tcp.user_timeout.count());
  add("scatter.pull_limit", c.pull_limit);
  add("gate.max_waiters", c.gate_max_waiters);
  add("gate.hold_budget_ms", c.gate_hold_budget.count());
  add("cutover.budget_ms", c.cutover_budget.count());
  add("two_phase.recover_after_ms", c.recover_after.count());
  add("cutover.migrations_at_once", c.migrations_at_once);
  add("cutover.strangers", c.end_strangers ? "end" : "name");
  add("tools.pg_dump", c.pg_dump);
  add("log.level", c.log_level);
  return out;
}

migration::answer show_help() {
  migration::answer out{help_columns, {}, "SHOW"};
  for (const auto& help : admin_helps()) out.rows.push_back({std::string(help.form), std::string(help.meaning)});
  return out;
}

migration::answer show_version() { return {version_columns, {{"pgrotor " PGROTOR_VERSION}}, "SHOW"}; }

migration::answer explain_route_of(const std::string& sql, const routing::shard_map& map) {
  migration::answer out{route_columns, {}, "EXPLAIN"};
  for (const auto& plan : routing::analyze(sql, map).statements) out.rows.push_back(route_row(plan, map));
  return out;
}

}  // namespace proxy
