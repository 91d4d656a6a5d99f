// What a pool has done to its connections, as it speaks to no shard itself: it decides which one is opened, asked, watched or closed, and
// when. shard_keeper.h does it over the network, a script in tests/unit/proxy/pool_test.cc. Worker's thread only.
#pragma once

#include <string>

#include "proxy/shard/server_connection.h"

namespace proxy {

class server_keeper {
 public:
  virtual const std::string& shard_name() const noexcept = 0;
  // Opens one more, in the background; ends in pool::opened().
  virtual void open(clock::time_point deadline) = 0;
  // Nobody can log in at the moment: to be told to whoever else uses the shard.
  virtual void unreachable(const protocol::notice& why) = 0;
  // What the next connections start with is to be found out anew.
  virtual void start_anew() noexcept = 0;

  // Why the shard does not let the user in any more, as a login of its own tells; nullopt: it does, or does not say.
  virtual task<std::optional<protocol::notice>> refuses_login(wakeup&, clock::time_point deadline) = 0;
  // Does it still answer? Asked before it is given out, when it has been idle for long.
  virtual task<bool> answers(server_connection&, const std::string& query, wakeup&, clock::time_point deadline) = 0;
  // Do its sessions still start with what a login would give now? Asked now and then, of one connection.
  virtual bool due_for_look(clock::time_point now) const noexcept = 0;
  virtual task<bool> starts_as_now(server_connection&, wakeup&, clock::time_point deadline) = 0;

  // Idle from now on: word or end of it comes to pool::idle_server_spoke(). False: it came already.
  virtual bool watch(server_connection&) = 0;
  // From idle to a session: nothing has come from it. When it was just used, the reactor would have said so.
  virtual bool quiet(server_connection&, bool just_used) = 0;
  // Given to a session that has not fetched it yet: nobody listens. False: it has ended.
  virtual bool hold(server_connection&) = 0;

 protected:
  ~server_keeper() = default;
};

}  // namespace proxy
