// The logical replication stream of one migration: connects to the slot, keeps what arrives in a bounded queue for the applier, and
// tells the server how far the target is. Coordinator's thread.
#pragma once

#include <deque>
#include <optional>
#include <string>

#include "migration/mover/change_source.h"
#include "migration/mover/mover_context.h"

namespace migration {

class change_stream final : public change_source {
 public:
  change_stream(mover_context&, protocol::lsn start);
  // Until stop; throws when the stream breaks. A slot that a dying predecessor still holds is waited for.
  task<void> run();

  bool ready() const noexcept override { return !items_.empty(); }
  stream_item pop() override;
  void confirm(protocol::lsn position) override;

 private:
  task<void> start(pg::connection&);
  task<void> send_status(pg::connection&);
  void take(std::string copy_data);

  mover_context& context_;
  protocol::lsn start_, confirmed_;
  std::deque<stream_item> items_;
  std::size_t queued_bytes_ = 0;
  bool reply_now_ = false;
  wakeup room_;
};

}  // namespace migration
