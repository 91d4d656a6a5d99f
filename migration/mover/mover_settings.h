// What a mover is to do, and how far it is. Values, any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "migration/pg/pg.h"
#include "migration/plan/moving_table.h"
#include "migration/plan/state.h"
#include "protocol/pgoutput.h"
#include "routing/map/shard_map.h"

namespace migration {

struct mover_settings {
  std::uint64_t migration = 0;
  pg::connect_options source, target;
  routing::key_type key_type{};
  std::vector<routing::placement_range> ranges;
  std::vector<moving_table> tables;
  object_names names{0};
  std::uint64_t max_rate = 0;                   // bytes a second
  int readers = 2;
  milliseconds chunk_time{150};                 // chunk sizes adapt to it
  std::size_t hold_cap_bytes = 64u << 20;       // then chunk reads wait for the applier
};

struct mover_progress {
  std::uint64_t rows_estimated = 0, rows_copied = 0, bytes_copied = 0, chunks_loaded = 0;
  std::uint64_t changes_applied = 0, changes_held = 0, changes_skipped = 0;  // since the start
  std::uint64_t held_bytes = 0;                    // of changes that wait for their chunk now
  protocol::lsn source_insert, received, applied;  // applied: durable on the target
  std::chrono::milliseconds apply_lag{};           // how long ago the source was where the target is, to 100 ms; 0 when it is there now
  double copy_bytes_per_second = 0;
  std::string throttle;                            // what slows the copy and why; "" when nothing does
  bool copied = false;                             // all chunks are loaded
  std::uint64_t rows_left() const noexcept { return !copied && rows_estimated > rows_copied ? rows_estimated - rows_copied : 0; }
  std::uint64_t backlog() const noexcept { return source_insert > applied ? source_insert.value - applied.value : 0; }
};

}  // namespace migration
