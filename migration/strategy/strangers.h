// Looks, while a migration runs, for sessions that hold an advisory lock of its guard or register without a right to it, on source and
// target: one of them makes the guard refuse every write, or keeps the cutover from its lock. They are named, and ended where
// [cutover] strangers = "end". Made by cdc; coordinator's thread, on connections of its own, since those of the run are busy.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "migration/engine/engine.h"
#include "migration/plan/moving_table.h"
#include "migration/plan/state.h"

namespace migration {

class stranger_watch {
 public:
  explicit stranger_watch(engine& e) : engine_(e) {}
  ~stranger_watch();  // what is under way ends by itself
  // Once the set has guards, or will have.
  void start(const migration_row&, const std::vector<moving_table>&);
  // Who has been seen in the last seconds, and what became of him; "" when nobody.
  std::string seen() const;

 private:
  struct watch;
  engine& engine_;
  std::shared_ptr<watch> watch_;
};

}  // namespace migration
