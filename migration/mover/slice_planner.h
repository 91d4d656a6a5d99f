// Cuts the tables of a migration into slices, one after the other, leaving out what earlier movers loaded. Asked by several readers in
// turn; each asks with its own source connection. Coordinator's thread.
#pragma once

#include <deque>
#include <optional>

#include "migration/base/async_mutex.h"
#include "migration/mover/mover_context.h"

namespace migration {

class slice_planner {
 public:
  explicit slice_planner(mover_context&);
  struct planned {
    table_slice slice;
    std::uint64_t rows = 0;  // in the slice as far as known; 0: it goes to the end of the table
  };
  // nullopt: nothing is left to plan now; a slice may still be given back while context.unloaded is not 0.
  task<std::optional<planned>> next(pg::connection& source);
  // Adapts the size of the next slices: this one took so long and so many bytes.
  void measured(std::uint64_t rows, milliseconds took, std::size_t bytes);

 private:
  void add_table(std::size_t table);
  task<void> size_for(pg::connection& source, std::size_t table);
  std::size_t byte_cap() const noexcept;

  mover_context& context_;
  async_mutex turn_;
  std::deque<table_slice> spans_;  // to be cut, in order
  std::uint64_t rows_ = 2'000;
  std::optional<std::size_t> sized_for_;  // the table that rows_ is meant for
};

}  // namespace migration
