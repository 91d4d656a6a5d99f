// The readers of SVB: each takes slice after slice, reads it under a snapshot of its own and hands it to the applier once the source
// has flushed what the snapshot could see. Bounded: no reader begins a chunk while its last one waits, while held changes are above
// their cap, while paused, or ahead of the rate. Coordinator's thread.
#pragma once

#include "migration/mover/mover_context.h"
#include "migration/mover/slice_planner.h"

namespace migration {

class backfill {
 public:
  explicit backfill(mover_context&);
  // One reader with its own source connection; several may run. Returns when every slice has been loaded, or on stop.
  task<void> read_all();

 private:
  task<bool> may_read();
  std::string obstacle() const;
  task<void> read_one(pg::connection& source, slice_planner::planned);
  task<void> open_snapshot(pg::connection& source, read_chunk&);
  task<void> wait_flushed(pg::connection& source, protocol::lsn position);
  void pay(std::size_t bytes);
  milliseconds owed() const;
  void account(const read_chunk&);

  mover_context& context_;
  slice_planner planner_;
  clock::time_point rate_free_at_{};  // when the bytes read so far are paid for
  clock::time_point window_start_{};
  std::uint64_t window_bytes_ = 0;
};

}  // namespace migration
