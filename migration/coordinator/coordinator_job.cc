// A job: the migrations of one DRAIN, MOVE or RETRY, checked as a whole before anything is written, then written as a whole.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/coordinator/coordinator_impl.h"
#include "migration/plan/columns.h"
#include "migration/plan/planner.h"
#include "migration/shard/checks.h"
#include "migration/shard/prepare.h"
#include "migration/shard/schema_copy.h"

namespace migration {
namespace {

constexpr milliseconds quick_scan{2'000};  // for rows in the way, while a DBA waits for the answer; PREPARE looks for them again

// What the checks of one job have looked at: each shard once, each source's tables once.
class job_check {
 public:
  job_check(engine& e, problems& found) : engine_(e), map_(e.map()), found_(found) {}

  task<void> add(const migration_row& row) {
    co_await visit(row.source);
    co_await visit(row.target);
    auto& source = shards_.at(row.source);
    auto& target = shards_.at(row.target);
    if (!source.fit) co_return;
    const auto& distribution = *map_->find_distribution(row.distribution);
    const auto known = tables_.find({row.source, row.distribution});
    if (known == tables_.end()) co_await describe(row, *source.connection);
    if (!target.fit) co_return;
    co_await compare_sources(row);
    co_await find_table_problems(*source.connection, *target.connection, distribution, row, tables_.at({row.source, row.distribution}),
                                 engine_.settings.pg_dump, quick_scan, found_);
  }

  std::uint64_t estimated_rows(const migration_row& row) const {
    const auto found = tables_.find({row.source, row.distribution});
    std::uint64_t rows = 0;
    if (found == tables_.end()) return rows;
    for (const auto& table : found->second) rows += table.estimated_rows;
    return rows;
  }

 private:
  struct visited {
    std::unique_ptr<pg::connection> connection;
    bool fit = false;  // its own checks found nothing, so that there is what the checks of tables ask
  };

  task<void> visit(routing::shard_id id) {
    if (shards_.contains(id)) co_return;
    visited shard;
    shard.connection = co_await engine_.connect(id);
    const auto before = found_.count();
    co_await find_shard_problems(*shard.connection, found_);
    shard.fit = found_.count() == before;
    shards_.emplace(id, std::move(shard));
  }

  // The first of several migrations to a shard makes its tables, and those that follow must find them as they need them.
  task<void> compare_sources(const migration_row& row) {
    const auto [first, is_first] = makers_.try_emplace({row.target, row.distribution}, row.source);
    const auto known = tables_.find({first->second, row.distribution});
    if (is_first || known == tables_.end()) co_return;
    const auto missing = co_await missing_tables(*shards_.at(row.target).connection, known->second);
    for (const auto& table : missing) {
      co_await check_alike(*shards_.at(first->second).connection, *shards_.at(row.source).connection, table, found_);
    }
  }

  task<void> describe(const migration_row& row, pg::connection& source) {
    auto& tables = tables_[{row.source, row.distribution}];
    for (const auto& table : map_->tables()) {
      if (table.distribution != row.distribution) continue;
      try {
        auto described = co_await describe_table(source, table.schema, table.name, table.key_column);
        tables.push_back(std::move(described));
      } catch (const refused& error) {
        found_.add(error.notice);
      }
    }
  }

  engine& engine_;
  std::shared_ptr<const routing::shard_map> map_;
  problems& found_;
  std::map<routing::shard_id, visited> shards_;
  std::map<std::pair<routing::shard_id, routing::distribution_id>, std::vector<moving_table>> tables_;
  std::map<std::pair<routing::shard_id, routing::distribution_id>, routing::shard_id> makers_;  // of a target's tables
};

}  // namespace

task<answer> coordinator::impl::check_job(const std::vector<migration_row>& planned, std::string tag) {
  answer out{columns::job, {}, std::move(tag)};
  problems found;
  const auto map = engine.map();
  job_check checks(engine, found);
  for (const auto& row : planned) {
    co_await checks.add(row);
    const auto* distribution = map->find_distribution(row.distribution);
    const double owned = share_of_shard(*distribution, row.source);
    const double moved = owned > 0 ? std::min(1.0, share_of(row.ranges) / owned) : 0;
    out.rows.push_back({std::nullopt, std::nullopt, std::string(to_string(row.kind)), distribution->name, engine.shard_name(row.source), engine.shard_name(row.target),
                        to_string(row.ranges), fmt::format("{:.0f}", moved * static_cast<double>(checks.estimated_rows(row)))});
  }
  found.refuse_if_any("the move");
  co_return out;
}

task<answer> coordinator::impl::add_rows(std::vector<migration_row> planned, bool explain, std::string tag, map_edit edit, std::string reason) {
  if (explain) tag = "EXPLAIN";
  auto out = co_await check_job(planned, std::move(tag));
  if (explain) co_return out;
  const auto count = planned.size();
  const auto job = co_await insert_job(std::move(planned), std::move(edit), std::move(reason));
  std::size_t at = 0;
  for (const auto& row : rows) {
    if (row.job != job || at == count) continue;
    out.rows[at][0] = std::to_string(row.id);
    out.rows[at++][1] = std::to_string(job);
  }
  wake.cancel();
  co_return out;
}

// The number of the job is drawn first: by it the rows are found again when the answer to their insertion is lost.
task<std::uint64_t> coordinator::impl::insert_job(std::vector<migration_row> planned, map_edit edit, std::string reason) {
  std::uint64_t job = 0;
  const auto step = [&]() -> task<void> {
    for (const auto& row : planned) {  // the world has gone on while shards were asked
      refuse_unless_owned(*engine.map(), row);
      refuse_overlap(unfinished(), row);
    }
    const auto drawn = co_await engine.book().next_job();
    for (auto& row : planned) row.job = drawn;
    job = drawn;
    std::optional<routing::shard_map::parts> parts;
    if (edit) parts = next_parts(edit);
    const auto made = co_await engine.book().insert(planned, parts ? &*parts : nullptr, reason);
    rows.insert(rows.end(), made.begin(), made.end());
    if (parts) engine.set_map(routing::shard_map::make(*parts));
  };
  const auto happened = [&]() -> task<bool> {
    if (job == 0) co_return false;
    co_return co_await engine.book().has_job(job);
  };
  try {
    co_await for_certain(step, happened);
  } catch (const refused&) {
    if (job != 0) forsaken.insert(job);
    throw;
  }
  if (edit) co_await engine.gates.publish(engine.map());
  co_return job;
}

}  // namespace migration
