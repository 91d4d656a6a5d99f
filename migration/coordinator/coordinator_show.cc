// The answers to SHOW and EXPLAIN. Column names are the console's interface: tests and the demo read them.
#include <algorithm>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "migration/coordinator/coordinator_impl.h"
#include "migration/plan/columns.h"
#include "migration/plan/planner.h"
#include "migration/shard/guard.h"

namespace migration {
namespace {

using row_of_text = std::vector<std::optional<std::string>>;

// In UTC, the console's TimeZone.
std::string at_text(std::chrono::system_clock::time_point at) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S}+00", fmt::gmtime(std::chrono::system_clock::to_time_t(at)));
}

std::string eta(const mover_progress& now) {
  if (now.copied || now.rows_copied == 0 || now.bytes_copied == 0 || now.copy_bytes_per_second <= 0) return "";
  const double row_bytes = static_cast<double>(now.bytes_copied) / static_cast<double>(now.rows_copied);
  const double left = now.rows_estimated > now.rows_copied ? static_cast<double>(now.rows_estimated - now.rows_copied) : 0;
  return fmt::format("{:.0f}", left * row_bytes / now.copy_bytes_per_second);
}

}  // namespace

task<answer> coordinator::impl::do_show(show wanted) {
  switch (wanted.what) {
    case shown::shards: co_return show_shards();
    case shown::ranges: co_return show_ranges();
    case shown::tables: co_return co_await show_tables();
    case shown::migrations: co_return show_migrations();
    case shown::sequences: co_return co_await show_sequences();
    case shown::orphans: co_return co_await show_orphans();
    case shown::migration: co_return co_await show_migration(wanted.id);
    case shown::catalog: co_return show_catalog();
    case shown::prepared: co_return show_prepared();
  }
  co_return answer{};
}

answer coordinator::impl::show_shards() const {
  answer out{columns::shards, {}, "SHOW"};
  const auto map = engine.map();
  for (const auto& shard : map->shards()) {
    std::string placements;
    for (const auto& distribution : map->distributions()) {
      placements += fmt::format("{}{} {:.1f}%", placements.empty() ? "" : ", ", distribution.name, 100 * share_of_shard(distribution, shard.id));
    }
    out.rows.push_back({shard.name, shard.dsn, std::string(routing::to_string(shard.state)), placements});
  }
  return out;
}

answer coordinator::impl::show_catalog() const {
  answer out{columns::named_values, {}, "SHOW"};
  const auto now = engine.news();
  const auto add = [&out](std::string name, std::string value) { out.rows.push_back({std::move(name), std::move(value)}); };
  add("connection", now.catalog_up ? "up" : fmt::format("lost {:.0f} s ago: {}", now.away_seconds, now.trouble));
  add("term", std::string(to_string(now.now)));
  add("epoch", std::to_string(now.epoch));
  add("lease_left_ms", fmt::format("{:.0f}", 1e3 * now.lease_left_seconds));
  add("reconnects", std::to_string(now.reconnects));
  add("cluster", engine.pass.cluster.id);
  add("database", engine.pass.cluster.place);
  add("process", engine.owner.process);
  add("holder", engine.owner.holder);
  return out;
}

answer coordinator::impl::show_prepared() const {
  answer out{columns::prepared, {}, "SHOW"};
  for (auto& each : engine.recovery->prepared()) {
    out.rows.push_back({std::move(each.shard), std::move(each.gid), std::move(each.owner), fmt::format("{:.0f}", each.age_seconds), std::move(each.decider),
                        std::move(each.why)});
  }
  return out;
}

answer coordinator::impl::show_ranges() const {
  answer out{columns::ranges, {}, "SHOW"};
  const auto map = engine.map();
  for (const auto& distribution : map->distributions()) {
    for (const auto& part : distribution.ranges) {
      const auto [lower, upper] = routing::hashes_of_range(part.range);
      row_of_text row{distribution.name, std::to_string(lower), std::nullopt, engine.shard_name(part.owner)};
      if (upper) row[2] = std::to_string(*upper);
      out.rows.push_back(std::move(row));
    }
  }
  return out;
}

// Who or what is in the way of a migration that is not at its end.
std::string coordinator::impl::waiting_for(std::uint64_t id) const {
  if (const auto run = run_of(id)) return run->waiting_for();
  const auto found = aside.find(id);
  return found == aside.end() ? "" : found->second.why;
}

