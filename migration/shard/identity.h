// Which shard a database says it is, and how that is made and asked (sql/identity.sql). SQL as text for the coordinator's connections and
// for the logins of pools, which must not differ in what they accept. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "migration/catalog/catalog.h"
#include "migration/pg/pg.h"
#include "migration/plan/gates.h"

namespace migration {

// In front of questions of a login's own: whatever the role, the database or the client has for a default is meant for what the client asks.
inline constexpr std::string_view no_time_limits = "SET LOCAL statement_timeout TO 0; SET LOCAL lock_timeout TO 0; ";

// What a connection of the coordinator runs first: fails unless the database is that shard, and begins the term there.
std::string enter_sql(const term_pass&, routing::shard_id);
// What a login of a pool runs first, as the client's own role. One simple query. `standby`: nothing can be written there.
std::string admit_sql(const term_pass&, routing::shard_id, bool standby);

// What a database is to be. `taken`: the numbers that the map has given out. Without a number: whichever shard of the cluster, or none yet.
struct shard_claim {
  cluster_mark cluster;
  std::optional<routing::shard_id> shard;
  std::string name;
  std::vector<routing::shard_id> taken;
};
// Makes the database that shard, or refuses and says whose it is.
task<void> claim_shard(pg::connection&, const shard_claim&);
// Refuses a database that is not that shard; nothing is changed.
task<void> check_identity(pg::connection&, const cluster_mark&, routing::shard_id);

}  // namespace migration
