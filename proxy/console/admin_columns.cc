#include "proxy/console/admin_columns.h"

#include <fmt/format.h>

#include "migration/plan/columns.h"
#include "proxy/console/admin_answers.h"
#include "proxy/console/process_control.h"
#include "proxy/worker/worker.h"

namespace proxy {
namespace {

namespace columns = migration::columns;
using migration::column_list;

column_list of_show(migration::shown what) {
  switch (what) {
    case migration::shown::shards: return columns::shards;
    case migration::shown::ranges: return columns::ranges;
    case migration::shown::tables: return columns::tables;
    case migration::shown::migrations: return columns::migrations;
    case migration::shown::orphans: return columns::orphans;
    case migration::shown::sequences: return columns::sequences;
    case migration::shown::prepared: return columns::prepared;
    case migration::shown::migration:
    case migration::shown::catalog: return columns::named_values;
  }
  return {};
}

struct of_command {
  bool explain;

  column_list operator()(const migration::show& c) const { return of_show(c.what); }
  column_list operator()(const migration::drain_shard&) const { return columns::job; }
  column_list operator()(const migration::move_range&) const { return columns::job; }
  column_list operator()(const migration::alter_migration& c) const {
    if (c.verb == migration::migration_verb::retry) return columns::job;
    if (explain) return c.verb == migration::migration_verb::cutover ? columns::cutover_steps : columns::plan;
    return c.decided == migration::decision::keep_source ? columns::kept_rows : column_list{};
  }
  column_list operator()(const auto&) const { return explain ? columns::plan : columns::note; }
};

column_list of_shown(proxy_shown what, std::size_t workers) {
  switch (what) {
    case proxy_shown::pools: return worker_columns::pools;
    case proxy_shown::clients: return worker_columns::clients;
    case proxy_shown::servers: return worker_columns::servers;
    case proxy_shown::stats: return stats_columns(workers);
    case proxy_shown::config: return config_columns;
    case proxy_shown::version: return version_columns;
    case proxy_shown::help: return help_columns;
  }
  return {};
}

}  // namespace

column_list stats_columns(std::size_t workers) {
  column_list out{"counter", columns::float8("total")};
  for (std::size_t i = 0; i < workers; ++i) out.emplace_back(fmt::format("worker {}", i), migration::column_type::float8);
  return out;
}

column_list columns_of(const admin_command& command, std::size_t workers) {
  if (const auto* asked = std::get_if<migration::request>(&command)) return std::visit(of_command{asked->explain}, asked->command);
  if (const auto* asked = std::get_if<show_proxy>(&command)) return of_shown(asked->what, workers);
  if (std::holds_alternative<explain_route>(command)) return route_columns;
  if (const auto* asked = std::get_if<process_verb>(&command); asked && *asked == process_verb::reload) return reload_columns;
  return {};
}

}  // namespace proxy
