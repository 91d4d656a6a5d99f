// What the server's catalogs say about a table: the part of prepare.h that only reads.
#include <algorithm>

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/shard/prepare.h"
#include "migration/shard/sql_text.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;

struct found_relation {
  std::string oid, kind, display;  // display: quoted only where the server would
};

task<found_relation> find_relation(pg::connection& connection, const std::string& schema, const std::string& name) {
  const auto rows = co_await connection.query(
      "SELECT c.oid, c.relkind, c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = " +
      pg::quote_literal(schema) + " AND c.relname = " + pg::quote_literal(name));
  if (rows.rows() == 0) {
    refuse(sqlstate::undefined_object, fmt::format("{}: table {}.{} does not exist", connection.where(), schema, name),
           "A table is distributed by the definition that the shard with its rows has.", "Create the table there first.");
  }
  found_relation out{rows.str(0, 0), rows.str(0, 1), rows.str(0, 2)};
  if (out.kind != "r" && out.kind != "p") {
    refuse(sqlstate::feature_not_supported, fmt::format("{}: {} is not a table", connection.where(), out.display),
           "Only ordinary and partitioned tables can be distributed; views, foreign tables and sequences cannot.");
  }
  co_return out;
}

task<void> read_columns(pg::connection& connection, const found_relation& relation, const std::string& key, moving_table& table) {
  const auto rows = co_await connection.query(
      "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid, coalesce(l.collname, ''), a.attgenerated <> ''"
      " FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation"
      " WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = " + relation.oid + " ORDER BY a.attnum");
  bool found = false;
  for (int row = 0; row < rows.rows(); ++row) {
    const bool is_key = rows.get(row, 0) == key;
    if (is_key && rows.boolean(row, 4)) {
      refuse(sqlstate::feature_not_supported, fmt::format("table {}: shard key {} is a generated column", relation.display, key),
             "Its value is not known before the row is written, so neither proxy nor guard can place the row.",
             "Distribute by a column that clients write.");
    }
    if (rows.boolean(row, 4)) {
      table.generated.push_back(rows.str(row, 0));
      continue;
    }
    if (is_key) {
      table.shard_key = table.columns.size();
      found = true;
    }
    moving_column column;
    column.name = rows.str(row, 0);
    column.type_name = rows.str(row, 1);
    column.type_oid = static_cast<std::uint32_t>(rows.integer(row, 2));
    column.collation = rows.str(row, 3);
    table.columns.push_back(std::move(column));
  }
  if (!found) {
    refuse(sqlstate::undefined_object, fmt::format("table {} has no column {}", relation.display, key), "It is named as the shard key.",
           fmt::format("Look at the columns with \\d {}.", relation.display));
  }
}

// How to get a primary key: from a unique index over columns that cannot be null, if there is one with the shard key.
task<std::string> primary_key_remedy(pg::connection& connection, const found_relation& relation, const std::string& key) {
  const auto rows = co_await connection.query(
      "SELECT quote_ident(c.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = " + relation.oid +
      " AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (SELECT FROM pg_attribute a"
      " WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull) AND EXISTS (SELECT FROM pg_attribute a"
      " WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) AND a.attname = " + pg::quote_literal(key) + ") ORDER BY c.relname LIMIT 1");
  if (rows.rows() > 0) co_return fmt::format("Run: ALTER TABLE {} ADD PRIMARY KEY USING INDEX {};", relation.display, rows.get(0, 0));
  const auto others = co_await connection.query(
      "SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = " + relation.oid +
      " AND (a.attidentity <> '' OR pg_get_serial_sequence(a.attrelid::regclass::text, a.attname) IS NOT NULL OR a.attname = 'id')"
      " AND a.attnum > 0 AND a.attname <> " + pg::quote_literal(key));
  if (!others.is_null(0, 0)) co_return fmt::format("Run: ALTER TABLE {} ADD PRIMARY KEY ({}, {});", relation.display, key, others.get(0, 0));
  co_return fmt::format("Run: ALTER TABLE {} ADD PRIMARY KEY ({}, ...); with the columns that make a row unique for one {}.", relation.display,
                        key, key);
}

task<void> read_primary_key(pg::connection& connection, const found_relation& relation, const std::string& key, moving_table& table) {
  const auto rows = co_await connection.query(
      "SELECT a.attname, quote_ident(c.relname), quote_ident(a.attname)"
      " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)"
      " JOIN pg_attribute a ON a.attnum = k.attnum WHERE a.attrelid = i.indrelid AND i.indisprimary AND k.place <= i.indnkeyatts"
      " AND i.indrelid = " + relation.oid + " ORDER BY k.place");
  if (rows.rows() == 0) {
    auto remedy = co_await primary_key_remedy(connection, relation, key);
    refuse(sqlstate::wrong_state, fmt::format("table {} has no primary key", relation.display),
           "Changes during a move are applied by primary key, and it must contain the shard key " + key + ".", std::move(remedy));
  }
  std::string names;
  bool has_key = false;
  for (int row = 0; row < rows.rows(); ++row) {
    const auto name = rows.str(row, 0);
    const auto at = std::ranges::find(table.columns, name, &moving_column::name);
    if (at == table.columns.end()) {
      refuse(sqlstate::feature_not_supported, fmt::format("table {}: column {} of the primary key is generated", relation.display, name),
             "Generated columns are not copied, so a row could not be found by its key.");
    }
    table.primary_key.push_back(static_cast<std::size_t>(at - table.columns.begin()));
    has_key = has_key || name == key;
    names += ", " + rows.str(row, 2);
  }
  if (!has_key) {
    refuse(sqlstate::wrong_state, fmt::format("table {}: the primary key does not contain the shard key {}", relation.display, key),
           "Two shards could hold rows with one primary key, and a change in the stream would not tell where its row belongs.",
           fmt::format("Run: ALTER TABLE {} DROP CONSTRAINT {}, ADD PRIMARY KEY ({}{});", relation.display, rows.get(0, 1), key, names));
  }
}

}  // namespace

task<moving_table> describe_table(pg::connection& connection, std::string schema, std::string name, std::string key_column) {
  const auto relation = co_await find_relation(connection, schema, name);
  moving_table table;
  table.schema = std::move(schema);
  table.name = std::move(name);
  co_await read_columns(connection, relation, key_column, table);
  co_await read_primary_key(connection, relation, key_column, table);
  // Never analysed: a row is taken for 100 bytes.
  const auto rows = co_await connection.query(
      "SELECT coalesce(sum(CASE WHEN c.reltuples >= 0 THEN c.reltuples ELSE pg_relation_size(c.oid) / 100.0 END), 0)::bigint FROM pg_class c"
      " WHERE c.relkind = 'r' AND c.oid IN (SELECT " + relation.oid + " UNION SELECT relid FROM pg_partition_tree(" + relation.oid + "))");
  table.estimated_rows = static_cast<std::uint64_t>(rows.integer(0, 0));
  co_return table;
}

task<std::string> fingerprint(pg::connection& connection, const std::vector<moving_table>& tables) {
  const auto found = co_await connection.query("SELECT pgrotor.fingerprint(" + relation_array(tables) + ")");
  co_return found.str(0, 0);
}

task<std::string> recorded_fingerprint(pg::connection& source, std::uint64_t migration) {
  const auto found = co_await source.query("SELECT coalesce(obj_description(to_regproc(" + pg::quote_literal(object_names(migration).guard_function) +
                                           "), 'pg_proc'), '')");
  co_return found.str(0, 0);
}

}  // namespace migration
