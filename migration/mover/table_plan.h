// What the mover knows of one table beside its description: how its primary key is sliced, and the statements of reading, loading
// and applying it. Every name is quoted and schema-qualified. Values, any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "migration/mover/key_order.h"
#include "migration/pg/pg.h"
#include "migration/plan/moving_table.h"
#include "routing/map/shard_map.h"

namespace migration {

// A bound of a slice: the values of the slicing columns as text, for SQL, and the same as an ordered key.
struct key_bound {
  std::vector<std::string> text;
  std::string key;
};
inline const key_bound* pointer(const std::optional<key_bound>& bound) { return bound ? &*bound : nullptr; }

class table_plan {
 public:
  table_plan(moving_table, routing::key_type, const std::vector<routing::placement_range>&, bool database_default_is_byte_ordered);

  const moving_table& table() const noexcept { return table_; }
  const std::string& name() const noexcept { return name_; }  // "schema"."name"
  const std::vector<std::size_t>& slicing() const noexcept { return slicing_; }
  bool in_primary_key(std::size_t column) const noexcept { return in_key_[column]; }

  // Set by the applier from the target's catalog: columns GENERATED ALWAYS AS IDENTITY, and whether another unique index than the
  // primary key exists: then rows of different chunks can stand in each other's way.
  std::vector<bool> always_identity;
  bool other_unique = false;

  // Source. The bound `rows` rows after `lower` and not after `limit`: text and hex of each slicing column; no row: none.
  std::string bound_sql(const key_bound* lower, const key_bound* limit, std::uint64_t rows) const;
  std::string copy_out_sql(const key_bound* lower, const key_bound* upper) const;
  // The bound in one row of such a result, `first` being the first of its columns.
  key_bound read_bound(const pg::result&, int row, int first) const;

  // Target.
  std::string copy_in_sql() const;
  std::string insert_sql() const;  // parameters: every column
  std::string delete_sql() const;  // parameters: the primary key
  // Parameters: the columns to set, then the primary key as it was, then the identity columns that must not have changed.
  std::string update_sql(const std::vector<std::size_t>& set, const std::vector<std::size_t>& unchanged) const;

 private:
  std::string slice_sql(const key_bound* lower, const key_bound* upper) const;
  std::string slicing_list() const;
  std::string literals(const key_bound&) const;
  std::string key_condition(std::size_t first_parameter) const;

  moving_table table_;
  std::string name_, columns_, filter_;
  std::vector<std::size_t> slicing_;
  std::vector<bool> in_key_;
};

}  // namespace migration
