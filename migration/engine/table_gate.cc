#include "migration/engine/table_gate.h"

#include <algorithm>

namespace migration {
namespace {

// Numbers of sets that are no migrations.
constexpr std::uint64_t table_sets = std::uint64_t{1} << 63;

moving_set tables_of(const routing::shard_map& map, const migration_row& row, routing::shard_id shard) {
  moving_set set;
  set.id = table_sets | row.id << 1 | (shard == row.target ? 1u : 0u);
  set.distribution = row.distribution;
  set.source = set.target = shard;
  set.tables = true;
  for (const auto& range : map.find_distribution(row.distribution)->ranges) {
    if (range.owner == shard) set.ranges.push_back(range.range);
  }
  return set;
}

}  // namespace

table_gate::table_gate(engine& e, const migration_row& row, routing::shard_id shard, std::string& waiting_for)
    : engine_(e), set_(tables_of(*e.map(), row, shard)), longest_(std::min(e.settings.cutover_budget, row.options.max_pause)),
      waiting_for_(waiting_for) {}

task<void> table_gate::hold() {
  if (!announced_) co_await engine_.gates.announce(set_);
  announced_ = true;
  co_await engine_.gates.hold(set_.id, engine_.settings.hold_budget);
}

task<void> table_gate::open() { co_await engine_.gates.open(set_.id); }

task<void> table_gate::forget() {
  if (announced_) co_await engine_.gates.forget(set_.id);
  announced_ = false;
}

}  // namespace migration
