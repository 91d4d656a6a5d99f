#include <doctest/doctest.h>

#include "plan_text.h"

TEST_CASE("functions: a read is plain only if every function is known to be harmless") {
  const sample::row rows[] = {
      {"SELECT count(*), max(total), coalesce(sum(total), 0), greatest(1, 2) FROM orders WHERE customer_id = 5", "key shop:5 plain"},
      {"SELECT lower('X'), date_trunc('day', now()), current_date, extract(year FROM now()), substring('abc' FROM 2)", "any plain"},
      {"SELECT pg_catalog.upper('x')", "any plain"},
      {"SELECT mine.upper('x')", "any"},
      {"SELECT my_function(5)", "any"},
      {"SELECT nextval('s')", "any"},
      {"SELECT setval('s', 5)", "any"},
      {"SELECT * FROM orders WHERE customer_id = 5 AND audit(order_id)", "key shop:5"},
      {"SELECT * FROM orders WHERE customer_id = 5 ORDER BY (SELECT pg_notify('a', 'b'))", "key shop:5"},
      {"SELECT * FROM my_set()", "any"},
      {"SELECT pg_advisory_xact_lock(5)", "any"},
      {"SELECT txid_current()", "any"},
      {"SELECT set_config('a.b', 'c', true)", "any"},
      {"SELECT pg_catalog.set_config('a.b', 'c', 't'::bool)", "any"},
  };
  sample::check(rows);
}

TEST_CASE("functions: what stays on a server connection is refused") {
  const sample::row rows[] = {
      {"SELECT pg_advisory_lock(5)", "0A000", "pg_advisory_xact_lock"},
      {"SELECT pg_advisory_lock_shared(5, 6)", "0A000"},
      {"SELECT pg_try_advisory_lock(5)", "0A000"},
      {"SELECT pg_catalog.pg_try_advisory_lock_shared(5)", "0A000"},
      {"SELECT pg_advisory_unlock(5)", "0A000"},
      {"SELECT pg_advisory_unlock_shared(5)", "0A000"},
      {"SELECT pg_advisory_unlock_all()", "0A000"},
      {"SELECT * FROM orders WHERE customer_id = 5 AND pg_try_advisory_lock(order_id)", "0A000"},
      {"UPDATE orders SET total = 1 WHERE customer_id = 5 RETURNING (SELECT pg_advisory_lock(1))", "0A000"},
      {"SELECT * FROM pg_advisory_lock(5)", "0A000"},
      {"SELECT set_config('a.b', 'c', false)", "0A000", "Give true as its third argument"},
      {"SELECT set_config('a.b', 'c', $1)", "0A000"},
      {"SELECT set_config('a.b', 'c', 'f')", "0A000"},
      {"SELECT set_config('search_path', 'c', true OR false)", "0A000"},
      {"SELECT currval('s')", "0A000", "RETURNING"},
      {"SELECT lastval()", "0A000"},
      {"INSERT INTO order_lines (customer_id, order_id) VALUES (5, currval('s'))", "0A000"},
      {"SELECT setseed(0.5)", "0A000"},
      {"SELECT lo_open(5, 1)", "0A000"},
      {"SELECT loread(0, 10)", "0A000"},
      {"SELECT pg_export_snapshot()", "0A000"},
      {"SELECT dblink_connect('x', 'y')", "0A000"},
      {"CREATE TABLE t AS SELECT pg_advisory_lock(5)", "0A000"},
      {"CALL p(pg_advisory_lock(5))", "0A000"},
      {"EXPLAIN ANALYZE SELECT pg_advisory_lock(5)", "0A000"},
      {"DECLARE c CURSOR FOR SELECT pg_advisory_lock(5)", "0A000"},
  };
  sample::check(rows);
}
