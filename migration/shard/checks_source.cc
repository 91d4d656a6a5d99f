// What a table must be like, and what its source must be like before it moves (checks.h).
#include <fmt/format.h>

#include "migration/shard/checks.h"
#include "migration/shard/sql_text.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;

struct subject {
  pg::connection& source;
  const moving_table& table;
  const std::vector<moving_table>& all;
  problems& found;
  std::string relation;  // as a regclass literal
  std::string display;   // quoted only where the server would
};

// Runs a query about the table; `each` adds a problem for each row.
template <typename Each>
task<void> for_rows(subject& s, std::string sql, Each each) {
  const auto rows = co_await s.source.query(std::move(sql));
  for (int row = 0; row < rows.rows(); ++row) each(rows, row);
}

task<void> check_owner(subject& s) {
  const auto row = co_await s.source.query("SELECT quote_ident(pg_get_userbyid(c.relowner)), pg_has_role(c.relowner, 'USAGE'), quote_ident(session_user)"
                                           " FROM pg_class c WHERE c.oid = " + s.relation);
  if (row.boolean(0, 1)) co_return;
  s.found.add(sqlstate::insufficient_privilege, fmt::format("{}: role {} may not act for the owner of table {}", s.source.where(), row.get(0, 2), s.display),
              fmt::format("Guard and publication of a table need the rights of its owner, {}.", row.get(0, 0)),
              fmt::format("Run: GRANT {} TO {};", row.get(0, 0), row.get(0, 2)));
}

task<void> check_form(subject& s) {
  const auto row = co_await s.source.query(
      "SELECT c.relpersistence, c.relispartition, c.relforcerowsecurity, EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid) AND NOT"
      " c.relispartition, EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid) AND c.relkind = 'r', EXISTS (SELECT FROM pg_rewrite w"
      " WHERE w.ev_class = c.oid), (SELECT a.attnotnull FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = " +
      pg::quote_literal(s.table.columns[s.table.shard_key].name) +
      "), (SELECT string_agg(format('ALTER TABLE %s NO INHERIT %s;', c.oid::regclass, h.inhparent::regclass), ' ' ORDER BY h.inhseqno) FROM pg_inherits h"
      " WHERE h.inhrelid = c.oid), (SELECT string_agg(format('ALTER TABLE %s NO INHERIT %s;', h.inhrelid::regclass, c.oid::regclass), ' ' ORDER BY"
      " h.inhrelid::regclass::text) FROM pg_inherits h WHERE h.inhparent = c.oid), (SELECT string_agg(format('DROP RULE %I ON %s;', w.rulename,"
      " c.oid::regclass), ' ' ORDER BY w.rulename) FROM pg_rewrite w WHERE w.ev_class = c.oid) FROM pg_class c WHERE c.oid = " + s.relation);
  const auto refused_form = [&](std::string what, std::string why, std::string remedy) {
    s.found.add(sqlstate::feature_not_supported, fmt::format("table {} {}", s.display, what), std::move(why), std::move(remedy));
  };
  if (row.get(0, 0) != "p") {
    refused_form("is UNLOGGED", "Its changes are not in the WAL, so they cannot be followed.", fmt::format("Run: ALTER TABLE {} SET LOGGED;", s.display));
  }
  if (row.boolean(0, 1)) refused_form("is a partition", "A partitioned table moves as a whole.", "Distribute its root.");
  if (row.boolean(0, 2)) {
    refused_form("forces row level security", "Rows hidden from the owner would not be copied.",
                 fmt::format("Run: ALTER TABLE {} NO FORCE ROW LEVEL SECURITY;", s.display));
  }
  if (row.boolean(0, 3)) refused_form("has INHERITS parents", "A write through the parent would pass the guard by.", fmt::format("Run: {}", row.get(0, 7)));
  if (row.boolean(0, 4)) refused_form("has INHERITS children", "Rows of the children are not guarded.", fmt::format("Make it a partitioned table, or run: {}", row.get(0, 8)));
  if (row.boolean(0, 5)) refused_form("has rewrite rules", "A rule turns a statement into another one that the guard does not see.", fmt::format("Use triggers instead, and run: {}", row.get(0, 9)));
  if (!row.boolean(0, 6)) {
    const auto key = s.table.columns[s.table.shard_key].name;
    refused_form(fmt::format("has a shard key that may be null ({})", key), "A row without a key has no placement.",
                 fmt::format("Run: ALTER TABLE {} ALTER COLUMN {} SET NOT NULL;", s.display, quoted_key(s.table)));
  }
}

