#include <doctest/doctest.h>

#include "plan_text.h"

TEST_CASE("key_constant: literals and parameters with casts within the type of the key") {
  const sample::row rows[] = {
      {"SELECT 1 FROM orders WHERE customer_id = -5", "key shop:-5 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = - 5", "key shop:-5 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = - (-5)", "key shop:5 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = -$1", "key shop:-$1 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = - (-$1)", "key shop:$1 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = 007", "key shop:7 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = 3000000000", "key shop:3000000000 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = -9223372036854775808", "key shop:-9223372036854775808 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = '5'", "key shop:5 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = ' -5 '", "key shop: -5  plain"},
      {"SELECT 1 FROM orders WHERE customer_id = '5'::int8", "key shop:5 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = '5'::bigint", "key shop:5 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = bigint '5'", "key shop:5 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = CAST('5' AS smallint)", "key shop:5 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = 5::int4::int8", "key shop:5 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = $1::int8", "key shop:$1 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = ($1)::pg_catalog.int4", "key shop:$1 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = (-$1)::int8", "key shop:-$1 plain"},
      {"SELECT 1 FROM people WHERE nick = 'it''s'", "key names:it's plain"},
      {"SELECT 1 FROM people WHERE nick = E'a\\nb'", "key names:a\nb plain"},
      {"SELECT 1 FROM people WHERE nick = $$bob$$", "key names:bob plain"},
      {"SELECT 1 FROM people WHERE nick = ''", "key names: plain"},
      {"SELECT 1 FROM people WHERE nick = 'bob'::text", "key names:bob plain"},
      {"SELECT 1 FROM people WHERE nick = 'bob'::varchar", "key names:bob plain"},
      {"SELECT 1 FROM people WHERE nick = $1::character varying", "key names:$1 plain"},
      {"SELECT 1 FROM parts WHERE code = 'x'::bpchar", "key codes:x plain"},
      {"SELECT 1 FROM parts WHERE code = 'x'::text", "key codes:x plain"},
      {"SELECT 1 FROM crm.accounts WHERE tenant = $1::uuid", "key tenants:$1 plain"},
      {"SELECT 1 FROM crm.accounts WHERE tenant = uuid 'a'", "key tenants:a plain"},
      {"SELECT 1 FROM orders WHERE customer_id = NULL", "any plain"},
      {"SELECT 1 FROM orders WHERE customer_id IN (NULL, 5)", "key shop:5 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = NULL::int8", "any plain"},
  };
  sample::check(rows);
}

TEST_CASE("key_constant: values that hash differently from what they equal are no proof") {
  const sample::row rows[] = {
      {"SELECT 1 FROM orders WHERE customer_id = 5.0", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = 5e0", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = 9223372036854775808", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = '5'::numeric", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = $1::numeric", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = $1::float8", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = $1::numeric::int8", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = $1::text::int8", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = $1::mine.int8", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = $1::oid", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = B'101'", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = X'1F'", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = true", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = '5'::text", "RT003", "of another type"},
      {"SELECT 1 FROM orders WHERE customer_id = ~5", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = - '5'", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id IN (5, 5.5)", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = ANY (ARRAY[5, 5.5])", "RT003"},
      {"SELECT 1 FROM orders WHERE customer_id = ANY (ARRAY[5]::numeric[])", "RT003"},
      {"SELECT 1 FROM people WHERE nick = 5", "RT003", "of type text"},
      {"SELECT 1 FROM people WHERE nick = -$1", "RT003"},
      {"SELECT 1 FROM people WHERE nick = 'a '::bpchar", "RT003"},
      {"SELECT 1 FROM people WHERE nick = 'abc'::char(2)", "RT003"},
      {"SELECT 1 FROM people WHERE nick = 'abc'::varchar(2)", "RT003"},
      {"SELECT 1 FROM people WHERE nick = 'abc'::char", "RT003"},
      {"SELECT 1 FROM people WHERE nick = 'abc'::name", "RT003"},
      {"SELECT 1 FROM people WHERE nick = N'abc'", "RT003"},
      {"SELECT 1 FROM people WHERE nick = 'abc' COLLATE mine", "RT003"},
      {"SELECT 1 FROM people WHERE nick COLLATE mine = 'abc'", "RT003"},
      {"SELECT 1 FROM people WHERE nick = 'a' || 'b'", "RT003"},
      {"SELECT 1 FROM people WHERE nick = current_user", "RT003"},
      {"SELECT 1 FROM people WHERE nick LIKE 'bob'", "RT003"},
      {"SELECT 1 FROM people WHERE nick ILIKE 'bob'", "RT003"},
      {"SELECT 1 FROM crm.accounts WHERE tenant = 5", "RT003", "of type uuid"},
      {"SELECT 1 FROM crm.accounts WHERE tenant = 'x'::text", "RT003"},
  };
  sample::check(rows);
}

TEST_CASE("key_constant: a parameter that has other uses may get another type than the key's") {
  const sample::row rows[] = {
      {"SELECT 1 FROM orders WHERE customer_id = $1 AND total = $1", "key shop:$1 inferred plain"},
      {"SELECT $1 FROM orders WHERE customer_id = $1", "key shop:$1 inferred plain"},
      {"SELECT 1 FROM orders WHERE customer_id = $1 AND total = abs($1)", "key shop:$1 inferred plain"},
      {"SELECT 1 FROM orders WHERE customer_id = $1::int8 AND total = $1::numeric", "key shop:$1 inferred plain"},
      {"SELECT 1 FROM orders WHERE customer_id = $1 AND total IN (SELECT $1 UNION SELECT 5.5)", "key shop:$1 inferred plain"},
      {"SELECT 1 FROM orders o, people p WHERE o.customer_id = $1 AND p.nick = $1", "key shop:$1 inferred names:$1 inferred plain"},
      {"INSERT INTO orders (total, customer_id) VALUES ($1, $1)", "key shop:$1 inferred"},
      {"INSERT INTO orders (customer_id) SELECT $1 UNION SELECT $1", "key shop:$1 inferred"},
      {"UPDATE orders SET total = $1 WHERE customer_id = $1", "key shop:$1 inferred"},
      {"SELECT 1 FROM orders WHERE customer_id = $1 AND total = $2", "key shop:$1 plain"},
      {"SELECT 1 FROM orders o JOIN order_lines l ON l.customer_id = $1 WHERE o.customer_id = $1", "key shop:$1 plain"},
      {"SELECT 1 FROM orders WHERE customer_id = $1 AND total = $1::int4", "key shop:$1 plain"},
      {"SELECT $1::int8 FROM orders WHERE customer_id = $1::int8 AND total > $1::int8", "key shop:$1 plain"},
      {"INSERT INTO orders (customer_id, order_id) SELECT $1, g FROM generate_series(1, $2) g", "key shop:$1"},
      {"INSERT INTO orders (customer_id, order_id) VALUES ($1, 1), ($1, 2)", "key shop:$1"},
      {"INSERT INTO orders (order_id, customer_id) SELECT g, $1 FROM generate_series(1, $2) g", "key shop:$1"},
      {"INSERT INTO orders (order_id, customer_id) SELECT c.code, c.name, $1 FROM countries c", "RT003"},
  };
  sample::check(rows);
}
