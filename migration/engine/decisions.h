// The verdicts on transactions over several shards, on the shards that decide them (sql/two_phase.sql): asked for as the rules of two-phase
// commit have it, so that an answer is final. Over a connection of its own to each shard, one question at a time. Coordinator's thread.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "migration/engine/engine.h"
#include "migration/engine/kept_connection.h"
#include "migration/plan/branch_gid.h"

namespace migration {

class decisions {
 public:
  using verdict = commit_verdict;

  explicit decisions(engine& e) : engine_(e) {}

  // Decides 'abort' unless there is a verdict, and says which one stands there. Who is just deciding is waited for, some 100 ms at most:
  // `unknown`. `owner`: of the prepared transactions. Throws refused or sql_error where the shard cannot be asked.
  task<verdict> settle(std::string uuid, std::string owner, routing::shard_id decider, clock::time_point deadline);
  // Closes the connections to shards that are not in the map any more, or to all.
  void close(const routing::shard_map* but_to);

 private:
  struct asked_shard {
    async_mutex turn;
    kept_connection connection;
  };
  task<std::unique_ptr<pg::connection>> connect(routing::shard_id, milliseconds timeout);
  static task<verdict> question(pg::connection&, std::string uuid, std::string owner, milliseconds timeout);

  engine& engine_;
  std::map<routing::shard_id, asked_shard> shards_;
};

}  // namespace migration
