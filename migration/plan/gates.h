// What the coordinator asks of proxies. The proxy implements it over its workers (proxy/gate/gate.h); every call completes when all
// workers have done it. Called on the coordinator's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "migration/base/task.h"
#include "migration/plan/lease.h"
#include "routing/map/shard_map.h"

namespace migration {

// What shards know their catalog by.
struct cluster_mark {
  std::string id;     // uuid
  std::string place;  // system identifier and OID of the catalog's database; "": not known
};

struct moving_set {
  std::uint64_t id = 0;  // the migration's number
  routing::distribution_id distribution;
  std::vector<routing::placement_range> ranges;
  routing::shard_id source, target;
  bool tables = false;  // no migration's: all placements of a shard, while somebody needs a lock on its tables; row locks are not refused
};

// What gates saw during one closing, for SHOW MIGRATION and the journal.
struct gate_report {
  std::uint64_t held_statements = 0;       // waited at the gate in this attempt
  milliseconds longest_hold{};
  std::vector<int> blocking_clients;       // client ids whose open transactions kept a worker from acknowledging
};

// A transaction of a client that has touched a set.
struct open_transaction {
  int client = 0;      // its id in SHOW CLIENTS
  int server_pid = 0;
  std::string user, application;
  milliseconds age{};  // since its first touch, as far as the set was known then
};

// Latency that users feel, for the throttle: over the last second.
struct felt_latency {
  std::uint64_t statements = 0;
  std::chrono::microseconds mean{}, worst{};
};

// What a proxy shows to shards when it logs in, and how long it may serve moving sets without news from the catalog.
struct term_pass {
  cluster_mark cluster;
  std::string process;      // "": no term, and shards are not asked who they are
  std::uint64_t epoch = 0;
  std::shared_ptr<const migration::lease> lease;
};

class gates {
 public:
  virtual ~gates() = default;

  // PREPARE: workers remember which transactions touch the set from now on; those already open on the source count as touching it.
  // From then on row locks without writes on the set (FOR UPDATE/SHARE) are refused with RT003.
  virtual task<void> announce(moving_set) = 0;
  // Opens as many connections to the target as there are to the source, on every worker.
  virtual task<void> warm(std::uint64_t set, milliseconds budget) = 0;
  // Step 1. What begins now and touches the set waits; true when no open transaction of any worker has touched it. On false, because
  // `budget` ran out, every gate is open again. `hold_budget` bounds each held statement (I8): after it the client gets 55P03.
  virtual task<bool> close(std::uint64_t set, std::uint32_t attempt, milliseconds budget, milliseconds hold_budget) = 0;
  // What begins now and touches the set waits, each statement no longer than `hold_budget`; nobody is waited for. Until open().
  virtual task<void> hold(std::uint64_t set, milliseconds hold_budget) = 0;
  // Of the open transactions that have touched the set, the oldest.
  virtual task<std::optional<open_transaction>> oldest(std::uint64_t set) = 0;
  // Held statements run again under the map that each worker has.
  virtual task<gate_report> open(std::uint64_t set) = 0;
  // The set is known no more (DONE, FAILED, CANCELLED).
  virtual task<void> forget(std::uint64_t set) = 0;
  // Swaps the map on every worker; when it completes no worker routes by an older one. Restrict first, announce second.
  virtual task<void> publish(std::shared_ptr<const routing::shard_map>) = 0;
  virtual task<felt_latency> latency() = 0;
  // From now on new connections to shards show this.
  virtual task<void> enter(term_pass) = 0;
  // The lease had run out and runs again: what was held for that goes on.
  virtual task<void> lease_renewed() = 0;
};

}  // namespace migration
