// The data path of one migration: snapshot-visibility backfill (SVB, DESIGN 6) with several readers, the change stream, and one
// ordered applier on the target under a replication origin, exactly once across crashes. It knows nothing of states, gates or
// registers. Everything runs as coroutines on the coordinator's thread; durable progress lives on the target shard
// (pgrotor.chunks, pgrotor.progress and the origin), so that a new mover with the same settings goes on where the old one died.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "migration/base/task.h"
#include "migration/mover/mover_settings.h"

namespace migration {

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
