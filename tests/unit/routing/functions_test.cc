#include <doctest/doctest.h>

#include "plan_text.h"

TEST_CASE("functions: a read is plain only if every function is known to be harmless") {
  const sample::row rows[] = {
      {"SELECT count(*), max(total), coalesce(sum(total), 0), greatest(1, 2) FROM orders WHERE customer_id = 5", "key shop:5 plain"},
      {"SELECT lower('X'), date_trunc('day', now()), current_date, extract(year FROM now()), substring('abc' FROM 2)", "any plain"},
      {"SELECT pg_catalog.upper('x')", "any plain"},
      {"SELECT mine.upper('x')", "any +anything"},
      {"SELECT my_function(5)", "any +anything"},
      {"SELECT nextval('s')", "any"},
      {"SELECT setval('s', 5)", "any"},
      {"SELECT * FROM orders WHERE customer_id = 5 AND audit(order_id)", "key shop:5 +anything"},
      {"SELECT * FROM orders WHERE customer_id = 5 ORDER BY (SELECT pg_notify('a', 'b'))", "key shop:5"},
      {"SELECT * FROM my_set()", "any +anything"},
      {"SELECT pg_advisory_xact_lock(5)", "any"},
      {"SELECT txid_current()", "any"},
      {"SELECT set_config('a.b', 'c', true)", "any"},
      {"SELECT pg_catalog.set_config('a.b', 'c', 't'::bool)", "any"},
  };
  sample::check(rows);
}

TEST_CASE("functions: what a call may leave on the server connection") {
  const sample::row rows[] = {
      {"SELECT pg_advisory_lock(5)", "any +locks"},
      {"SELECT pg_advisory_lock_shared(5, 6)", "any +locks"},
      {"SELECT pg_try_advisory_lock(5)", "any +locks"},
      {"SELECT pg_catalog.pg_try_advisory_lock_shared(5)", "any +locks"},
      {"SELECT pg_advisory_xact_lock(5)", "any"},
      {"SELECT pg_advisory_unlock(5)", "any -locks"},
      {"SELECT pg_advisory_unlock_shared(5)", "any -locks"},
      {"SELECT pg_advisory_unlock_all()", "any -locks"},
      {"SELECT * FROM orders WHERE customer_id = 5 AND pg_try_advisory_lock(order_id)", "key shop:5 +locks"},
      {"UPDATE orders SET total = 1 WHERE customer_id = 5 RETURNING (SELECT pg_advisory_lock(1))", "key shop:5 +locks"},
      {"SELECT * FROM pg_advisory_lock(5)", "any +locks"},
      {"SELECT set_config('a.b', 'c', false)", "any +settings(a.b)"},
      {"SELECT set_config('a.b'::text, 'c', $1)", "any +settings(a.b)"},
      {"SELECT set_config($1, $2, false)", "any +settings($1)"},
      {"SELECT set_config('a.b', 'c', 'f'), set_config('a.d', 'c', false)", "any +settings(a.b,a.d)"},
      {"SELECT set_config('a.' || 'b', 'c', false)", "any +settings"},
      {"SELECT set_config('a.' || 'b', 'c', false), set_config('a.b', 'c', false)", "any +settings"},
      {"SELECT set_config('a.b', 'c', false), set_config(lower('X'), 'c', false)", "any +settings"},
      {"SELECT set_config('search_path', 'c', true OR false)", "any +settings(search_path)"},
      {"SELECT currval('s')", "any +sequences"},
      {"SELECT lastval()", "any +sequences"},
      {"INSERT INTO order_lines (customer_id, order_id) VALUES (5, currval('s'))", "key shop:5 +sequences"},
      {"SELECT setseed(0.5)", "any +seed"},
      {"SELECT lo_open(5, 1)", "any"},
      {"SELECT loread(0, 10)", "any"},
      {"SELECT pg_export_snapshot()", "any"},
      {"SELECT dblink_connect('x', 'y')", "any +dblink"},
      {"SELECT 1 INTO TEMP t", "default +temp"},
      {"CREATE TABLE t AS SELECT pg_advisory_lock(5)", "default +anything"},
      {"CALL p(pg_advisory_lock(5))", "default +anything"},
      {"EXPLAIN ANALYZE SELECT pg_advisory_lock(5)", "any +locks"},
      {"DECLARE c CURSOR FOR SELECT pg_advisory_lock(5)", "any +locks"},
      {"SELECT c.relname, pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class c WHERE pg_catalog.pg_table_is_visible(c.oid)", "any"},
      {"SELECT has_table_privilege('t', 'select'), random(), gen_random_uuid(), txid_current()", "any"},
  };
  sample::check(rows);
}
