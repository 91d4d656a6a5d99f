#include <doctest/doctest.h>

#include "plan_text.h"
#include "routing/analysis/analyzer.h"
#include "sample_map.h"

TEST_CASE("functions: a read is plain only if every function is known to be harmless") {
  const sample::row rows[] = {
      {"SELECT count(*), max(total), coalesce(sum(total), 0), greatest(1, 2) FROM orders WHERE customer_id = 5", "key shop:5 plain"},
      {"SELECT lower('X'), date_trunc('day', now()), current_date, extract(year FROM now()), substring('abc' FROM 2)", "any plain"},
      {"SELECT pg_catalog.upper('x')", "any plain"},
      {"SELECT mine.upper('x')", "any +anything"},
      {"SELECT my_function(5)", "any +anything"},
      {"SELECT nextval('s')", "default home(nextval())"},
      {"SELECT setval('s', 5)", "default home(setval())"},
      {"SELECT * FROM orders WHERE customer_id = 5 AND audit(order_id)", "key shop:5 +anything"},
      {"SELECT * FROM orders WHERE customer_id = 5 ORDER BY (SELECT pg_notify('a', 'b'))", "key home(pg_notify()) shop:5"},
      {"SELECT * FROM my_set()", "any +anything"},
      {"SELECT pg_advisory_xact_lock(5)", "default home(pg_advisory_xact_lock())"},
      {"SELECT txid_current()", "any"},
      {"SELECT set_config('a.b', 'c', true)", "any"},
      {"SELECT pg_catalog.set_config('a.b', 'c', 't'::bool)", "any"},
  };
  sample::check(rows);
}

TEST_CASE("functions: what a call may leave on the server connection") {
  const sample::row rows[] = {
      {"SELECT pg_advisory_lock(5)", "default home(pg_advisory_lock()) +locks"},
      {"SELECT pg_advisory_lock_shared(5, 6)", "default home(pg_advisory_lock_shared()) +locks"},
      {"SELECT pg_try_advisory_lock(5)", "default home(pg_try_advisory_lock()) +locks"},
      {"SELECT pg_catalog.pg_try_advisory_lock_shared(5)", "default home(pg_try_advisory_lock_shared()) +locks"},
      {"SELECT pg_advisory_xact_lock(5)", "default home(pg_advisory_xact_lock())"},
      {"SELECT pg_advisory_unlock(5)", "default home(pg_advisory_unlock()) -locks"},
      {"SELECT pg_advisory_unlock_shared(5)", "default home(pg_advisory_unlock_shared()) -locks"},
      {"SELECT pg_advisory_unlock_all()", "default home(pg_advisory_unlock_all()) -locks"},
      {"SELECT * FROM orders WHERE customer_id = 5 AND pg_try_advisory_lock(order_id)", "key home(pg_try_advisory_lock()) shop:5 +locks"},
      {"UPDATE orders SET total = 1 WHERE customer_id = 5 RETURNING (SELECT pg_advisory_lock(1))", "key home(pg_advisory_lock()) shop:5 +locks"},
      {"SELECT * FROM pg_advisory_lock(5)", "default home(pg_advisory_lock()) +locks"},
      {"SELECT set_config('a.b', 'c', false)", "any +settings(a.b)"},
      {"SELECT set_config('a.b'::text, 'c', $1)", "any +settings(a.b)"},
      {"SELECT set_config($1, $2, false)", "any +settings($1) reading"},
      {"SELECT set_config('a.b', 'c', 'f'), set_config('a.d', 'c', false)", "any +settings(a.b,a.d)"},
      {"SELECT set_config('a.' || 'b', 'c', false)", "any +settings reading"},
      {"SELECT set_config('a.' || 'b', 'c', false), set_config('a.b', 'c', false)", "any +settings reading"},
      {"SELECT set_config('a.b', 'c', false), set_config(lower('X'), 'c', false)", "any +settings reading"},
      {"SELECT set_config('search_path', 'c', true OR false)", "any +settings(search_path)"},
      {"SELECT currval('s')", "any +sequences"},
      {"SELECT lastval()", "any +sequences"},
      {"INSERT INTO order_lines (customer_id, order_id) VALUES (5, currval('s'))", "key shop:5 +sequences"},
      {"SELECT setseed(0.5)", "any +seed"},
      {"SELECT lo_open(5, 1)", "default home(lo_open())"},
      {"SELECT loread(0, 10)", "default home(loread())"},
      {"SELECT pg_export_snapshot()", "default home(pg_export_snapshot())"},
      {"SELECT dblink_connect('x', 'y')", "any +dblink"},
      {"SELECT 1 INTO TEMP t", "default +temp"},
      {"CREATE TABLE t AS SELECT pg_advisory_lock(5)", "default +anything"},
      {"CALL p(pg_advisory_lock(5))", "default +anything"},
      {"EXPLAIN ANALYZE SELECT pg_advisory_lock(5)", "default home(pg_advisory_lock()) +locks"},
      {"DECLARE c CURSOR FOR SELECT pg_advisory_lock(5)", "default home(pg_advisory_lock()) +locks"},
      {"SELECT c.relname, pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class c WHERE pg_catalog.pg_table_is_visible(c.oid)", "any plain"},
      {"SELECT pg_sleep(1), pg_terminate_backend(pg_backend_pid()), gen_random_uuid()", "any plain"},
      {"SELECT pg_notify('a', 'b')", "default home(pg_notify())"},
      {"SELECT has_table_privilege('t', 'select'), random(), gen_random_uuid(), txid_current()", "any"},
  };
  sample::check(rows);
}

