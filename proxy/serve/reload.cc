#include "proxy/serve/reload.h"

#include <algorithm>
#include <array>
#include <map>

#include "proxy/console/admin_answers.h"

namespace proxy {
namespace {

// Threads, sockets, and what the coordinator was started with. Shards belong to the catalog once it is there.
bool takes_restart(std::string_view key) {
  static constexpr auto fixed =
      std::to_array<std::string_view>({"listen.host", "listen.port", "http.", "catalog.", "shards_role.", "default_shard", "shard ", "tools.", "cutover.",
                                       "two_phase.", "proxy.workers", "gate.hold_budget_ms"});
  return std::ranges::any_of(fixed, [key](std::string_view begin) { return key.starts_with(begin); });
}

std::map<std::string, std::string> shown(const config& c) {
  std::map<std::string, std::string> values;
  for (const auto& row : show_config(c).rows) values[*row[0]] = row[1].value_or("");
  return values;
}

}  // namespace

std::vector<changed_setting> changes_between(const config& before, const config& now) {
  std::vector<changed_setting> changed;
  const auto old_values = shown(before), new_values = shown(now);
  auto all = old_values;
  all.insert(new_values.begin(), new_values.end());
  const auto value_in = [](const auto& values, const std::string& key) {
    const auto found = values.find(key);
    return found == values.end() ? std::string() : found->second;
  };
  for (const auto& [key, ignored] : all) {
    changed_setting one{key, value_in(old_values, key), value_in(new_values, key), takes_restart(key)};
    if (one.before != one.now) changed.push_back(std::move(one));
  }
  if (before.shards_password != now.shards_password) changed.push_back({"shards_role.password", "", "", true});
  const bool same_place = value_in(old_values, "catalog.dsn") == value_in(new_values, "catalog.dsn");
  if (same_place && before.catalog_dsn != now.catalog_dsn) changed.push_back({"catalog.dsn (password)", "", "", true});
  return changed;
}

config in_force(const config& before, config now) {
  now.listen = before.listen;
  now.http = before.http;
  now.catalog_dsn = before.catalog_dsn;
  now.catalog_line = before.catalog_line;
  now.catalog_lease = before.catalog_lease;
  now.shards_user = before.shards_user;
  now.shards_password = before.shards_password;
  now.shards = before.shards;
  now.default_shard = before.default_shard;
  now.pg_dump = before.pg_dump;
  now.cutover_budget = before.cutover_budget;
  now.recover_after = before.recover_after;
  now.end_strangers = before.end_strangers;
  now.migrations_at_once = before.migrations_at_once;
  now.gate_hold_budget = before.gate_hold_budget;
  now.workers = before.workers;
  return now;
}

}  // namespace proxy
