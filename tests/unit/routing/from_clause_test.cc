#include <doctest/doctest.h>

#include "plan_text.h"

TEST_CASE("from_clause: keys pass through joins of one distribution") {
  const sample::row rows[] = {
      {"SELECT * FROM orders o, order_lines l WHERE o.customer_id = l.customer_id AND o.customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM orders o JOIN order_lines l ON o.customer_id = l.customer_id WHERE l.customer_id = $1", "key shop:$1 plain"},
      {"SELECT * FROM orders o JOIN order_lines l ON o.customer_id = l.customer_id AND l.customer_id = $1", "key shop:$1 plain"},
      {"SELECT * FROM orders JOIN order_lines USING (customer_id) WHERE customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM orders JOIN order_lines USING (customer_id, order_id) JOIN customers USING (customer_id) WHERE customer_id = 5",
       "key shop:5 plain"},
      {"SELECT * FROM orders NATURAL JOIN order_lines WHERE customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM orders o JOIN clicks c ON c.cust = o.customer_id WHERE o.customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM orders o LEFT JOIN order_lines l ON l.customer_id = o.customer_id WHERE o.customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM orders o LEFT JOIN order_lines l USING (customer_id) WHERE customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM order_lines l RIGHT JOIN orders o USING (customer_id) WHERE customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM order_lines l RIGHT JOIN orders o ON l.customer_id = o.customer_id WHERE o.customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM countries c LEFT JOIN customers k ON k.country = c.code AND k.customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM countries c LEFT JOIN customers k ON k.country = c.code WHERE k.customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM countries c CROSS JOIN orders WHERE customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM countries c LEFT JOIN (orders o JOIN order_lines l USING (customer_id)) ON o.customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM (orders o LEFT JOIN order_lines l ON o.customer_id = l.customer_id) JOIN countries c ON o.customer_id = 5",
       "key shop:5 plain"},
      {"SELECT * FROM orders a JOIN orders b ON a.customer_id = b.customer_id JOIN orders c ON c.customer_id = b.customer_id "
       "WHERE c.customer_id = 5",
       "key shop:5 plain"},
      {"SELECT * FROM orders o JOIN order_lines l ON (l.customer_id, l.order_id) = (o.customer_id, o.order_id) WHERE o.customer_id = 5",
       "key shop:5 plain"},
      {"SELECT * FROM (VALUES (5), (6)) v(k) JOIN orders ON customer_id = k", "key shop:5 shop:6 plain"},
      {"SELECT * FROM (SELECT $1::int8 AS k) p JOIN orders o ON o.customer_id = p.k", "key shop:$1 plain"},
      {"SELECT * FROM (SELECT * FROM orders) o WHERE o.customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM (SELECT customer_id AS k, total FROM orders) o WHERE k = 5", "key shop:5 plain"},
      {"SELECT * FROM (SELECT customer_id, total FROM orders) o(k, t) WHERE o.k = 5", "key shop:5 plain"},
      {"SELECT * FROM (SELECT o.*, l.line FROM orders o JOIN order_lines l ON o.customer_id = l.customer_id) x WHERE x.customer_id = 5",
       "key shop:5 plain"},
      {"SELECT * FROM (SELECT * FROM orders WHERE customer_id = 5 LIMIT 3) o JOIN order_lines l ON l.customer_id = o.customer_id",
       "key shop:5 plain"},
      {"SELECT * FROM orders o, LATERAL (SELECT * FROM order_lines l WHERE l.customer_id = o.customer_id LIMIT 1) x WHERE o.customer_id = 5",
       "key shop:5 plain"},
      {"SELECT * FROM orders o LEFT JOIN LATERAL (SELECT max(line) FROM order_lines l WHERE l.customer_id = o.customer_id) x ON true "
       "WHERE o.customer_id = 5",
       "key shop:5 plain"},
      {"SELECT * FROM orders o, generate_series(1, o.order_id) g WHERE o.customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM orders o(k) WHERE k = 5", "key shop:5 plain"},
      {"SELECT * FROM orders o(a, b) WHERE a = 5", "key shop:5 plain"},
      {"SELECT * FROM (orders o JOIN order_lines l USING (customer_id)) AS j WHERE j.customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM crm.visits v JOIN orders o ON v.customer_id = o.customer_id WHERE v.customer_id = 5 AND o.customer_id = 5",
       "key other:5 shop:5 plain"},
      {"SELECT * FROM bare WHERE customer_id = 5", "key shop:5 plain"},
  };
  sample::check(rows);
}

