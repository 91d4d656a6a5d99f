// A table as a migration knows it: read from the source's catalogs (describe.cc) by PREPARE and DISTRIBUTE, and by a later coordinator
// again. Values, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace migration {

struct moving_column {
  std::string name, type_name;  // type_name as format_type() says, for casts
  std::uint32_t type_oid = 0;
  std::string collation;        // "" when the type has none; "C", "POSIX", "default", ...
};
struct moving_table {
  std::string schema, name;
  std::vector<moving_column> columns;   // without generated ones, in table order
  std::vector<std::string> generated;   // names of those
  std::vector<std::size_t> primary_key; // indexes into columns, in key order; contains the shard key
  std::size_t shard_key = 0;            // index into columns
  std::uint64_t estimated_rows = 0;     // of the whole table on the source
};

}  // namespace migration
