// The fence that lives in the database (DESIGN 5): guard triggers and register of one moving set, their DDL, and the one source
// transaction of cutover step 2. The register is moved only through pgrotor.set_register, which refuses any value not greater.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "migration/base/task.h"
#include "migration/pg/pg.h"
#include "migration/plan/moving_table.h"
#include "migration/plan/state.h"

namespace migration {

class newcomer_gate;

// The WHEN condition and row filter of a moving set: placement of `quoted_key` inside any of the ranges.
std::string placement_filter(routing::key_type, const std::vector<routing::placement_range>&, std::string_view quoted_key);

// Register (closed or open as `initial` says), guard function and triggers on every table and, for TRUNCATE, every partition.
// Idempotent. `where` role: the target's register starts closed.
task<void> make_guard(pg::connection&, std::uint64_t set, routing::key_type, const std::vector<routing::placement_range>&,
                      const std::vector<moving_table>&, register_value initial, newcomer_gate* = nullptr);
task<void> drop_guard(pg::connection&, std::uint64_t set, newcomer_gate* = nullptr);

task<register_value> read_register(pg::connection&, std::uint64_t set);
// False when the register already holds this value or a greater one. synchronous_commit is on.
task<bool> set_register(pg::connection&, std::uint64_t set, register_value);

// Cutover step 2 is one source transaction in two round trips. begin_fence(), ahead of the pause: table locks under which no writer waits,
// all guards standing with tgenabled 'A', fingerprint unchanged. fence(): exclusive advisory lock, register closed(epoch, attempt), marker,
// commit (synchronous). `lock_timeout` bounds each lock, `budget` (statement_timeout too) each call.
enum class fence_outcome {
  done,          // begin_fence: the transaction is open; fence: it has committed
  lock_missed,   // somebody is in the way; nothing changed
  guard_missing, // a guard is gone or disabled; nothing changed
  ddl_changed,   // the fingerprint differs; nothing changed
};
struct fence_result {
  fence_outcome outcome{};
  std::string note;  // who is in the way: pids, what they wait for; which guard
};
// The proxies have drained when the exclusive lock is asked for: only clients that bypass them, and DDL, can be in the way.
inline constexpr milliseconds fence_lock_timeout{10};
// Any outcome but `done` has ended the transaction. Any other failure is thrown as sql_error, and after fence() resolved by read_register.
task<fence_result> begin_fence(pg::connection& source, std::uint64_t set, const std::vector<moving_table>&, const std::string& fingerprint,
                               milliseconds lock_timeout, milliseconds budget);
task<fence_result> fence(pg::connection& source, const marker_token&, const std::vector<moving_table>&, milliseconds lock_timeout,
                         milliseconds budget);
// Ends what begin_fence() began.
task<void> abandon_fence(pg::connection& source);
// Sessions that hold the shared guard lock or old transactions on the moving tables, for messages: "pid 123 (app, idle in transaction
// for 12 s)". Empty when nobody is in the way.
task<std::string> blockers(pg::connection& source, std::uint64_t set, const std::vector<moving_table>&, milliseconds older_than);

}  // namespace migration
