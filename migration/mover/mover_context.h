// What the parts of one mover share: settings, decisions, figures and the conditions they wait for. One thread. Owned by mover::impl,
// which outlives every part.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "migration/base/task.h"
#include "migration/base/wakeup.h"
#include "migration/mover/chunk_buffer.h"
#include "migration/mover/mover_settings.h"
#include "migration/mover/svb.h"
#include "migration/mover/table_plan.h"

namespace migration {

// A mover that was killed may still hold slot and origin: its successor waits.
inline constexpr milliseconds predecessor_budget{60'000}, retry_pause{50};

// The process stays in the name: by it a later one finds the session and ends it (sql/identity.sql).
inline std::string session_name(std::string_view role, std::uint64_t migration, std::string_view coordinator) {
  constexpr std::string_view prefix = "pgrotor coordinator ";
  const auto process = coordinator.starts_with(prefix) ? coordinator.substr(prefix.size()) : std::string_view();
  return fmt::format("pgrotor {} {} {}", role, migration, process);
}

// A slice of one table's primary key. No bound: unbounded.
struct table_slice {
  std::size_t table = 0;
  std::optional<key_bound> lower, upper;
  key_slice keys() const {
    key_slice out;
    if (lower) out.lower = lower->key;
    if (upper) out.upper = upper->key;
    return out;
  }
};

// A chunk read from the source and flushed there, waiting to be loaded.
struct read_chunk {
  table_slice slice;
  svb::read_id read = 0;
  snapshot seen;
  std::string snapshot_text;
  protocol::lsn high;
  chunk_buffer bytes{0};
  std::uint64_t rows = 0, scanned = 0;
  clock::duration read_took{};
};

struct mover_context {
  explicit mover_context(mover_settings settings_in) : settings(std::move(settings_in)) {}

  const mover_settings settings;
  std::vector<table_plan> tables;       // as settings.tables
  std::vector<int> next_chunk_number;   // per table
  std::vector<std::uint64_t> rows_copied, rows_scanned;  // per table
  std::vector<std::vector<table_slice>> loaded;  // per table, by earlier movers, ascending; read once by the planner
  std::unique_ptr<svb> decisions;
  mover_progress figures;

  std::deque<read_chunk> chunks;        // read, to be loaded
  std::deque<table_slice> given_back;   // to be read again
  std::size_t unloaded = 0;             // slices planned and not yet loaded
  bool planned = false;                 // every slice of every table has been planned

  bool stopping = false, paused = false;
  double throttle_factor = 1;
  std::string throttle_reason;

  wakeup work;   // for the applier: a chunk was read, a message arrived, a marker is expected, stop
  wakeup copy;   // for readers: a chunk was loaded, resumed, held changes shrank, stop
  wakeup marker; // for wait_marker: the history has ended, stop

  bool copied() const noexcept { return planned && unloaded == 0; }
  void count_loaded(std::size_t table, std::uint64_t rows, std::uint64_t bytes, std::uint64_t scanned) {
    rows_copied[table] += rows;
    rows_scanned[table] += scanned;
    figures.rows_copied += rows;
    figures.bytes_copied += bytes;
    ++figures.chunks_loaded;
  }
  // Rows of the moving set, judged by the share of them in what was scanned so far.
  std::uint64_t estimate_rows() const;

  void stop() {
    stopping = true;
    work.notify();
    copy.notify();
    marker.notify();
  }
};

}  // namespace migration