task<void> check_identity(subject& s) {
  // DEFAULT is the primary key, which contains the shard key; an index of its own must cover the primary key.
  return for_rows(
      s,
      "SELECT c.oid::regclass::text, c.relreplident FROM pg_class c WHERE c.relkind = 'r' AND c.oid IN (SELECT pgrotor.with_partitions(ARRAY[" +
          s.relation +
          "])) AND (c.relreplident = 'n' OR c.relreplident = 'i' AND EXISTS (SELECT FROM pg_index p, unnest(p.indkey::int2[]) k WHERE p.indrelid ="
          " c.oid AND p.indisprimary AND k <> ALL (SELECT unnest(r.indkey::int2[]) FROM pg_index r WHERE r.indrelid = c.oid AND r.indisreplident)))"
          " ORDER BY 1",
      [&s](const pg::result& rows, int row) {
        const auto identity = rows.get(row, 1) == "n" ? "REPLICA IDENTITY is NOTHING" : "REPLICA IDENTITY is an index without all of the primary key";
        s.found.add(sqlstate::wrong_state, fmt::format("table {}: its replica identity does not tell which row was changed", rows.get(row, 0)),
                    fmt::format("{}; updates and deletes must carry primary key and shard key.", identity),
                    fmt::format("Run: ALTER TABLE {} REPLICA IDENTITY DEFAULT;", rows.get(row, 0)));
      });
}

// The stream announces the root's identity, while each row carries its partition's: a column that is only said to be there would be NULL.
task<void> check_partitions_identity(subject& s) {
  return for_rows(
      s,
      "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_class r ON r.oid = " + s.relation +
          " WHERE r.relreplident = 'f' AND c.relkind = 'r' AND c.relreplident <> 'f' AND c.oid IN (SELECT pgrotor.with_partitions(ARRAY[" + s.relation +
          "])) ORDER BY 1",
      [&s](const pg::result& rows, int row) {
        s.found.add(sqlstate::wrong_state, fmt::format("partition {}: its replica identity is not FULL, as that of {} is", rows.get(row, 0), s.display),
                    "Rows come with the identity of the partition, and would be read by that of the root.",
                    fmt::format("Run: ALTER TABLE {} REPLICA IDENTITY FULL;", rows.get(row, 0)));
      });
}

// In a publication PostgreSQL 18 refuses to update and delete such rows, and virtual columns cannot be published.
task<void> check_virtual_columns(subject& s) {
  return for_rows(
      s,
      "SELECT c.oid::regclass::text, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
      " WHERE c.relreplident = 'f' AND a.attgenerated = 'v' AND NOT a.attisdropped AND c.oid IN (SELECT pgrotor.with_partitions(ARRAY[" + s.relation +
          "])) GROUP BY c.oid ORDER BY 1",
      [&s](const pg::result& rows, int row) {
        s.found.add(sqlstate::wrong_state, fmt::format("table {}: REPLICA IDENTITY FULL with virtual generated columns ({})", rows.get(row, 0), rows.get(row, 1)),
                    "While it moves, PostgreSQL would refuse UPDATE and DELETE of its rows.",
                    fmt::format("Run: ALTER TABLE {} REPLICA IDENTITY DEFAULT;", rows.get(row, 0)));
      });
}

task<void> check_unique(subject& s) {
  return for_rows(
      s,
      "SELECT i.indexrelid::regclass::text, coalesce((SELECT format('ALTER TABLE %s DROP CONSTRAINT %I;', u.conrelid::regclass, u.conname) FROM"
      " pg_constraint u WHERE u.conindid = i.indexrelid AND u.contype IN ('u', 'x')), format('DROP INDEX %s;', i.indexrelid::regclass)) FROM pg_index i JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attname = " +
          pg::quote_literal(s.table.columns[s.table.shard_key].name) + " WHERE i.indrelid = " + s.relation +
          " AND (i.indisunique OR i.indisexclusion) AND NOT i.indisprimary AND NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY"
          " p(attnum, place) LEFT JOIN pg_attribute u ON u.attrelid = i.indrelid AND u.attnum = p.attnum"
          " LEFT JOIN pg_constraint x ON x.conindid = i.indexrelid AND x.contype = 'x' LEFT JOIN pg_operator o ON o.oid = x.conexclop[p.place::int]"
          // Columns behind INCLUDE are no part of what is unique, and an exclusion must compare the key with =.
          " WHERE p.place <= i.indnkeyatts AND coalesce(o.oprname, '=') = '=' AND (p.attnum = k.attnum OR u.atttypid = 'uuid'::regtype)) ORDER BY 1",
      [&s](const pg::result& rows, int row) {
        s.found.add(sqlstate::feature_not_supported, fmt::format("table {}: unique index {} does not contain the shard key", s.display, rows.get(row, 0)),
                    fmt::format("Shards cannot see each other's rows, so it would not be unique any more; without {} only a uuid is.",
                                s.table.columns[s.table.shard_key].name),
                    fmt::format("Make it unique together with {}, or drop it: {}", quoted_key(s.table), rows.get(row, 1)));
      });
}

