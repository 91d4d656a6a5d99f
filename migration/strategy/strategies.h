// The one place that knows which strategies there are.
#pragma once

#include <memory>

#include "migration/engine/engine.h"
#include "migration/strategy/strategy.h"

namespace migration {

// Both outlive it.
std::unique_ptr<strategy> make_strategy(engine&, migration_row&);

}  // namespace migration
