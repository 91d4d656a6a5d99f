#include <doctest/doctest.h>

#include "plan_text.h"
#include "routing/analysis/analyzer.h"
#include "sample_map.h"

TEST_CASE("unnamed_objects: parts of sharded tables are recognised by their own names") {
  const sample::row rows[] = {
      {"DROP INDEX orders_total_idx", "RT003", "\"orders_total_idx\" of table \"public.orders\""},
      {"DROP INDEX CONCURRENTLY public.orders_total_idx", "RT003", "orders_total_idx"},
      {"DROP INDEX crm.orders_total_idx", "default +anything"},
      {"ALTER INDEX orders_total_idx RENAME TO x", "RT003", "orders_total_idx"},
      {"REINDEX INDEX orders_total_idx", "RT003", "REINDEX"},
      {"ALTER SEQUENCE orders_order_id_seq RESTART", "RT003", "ALIGN SEQUENCES OF"},
      {"SELECT setval('orders_order_id_seq', 5)", "RT003", "setval() concerns sequence \"orders_order_id_seq\" of table \"public.orders\""},
      {"SELECT pg_catalog.setval('public.orders_order_id_seq'::regclass, 5, true)", "RT003", "ALIGN SEQUENCES OF"},
      {"SELECT setval('\"orders_order_id_seq\"', 5)", "RT003", "orders_order_id_seq"},
      {"SELECT setval(pg_get_serial_sequence('public.orders', 'order_id'), 5)", "RT003", "table \"orders\""},
      {"SELECT setval(pg_get_serial_sequence('settings', 'id'), 5)", "default home(setval())"},
      {"SELECT setval('crm.orders_order_id_seq', 5)", "default home(setval())"},
      {"SELECT setval($1, 5)", "RT003", "Its name is not a literal"},
      {"SELECT setval('a' || 'b', 5)", "RT003", "Its name is not a literal"},
      {"DROP SEQUENCE orders_order_id_seq CASCADE", "RT003", "orders_order_id_seq"},
      {"ALTER SEQUENCE other_seq RESTART", "default +anything"},
      {"ALTER TYPE types.order_state ADD VALUE 'x'", "RT003", "order_state"},
      {"ALTER DOMAIN types.order_state SET NOT NULL", "RT003", "order_state"},
      {"DROP TYPE types.order_state CASCADE", "RT003", "order_state"},
      {"CREATE TABLE t (state types.order_state)", "default +anything"},
      {"DROP FUNCTION touch()", "RT003", "touch"},
      {"ALTER FUNCTION public.touch() OWNER TO bob", "RT003", "touch"},
      {"CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "RT003", "touch"},
      {"CREATE TRIGGER t BEFORE UPDATE ON settings FOR EACH ROW EXECUTE FUNCTION touch()", "default +anything"},
      {"CREATE TYPE mood AS ENUM ('a')", "default +anything"},
  };
  sample::check(rows);
}

TEST_CASE("unnamed_objects: commands on the whole database are for psql") {
  const sample::row rows[] = {
      {"ALTER ROLE bob SET work_mem = '1MB'", "RT003", "Run it on each shard with psql."},
      {"ALTER ROLE bob PASSWORD 'x'", "RT003", "users file"},
      {"DROP ROLE bob", "RT003", "ROLE"},
      {"GRANT reader TO bob", "RT003", "GRANT or REVOKE of a role"},
      {"GRANT USAGE ON SCHEMA crm TO bob", "RT003", "schema \"crm\""},
      {"GRANT USAGE ON SCHEMA mine TO bob", "default +anything"},
      {"REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM bob", "RT003", "schema \"public\""},
      {"GRANT CONNECT ON DATABASE shop TO bob", "RT003", "database"},
      {"ALTER DATABASE shop SET work_mem = '1MB'", "RT003", "ALTER DATABASE"},
      {"ALTER SYSTEM SET work_mem = '1MB'", "RT003", "ALTER SYSTEM"},
      {"DROP OWNED BY bob", "RT003", "DROP OWNED"},
      {"REASSIGN OWNED BY bob TO alice", "RT003", "REASSIGN OWNED"},
      {"CREATE EXTENSION IF NOT EXISTS pgcrypto", "default +anything"},
      {"DROP EXTENSION pgcrypto", "RT003", "DROP EXTENSION"},
      {"ALTER EXTENSION pgcrypto UPDATE", "RT003", "ALTER EXTENSION"},
      {"VACUUM", "RT003", "VACUUM without a table"},
      {"ANALYZE", "RT003", "ANALYZE without a table"},
      {"ANALYZE settings", "default"},
      {"CLUSTER", "RT003", "CLUSTER without a table"},
      {"REINDEX DATABASE shop", "RT003", "REINDEX"},
      {"REINDEX TABLE settings", "default"},
      {"DROP SCHEMA crm CASCADE", "RT003", "schema \"crm\""},
      {"DROP SCHEMA types CASCADE", "RT003", "schema \"types\""},
      {"DROP SCHEMA mine CASCADE", "default +anything"},
      {"ALTER SCHEMA crm RENAME TO x", "RT003", "schema \"crm\""},
      {"CREATE PUBLICATION p FOR ALL TABLES", "RT003", "FOR ALL TABLES"},
      {"IMPORT FOREIGN SCHEMA a FROM SERVER s INTO b", "RT003", "IMPORT FOREIGN SCHEMA"},
      {"IMPORT FOREIGN SCHEMA a LIMIT TO (t) FROM SERVER s INTO b", "default +anything"},
  };
  sample::check(rows);
}

TEST_CASE("unnamed_objects: no new relation takes the name of a sharded or reference table") {
  const sample::row rows[] = {
      {"CREATE TABLE mine.orders (a int)", "RT003", "\"orders\" is the name of a sharded or reference table"},
      {"CREATE TEMP TABLE orders (a int)", "RT003", "orders"},
      {"CREATE TEMP TABLE pg_temp.visits (a int)", "RT003", "visits"},
      {"CREATE TEMP TABLE countries AS SELECT 1", "RT003", "countries"},
      {"CREATE VIEW mine.orders AS SELECT 1", "RT003", "orders"},
      {"CREATE SEQUENCE mine.orders", "RT003", "orders"},
      {"SELECT 1 INTO TEMP orders", "RT003", "orders"},
      {"SELECT 1 INTO mine.orders", "RT003", "orders"},
      {"ALTER TABLE settings RENAME TO orders", "RT003", "orders"},
      {"ALTER TABLE settings RENAME a TO orders", "default +anything"},
      {"ALTER TABLE settings RENAME TO preferences", "default +anything"},
  };
  sample::check(rows);
}

TEST_CASE("unnamed_objects: while nothing is sharded every command runs on the default shard") {
  auto parts = sample::parts();
  parts.tables.clear();
  parts.dependent_views.clear();
  parts.hidden.clear();
  const auto map = routing::shard_map::make(parts);
  for (const auto* sql : {"ALTER ROLE bob PASSWORD 'x'", "CREATE ROLE bob", "GRANT reader TO bob"}) {
    CAPTURE(sql);
    CHECK(routing::analyze(sql, *map).statements.at(0).refused->sqlstate == "RT003");  // clients log in to all shards
  }
  parts.shards.resize(2);
  parts.shards.erase(parts.shards.begin());
  parts.distributions.clear();
  const auto alone = routing::shard_map::make(parts);
  CHECK_FALSE(routing::analyze("ALTER ROLE bob PASSWORD 'x'", *alone).statements.at(0).refused);
  for (const auto* sql : {"VACUUM", "DROP SCHEMA public CASCADE", "CREATE TABLE mine.orders (a int)", "ALTER SYSTEM SET work_mem = '1MB'",
                          "DO $$BEGIN INSERT INTO orders VALUES (1); END$$"}) {
    CAPTURE(sql);
    CHECK(routing::analyze(sql, *map).statements.at(0).destination == routing::destination_kind::default_shard);
  }
}