TEST_CASE("functions: what belongs to the whole database is found wherever it is called") {
  const sample::row rows[] = {
      {"INSERT INTO order_lines (customer_id, order_id) VALUES (5, nextval('s'))", "key home(nextval()) shop:5"},
      {"INSERT INTO order_lines (customer_id, order_id) SELECT 5, pg_catalog.nextval('s')", "key home(nextval()) shop:5"},
      {"UPDATE orders SET total = 1 WHERE customer_id = $1 AND pg_try_advisory_xact_lock(order_id)", "key home(pg_try_advisory_xact_lock()) shop:$1"},
      {"WITH w AS (SELECT lo_create(0) AS oid) SELECT * FROM orders o, w WHERE o.customer_id = 5", "key home(lo_create()) shop:5"},
      {"SELECT 1 FROM orders o JOIN customers c ON c.customer_id = o.customer_id AND nextval('s') > 0 WHERE o.customer_id = 5", "key home(nextval()) shop:5"},
      {"SELECT * FROM orders WHERE customer_id = 5 LIMIT nextval('s')", "key home(nextval()) shop:5"},
      {"SELECT nextval('s') FROM settings", "default home(nextval())"},
      {"SELECT nextval('s') FROM countries", "default home(nextval())"},
      {"SELECT * FROM orders WHERE customer_id = NULL AND nextval('s') > 0", "default home(nextval())"},
      {"SELECT mine.nextval('s')", "any +anything"},
      {"SELECT currval('s') FROM orders WHERE customer_id = 5", "key shop:5 +sequences"},
      {"SELECT pg_replication_origin_session_setup('x'), pg_logical_emit_message(true, 'a', 'b')", "default home(pg_replication_origin_session_setup()) +anything,origin"},
      {"SELECT pg_replication_origin_session_reset()", "default home(pg_replication_origin_session_reset()) -origin"},
      {"SELECT pg_create_logical_replication_slot('s', 'pgoutput')", "default home(pg_create_logical_replication_slot())"},
      {"SELECT pg_create_logical_replication_slot('s', 'pgoutput', false)", "default home(pg_create_logical_replication_slot())"},
      {"SELECT pg_create_logical_replication_slot('s', 'pgoutput', temporary => true)", "default home(pg_create_logical_replication_slot()) +slots"},
      {"SELECT pg_create_physical_replication_slot('s', true, $1)", "default home(pg_create_physical_replication_slot()) +slots"},
      {"SELECT pg_catalog.pg_backup_start('b', true)", "any +backup"},
      {"SELECT * FROM pg_stop_backup(false)", "any -backup"},
      {"UPDATE pg_settings SET setting = '5MB' WHERE name = 'work_mem'", "any +settings"},
      {"UPDATE mine.pg_settings SET setting = '5MB'", "default"},
      {"COPY (SELECT nextval('s')) TO STDOUT", "copy_out default home(nextval())"},
      {"PREPARE p AS SELECT nextval('s')", "any +statements prepare(p: default home(nextval()))"},
  };
  sample::check(rows);
}