TEST_CASE("from_clause: outer joins limit only their nullable side, and what cannot be followed is refused") {
  const sample::row rows[] = {
      {"SELECT * FROM orders o, order_lines l WHERE o.customer_id = 5", "RT003", "(as \"l\")"},
      {"SELECT * FROM orders o JOIN order_lines l ON o.order_id = l.order_id WHERE o.customer_id = 5", "RT003", "(as \"l\")"},
      {"SELECT * FROM orders o LEFT JOIN order_lines l ON o.customer_id = 5", "RT003", "(as \"o\")"},
      {"SELECT * FROM orders o LEFT JOIN order_lines l ON l.customer_id = o.customer_id AND o.customer_id = 5", "RT003", "(as \"o\")"},
      {"SELECT * FROM orders o LEFT JOIN order_lines l ON l.customer_id = 5 AND l.customer_id = o.customer_id", "RT003", "(as \"o\")"},
      {"SELECT * FROM orders o LEFT JOIN order_lines l USING (customer_id) WHERE l.customer_id = 5", "RT003", "(as \"o\")"},
      {"SELECT * FROM orders o RIGHT JOIN order_lines l ON l.customer_id = 5", "RT003"},
      {"SELECT * FROM order_lines l RIGHT JOIN orders o USING (customer_id) WHERE l.customer_id = 5", "RT003", "(as \"o\")"},
      {"SELECT * FROM orders o FULL JOIN order_lines l ON o.customer_id = 5 AND l.customer_id = 5", "RT003"},
      {"SELECT * FROM orders FULL JOIN order_lines USING (customer_id) WHERE customer_id = 5", "RT003"},
      {"SELECT * FROM orders o FULL JOIN order_lines l ON o.customer_id = l.customer_id WHERE o.customer_id = 5", "RT003", "(as \"l\")"},
      {"SELECT * FROM orders NATURAL FULL JOIN order_lines WHERE customer_id = 5", "RT003"},
      {"SELECT * FROM orders o LEFT JOIN order_lines l USING (order_id) WHERE o.customer_id = 5", "RT003", "(as \"l\")"},
      {"SELECT * FROM crm.visits v JOIN orders o ON v.customer_id = o.customer_id WHERE v.customer_id = 5", "RT003"},
      {"SELECT * FROM (SELECT * FROM orders LIMIT 10) o WHERE o.customer_id = 5", "RT003"},
      {"SELECT * FROM (SELECT * FROM orders OFFSET 1) o WHERE o.customer_id = 5", "RT003"},
      {"SELECT * FROM (SELECT DISTINCT * FROM orders) o WHERE o.customer_id = 5", "RT003"},
      {"SELECT * FROM (SELECT customer_id, count(*) FROM orders GROUP BY 1) o WHERE o.customer_id = 5", "RT003"},
      {"SELECT * FROM (SELECT *, row_number() OVER (ORDER BY total) FROM orders) o WHERE o.customer_id = 5", "RT003"},
      {"SELECT * FROM (SELECT * FROM orders FOR UPDATE) o WHERE o.customer_id = 5", "RT003"},
      {"SELECT * FROM (SELECT * FROM orders UNION ALL SELECT * FROM orders) o WHERE o.customer_id = 5", "RT003"},
      {"SELECT * FROM (SELECT customer_id + 1 AS customer_id FROM orders) o WHERE o.customer_id = 5", "RT003"},
      {"SELECT * FROM (SELECT order_id AS customer_id FROM orders) o WHERE o.customer_id = 5", "RT003"},
      {"SELECT * FROM orders o(customer, customer_id) WHERE customer_id = 5", "RT003"},
      {"SELECT * FROM (orders o JOIN order_lines l USING (customer_id)) AS j(a) WHERE j.customer_id = 5", "RT003"},
      {"SELECT * FROM (VALUES (5), (6.5)) v(k) JOIN orders ON customer_id = k", "RT003"},
      {"SELECT * FROM (VALUES ('x'::bpchar)) v(k) JOIN people ON nick = k", "RT003"},
      {"SELECT * FROM (SELECT random() AS k) v JOIN orders ON customer_id = k", "RT003"},
      {"SELECT * FROM generate_series(5, 5) k JOIN orders ON customer_id = k", "RT003"},
      {"SELECT * FROM ROWS FROM (generate_series(1, 2)) AS g(k), orders WHERE customer_id = k", "RT003"},
      {"SELECT * FROM orders, LATERAL (SELECT orders.customer_id = 5) x", "RT003"},
      {"SELECT * FROM bare b(k) WHERE k = 5", "RT003"},
      {"SELECT * FROM twins WHERE customer_id = 5", "RT003", "ambiguous"},
      {"SELECT * FROM order_totals WHERE customer_id = 5", "RT003", "a view over a sharded table"},
      {"SELECT * FROM orders o, order_totals t WHERE o.customer_id = 5", "RT003", "order_totals"},
      {"SELECT * FROM orders, settings WHERE customer_id = 5", "RT003", "default shard only"},
      {"SELECT * FROM orders WHERE customer_id = 5 AND total > (SELECT min FROM settings)", "RT003", "settings"},
  };
  sample::check(rows);
}

TEST_CASE("from_clause: tables that are not sharded") {
  const sample::row rows[] = {
      {"SELECT 1", "any plain"},
      {"VALUES (1), (2)", "any plain"},
      {"SELECT * FROM countries", "any plain"},
      {"SELECT * FROM public.countries c WHERE c.code = 'de'", "any plain"},
      {"SELECT * FROM settings", "default plain"},
      {"SELECT * FROM settings s JOIN countries c ON true", "default plain"},
      {"SELECT * FROM other.orders", "default plain"},
      {"SELECT * FROM pg_class", "any plain"},
      {"SELECT * FROM pg_catalog.pg_class c JOIN information_schema.tables t ON true", "any plain"},
      {"SELECT * FROM orders o, pg_class c WHERE o.customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM orders JOIN countries ON true WHERE customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM public.twins WHERE customer_id = 5", "key shop:5 plain"},
      {"SELECT * FROM pg_temp.scratch", "default plain"},
      {"SELECT * FROM generate_series(1, 3)", "any plain"},
  };
  sample::check(rows);
}
