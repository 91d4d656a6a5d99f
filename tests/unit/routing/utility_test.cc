#include <doctest/doctest.h>

#include "plan_text.h"

TEST_CASE("utility: transactions, settings and cursors") {
  const sample::row rows[] = {
      {"BEGIN", "begin any"},
      {"START TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY", "begin any"},
      {"COMMIT", "commit any"},
      {"END", "commit any"},
      {"COMMIT AND CHAIN", "commit any chain"},
      {"ROLLBACK", "rollback any"},
      {"ABORT", "rollback any"},
      {"ROLLBACK AND CHAIN", "rollback any chain"},
      {"SAVEPOINT a", "savepoint any"},
      {"RELEASE a", "release any"},
      {"ROLLBACK TO SAVEPOINT a", "rollback_to any"},
      {"SET LOCAL work_mem = '1MB'", "set_local any"},
      {"SET LOCAL ROLE bob", "set_local any"},
      {"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "set_local any"},
      {"SET TRANSACTION SNAPSHOT '00000003-0000001B-1'", "set_local any snapshot"},
      {"SET CONSTRAINTS ALL DEFERRED", "set_local any"},
      {"SHOW work_mem", "any"},
      {"DISCARD ALL", "discard_all any"},
      {"DISCARD PLANS", "any"},
      {"DEALLOCATE ALL", "deallocate_all any"},
      {"UNLISTEN *", "default home(UNLISTEN) -listen"},
      {"NOTIFY a, 'b'", "default home(NOTIFY)"},
      {"DECLARE c CURSOR FOR SELECT * FROM orders WHERE customer_id = 5", "key shop:5"},
      {"DECLARE c CURSOR FOR SELECT * FROM orders", "RT003"},
      {"FETCH 10 FROM c", "any"},
      {"MOVE c", "any"},
      {"CLOSE c", "any -cursors"},
      {"EXPLAIN SELECT * FROM orders WHERE customer_id = 5", "key shop:5"},
      {"EXPLAIN (ANALYZE, BUFFERS) DELETE FROM orders WHERE customer_id = $1", "key shop:$1"},
      {"EXPLAIN SELECT * FROM orders", "RT003"},
      {"EXPLAIN SELECT 1", "any"},
      {"BEGIN; SELECT * FROM orders WHERE customer_id = 5; COMMIT", "begin any; key shop:5 plain; commit any"},
      {"", "empty any"},
      {" -- nothing\n /* at /* all */ */ ;", "empty any"},
  };
  sample::check(rows);
}

TEST_CASE("utility: what a command may leave on the server connection") {
  const sample::row rows[] = {
      {"SET work_mem = '1MB'", "any +settings(work_mem)"},
      {"SET SESSION work_mem TO DEFAULT", "any +settings(work_mem) reset"},
      {"SET search_path = a, b", "any +settings(search_path)"},
      {"SET SCHEMA 'a'", "any +settings(search_path)"},
      {"SET TIME ZONE 'UTC'", "any +settings(timezone)"},
      {"SET a.b = 'c'", "any +settings(a.b)"},
      {"SET ROLE bob", "any +settings(role)"},
      {"SET SESSION AUTHORIZATION bob", "any +settings(session_authorization)"},
      {"RESET SESSION AUTHORIZATION", "any +settings(session_authorization) reset"},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
       "any +settings(default_transaction_isolation,default_transaction_read_only,default_transaction_deferrable)"},
      {"RESET work_mem", "any +settings(work_mem) reset"},
      {"RESET ALL", "any +settings reset"},
      {"SET seed TO 0.5", "any +seed"},
      {"SET NAMES 'UTF8'", "any +settings(client_encoding)"},
      {"SET client_encoding TO utf8", "any +settings(client_encoding)"},
      {"RESET client_encoding", "any +settings(client_encoding) reset"},
      {"SET client_encoding = 'LATIN1'", "0A000", "client_encoding"},
      {"SET LOCAL client_encoding = 'LATIN1'", "0A000", "client_encoding"},
      {"SET standard_conforming_strings = off", "0A000", "standard_conforming_strings"},
      {"SET standard_conforming_strings = on", "any +settings(standard_conforming_strings)"},
      {"LISTEN a", "default home(LISTEN) +listen"},
      {"LOAD 'auto_explain'", "any +load"},
      {"DISCARD TEMP", "any -temp"},
      {"DISCARD SEQUENCES", "any -sequences"},
      {"DEALLOCATE p", "any -statements deallocate(p)"},
      {"CREATE TEMP TABLE t (a int)", "default +anything"},
      {"CREATE TEMP TABLE t AS SELECT 1", "default +anything"},
      {"CREATE TEMP VIEW v AS SELECT 1", "default +anything"},
      {"CREATE TEMP SEQUENCE s", "default +anything"},
      {"CREATE TABLE pg_temp.t (a int)", "default +anything"},
      {"DROP TABLE pg_temp.t", "default +anything"},
      {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "any +cursors"},
      {"DECLARE c CURSOR WITH HOLD FOR SELECT * FROM orders WHERE customer_id = 5", "key shop:5 +cursors"},
      {"DECLARE c CURSOR WITH HOLD FOR SELECT * FROM orders", "RT003"},
  };
  sample::check(rows);
}

