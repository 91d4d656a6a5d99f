// Names: what a column reference may be taken for, with statements made to be mistaken.
#include <doctest/doctest.h>

#include "plan_text.h"

TEST_CASE("scope: correlated queries take the key from the level around them") {
  const sample::row rows[] = {
      {"SELECT * FROM orders o WHERE customer_id = 5 AND EXISTS (SELECT 1 FROM order_lines l WHERE l.customer_id = o.customer_id)",
       "key shop:5 plain"},
      {"SELECT (SELECT count(*) FROM order_lines l WHERE l.customer_id = o.customer_id) FROM orders o WHERE o.customer_id = 5",
       "key shop:5 plain"},
      {"SELECT * FROM orders o WHERE customer_id = 5 AND NOT EXISTS (SELECT 1 FROM order_lines l WHERE l.customer_id = o.customer_id)",
       "key shop:5 plain"},
      {"SELECT * FROM orders WHERE customer_id = 5 ORDER BY (SELECT max(line) FROM order_lines l WHERE l.customer_id = orders.customer_id)",
       "key shop:5 plain"},
      {"SELECT * FROM orders WHERE customer_id = 5 AND EXISTS (SELECT 1 FROM clicks WHERE cust = customer_id)", "key shop:5 plain"},
      {"SELECT * FROM orders o WHERE customer_id = 5 AND EXISTS (SELECT 1 FROM order_lines l WHERE l.customer_id = o.customer_id AND EXISTS "
       "(SELECT 1 FROM clicks WHERE cust = o.customer_id))",
       "key shop:5 plain"},
      {"SELECT ARRAY(SELECT line FROM order_lines WHERE customer_id = 5)", "key shop:5 plain"},
      {"WITH w AS (SELECT * FROM orders WHERE customer_id = 5) SELECT * FROM w, order_lines l WHERE l.customer_id = w.customer_id",
       "key shop:5 plain"},
      {"WITH w(k) AS (SELECT customer_id FROM orders WHERE customer_id = 5) SELECT * FROM order_lines l JOIN w ON l.customer_id = w.k",
       "key shop:5 plain"},
      {"WITH orders AS (SELECT 1 AS x) SELECT * FROM orders", "any plain"},
      {"WITH a AS (SELECT 5 AS k), b AS (SELECT k FROM a) SELECT * FROM orders o JOIN b ON o.customer_id = b.k", "key shop:5 plain"},
      {"WITH w AS (SELECT 5 AS k UNION SELECT 6) SELECT * FROM orders o JOIN w ON o.customer_id = w.k", "key shop:5 shop:6 plain"},
      {"WITH w AS MATERIALIZED (SELECT * FROM orders WHERE customer_id = 5) SELECT * FROM (WITH v AS (SELECT * FROM w) SELECT * FROM v) x",
       "key shop:5 plain"},
      {"WITH RECURSIVE t AS (SELECT order_id FROM orders WHERE customer_id = 5 UNION ALL SELECT o.order_id FROM orders o JOIN t "
       "ON o.order_id = t.order_id WHERE o.customer_id = 5) SELECT * FROM t",
       "key shop:5 plain"},
      {"SELECT customer_id FROM orders WHERE customer_id = 5 UNION SELECT customer_id FROM order_lines WHERE customer_id = $1",
       "key shop:5 shop:$1 plain"},
      {"(SELECT 1 FROM orders WHERE customer_id = 5) EXCEPT (SELECT 2 INTERSECT SELECT 3) ORDER BY 1", "key shop:5 plain"},
  };
  sample::check(rows);
}

