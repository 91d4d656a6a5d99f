"""Hand-written statements of the oracle: what routers were seen to answer wrongly, one by one, and what the generator seldom makes."""
from expressions import Parameter
from statements import Statement

TOTAL = (  # every one of the rows in its place
    "SELECT region, count(*) FROM customers GROUP BY region HAVING count(*) > 5 ORDER BY region",
    "SELECT region, sum(balance) / count(*) AS mean, avg(balance), max(balance) - min(balance) FROM customers GROUP BY region ORDER BY region NULLS FIRST",
    "SELECT sum(region) FROM customers GROUP BY country ORDER BY country DESC NULLS LAST",
    "SELECT name FROM customers ORDER BY born NULLS FIRST, customer_id LIMIT 10 OFFSET 5",
    "SELECT name, nick FROM customers ORDER BY nick DESC NULLS LAST, name COLLATE \"en-x-icu\", customer_id FETCH FIRST 7 ROWS ONLY",
    "SELECT region FROM customers ORDER BY region FETCH FIRST 3 ROWS WITH TIES",
    "SELECT DISTINCT ON (region) region, customer_id, balance FROM customers ORDER BY region, balance DESC NULLS LAST, customer_id",
    "SELECT customer_id, rank() OVER (PARTITION BY region ORDER BY balance), sum(balance) OVER () FROM customers ORDER BY customer_id",
    "SELECT customer_id, (SELECT count(*) FROM orders o WHERE o.total > c.balance) FROM customers c ORDER BY 1",
    "SELECT customer_id FROM customers WHERE balance > (SELECT avg(balance) FROM customers) ORDER BY 1",
    "SELECT c.customer_id FROM customers c WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = 7) ORDER BY 1",
    "SELECT c.customer_id FROM customers c WHERE NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.customer_id) ORDER BY 1",
    "SELECT c.customer_id FROM customers c WHERE c.customer_id IN (SELECT referred_by FROM customers WHERE customer_id = 30) ORDER BY 1",
    "SELECT customer_id = 7, count(*) FROM customers GROUP BY 1 ORDER BY 1",
    "SELECT customer_id FROM customers WHERE customer_id IN (1, 3) ORDER BY 1",
    "SELECT customer_id FROM customers WHERE customer_id = ANY ('{1,3,5,9,12}') ORDER BY 1 DESC",
    "SELECT customer_id FROM customers WHERE customer_id = 1 OR region = 3 ORDER BY 1",
    "SELECT customer_id FROM customers WHERE CASE WHEN region = 3 THEN customer_id = 1 ELSE customer_id = 5 END ORDER BY 1",
    "SELECT customer_id FROM customers WHERE NOT (customer_id = 7) ORDER BY customer_id",
    "SELECT customer_id FROM customers WHERE customer_id = 7 IS NOT TRUE ORDER BY customer_id",
    "SELECT customer_id FROM customers WHERE customer_id = 7 AND customer_id = 8",
    "SELECT customer_id, name FROM customers WHERE customer_id = 1 UNION SELECT customer_id, name FROM customers WHERE customer_id = 3 ORDER BY 1",
    "SELECT customer_id FROM customers EXCEPT SELECT customer_id FROM orders ORDER BY 1",
    "SELECT customer_id FROM customers INTERSECT ALL SELECT customer_id FROM orders ORDER BY 1",
    "SELECT count(*), count(o.order_id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.customer_id AND c.customer_id = 7",
    "SELECT count(*), count(o.order_id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.customer_id AND o.customer_id = 7",
    "SELECT count(*), count(c.region) FROM customers c RIGHT JOIN orders o ON o.customer_id = c.customer_id AND c.customer_id = 7",
    "SELECT count(*) FROM customers c FULL JOIN orders o ON o.customer_id = c.referred_by",
    "SELECT c.customer_id, r.name FROM customers c LEFT JOIN customers r ON r.customer_id = c.referred_by ORDER BY 1",
    "SELECT d.device, c.name FROM devices d LEFT JOIN customers c USING (customer_id) ORDER BY 1",
    "SELECT c.customer_id, k.label FROM customers c JOIN countries k ON k.code = c.country ORDER BY 1",
    "SELECT k.code, count(c.customer_id) FROM countries k LEFT JOIN customers c ON k.code = c.country GROUP BY 1 ORDER BY 1",
    "SELECT n.id, c.name FROM notes n LEFT JOIN customers c USING (customer_id) ORDER BY 1",
    "SELECT count(DISTINCT region), count(DISTINCT (country, region)), array_agg(DISTINCT country ORDER BY country) FROM customers",
    "SELECT count(*) FILTER (WHERE active), string_agg(name, ',' ORDER BY customer_id), percentile_cont(0.5) WITHIN GROUP (ORDER BY region) FROM customers",
    "SELECT region, active, grouping(region, active), count(*) FROM customers GROUP BY CUBE (region, active) ORDER BY 3, 1, 2",
    "SELECT max(ratio), min(ratio), sum(ratio), max(raw::text) FROM orders",
    "SELECT ratio, count(*) FROM orders GROUP BY ratio ORDER BY ratio DESC",
    "SELECT span, count(*) FROM lines WHERE span && '[1,6)' GROUP BY span ORDER BY span",
    "SELECT sum(total), avg(total), count(*) FROM orders WHERE false",
    "SELECT region FROM customers WHERE false GROUP BY region",
    "SELECT status, max(total) FROM orders GROUP BY status ORDER BY status DESC",
    "WITH w AS (SELECT customer_id, sum(total) AS t FROM orders GROUP BY 1) SELECT max(t), min(t) FROM w",
    "WITH orders AS (SELECT customer_id FROM customers) SELECT count(*) FROM orders",
    "SELECT * FROM (SELECT customer_id, total FROM orders ORDER BY total, customer_id, order_id LIMIT 3) s ORDER BY 1, 2",
    "SELECT c.customer_id, l.total FROM customers c CROSS JOIN LATERAL (SELECT total FROM orders o WHERE o.customer_id = c.customer_id ORDER BY total LIMIT 1) l ORDER BY 1",
    "SELECT count(*) FROM customers a, customers b WHERE a.customer_id = 7 AND b.customer_id = 8",
    "SELECT count(*) FROM customers a JOIN orders b ON a.customer_id = b.customer_id AND b.customer_id = 7",
    "SELECT count(*) FROM orders o JOIN lines l USING (customer_id, order_id) WHERE o.customer_id = 12",
    "SELECT count(*) FROM customers WHERE (customer_id, region) = (7, region)",
    "SELECT count(*) FROM customers WHERE customer_id IS NOT DISTINCT FROM 7",
    "SELECT count(*) FROM customers WHERE customer_id BETWEEN 7 AND 7",
    "SELECT count(*) FROM customers WHERE customer_id = 7.0",
    "SELECT count(*) FROM customers WHERE customer_id = 7.5",
    "SELECT count(*) FROM customers WHERE customer_id = '7'",
    "SELECT count(*) FROM customers WHERE customer_id::text = '7'",
    "SELECT count(*) FROM customers WHERE customer_id = (SELECT 7)",
    "SELECT count(*) FROM articles WHERE sku = 'Axe/1'::char(10)",
    "SELECT count(*) FROM articles WHERE sku = 'Axe/1' COLLATE \"C\"",
    "SELECT count(*) FROM articles WHERE sku LIKE 'Axe/1'",
    "SELECT count(*) FROM articles WHERE lower(sku) = 'axe/1'",
    "VALUES (1), (2) ORDER BY 1 DESC", "TABLE levels ORDER BY level", "SELECT", "SELECT FROM customers WHERE customer_id = 7", "",
)
ANYHOW = ("SELECT * FROM customers", "SELECT FROM customers", "SELECT c FROM customers c WHERE customer_id < 4", "SELECT (c).name, c.* FROM customers c", "TABLE orders",
          "SELECT row(customer_id, region) FROM customers", "SELECT customer_id FROM customers ORDER BY region", "SELECT 1 FROM customers", "SELECT NULL FROM customers GROUP BY region",
          "SELECT DISTINCT region, country FROM customers", "SELECT DISTINCT feeling FROM customers", "SELECT unnest(tags) FROM customers", "SELECT generate_series(1, small) FROM customers WHERE small < 5",
          "SELECT jsonb_each_text(extra) FROM customers WHERE jsonb_typeof(extra) = 'object'", "SELECT xmin IS NOT NULL FROM customers", "SELECT c.customer_id FROM ONLY customers c")