// The values of columns::migrations.
row_of_text coordinator::impl::live_figures(const migration_row& row) const {
  const auto run = run_of(row.id);
  const auto before = ended.find(row.id);
  const auto now = run ? run->progress() : before != ended.end() ? before->second : mover_progress{};
  const auto* distribution = engine.map()->find_distribution(row.distribution);
  row_of_text out{std::to_string(row.id), std::to_string(row.job), std::string(to_string(row.kind)), distribution ? distribution->name : "",
                  engine.shard_name(row.source), engine.shard_name(row.target), std::string(to_string(row.state)),
                  std::to_string(now.rows_copied), std::to_string(now.rows_estimated), std::to_string(now.bytes_copied),
                  fmt::format("{:.2f}", now.copy_bytes_per_second / 1e6), std::to_string(now.backlog()), std::to_string(now.apply_lag.count()),
                  std::to_string(now.held_bytes), now.throttle, eta(now), std::to_string(row.attempt), std::nullopt, row.error, row.sqlstate,
                  at_text(row.created), is_final(row.state) ? std::optional(at_text(row.changed)) : std::nullopt, waiting_for(row.id)};
  if (row.pause_us) out[17] = std::to_string(*row.pause_us);
  return out;
}

std::vector<coordinator::migration_figures> coordinator::impl::figures() const {
  std::vector<coordinator::migration_figures> out;
  const auto now = std::chrono::system_clock::now();
  for (const auto& each : rows) {
    const auto& shown_row = row(each.id);
    if (is_final(shown_row.state)) continue;
    const auto run = run_of(shown_row.id);
    const auto before = ended.find(shown_row.id);
    const auto progress = run ? run->progress() : before != ended.end() ? before->second : mover_progress{};
    const auto seconds = [now](auto since) { return std::chrono::duration<double>(now - since).count(); };
    out.push_back({shown_row.id, engine.shard_name(shown_row.source), engine.shard_name(shown_row.target), std::string(to_string(shown_row.state)),
                   seconds(shown_row.created), seconds(shown_row.changed), progress.rows_copied, progress.rows_left(), progress.backlog(),
                   progress.held_bytes, std::chrono::duration<double>(progress.apply_lag).count()});
  }
  return out;
}

answer coordinator::impl::show_migrations() const {
  answer out{columns::migrations, {}, "SHOW"};
  for (const auto& each : rows) out.rows.push_back(live_figures(row(each.id)));
  return out;
}

// PREPARING waits for locks on the tables, and for transactions that were open when its slot was made.
task<std::string> coordinator::impl::in_the_way_of_preparing(migration_row row) {
  try {
    auto options = engine.shard_options(row.source);
    options.timeout = milliseconds(2'000);
    const auto source = co_await pg::connection::open(engine.executor, std::move(options));
    std::vector<moving_table> tables;
    const auto map = engine.map();
    for (const auto& table : map->tables()) {
      if (table.distribution != row.distribution) continue;
      moving_table named;
      named.schema = table.schema;
      named.name = table.name;
      tables.push_back(std::move(named));
    }
    co_return co_await blockers(*source, row.id, tables, milliseconds(0));
  } catch (const pg::sql_error& error) {
    co_return std::string(error.what());
  }
}

task<answer> coordinator::impl::show_migration(std::uint64_t id) {
  answer out{columns::named_values, {}, "SHOW"};
  const auto shown_row = row(id);
  const auto figures = live_figures(shown_row);
  for (std::size_t i = 0; i < figures.size(); ++i) out.rows.push_back({columns::migrations[i].name, figures[i]});
  const auto run = run_of(id);
  if (run && shown_row.state == state::preparing) out.rows.back()[1] = co_await in_the_way_of_preparing(shown_row);
  const auto add = [&out](std::string name, std::optional<std::string> value) { out.rows.push_back({std::move(name), std::move(value)}); };
  const auto number = [](const std::optional<std::uint64_t>& value) { return value ? std::optional(std::to_string(*value)) : std::nullopt; };
  add("ranges", to_string(shown_row.ranges));
  add("rows_compared", number(shown_row.rows_compared));
  add("rows_differing", number(shown_row.rows_differing));
  if (run) {
    const auto now = run->progress();
    add("chunks_loaded", std::to_string(now.chunks_loaded));
    add("changes_applied", std::to_string(now.changes_applied));
    add("applied_lsn", protocol::to_string(now.applied));
  }
  std::vector<std::pair<std::string, journal_entry>> journal;
  try {
    engine.demand_catalog();
    const auto turn = co_await engine.catalog_turn.lock();
    journal = co_await engine.book().read_journal(id);
  } catch (const pg::sql_error& error) {
    add("journal", fmt::format("not known: {}", error.what()));
  }
  std::size_t retries = 0;
  for (const auto& [at, entry] : journal) {
    if (entry.from == "CUTTING_OVER" && entry.to == "READY") ++retries;
    if (!entry.step.empty() && entry.attempt == shown_row.attempt) {
      add(entry.step.starts_with("cutover.") ? "step." + entry.step : entry.step, std::to_string(entry.elapsed_us));
    }
  }
  add("retries", std::to_string(retries));
  for (const auto& [at, entry] : journal) {
    if (entry.step.empty()) add(fmt::format("at {}", at), fmt::format("{} -> {}{}{}", entry.from, entry.to, entry.note.empty() ? "" : ": ", entry.note));
  }
  co_return out;
}

}  // namespace migration
