// EXPLAIN CUTOVER: the steps of a cutover told and not done. What is told is what cut_over() asks of them, in its order and with its
// budgets; what would be undone is what it asks for when a step fails, so neither can differ from what would be done. Pure.
#pragma once

#include <string>

#include "migration/base/task.h"
#include "migration/plan/commands.h"

namespace migration {

struct told_cutover {
  std::string source, target;  // names of shards
  milliseconds budget{};
};
task<answer> explain_cutover(told_cutover);

}  // namespace migration
