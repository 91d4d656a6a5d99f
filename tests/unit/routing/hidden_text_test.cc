#include <doctest/doctest.h>

#include "plan_text.h"

TEST_CASE("hidden_text: functions that touch sharded tables are refused by name, wherever they are called") {
  const sample::row rows[] = {
      {"SELECT count_orders(5)", "RT003", "function \"public.count_orders\" touches table \"public.orders\" by itself"},
      {"SELECT public.count_orders(5)", "RT003", "public.count_orders"},
      {"SELECT other.count_orders(5)", "any +anything"},
      {"SELECT * FROM count_orders(5)", "RT003", "count_orders"},
      {"SELECT * FROM orders WHERE customer_id = 5 AND total > count_orders(5)", "RT003", "count_orders"},
      {"INSERT INTO order_lines (customer_id, order_id) VALUES (5, count_orders(5))", "RT003", "count_orders"},
      {"UPDATE orders SET total = 1 WHERE customer_id = 5 RETURNING count_orders(5)", "RT003", "count_orders"},
      {"CALL count_orders(5)", "RT003", "count_orders"},
      {"EXPLAIN SELECT count_orders(5)", "RT003", "count_orders"},
      {"PREPARE p AS SELECT count_orders(5)", "RT003", "count_orders"},
      {"CREATE TABLE t AS SELECT count_orders(5)", "RT003", "count_orders"},
      {"SELECT crm.both_ways()", "default home(both_ways()) +anything"},
      {"SELECT both_ways()", "RT003", "public.both_ways"},
  };
  sample::check(rows);
}

TEST_CASE("hidden_text: functions over tables of the default shard run there") {
  const sample::row rows[] = {
      {"SELECT write_log('x')", "default home(write_log()) +anything"},
      {"SELECT write_log('x') FROM orders WHERE customer_id = 5", "key home(write_log()) shop:5 +anything"},
      {"CALL write_log('x')", "default +anything"},
  };
  sample::check(rows);
}

TEST_CASE("hidden_text: tables whose triggers touch sharded tables may be read, not written") {
  const sample::row rows[] = {
      {"SELECT * FROM audited", "default plain"},
      {"INSERT INTO audited VALUES (1)", "RT003", "a write to \"public.audited\" touches table \"public.orders\" as well"},
      {"UPDATE public.audited SET a = 1", "RT003", "audited"},
      {"DELETE FROM audited", "RT003", "audited"},
      {"MERGE INTO audited USING settings s ON true WHEN MATCHED THEN DELETE", "RT003", "audited"},
      {"COPY audited FROM STDIN", "RT003", "audited"},
      {"COPY audited TO STDOUT", "copy_out default"},
      {"TRUNCATE settings, audited", "RT003", "audited"},
      {"DELETE FROM crm.audited", "default"},
  };
  sample::check(rows);
}

TEST_CASE("hidden_text: the text of DO and of new functions is read for names") {
  const sample::row rows[] = {
      {"DO $$BEGIN INSERT INTO orders VALUES (5); END$$", "RT003", "DO names \"orders\""},
      {"DO 'BEGIN DELETE FROM public.\"orders\"; END'", "RT003", "orders"},
      {"DO $$BEGIN EXECUTE 'DELETE FROM ORDERS'; END$$", "RT003", "orders"},
      {"DO $$BEGIN EXECUTE $q$DELETE FROM orders$q$; END$$", "RT003", "orders"},
      {"DO $$BEGIN UPDATE countries SET name = ''; END$$", "RT003", "countries"},
      {"DO $$BEGIN PERFORM * FROM order_totals; END$$", "RT003", "order_totals"},
      {"DO $$BEGIN PERFORM count_orders(5); END$$", "RT003", "count_orders"},
      {"DO $$BEGIN INSERT INTO audited VALUES (5); END$$", "RT003", "audited"},
      {"DO $$BEGIN /* orders */ INSERT INTO settings VALUES (5); -- orders\n END$$", "default +anything"},
      {"CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM orders'", "RT003", "CREATE FUNCTION or PROCEDURE names \"orders\""},
      {"CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM orders; END", "RT003", "orders"},
      {"CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM settings'", "default +anything"},
  };
  sample::check(rows);
}

TEST_CASE("hidden_text: functions that run SQL given as text take a literal that names no sharded table") {
  const sample::row rows[] = {
      {"SELECT query_to_xml('SELECT * FROM orders', true, false, '')", "RT003", "the SQL given to query_to_xml() names \"orders\""},
      {"SELECT query_to_xml($1, true, false, '')", "RT003", "not a literal"},
      {"SELECT query_to_xml('SELECT * FROM ' || 'orders', true, false, '')", "RT003", "not a literal"},
      {"SELECT query_to_xml('SELECT * FROM settings', true, false, '')", "default home(query_to_xml()) +anything"},
      {"SELECT table_to_xml('orders'::regclass, true, false, '')", "RT003", "orders"},
      {"SELECT * FROM ts_stat('SELECT to_tsvector(name) FROM customers')", "RT003", "customers"},
      {"SELECT * FROM crosstab('SELECT a, b, c FROM orders') AS t(a int, b int)", "RT003", "orders"},
      {"SELECT * FROM public.crosstab('SELECT 1, 2, 3') AS t(a int, b int)", "default home(crosstab()) +anything"},
      {"SELECT * FROM dblink('dbname=shop', 'SELECT 1 FROM \"orders\"') AS t(a int)", "RT003", "orders"},
      {"SELECT schema_to_xml('public', true, false, '')", "RT003", "schema_to_xml()"},
      {"SELECT database_to_xml(true, false, '')", "RT003", "database_to_xml()"},
  };
  sample::check(rows);
}
