// What a DBA can ask (DESIGN 8), as values: the admin console parses text into these (proxy/console/admin_parser.h) and the coordinator
// executes them. Also the answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "protocol/backend.h"
#include "routing/map/placement_range.h"

namespace migration {

using option_list = std::vector<std::pair<std::string, std::string>>;  // WITH (name = value, ...), names in lower case

struct add_shard { std::string name, dsn; };
struct remove_shard { std::string name; };
struct distribute_table { std::string schema, table, column, distribution; option_list options; };  // distribution "": named after the table
struct reference_table { std::string schema, table; };
struct guard_table { std::string schema, table; bool on = true; };  // the ownership guard of a table, on every shard
struct align_table_sequences { std::string schema, table; std::optional<std::int64_t> above; };  // of a table, on every shard
struct drain_shard { std::string shard; std::vector<std::string> targets; option_list options; };  // no targets: all other active shards
struct move_range { routing::placement_range range; std::string distribution, target; option_list options; };
enum class migration_verb { pause, resume, cancel, cutover, retry };
// RESUME of a migration whose rows differ between source and target.
enum class decision {
  none,           // refused with what it would delete
  accept_target,  // what the target has is right; the source's rows are deleted
  keep_source,    // the source's rows are kept in tables of schema pgrotor on the source before they are deleted
};
struct alter_migration { migration_verb verb{}; std::uint64_t id = 0; decision decided = decision::none; };
enum class shown { shards, ranges, tables, migrations, migration, orphans, sequences, catalog, prepared };
struct show { shown what{}; std::uint64_t id = 0; };

using command =
    std::variant<add_shard, remove_shard, distribute_table, reference_table, guard_table, align_table_sequences, drain_shard, move_range, alter_migration, show>;

struct request {
  migration::command command;
  bool explain = false;  // the plan as rows, nothing done
};

enum class column_type : std::uint32_t { text = 25, int8 = 20, float8 = 701, timestamptz = 1184 };  // OIDs
struct column {
  column(const char* name_in) : name(name_in) {}
  column(std::string name_in, column_type type_in) : name(std::move(name_in)), type(type_in) {}
  std::string name;
  column_type type = column_type::text;
};
using column_list = std::vector<column>;

// A table for clients, its values as PostgreSQL would write those of their types. `tag` is the CommandComplete tag.
struct answer {
  column_list columns;
  std::vector<std::vector<std::optional<std::string>>> rows;
  std::string tag;
  std::vector<protocol::notice> warnings{};  // before the table
};

}  // namespace migration
