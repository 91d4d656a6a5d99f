#include "migration/strategy/strategies.h"

#include "migration/strategy/cdc.h"

namespace migration {

std::unique_ptr<strategy> make_strategy(engine& e, migration_row& row) {
  switch (row.options.strategy) {
    case strategy_kind::cdc: return std::make_unique<cdc>(e, row);
  }
  return nullptr;
}

}  // namespace migration
