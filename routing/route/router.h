// From an analysed statement and its parameter values to one shard of one map. Pure, allocates only to refuse. Called by proxy
// sessions per statement.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include <boost/container/small_vector.hpp>

#include "routing/analysis/plan.h"
#include "routing/map/parameter.h"
#include "routing/map/shard_map.h"

namespace routing {

// A placement that a statement touches: what gates and touch bits are decided on.
struct touch {
  distribution_id distribution;
  placement value;
};

struct decision {
  destination_kind destination = destination_kind::any;
  shard_id shard;                                  // for any and default_shard: the default shard
  boost::container::small_vector<touch, 4> touches;  // empty unless by_key
  std::optional<refusal> refused;                  // destination refused
  boost::container::small_vector<shard_id, 1> scattered;  // refused for being on several shards: on these its rows add up; in order of id
  bool pulls = false;                              // ... or what it reads is copied from these
  bool may_scatter() const noexcept { return scattered.size() > 1 || pulls; }
};

decision route(const statement_plan&, const shard_map&, std::span<const parameter>);

// Of EXECUTE: by what was prepared and the values of its arguments; `given` are those of the statement that it stands in.
decision route(const sql_prepare&, const sql_execute&, const shard_map&, std::span<const parameter> given);

}  // namespace routing
