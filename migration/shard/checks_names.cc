// Names that placement rests on: `=` of the key types is PostgreSQL's own, and no role or database puts a schema in front of pg_catalog.
#include <fmt/format.h>

#include "migration/shard/checks.h"
#include "protocol/sqlstate.h"
#include "routing/analysis/fixed_settings.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;

// Those that PostgreSQL may prefer to its own for a shard key and a literal or parameter: of types that keys have, and of any type.
constexpr std::string_view operators = R"sql(
  SELECT format('%I.=(%s, %s)', n.nspname, format_type(o.oprleft, NULL), format_type(o.oprright, NULL)),
         format('DROP OPERATOR %I.= (%s, %s);', n.nspname, format_type(o.oprleft, NULL), format_type(o.oprright, NULL))
    FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace,
         (SELECT ARRAY['int2', 'int4', 'int8', 'text', 'varchar', 'bpchar', 'uuid', 'anyelement', 'anynonarray', 'anycompatible',
                       'anycompatiblenonarray', '"any"']::regtype[]::oid[] AS list) types
    WHERE o.oprname = '=' AND n.nspname <> 'pg_catalog' AND o.oprleft = ANY (types.list) AND o.oprright = ANY (types.list)
    ORDER BY 1
)sql";

constexpr std::string_view search_paths = R"sql(
  SELECT concat_ws(' in ', 'role ' || r.rolname, 'database ' || d.datname), substr(c.setting, length('search_path=') + 1),
         format('ALTER %s RESET search_path;', CASE WHEN r.oid IS NULL THEN format('DATABASE %I', d.datname)
                                                    WHEN d.oid IS NULL THEN format('ROLE %I', r.rolname)
                                                    ELSE format('ROLE %I IN DATABASE %I', r.rolname, d.datname) END)
    FROM pg_catalog.pg_db_role_setting s CROSS JOIN unnest(s.setconfig) c(setting)
         LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
    WHERE c.setting LIKE 'search\_path=%' AND (s.setdatabase = 0 OR d.datname = current_database())
    ORDER BY 1
)sql";

// Values that such an index takes for one key may have different hashes, and ON CONFLICT goes by it.
constexpr std::string_view indexes = R"sql(
  SELECT i.indexrelid::regclass::text, c.collname
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid,
         unnest(i.indkey::int2[], i.indcollation::oid[]) k(attnum, coll) JOIN pg_catalog.pg_collation c ON c.oid = k.coll
    WHERE i.indisunique AND k.attnum = a.attnum AND NOT c.collisdeterministic AND i.indrelid = {}::regclass AND a.attname = {}
    ORDER BY 1
)sql";

}  // namespace

task<void> check_key_indexes(pg::connection& connection, const moving_table& table, problems& found) {
  const auto name = pg::quote_literal(pg::quote_ident(table.schema, table.name));
  const auto sql = fmt::format(indexes, name, pg::quote_literal(table.columns[table.shard_key].name));
  const auto rows = co_await connection.query(sql);
  for (int row = 0; row < rows.rows(); ++row) {
    found.add(sqlstate::feature_not_supported,
              fmt::format("unique index {} has the nondeterministic collation {} for the shard key", rows.get(row, 0), rows.get(row, 1)),
              "It takes different keys for one, which may belong to different shards.", "Make it with a deterministic collation.");
  }
}

task<void> check_names(pg::connection& connection, problems& found) {
  const auto own = co_await connection.query(std::string(operators));
  for (int row = 0; row < own.rows(); ++row) {
    found.add(sqlstate::feature_not_supported, fmt::format("{}: there is an operator {}", connection.where(), own.get(row, 0)),
              "PostgreSQL may compare shard keys by it instead of by its own equality, which the placement hash follows.",
              "Give it another name, or run: " + own.str(row, 1));
  }
  const auto paths = co_await connection.query(std::string(search_paths));
  for (int row = 0; row < paths.rows(); ++row) {
    const auto why = routing::misleading_value("search_path", paths.get(row, 1));
    if (!why) continue;
    found.add(why->sqlstate, fmt::format("{}: {} has search_path {}", connection.where(), paths.get(row, 0), paths.get(row, 1)), why->detail,
              why->hint + " Or run: " + paths.str(row, 2));
  }
}

}  // namespace migration
