// The data path of one migration: snapshot-visibility backfill (SVB, DESIGN 6) with several readers, the change stream, and one
// ordered applier on the target under a replication origin, exactly once across crashes. It knows nothing of states, gates or
// registers. Everything runs as coroutines on the coordinator's thread; durable progress lives on the target shard
// (pgrotor.chunks, pgrotor.progress and the origin), so that a new mover with the same settings goes on where the old one died.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "migration/pg.h"
#include "migration/state.h"
#include "protocol/pgoutput.h"
#include "routing/shard_map.h"

namespace migration {

struct moving_column {
  std::string name, type_name;  // type_name as format_type() says, for casts
  std::uint32_t type_oid = 0;
  std::string collation;        // "" when the type has none; "C", "POSIX", "default", ...
};
struct moving_table {
  std::string schema, name;
  std::vector<moving_column> columns;   // without generated ones, in table order
  std::vector<std::string> generated;   // names of those
  std::vector<std::size_t> primary_key; // indexes into columns, in key order; contains the shard key
  std::size_t shard_key = 0;            // index into columns
  std::uint64_t estimated_rows = 0;     // of the whole table on the source
};

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

class mover {
 public:
  mover(boost::asio::any_io_executor, mover_settings);
  ~mover();
  // Once. Runs until stop(); throws pg::sql_error or std::runtime_error when it cannot go on. Reconnects are the caller's: make a new one.
  task<void> run();
  void stop();  // run() returns soon after; what was under way is rolled back or found again by the next mover
  // Chunk reads stop; the stream is followed on, so that the slot does not hold WAL back.
  void pause_copy();
  void resume_copy();
  // Extra slowing that the coordinator asks for (AIMD on what users feel): a factor 0 < f <= 1 on the rate, with its reason.
  void set_throttle(double factor, std::string reason);
  mover_progress progress() const;

  // From now on only a marker with this token ends the history; then nothing after it is applied. nullopt when `until` passes:
  // call expect_marker with the next attempt, or forget_marker to follow the stream on.
  void expect_marker(marker_token);
  void forget_marker();
  // The commit end LSN of the marker's transaction once everything up to it is durable on the target.
  task<std::optional<protocol::lsn>> wait_marker(clock::time_point until);

 private:
  struct engine;
  std::shared_ptr<engine> engine_;
};

}  // namespace migration