SEVERAL = ("SELECT 1 FROM customers WHERE customer_id = 1; SELECT 3 FROM customers WHERE customer_id = 3", "SELECT count(*) FROM customers; SELECT nosuch FROM customers; SELECT 1",
           "BEGIN; SELECT count(*) FROM orders; COMMIT", "SELECT 1; ; SELECT name FROM customers WHERE customer_id = 2;")
BOUND = (  # text, parameters, others: one prepared statement with two sets of values
    ("SELECT customer_id FROM customers ORDER BY 1 LIMIT $1 OFFSET $2", ("3", "2"), ("5", "50")),
    ("SELECT customer_id FROM customers WHERE customer_id = $1 OR customer_id = $2 ORDER BY 1", ("3", "3"), ("3", "4")),
    ("SELECT customer_id FROM customers WHERE customer_id = ANY ($1) ORDER BY 1", ("{1,2,3}",), ("{}",)),
    ("SELECT customer_id FROM customers WHERE customer_id = $1", (None,), ("9",)),
    ("SELECT customer_id, $2::text FROM customers WHERE customer_id IN ($1, 5) ORDER BY 1", ("5", None), ("6", "x")),
    ("SELECT region, count(*) FROM customers WHERE balance > $1 GROUP BY region HAVING count(*) > $2 ORDER BY 1", ("0", "1"), ("900", "0")),
    ("SELECT $1 FROM customers WHERE customer_id = 3", ("x",), ("y",)),
    ("SELECT count(*) FROM customers c JOIN orders o USING (customer_id) WHERE c.customer_id = $1 AND o.total > $2", ("7", "1"), ("8", "2")),
)


def bound(values):
    return [Parameter(0, value, False) for value in values]


def made():
    yield from (Statement(0, text, order=["total"]) for text in TOTAL)
    yield from (Statement(0, text, "extended", order=["total"], binary=True) for text in TOTAL)
    yield from (Statement(0, text, mode) for text in ANYHOW for mode in ("simple", "prepared"))
    yield from (Statement(0, text) for text in SEVERAL)
    yield from (Statement(0, text, "prepared", bound(values), bound(others), ["total"]) for text, values, others in BOUND)


FIXED = list(made())
for number, statement in enumerate(FIXED, 1):
    statement.number = f"F{number}"