TEST_CASE("scope: names that belong to something else prove nothing") {
  const sample::row rows[] = {
      // a CTE does not see conditions at its uses
      {"WITH w AS (SELECT * FROM orders) SELECT * FROM w WHERE customer_id = 5", "RT003"},
      // a CTE name is visible only inside its statement, and not with a schema
      {"WITH orders AS (SELECT 1) SELECT * FROM public.orders", "RT003"},
      {"WITH orders AS (SELECT * FROM orders) SELECT * FROM orders", "RT003"},
      {"SELECT * FROM (WITH orders AS (SELECT 1) SELECT 1) x, orders", "RT003"},
      // an alias hides the name of the table, and the table behind the name
      {"SELECT * FROM orders o WHERE orders.customer_id = 5", "RT003"},
      {"SELECT * FROM order_lines orders, orders o WHERE orders.customer_id = 5", "RT003", "(as \"o\")"},
      // the inner alias hides the outer one
      {"SELECT * FROM orders o WHERE EXISTS (SELECT 1 FROM order_lines o WHERE o.customer_id = 5)", "RT003", "\"public.orders\""},
      {"SELECT * FROM orders o WHERE o.customer_id = 5 AND EXISTS (SELECT 1 FROM order_lines l, (SELECT 1 AS customer_id, 2) o "
       "WHERE l.customer_id = o.customer_id + 0)",
       "RT003", "(as \"l\")"},
      {"SELECT * FROM orders o WHERE o.customer_id = 5 AND EXISTS (SELECT 1 FROM order_lines l, generate_series(1, 9) o WHERE "
       "l.customer_id = o.customer_id)",
       "RT003", "(as \"l\")"},
      // an unqualified name is the inner one if an inner relation may have it
      {"SELECT * FROM orders WHERE customer_id = 5 AND EXISTS (SELECT 1 FROM clicks, jsonb_to_record('{}') x WHERE cust = customer_id)",
       "RT003", "\"public.clicks\""},
      {"SELECT * FROM orders WHERE customer_id = 5 AND EXISTS (SELECT 1 FROM clicks, (SELECT 3 AS x) y WHERE cust = customer_id)",
       "key shop:5 plain"},
      {"SELECT * FROM orders WHERE customer_id = 5 AND EXISTS (SELECT 1 FROM clicks, (SELECT url AS customer_id FROM clicks WHERE cust = 5) y "
       "WHERE cust = customer_id)",
       "RT003", "\"public.clicks\""},
      // an aliased join hides its relations: this o is the outer one
      {"SELECT * FROM orders o WHERE o.customer_id = 5 AND EXISTS (SELECT 1 FROM (orders o CROSS JOIN countries) j WHERE o.customer_id = 5)",
       "RT003"},
      {"SELECT * FROM orders o JOIN order_lines l USING (customer_id) AS u WHERE u.customer_id = 5", "RT003"},
      // ON sees its own arms only
      {"SELECT * FROM orders o WHERE o.customer_id = 5 AND EXISTS (SELECT 1 FROM order_lines o, clicks c JOIN countries n ON c.cust = "
       "o.customer_id)",
       "RT003"},
      // a subquery in FROM does not see its siblings unless LATERAL
      {"SELECT * FROM orders o, (SELECT * FROM order_lines l WHERE l.customer_id = o.customer_id) x WHERE o.customer_id = 5", "RT003"},
      // every branch and every level counts
      {"SELECT customer_id FROM orders WHERE customer_id = 5 UNION SELECT customer_id FROM order_lines", "RT003", "order_lines"},
      {"SELECT 1 WHERE EXISTS (SELECT 1 FROM orders)", "RT003"},
      {"SELECT 1 ORDER BY (SELECT count(*) FROM orders)", "RT003"},
      {"SELECT 1 LIMIT (SELECT count(*) FROM orders)", "RT003"},
      {"SELECT 1 OFFSET (SELECT count(*) FROM orders)", "RT003"},
      {"VALUES ((SELECT count(*) FROM orders))", "RT003"},
      {"SELECT 1 UNION SELECT 2 LIMIT (SELECT count(*) FROM orders)", "RT003"},
      {"SELECT CASE WHEN true THEN (SELECT count(*) FROM orders) END", "RT003"},
      {"SELECT ARRAY[(SELECT count(*) FROM orders)]", "RT003"},
      {"SELECT ROW((SELECT count(*) FROM orders))", "RT003"},
      {"SELECT sum(1) FILTER (WHERE EXISTS (SELECT 1 FROM orders))", "RT003"},
      {"SELECT sum(1) OVER (ORDER BY (SELECT count(*) FROM orders))", "RT003"},
      {"SELECT sum(1) OVER w WINDOW w AS (PARTITION BY (SELECT count(*) FROM orders))", "RT003"},
      {"SELECT 1 GROUP BY (SELECT count(*) FROM orders)", "RT003"},
      {"SELECT DISTINCT ON ((SELECT count(*) FROM orders)) 1", "RT003"},
      {"SELECT * FROM generate_series(1, (SELECT count(*) FROM orders))", "RT003"},
      {"SELECT * FROM countries TABLESAMPLE system ((SELECT count(*) FROM orders))", "RT003"},
      {"SELECT * FROM countries JOIN countries c ON EXISTS (SELECT 1 FROM orders)", "RT003"},
      {"SELECT * FROM XMLTABLE('/x' PASSING ((SELECT url FROM clicks)::xml) COLUMNS a int)", "RT003"},
      {"SELECT (ARRAY[1])[(SELECT count(*) FROM orders)]", "RT003"},
      {"WITH w AS (SELECT * FROM orders) SELECT 1", "RT003"},
      {"WITH w AS (DELETE FROM orders RETURNING *) SELECT 1", "RT003"},
      {"WITH RECURSIVE t AS (SELECT 5 AS k UNION SELECT k + 1 FROM t) SELECT * FROM orders o JOIN t ON o.customer_id = t.k", "RT003"},
      // ungrounded: equal to each other, limited by nothing
      {"SELECT * FROM orders o JOIN order_lines l USING (customer_id)", "RT003"},
      {"SELECT * FROM orders o WHERE customer_id = customer_id", "RT003"},
      {"SELECT * FROM orders o WHERE EXISTS (SELECT 1 FROM order_lines l WHERE l.customer_id = o.customer_id AND l.customer_id = 5)",
       "RT003", "(as \"o\")"},
  };
  sample::check(rows);
}
