// The migration state machine (DESIGN 7): states, a strategy's table of transitions, and the row that persists it. Before SWITCHED every
// failure goes back to the old map; from SWITCHED on there is only forward.
//
//   PLANNED -> PREPARING -> COPYING -> CATCHING_UP -> VERIFYING -> READY -> CUTTING_OVER -> SWITCHED -> CLEANING -> DONE
//                 |            |  \________/ PAUSED \______/         ^  \________/ (attempt missed: gates open, back to READY)
//                 +------------+-------------+---------+-> FAILING -> FAILED / CANCELLING -> CANCELLED (what was made is removed between)
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "routing/map/shard_map.h"
#include "routing/map/types.h"

namespace migration {

enum class state {
  planned,       // written, nothing touched yet
  preparing,     // guards, registers, publication, slot, target tables are being made
  copying,       // backfill and change stream run
  catching_up,   // all chunks are loaded, the stream is being followed
  verifying,     // structure and sequences are compared before the switch
  ready,         // may cut over
  cutting_over,  // an attempt is under way; the register of the source may be closed
  switched,      // the catalog holds map N+1: only forward
  cleaning,      // moved rows and objects are being removed
  done,
  paused,        // by a DBA; remembers where to go on
  failing,       // given up, `error` says why; what it made on shards is being removed
  cancelling,    // the same, by a DBA before the switch
  failed,        // the old map rules and nothing is left
  cancelled,     // the same, by a DBA
  rolled_back,   // by a DBA after the switch (needs a reverse stream)
};
std::string_view to_string(state) noexcept;             // as in DESIGN: "CATCHING_UP"
std::optional<state> parse_state(std::string_view) noexcept;

// What a migration is for.
enum class migration_kind {
  drain,       // of a shard, which leaves when the last of them is done
  move_range,
};
std::string_view to_string(migration_kind) noexcept;  // as in the catalog: "move_range"
std::optional<migration_kind> parse_kind(std::string_view) noexcept;

// How it moves (DESIGN 10, strategy/strategy.h).
enum class strategy_kind {
  cdc,  // backfill and change stream, then one short pause
};
std::string_view to_string(strategy_kind) noexcept;
std::optional<strategy_kind> parse_strategy(std::string_view) noexcept;

// What carries the change stream.
enum class transport_kind {
  direct,  // slot to applier
};
std::string_view to_string(transport_kind) noexcept;
std::optional<transport_kind> parse_transport(std::string_view) noexcept;

// The sole judge of transitions: each strategy has its table.
bool may_go(strategy_kind, state from, state to) noexcept;
bool is_final(state) noexcept;         // DONE, FAILED, CANCELLED, ROLLED_BACK
bool before_switch(state) noexcept;    // the old map rules, and the migration may still be given up
bool is_undoing(state) noexcept;       // FAILING, CANCELLING
// A gate of this moving set starts closed when a proxy starts: the truth is not known before the coordinator has looked.
bool gate_starts_closed(state) noexcept;

struct migration_options {
  strategy_kind strategy = strategy_kind::cdc;
  transport_kind transport = transport_kind::direct;
  std::uint64_t max_rate = 0;                        // bytes a second of COPY, 0 = none
  std::chrono::milliseconds max_pause{1'000};        // hard cap on the time gates stay closed in one attempt
  bool auto_cutover = true;
};

// One row of pgrotor.migrations. A migration has exactly one moving set, with the migration's number.
struct migration_row {
  std::uint64_t id = 0, job = 0;
  migration_kind kind = migration_kind::move_range;
  routing::distribution_id distribution;
  std::vector<routing::placement_range> ranges;
  routing::shard_id source, target;
  migration_options options;
  migration::state state = state::planned;
  std::optional<migration::state> resume_to;         // of PAUSED
  std::uint64_t epoch = 0;
  std::uint32_t attempt = 0;                         // cutover attempts so far
  std::string error, sqlstate;                       // sqlstate: of the error, "" where nothing more is known
  std::chrono::system_clock::time_point created, changed;  // changed: its state; both by this machine's clock for what happens in this term
  std::optional<std::uint64_t> rows_compared, rows_differing;
  std::optional<std::uint64_t> pause_us;             // gates closed to gates open, of the attempt that switched
};

// The value of a register (DESIGN 5): epoch * 2^32 + attempt * 2 + open, so that it alone refuses what is older.
struct register_value {
  std::uint64_t epoch = 0;
  std::uint32_t attempt = 0;
  bool open = false;
  std::int64_t encode() const noexcept { return static_cast<std::int64_t>((epoch << 32) | (std::uint64_t{attempt} << 1) | (open ? 1u : 0u)); }
  static register_value decode(std::int64_t raw) noexcept {
    const auto bits = static_cast<std::uint64_t>(raw);
    return {bits >> 32, static_cast<std::uint32_t>((bits & 0xffffffffu) >> 1), (bits & 1) != 0};
  }
  bool operator==(const register_value&) const = default;
};

// What a marker carries; only the current attempt's token counts.
struct marker_token {
  std::uint64_t migration = 0, set = 0, epoch = 0;
  std::uint32_t attempt = 0;
  std::string text() const;  // "7:7:3:1"
  bool operator==(const marker_token&) const = default;
};
std::optional<marker_token> parse_marker(std::string_view content);
inline constexpr std::string_view marker_prefix = "pgrotor";
// Of the message by which a guard tells that a table was truncated: "7:public.orders_2027". pgoutput says nothing of a partition's.
inline constexpr std::string_view truncate_prefix = "pgrotor.truncate";

// Names of what one migration makes on shards; all are listed in the cleanup ledger before they are made.
struct object_names {
  explicit object_names(std::uint64_t migration);
  std::string slot, publication, origin, cleaner_origin;  // pgrotor_7, pgrotor_7, pgrotor_7, pgrotor_clean_7
  std::string register_sequence, guard_function;          // pgrotor.register_7, pgrotor.guard_7
  std::string trigger_prefix;                             // ~~pgrotor_7_ (+ ins, upd, del, trunc)
};
inline constexpr std::int32_t coordinator_lock_namespace = 1885827702;  // (namespace, 0) in the catalog, per session; 1: whoever upgrades

}  // namespace migration
