// The texts of what the analysis refuses. One place, so that messages stay alike and say what helps.
#pragma once

#include <string>
#include <string_view>

#include "routing/analysis/key_graph.h"
#include "routing/analysis/plan.h"
#include "routing/map/shard_map.h"

namespace routing {

// RT003
refusal not_one_shard(std::string message, std::string detail, std::string hint);
refusal unproven(const key_graph::use&);
refusal key_change(const table&);
refusal reference_write(const table&);
refusal mixed_with_local(std::string_view sharded, std::string_view local);
refusal dependent_view(std::string_view name);
refusal hidden_call(const hidden_access&);
refusal hidden_write(const hidden_access&);
refusal text_touches(std::string_view command, std::string_view object);
refusal text_unknown(std::string_view function);
refusal sequence_of_table(std::string_view command, std::string_view sequence, std::string_view of);  // table "public.orders"
refusal sequence_unknown();
refusal ambiguous_table(std::string_view name);
refusal run_on_each_shard(std::string_view what, std::string_view subject);  // table "orders"
refusal reaches_all_shards(std::string_view what);
refusal reaches_all_roles(std::string_view what);
refusal name_is_taken(std::string_view name);
refusal result_into_table();
refusal home_only(std::string_view what, std::string_view default_shard);
// 0A000
refusal no_parameter_in_set();
refusal unreadable_encoding(std::string_view name);
refusal hidden_catalog();
refusal hidden_type(std::string_view name);
// 42939
refusal reserved_gid(std::string_view name);  // of a prepared transaction
// 54001
refusal too_complex(std::string_view what);

}  // namespace routing
