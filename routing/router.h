// From an analysed statement and its parameter values to one shard of one map. Pure, allocates only to refuse. Called by proxy
// sessions per statement.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <boost/container/small_vector.hpp>

#include "routing/plan.h"
#include "routing/shard_map.h"

namespace routing {

struct parameter {
  std::optional<std::string_view> value;  // nullopt: SQL NULL
  std::int16_t format = 0;                // 0 text, 1 binary
  std::uint32_t type = 0;                 // OID the client declared, 0 = unspecified
};
inline constexpr std::uint32_t unspecified_oid = 0;  // of a parameter whose type the client leaves to the server
using parameters = boost::container::small_vector<parameter, 16>;

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
};

decision route(const statement_plan&, const shard_map&, std::span<const parameter>);

// Of EXECUTE: by what was prepared and the values of its arguments; `given` are those of the statement that it stands in.
decision route(const sql_prepare&, const sql_execute&, const shard_map&, std::span<const parameter> given);

}  // namespace routing
