// Why a server connection stays with its client: state that cannot be replayed elsewhere (the table is in probe.h). Names for metrics and
// the console. Any thread.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "routing/analysis/plan.h"

namespace proxy {

// By bit of routing::state; empty: never a reason.
inline constexpr std::array<std::string_view, 16> pin_reasons{"",           "temp_objects", "advisory_locks", "held_cursors", "listen",   "sql_prepare",
                                                              "sequence_values", "random_seed",  "library",        "dblink",       "unknown", "session_mode",
                                                              "replication_origin", "temporary_slot", "backup", "own_process"};

// Beyond what statements make: [pool] mode is session.
inline constexpr routing::state_bits session_mode = 1u << 11;
// What DISCARD ALL undoes: a server that was kept for nothing else may serve another client. After temporary objects it still has their
// schema, which current_schemas() shows.
inline constexpr routing::state_bits discardable = routing::state::advisory_locks | routing::state::held_cursors | routing::state::listening |
                                                   routing::state::sql_statements | routing::state::sequence_values |
                                                   routing::state::own_process | session_mode;

// Calls visit(index into pin_reasons) for each reason in the set.
template <class Visit>
void for_each_pin(routing::state_bits set, Visit&& visit) {
  for (std::size_t i = 1; i < pin_reasons.size(); ++i)
    if ((set >> i & 1) != 0) visit(i);
}

// "listen,temp_objects", in the order of the bits; empty for none.
std::string pins_text(routing::state_bits);

}  // namespace proxy