TEST_CASE("functions: a row lock on a reference table belongs to the whole database") {
  const sample::row rows[] = {
      {"SELECT * FROM countries WHERE code = 'x' FOR UPDATE", "default home(a row lock on reference table \"countries\")"},
      {"SELECT * FROM countries c FOR KEY SHARE OF c SKIP LOCKED", "default home(a row lock on reference table \"countries\")"},
      {"SELECT * FROM orders o JOIN countries c ON true WHERE o.customer_id = 5 FOR SHARE",
       "key home(a row lock on reference table \"countries\") shop:5 locks"},
      {"SELECT * FROM orders o JOIN countries c ON true WHERE o.customer_id = 5 FOR UPDATE OF o", "key shop:5 locks"},
      {"SELECT * FROM orders o JOIN countries c ON true WHERE o.customer_id = 5 FOR UPDATE OF o FOR SHARE OF c",
       "key home(a row lock on reference table \"countries\") shop:5 locks"},
      {"SELECT * FROM (SELECT * FROM countries) s FOR UPDATE", "default home(a row lock on reference table \"countries\")"},
      {"SELECT * FROM (SELECT * FROM countries) s, orders o WHERE o.customer_id = 5 FOR UPDATE OF s",
       "key home(a row lock on reference table \"countries\") shop:5 locks"},
      {"SELECT * FROM (SELECT * FROM countries FOR UPDATE) s", "default home(a row lock on reference table \"countries\")"},
      {"SELECT * FROM orders WHERE customer_id = 5 AND EXISTS (SELECT FROM countries) FOR UPDATE", "key shop:5 locks"},
      {"WITH c AS (SELECT * FROM countries) SELECT * FROM c, orders o WHERE o.customer_id = 5 FOR UPDATE OF o", "key shop:5 locks"},
  };
  sample::check(rows);
}

TEST_CASE("functions: what says the same on every shard, and can be said again") {
  const auto map = sample::map();
  constexpr std::string_view unbound[] = {
      "SELECT 1", "SELECT version(), current_user", "SELECT set_config('a.b', $1, true), pg_catalog.set_config('role', 'x', false)",
      "SET work_mem = '1MB'", "SET LOCAL work_mem = '1MB'", "RESET ALL", "SHOW work_mem", "SAVEPOINT a", "ROLLBACK TO a", "SELECT $1::int8 + 1",
      "SELECT clock_timestamp(), current_setting('a.b', true)", "WITH a AS (SELECT 1) SELECT upper('x') FROM a",
      "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
  };
  for (const auto sql : unbound) {
    CAPTURE(sql);
    CHECK(routing::analyze(sql, *map).statements.at(0).unbound);
  }
  constexpr std::string_view bound[] = {
      "SELECT now()", "SELECT CURRENT_TIMESTAMP", "SELECT 'now'::timestamptz", "SELECT age('2020-01-01'::timestamp)", "SELECT mine()", "SELECT txid_current()",
      "SELECT nextval('s')", "SELECT 1 FROM pg_class", "SELECT 1 FROM countries", "SELECT set_config(lower('A.B'), 'x', true)",
      "SELECT CASE WHEN false THEN set_config('a.b', 'x', true) END", "SELECT set_config('a.b', 'x', true) WHERE false", "SET seed TO 0.5",
      "SET TRANSACTION SNAPSHOT 'x'", "DECLARE c CURSOR FOR SELECT 1", "EXPLAIN SELECT 1", "COMMIT", "LISTEN a", "SELECT pg_advisory_lock(1)",
      "PREPARE p AS SELECT 1", "SELECT * FROM orders WHERE customer_id = 5",
  };
  for (const auto sql : bound) {
    CAPTURE(sql);
    CHECK_FALSE(routing::analyze(sql, *map).statements.at(0).unbound);
  }
}
