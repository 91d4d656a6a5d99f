// Where a migration's row is persisted, as migration_run sees it: the catalog, or a script in tests/unit/migration.
#pragma once

#include <string>

#include "migration/engine/engine.h"

namespace migration {

class row_store {
 public:
  virtual ~row_store() = default;
  // From the row's state to this one, with a line in the journal. Throws superseded, pg::sql_error, catalog_lost when nobody knows.
  virtual task<void> advance(migration_row&, state to, std::string note) = 0;
  virtual bool lost() const noexcept = 0;  // nothing can be persisted now
};

// With a turn at the catalog.
class catalog_rows final : public row_store {
 public:
  explicit catalog_rows(engine& e) : engine_(e) {}
  task<void> advance(migration_row&, state to, std::string note) override;
  bool lost() const noexcept override { return engine_.catalog_lost(); }

 private:
  engine& engine_;
};

}  // namespace migration
