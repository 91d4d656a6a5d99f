// Answers of the admin console that need nothing but values: SHOW CONFIG, SHOW HELP, SHOW VERSION and EXPLAIN ROUTE. Pure, any thread.
#pragma once

#include <string>

#include "migration/plan/commands.h"
#include "proxy/config/config.h"
#include "routing/map/shard_map.h"

namespace proxy {

inline const migration::column_list config_columns{"key", "value"}, help_columns{"command", "meaning"}, version_columns{"version"},
    route_columns{"statement", "destination", "shard", "keys", "refused", "help"};

migration::answer show_config(const config&);  // passwords are left out
migration::answer show_help();
migration::answer show_version();
// One row a statement of the text: kind, destination, shard, placements of its keys, or the refusal.
migration::answer explain_route_of(const std::string& sql, const routing::shard_map&);

}  // namespace proxy