task<void> check_triggers(subject& s) {
  return for_rows(
      s,
      "SELECT t.tgname, t.tgrelid::regclass::text, quote_ident(t.tgname), quote_ident('a' || left(t.tgname, 62)) FROM pg_trigger t WHERE t.tgrelid IN (SELECT pgrotor.with_partitions(ARRAY[" +
          s.relation + "])) AND NOT t.tgisinternal AND t.tgtype & 3 = 3 AND t.tgname > '~~pgrotor' AND t.tgname NOT LIKE '~~pgrotor\\_%' ORDER BY 1, 2",
      [&s](const pg::result& rows, int row) {
        s.found.add(sqlstate::feature_not_supported, fmt::format("table {}: BEFORE trigger {} fires after the guard", rows.get(row, 1), rows.get(row, 0)),
                    "Triggers fire in the order of their names; this one could change the shard key when the guard has already looked.",
                    fmt::format("Run: ALTER TRIGGER {} ON {} RENAME TO {};", rows.get(row, 2), rows.get(row, 1), rows.get(row, 3)));
      });
}

// Rows are copied, applied and cleaned with session_replication_role = replica: a trigger that fires then runs twice for one write, or changes
// what was written. Also those of foreign keys, which ALTER TABLE ... ENABLE ALWAYS TRIGGER can reach.
task<void> check_replica_triggers(subject& s) {
  return for_rows(
      s,
      "SELECT t.tgname, t.tgrelid::regclass::text, CASE t.tgenabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END, quote_ident(t.tgname) FROM pg_trigger t"
      " WHERE t.tgrelid IN (SELECT pgrotor.with_partitions(ARRAY[" + s.relation +
          "])) AND t.tgenabled IN ('A', 'R') AND t.tgname NOT LIKE '~~pgrotor%' ORDER BY 1, 2",
      [&s](const pg::result& rows, int row) {
        s.found.add(sqlstate::feature_not_supported, fmt::format("table {}: trigger {} is ENABLE {}", rows.get(row, 1), rows.get(row, 0), rows.get(row, 2)),
                    "It would fire again for rows that a move copies, applies and deletes: values change, or what it logs is there twice.",
                    fmt::format("Run: ALTER TABLE {} ENABLE TRIGGER {};", rows.get(row, 1), rows.get(row, 3)));
      });
}

task<void> check_valid_foreign_keys(subject& s) {
  return for_rows(
      s, "SELECT quote_ident(k.conname) FROM pg_constraint k WHERE k.contype = 'f' AND NOT k.convalidated AND k.conrelid = " + s.relation + " ORDER BY 1",
      [&s](const pg::result& rows, int row) {
        s.found.add(sqlstate::wrong_state, fmt::format("table {}: foreign key {} is NOT VALID", s.display, rows.get(row, 0)),
                    "Rows are applied without foreign key checks, so what is not valid here would not be there either.",
                    fmt::format("Run: ALTER TABLE {} VALIDATE CONSTRAINT {};", s.display, rows.get(row, 0)));
      });
}

task<void> check_referring(subject& s) {
  return for_rows(
      s,
      "SELECT k.conrelid::regclass::text, quote_ident(k.conname) FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = " +
          s.relation + " AND k.conrelid NOT IN (SELECT pgrotor.with_partitions(" + relation_array(s.all) + ")) ORDER BY 1",
      [&s](const pg::result& rows, int row) {
        s.found.add(sqlstate::feature_not_supported, fmt::format("table {} refers to {}, but does not move with it", rows.get(row, 0), s.display),
                    fmt::format("Foreign key {} would point to rows on another shard.", rows.get(row, 1)),
                    fmt::format("Distribute {} in the same distribution, or run: ALTER TABLE {} DROP CONSTRAINT {};", rows.get(row, 0), rows.get(row, 0),
                                rows.get(row, 1)));
      });
}

task<subject> subject_of(pg::connection& connection, const moving_table& table, const std::vector<moving_table>& all, problems& found) {
  const auto name = co_await connection.query("SELECT " + pg::quote_literal(qualified(table)) + "::regclass::text");
  co_return subject{connection, table, all, found, pg::quote_literal(qualified(table)) + "::pg_catalog.regclass", name.str(0, 0)};
}

task<void> check_as_table(subject& s) {
  co_await check_form(s);
  co_await check_identity(s);
  co_await check_partitions_identity(s);
  co_await check_virtual_columns(s);
  co_await check_unique(s);
  co_await check_triggers(s);
  co_await check_replica_triggers(s);
  co_await check_key_indexes(s.source, s.table, s.found);
}

}  // namespace

task<void> check_table(pg::connection& connection, const moving_table& table, problems& found) {
  const std::vector<moving_table> none;
  auto s = co_await subject_of(connection, table, none, found);
  co_await check_as_table(s);
}

task<void> check_source_table(pg::connection& source, const moving_table& table, const std::vector<moving_table>& all, problems& found) {
  auto s = co_await subject_of(source, table, all, found);
  co_await check_owner(s);
  co_await check_as_table(s);
  co_await check_valid_foreign_keys(s);
  co_await check_referring(s);
}

}  // namespace migration
