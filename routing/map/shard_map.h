// The routing map: shards, distributions with their ranges, sharded and reference tables, under one generation. Immutable once
// built; workers hold a shared_ptr<const shard_map> of their own and read it once per transaction. Built from the catalog by
// migration/catalog/catalog.h; N is replaced by N+1, never edited.
#pragma once

#include <compare>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "routing/map/placement_range.h"
#include "routing/map/types.h"

namespace routing {

// Which of PostgreSQL's hash functions makes the placement value. int2, int4 and int8 agree and are all `int8`.
enum class key_type { int8, text, bpchar, uuid };
std::string_view to_string(key_type) noexcept;
std::optional<key_type> key_type_of_oid(std::uint32_t type_oid) noexcept;  // 21, 23, 20; 25, 1043; 1042; 2950

// What of a key is its placement, and so what the ranges of a distribution are ranges of.
enum class distribution_method {
  hash,   // PostgreSQL's hash of it
  range,  // the key itself; refused in this version, as is
  list,   // the key itself, each range holding one
};
std::string_view to_string(distribution_method) noexcept;

enum class shard_state {
  active,    // may own placements
  draining,  // a job is moving everything away; gets nothing new
  drained,   // owns nothing; may be removed
};
std::string_view to_string(shard_state) noexcept;

struct shard {
  shard_id id;
  std::string name, dsn;  // dsn: libpq keyword/value string without user; clients' own users log in
  shard_state state = shard_state::active;
};
struct owned_range {
  placement_range range;
  shard_id owner;
};
struct distribution {
  distribution_id id;
  std::string name;
  key_type type = key_type::int8;
  std::vector<owned_range> ranges;  // ascending, without gap or overlap, covering every placement
  distribution_method method = distribution_method::hash;
  shard_id owner_of(const placement&) const noexcept;
};
struct table {
  std::string schema, name;
  std::optional<distribution_id> distribution;  // none: a reference table
  std::string key_column;                       // of a sharded table
  std::uint32_t key_type_oid = 0;
  std::vector<std::string> columns;             // in the table's order: INSERT without a column list needs it
};

// What touches, or belongs to, tables that a statement with it does not name, as the catalogs of the shards tell (migration/shard/hidden_access.h).
struct hidden_access {
  enum class by {
    call,   // of this function, procedure or aggregate, any of that name
    write,  // to this table: a trigger, rule, default or check does it
    part,   // of a table of the map: an index, sequence, type or function that a command may name alone
  };
  by how = by::call;
  std::string schema, name;
  bool sharded = false;  // sharded tables are read or written, or a reference table written; else what the default shard alone has
  std::string what;      // for the client: table "public.orders"
  friend auto operator<=>(const hidden_access&, const hidden_access&) = default;
};

class shard_map {
 public:
  struct parts {
    generation number;
    generation schema_version;  // the generation in which tables or distributions last changed: analysed plans hold while it does
    shard_id default_shard;     // owner of all that is not sharded
    std::vector<routing::shard> shards;
    std::vector<routing::distribution> distributions;
    std::vector<routing::table> tables;
    std::vector<std::string> dependent_views;  // "schema.name" of views over sharded tables and partitions of them: refused, a shard shows its part
    std::vector<routing::hidden_access> hidden;
  };
  // Checks methods, coverage, order, known owners and key types; throws std::invalid_argument naming the object and what is wrong.
  static std::shared_ptr<const shard_map> make(parts);

  generation number() const noexcept { return parts_.number; }
  generation schema_version() const noexcept { return parts_.schema_version; }
  shard_id default_shard() const noexcept { return parts_.default_shard; }
  std::span<const routing::shard> shards() const noexcept { return parts_.shards; }
  std::span<const routing::distribution> distributions() const noexcept { return parts_.distributions; }
  std::span<const routing::table> tables() const noexcept { return parts_.tables; }
  const routing::shard* find_shard(shard_id) const noexcept;
  const routing::shard* find_shard(std::string_view name) const noexcept;
  const routing::distribution* find_distribution(distribution_id) const noexcept;
  const routing::distribution* find_distribution(std::string_view name) const noexcept;
  // `schema` empty: any schema; `ambiguous` is set when several tables match, and then nullptr comes back.
  const routing::table* find_table(std::string_view schema, std::string_view name, bool& ambiguous) const noexcept;
  bool is_dependent_view(std::string_view schema, std::string_view name) const noexcept;
  // `schema` empty: any. Of several, one that touches sharded tables. nullptr: none.
  const routing::hidden_access* find_hidden(hidden_access::by, std::string_view schema, std::string_view name) const noexcept;
  const parts& all() const noexcept { return parts_; }

  // The parts of generation N+1 in which `ranges` of one distribution belong to `to`; neighbours with one owner are merged.
  parts with_owner(distribution_id, std::span<const placement_range> ranges, shard_id to) const;

 private:
  explicit shard_map(parts);
  parts parts_;
};

}  // namespace routing
