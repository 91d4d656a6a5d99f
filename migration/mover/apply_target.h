// What the applier asks of the target: apply_session, or a script in tests/unit/migration. Whatever throws has rolled back, or nobody
// knows: the origin's progress tells the next mover.
#pragma once

#include <string>
#include <vector>

#include "migration/mover/mover_context.h"
#include "migration/mover/row_change.h"

namespace migration {

// Where the stream stands when a chunk is loaded: what a restart needs it from, and what has been applied.
struct load_position {
  protocol::lsn floor, position;
  std::int64_t commit_time = 0;
};

class apply_target {
 public:
  virtual ~apply_target() = default;
  virtual bool in_transaction() const noexcept = 0;
  virtual std::size_t queued() const noexcept = 0;
  virtual std::size_t queued_bytes() const noexcept = 0;
  // Queues one part of a change; `message` is kept for the message of an error. Begins a transaction when none is open.
  virtual void queue(const row_change&, change_part, std::string message) = 0;
  // Sends what is queued and checks that each statement met one row.
  virtual task<void> verify() = 0;
  // verify() where there is something to look at, then commits with the origin's progress at `position`.
  virtual task<void> commit(protocol::lsn position, std::int64_t commit_time) = 0;
  // One transaction: rows, pending changes, the chunk's record, hold floor, origin position. False when a row of another chunk stood
  // in the way in a unique index: nothing was changed, the slice is to be read again.
  virtual task<bool> load(read_chunk&, const std::vector<const held_change*>& pending, const relation_book&, load_position) = 0;
};

}  // namespace migration