TEST_CASE("utility: PREPARE and EXECUTE as SQL") {
  const sample::row rows[] = {
      {"PREPARE p AS SELECT 1", "any +statements prepare(p: any plain)"},
      {"PREPARE p(int8) AS SELECT * FROM orders WHERE customer_id = $1", "any +statements prepare(p: key shop:$1 plain)"},
      {"PREPARE p AS SELECT * FROM orders WHERE customer_id = 5", "any +statements prepare(p: key shop:5 plain)"},
      {"PREPARE p AS SELECT my_function()", "any +statements prepare(p: any +anything)"},
      {"PREPARE p AS SELECT * FROM orders", "RT003"},
      {"EXECUTE p(1)", "any execute(p)"},
      {"EXPLAIN EXECUTE p", "any execute(p)"},
      {"CREATE TABLE t AS EXECUTE p", "default +anything execute(p)"},
  };
  sample::check(rows);
}

TEST_CASE("utility: two-phase commit") {
  const sample::row rows[] = {
      {"PREPARE TRANSACTION 'x'", "prepare_transaction any"},
      {"COMMIT PREPARED 'x'", "finish_prepared any gid(x)"},
      {"ROLLBACK PREPARED 'it''s'", "finish_prepared any gid(it's)"},
      {"COMMIT PREPARED E'a\\'\\\\b'", "finish_prepared any gid(a'\\b)"},
      {"COMMIT PREPARED $tag$x$tag$", "finish_prepared any gid(x)"},
      {"BEGIN; PREPARE TRANSACTION 'x'; COMMIT PREPARED 'x'", "begin any; prepare_transaction any; finish_prepared any gid(x)"},
  };
  sample::check(rows);
}

TEST_CASE("utility: commands on tables that live on several shards are for psql") {
  const sample::row rows[] = {
      {"TRUNCATE orders", "RT003", "TRUNCATE concerns table \"orders\""},
      {"TRUNCATE settings, countries", "RT003", "countries"},
      {"TRUNCATE settings", "default"},
      {"LOCK TABLE orders IN SHARE MODE", "RT003", "Run it on each shard with psql."},
      {"VACUUM ANALYZE public.orders", "RT003", "VACUUM"},
      {"ANALYZE orders (total)", "RT003", "ANALYZE"},
      {"VACUUM", "default"},
      {"REINDEX TABLE orders", "RT003"},
      {"CLUSTER orders", "RT003"},
      {"ALTER TABLE orders ADD x int", "RT003", "ALTER"},
      {"ALTER TABLE settings ADD x int REFERENCES customers", "RT003", "customers"},
      {"ALTER TABLE orders RENAME TO o", "RT003"},
      {"ALTER TABLE orders SET SCHEMA crm", "RT003"},
      {"ALTER TABLE orders OWNER TO bob", "RT003"},
      {"DROP TABLE settings, public.orders", "RT003", "DROP"},
      {"DROP TABLE countries", "RT003"},
      {"DROP TABLE settings", "default +anything"},
      {"DROP TABLE crm.orders", "default +anything"},
      {"DROP VIEW order_totals", "RT003"},
      {"DROP TRIGGER t ON orders", "RT003"},
      {"DROP POLICY p ON public.orders", "RT003"},
      {"COMMENT ON TABLE orders IS 'x'", "RT003"},
      {"COMMENT ON COLUMN public.orders.total IS 'x'", "RT003"},
      {"GRANT SELECT ON orders TO bob", "RT003", "GRANT or REVOKE"},
      {"CREATE INDEX ON orders (total)", "RT003", "CREATE INDEX"},
      {"CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f()", "RT003"},
      {"CREATE RULE r AS ON INSERT TO settings DO ALSO DELETE FROM orders", "RT003"},
      {"CREATE VIEW v AS SELECT * FROM orders WHERE customer_id = 5", "RT003"},
      {"CREATE VIEW v AS SELECT * FROM countries", "default +anything"},
      {"CREATE MATERIALIZED VIEW v AS SELECT * FROM order_lines", "RT003"},
      {"CREATE TABLE t AS SELECT * FROM orders WHERE customer_id = 5", "RT003"},
      {"CREATE TABLE t AS SELECT * FROM countries", "default +anything"},
      {"CREATE TABLE t (LIKE orders)", "RT003"},
      {"CREATE TABLE orders (a int)", "RT003"},
      {"CREATE TABLE t (a int)", "default +anything"},
      {"CREATE TABLE p PARTITION OF orders FOR VALUES IN (1)", "RT003"},
      {"CREATE PUBLICATION p FOR TABLE orders", "RT003"},
      {"CREATE STATISTICS s ON total, order_id FROM orders", "RT003"},
      {"COPY orders FROM STDIN", "RT003", "COPY"},
      {"COPY orders (customer_id) TO STDOUT", "RT003"},
      {"COPY countries FROM STDIN", "RT003"},
      {"COPY settings FROM STDIN", "copy_in default"},
      {"COPY settings TO STDOUT (FORMAT binary)", "copy_out default"},
      {"COPY settings FROM '/a/file'", "default"},
      {"COPY (SELECT * FROM orders WHERE customer_id = 5) TO STDOUT", "copy_out key shop:5"},
      {"COPY (SELECT * FROM orders) TO STDOUT", "RT003"},
      {"COPY (SELECT 1) TO STDOUT", "copy_out any"},
      {"COPY (DELETE FROM orders WHERE customer_id = 5 RETURNING *) TO STDOUT", "copy_out key shop:5"},
      {"DO $$ BEGIN END $$", "default +anything"},
      {"CALL p(5)", "default +anything"},
      {"CREATE ROLE bob", "default +anything"},
      {"CREATE SCHEMA s CREATE TABLE t (a int REFERENCES orders)", "RT003"},
  };
  sample::check(rows);
}
