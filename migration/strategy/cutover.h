// The cutover of strategy `cdc` (DESIGN 7): what is done in which order and within what budget, what is undone when a step fails, and
// what nobody may assume. It knows nothing of PostgreSQL or proxies: the steps are an interface. live_cutover.h does them,
// explained_cutover.h only tells them (EXPLAIN CUTOVER), a script in tests/unit/migration fails each in turn.
//
//   step               what                                          when it fails
//   0 begin_fence      the source transaction of step 2 begins       nothing changed
//   1 close_gates      all workers acknowledge                       gates open, the transaction of step 0 ends
//   2 fence            that transaction: lock, register, marker      the register is read back and opened again (a greater value)
//   3 wait_marker      the applier reaches this attempt's marker     as 2
//     settle_sequences the target's sequences go on above            as 2
//   4 commit_switch    catalog: map N+1 and SWITCHED                 refused: as 2. Outcome unknown: nothing is done before it is known
//   5 open_target      snapshot for verify, target's register        tried again until it is done: the catalog row justifies it
//   6 open_gates       workers load N+1, what was held goes on       cannot fail
//
// Step 4 is the commit point: before it every failure leads back to the old map with the gates open; after it only forward. What
// decides whether an attempt is worth it is asked before (cdc, in_the_way).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "migration/base/task.h"

namespace migration {

enum class cutover_step { begin_fence, close_gates, fence, wait_marker, settle_sequences, commit_switch, open_target, open_gates };
std::string_view to_string(cutover_step) noexcept;
// As DESIGN and the journal ("cutover.2") count them: "0" ... "6", "3.sequences".
std::string_view number_of(cutover_step) noexcept;

// Why something was not done, in words for a DBA, which may be none: nullopt alone says that it was.
using refusal = std::optional<std::string>;

// All on the coordinator's thread, one at a time. A step that could not be done says so, or throws.
class cutover_steps {
 public:
  virtual ~cutover_steps() = default;
  virtual clock::time_point now() const { return clock::now(); }

  virtual task<refusal> begin_fence(milliseconds budget) = 0;          // who is in the way
  virtual task<bool> close_gates(milliseconds budget) = 0;             // false: somebody did not end within it
  virtual task<refusal> fence(milliseconds budget) = 0;                // who is in the way; the transaction has ended in any case
  virtual task<bool> wait_marker(clock::time_point until) = 0;         // false: it did not come
  virtual task<void> settle_sequences() = 0;
  virtual task<void> commit_switch() = 0;  // throws catalog_lost when nobody knows whether it was done; superseded; else it was not
  virtual task<void> open_target() = 0;    // returns when it is open
  virtual task<void> open_gates() = 0;     // under the new map

  virtual task<void> abandon_fence() = 0;  // what begin_fence() began
  virtual void forget_marker() = 0;        // this attempt's counts no more: the stream is followed on
  virtual task<void> reopen_source() = 0;  // the old owner accepts writes again; returns when it does
  virtual task<void> reopen_gates() = 0;   // under the old map
};

// One attempt, for a migration that is CUTTING_OVER and whose attempt has been counted and persisted; `budget` is from closing the gates to
// the commit point. A refusal: everything is as it was before. What it throws leaves that to the row's state: CUTTING_OVER is resolved by
// go_back(), SWITCHED by go_forward(); after catalog_lost to the state that is read again.
task<refusal> cut_over(cutover_steps&, milliseconds budget);
// Found CUTTING_OVER, by who does not know how far the attempt came.
task<void> go_back(cutover_steps&);
// Found SWITCHED, and from the commit point on.
task<void> go_forward(cutover_steps&);

}  // namespace migration
