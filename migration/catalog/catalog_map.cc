#include "migration/catalog/catalog_map.h"

#include <algorithm>
#include <stdexcept>
#include <tuple>


namespace migration {
namespace {

using routing::shard_map;

shard_map::parts in_canonical_order(shard_map::parts parts) {
  const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
  std::ranges::sort(parts.shards, by_id);
  std::ranges::sort(parts.distributions, by_id);
  std::ranges::sort(parts.tables, [](const auto& a, const auto& b) { return std::tie(a.schema, a.name) < std::tie(b.schema, b.name); });
  std::ranges::sort(parts.dependent_views);
  std::ranges::sort(parts.hidden);
  for (auto& distribution : parts.distributions) {
    std::ranges::sort(distribution.ranges, [](const auto& a, const auto& b) { return a.range.lower < b.range.lower; });
  }
  return parts;
}

std::string shard_json(const routing::shard& shard) {
  return json_object().number("id", shard.id.value).text("name", shard.name).text("dsn", shard.dsn).text("state", to_string(shard.state)).take();
}

std::string distribution_json(const routing::distribution& distribution) {
  return json_object().number("id", distribution.id.value).text("name", distribution.name).text("key_type", to_string(distribution.type)).take();
}

std::string ranges_json(const std::vector<routing::distribution>& distributions) {
  std::string all;
  for (const auto& distribution : distributions) {
    for (const auto& [range, owner] : distribution.ranges) {
      json_object row;
      add_range(row.number("distribution", distribution.id.value), range);
      row.number("owner", owner.value);
      all += (all.empty() ? "" : ",") + row.take();
    }
  }
  return "[" + all + "]";
}

std::string table_json(const routing::table& table) {
  json_object row;
  row.text("schema_name", table.schema).text("table_name", table.name);
  row.raw("distribution", table.distribution ? fmt::format("{}", table.distribution->value) : "null");
  row.raw("key_column", table.distribution ? json_string(table.key_column) : "null").number("key_type_oid", table.key_type_oid);
  return row.raw("columns", json_array(table.columns, json_string)).take();
}

std::string_view how_text(routing::hidden_access::by how) {
  using by = routing::hidden_access::by;
  return how == by::call ? "call" : how == by::write ? "write" : "part";
}

routing::hidden_access::by how_of(std::string_view text) {
  using by = routing::hidden_access::by;
  for (const auto how : {by::call, by::write, by::part}) {
    if (how_text(how) == text) return how;
  }
  throw std::runtime_error(fmt::format("the catalog holds the kind of hidden access '{}', which this version does not know", text));
}

std::string hidden_json(const routing::hidden_access& hidden) {
  json_object row;
  row.text("how", how_text(hidden.how)).text("schema_name", hidden.schema).text("object_name", hidden.name);
  return row.raw("sharded", hidden.sharded ? "true" : "false").text("what", hidden.what).take();
}

routing::shard_id to_shard_id(std::int64_t value) { return routing::shard_id{static_cast<std::uint32_t>(value)}; }
routing::distribution_id to_distribution_id(std::int64_t value) { return routing::distribution_id{static_cast<std::uint32_t>(value)}; }

[[noreturn]] void unreadable(std::string_view what, std::string_view value) {
  throw std::runtime_error(fmt::format("the catalog holds the {} '{}', which this version does not know", what, value));
}

routing::shard_state shard_state_of(std::string_view text) {
  using routing::shard_state;
  for (const auto state : {shard_state::active, shard_state::draining, shard_state::drained}) {
    if (to_string(state) == text) return state;
  }
  unreadable("shard state", text);
}

routing::key_type key_type_of(std::string_view text) {
  using routing::key_type;
  for (const auto type : {key_type::int8, key_type::text, key_type::bpchar, key_type::uuid}) {
    if (to_string(type) == text) return type;
  }
  unreadable("key type", text);
}

task<void> read_shards(pg::connection& connection, shard_map::parts& parts) {
  const auto rows = co_await connection.query("SELECT id, name, dsn, state FROM pgrotor.shards ORDER BY id");
  for (int row = 0; row < rows.rows(); ++row) {
    parts.shards.push_back({to_shard_id(rows.integer(row, 0)), rows.str(row, 1), rows.str(row, 2), shard_state_of(rows.get(row, 3))});
  }
}

task<void> read_distributions(pg::connection& connection, shard_map::parts& parts) {
  const auto rows = co_await connection.query("SELECT id, name, key_type FROM pgrotor.distributions ORDER BY id");
  for (int row = 0; row < rows.rows(); ++row) {
    parts.distributions.push_back({to_distribution_id(rows.integer(row, 0)), rows.str(row, 1), key_type_of(rows.get(row, 2)), {}});
  }
  const auto ranges = co_await connection.query(fmt::format(
      "SELECT distribution, lower, upper, owner FROM pgrotor.ranges WHERE generation = {} ORDER BY distribution, lower", parts.number.value));
  for (int row = 0; row < ranges.rows(); ++row) {
    const auto id = to_distribution_id(ranges.integer(row, 0));
    const auto found = std::ranges::find(parts.distributions, id, &routing::distribution::id);
    if (found == parts.distributions.end()) unreadable("distribution", ranges.get(row, 0));
    found->ranges.push_back({read_range(ranges, row, 1), to_shard_id(ranges.integer(row, 3))});
  }
}

task<void> read_tables(pg::connection& connection, shard_map::parts& parts) {
  const auto rows = co_await connection.query(
      "SELECT t.schema_name, t.table_name, t.distribution, t.key_column, t.key_type_oid, c.name"
      " FROM pgrotor.tables t LEFT JOIN LATERAL unnest(t.columns) WITH ORDINALITY c(name, place) ON true"
      " ORDER BY t.schema_name COLLATE \"C\", t.table_name COLLATE \"C\", c.place");
  for (int row = 0; row < rows.rows(); ++row) {
    auto& tables = parts.tables;
    if (tables.empty() || tables.back().schema != rows.get(row, 0) || tables.back().name != rows.get(row, 1)) {
      routing::table table;
      table.schema = rows.str(row, 0);
      table.name = rows.str(row, 1);
      if (!rows.is_null(row, 2)) table.distribution = to_distribution_id(rows.integer(row, 2));
      table.key_column = rows.str(row, 3);
      table.key_type_oid = static_cast<std::uint32_t>(rows.integer(row, 4));
      tables.push_back(std::move(table));
    }
    if (!rows.is_null(row, 5)) tables.back().columns.push_back(rows.str(row, 5));
  }
  const auto views = co_await connection.query("SELECT name FROM pgrotor.dependent_views ORDER BY name COLLATE \"C\"");
  for (int row = 0; row < views.rows(); ++row) parts.dependent_views.push_back(views.str(row, 0));
  const auto hidden = co_await connection.query("SELECT how, schema_name, object_name, sharded, what FROM pgrotor.hidden_access");
  for (int row = 0; row < hidden.rows(); ++row) {
    parts.hidden.push_back({how_of(hidden.get(row, 0)), hidden.str(row, 1), hidden.str(row, 2), hidden.boolean(row, 3), hidden.str(row, 4)});
  }
  std::ranges::sort(parts.hidden);
}

}  // namespace

void add_range(json_object& out, const routing::placement_range& range) {
  const auto [lower, upper] = routing::hashes_of_range(range);
  out.number("lower", lower).optional_number("upper", upper);
}

routing::placement_range read_range(const pg::result& rows, int row, int lower_column) {
  routing::hash_bounds bounds{rows.integer(row, lower_column), std::nullopt};
  if (!rows.is_null(row, lower_column + 1)) bounds.upper = rows.integer(row, lower_column + 1);
  return routing::range_of_hashes(bounds);
}

std::string map_json(const shard_map::parts& unordered) {
  const auto parts = in_canonical_order(unordered);
  json_object map;
  map.number("generation", parts.number.value).number("schema_version", parts.schema_version.value);
  map.number("default_shard", parts.default_shard.value).raw("shards", json_array(parts.shards, shard_json));
  map.raw("distributions", json_array(parts.distributions, distribution_json)).raw("ranges", ranges_json(parts.distributions));
  map.raw("tables", json_array(parts.tables, table_json)).raw("dependent_views", json_array(parts.dependent_views, json_string));
  if (!parts.hidden.empty()) map.raw("hidden", json_array(parts.hidden, hidden_json));  // maps of version 0.1.0 have none, and their checksums must hold
  return map.take();
}

std::string map_checksum(const std::string& json) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : json) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return fmt::format("{:016x}", hash);
}

task<shard_map::parts> read_map(pg::connection& connection) {
  shard_map::parts parts;
  co_await connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  const auto newest = co_await connection.query(
      "SELECT generation, schema_version, default_shard, checksum FROM pgrotor.maps ORDER BY generation DESC LIMIT 1");
  if (newest.rows() > 0) {
    parts.number.value = static_cast<std::uint64_t>(newest.integer(0, 0));
    parts.schema_version.value = static_cast<std::uint64_t>(newest.integer(0, 1));
    parts.default_shard = to_shard_id(newest.integer(0, 2));
    co_await read_shards(connection, parts);
    co_await read_distributions(connection, parts);
    co_await read_tables(connection, parts);
  }
  co_await connection.query("COMMIT");
  if (newest.rows() > 0 && map_checksum(map_json(parts)) != newest.get(0, 3)) {
    throw std::runtime_error(fmt::format("{}: the checksum of map {} is wrong; rows of schema pgrotor were changed by hand", connection.where(),
                                         parts.number.value));
  }
  co_return parts;
}

}  // namespace migration
