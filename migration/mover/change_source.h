// Where the applier's changes come from, in the order of the source's commits: change_stream, or a script in tests/unit/migration.
#pragma once

#include <string>

#include "protocol/pgoutput.h"

namespace migration {

// One message, in the stream's order. No payload: a keepalive, everything before `position` has been sent.
struct stream_item {
  protocol::lsn position;
  std::string payload;
};

class change_source {
 public:
  virtual ~change_source() = default;
  virtual bool ready() const noexcept = 0;
  virtual stream_item pop() = 0;
  // Everything before this is durable on the target or not needed again.
  virtual void confirm(protocol::lsn position) = 0;
};

}  // namespace migration
