// Keeps what the map knows of hidden access (hidden_access.h) true while functions, views, triggers and policies come and go on the shards,
// through pgrotor or by psql: looks every other second, and a change becomes a new generation. What is created and used within that time is
// not seen yet. What is attached to sharded tables is told in the log, not refused: DISTRIBUTE TABLE may have trusted it. Owned by the coordinator, on its thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "migration/engine/engine.h"
#include "migration/shard/hidden_access.h"

namespace migration {

class hidden_watch {
 public:
  using map_change = std::function<task<void>(std::function<void(routing::shard_map::parts&)> edit, std::string reason)>;
  hidden_watch(engine&, map_change);

  task<void> run();  // until stop(); a shard that does not answer leaves the map as it is
  void stop();
  // What the latest look found on sharded tables, put there after DISTRIBUTE TABLE or trusted then.
  const std::vector<hidden_objects::attachment>& attached() const noexcept { return attached_; }

 private:
  task<void> look();
  void tell(std::vector<hidden_objects::attachment>);
  task<pg::connection*> connection_to(routing::shard_id);

  engine& engine_;
  map_change change_map_;
  boost::asio::steady_timer timer_;
  std::map<routing::shard_id, std::unique_ptr<pg::connection>> connections_;
  std::vector<hidden_objects::attachment> attached_;
  std::string seen_;  // fingerprints and the version of the map that they were looked at under
  bool stopping_ = false, failing_ = false;
};

}  // namespace migration
