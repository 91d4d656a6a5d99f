#include "migration/coordinator/queue.h"

#include <algorithm>

namespace migration {
namespace {

bool in_the_way(const migration_row& one, const migration_row& other) {
  return one.id == other.id || one.source == other.source || one.source == other.target || one.target == other.source || one.target == other.target;
}

}  // namespace

const migration_row* next_to_begin(const std::vector<migration_row>& rows, const std::vector<const migration_row*>& running, std::size_t at_most,
                                   const std::function<bool(const migration_row&)>& may_begin) {
  for (const bool at_gate : {true, false}) {
    if (!at_gate && running.size() >= at_most) continue;
    for (const auto& row : rows) {
      if (gate_starts_closed(row.state) != at_gate || is_final(row.state) || !may_begin(row)) continue;
      const bool blocked = std::ranges::any_of(running, [&](const migration_row* other) { return in_the_way(row, *other); });
      if (!blocked) return &row;
    }
  }
  return nullptr;
}

}  // namespace migration
