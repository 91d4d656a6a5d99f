#include "migration/coordinator/row_store.h"

namespace migration {

task<void> catalog_rows::advance(migration_row& row, state to, std::string note) {
  const auto from = row.state;
  journal_entry entry{std::string(to_string(from)), std::string(to_string(to)), "", row.attempt, 0, std::move(note)};
  const auto turn = co_await engine_.catalog_turn.lock();
  co_await engine_.book().advance(row, from, to, std::move(entry));
  if (from == to) co_return;
  if (to == state::done) ++engine_.done;
  if (to == state::failing) ++engine_.failed;
}

}  // namespace migration
