"""Statements of the oracle: the K-th of a seed, in one of the ways that clients have, and what of its answer is in order."""
import random

from queries import Queries

RECURSIVE = (
    "WITH RECURSIVE r(id, up, depth) AS (SELECT customer_id, referred_by, 0 FROM customers WHERE {start} UNION ALL SELECT c.customer_id, c.referred_by, r.depth + 1"
    " FROM customers c JOIN r ON c.customer_id = r.up WHERE r.depth < 20) ",
    "WITH RECURSIVE r(id, up, depth) AS (SELECT customer_id::int8, referred_by, 0 FROM customers WHERE {start} UNION SELECT c.customer_id, c.referred_by, r.depth + 1"
    " FROM customers c, r WHERE c.referred_by = r.id AND r.depth < 4) ",
    "WITH RECURSIVE r(id, up, depth) AS (SELECT id::int8, parent::int8, 0 FROM nodes WHERE id < 9 UNION ALL SELECT n.id, n.parent, depth + 1 FROM nodes n JOIN r ON n.parent = r.id) ",
    "WITH RECURSIVE r(id, up, depth) AS (SELECT 1::int8, 2::int8, 0 UNION ALL SELECT id + 1, (SELECT max(order_id) FROM orders WHERE customer_id = r.id), depth + 1 FROM r WHERE depth < 9) ",
)
# Errors that every way of running the statement must come to.
ERRORS = (
    "SELECT 1 / (priority - priority) FROM orders WHERE priority IS NOT NULL", "SELECT order_id, 100 / (order_id - order_id) FROM orders ORDER BY 1", "SELECT name::int FROM customers",
    "SELECT nosuch FROM orders", "SELECT customers.total FROM customers", "SELECT * FROM nosuch", "SELECT nosuch(total) FROM orders", "SELECT total FROM orders GROUP BY note",
    "SELECT sum(note) FROM orders", "SELECT note + total FROM orders", "SELECT customer_id FROM orders o JOIN lines l ON o.order_id = l.order_id", "SELECT o.* FROM orders",
    "SELECT total FROM orders UNION SELECT note FROM orders", "SELECT total FROM orders UNION SELECT total, note FROM orders", "SELECT count(*) FROM orders HAVING total > 1",
    "SELECT sum(sum(total)) FROM orders", "SELECT total FROM orders WHERE sum(total) > 1", "SELECT DISTINCT total FROM orders ORDER BY note", "SELECT total FROM orders ORDER BY 3",
    "SELECT total FROM orders LIMIT -1", "SELECT total FROM orders LIMIT 'a'", "SELECT max(total) / 0 FROM orders", "SELECT count(*) / (count(*) - count(*)) FROM orders", "SELECT * FROM orders WHERE customer_id = 'x'",
    "SELECT (SELECT total FROM orders) FROM customers", "SELECT * FROM customers WHERE region = (SELECT region FROM customers)", "SELECT ''::numeric + sum(total) FROM orders",
    "SELECT array_agg(note ORDER BY total) FROM orders GROUP BY GROUPING SETS (note, nosuch)", "SELECT 'x'::mood FROM orders", "SELECT max(nick || title) FROM customers ORDER BY 1",
    "SELECT count(*) FROM customers WHERE nick < title", "SELECT row_number() OVER (ORDER BY total) FROM orders WHERE row_number() OVER () > 1", "SELECT sqrt(-1 - abs(priority)) FROM orders",
    "SELECT total FROM orders FETCH FIRST ROW WITH TIES", "SELECT DISTINCT ON (note) total FROM orders ORDER BY total", "SELECT total, FROM orders", "SELEC total FROM orders",
    "SELECT x.total FROM orders AS o", "SELECT substr(note, 1, -1) FROM orders", "SELECT lag(total, 1, 'x') OVER (ORDER BY total) FROM orders", "SELECT to_char(total, 'x', 'y') FROM orders",
    "SELECT 9223372036854775807 + customer_id FROM customers", "SELECT sum(2147483647::int4 * order_id) FROM orders", "SELECT * FROM orders o FULL JOIN lines l ON o.order_id < l.order_id")


class Statement:
    """`order`: one word or list of positions a result. `parameters` and `others`: two sets of values. `rows`: of a FETCH or Execute."""

    def __init__(self, number, text, mode="simple", parameters=(), others=(), order=("open",), binary=False, before=(), rows=3, fails=False):
        self.number, self.text, self.mode, self.parameters, self.others, self.order = number, text, mode, list(parameters), list(others), order
        self.binary, self.before, self.rows, self.fails = binary, (before,) if isinstance(before, str) else before, rows, fails

    def told(self):
        lines = [f"{self.mode}{', binary results' if self.binary else ''}"] + [f"first: {text}" for text in self.before] + [self.text]
        lines += [f"  ${index} = {value!r}" for index, value in enumerate(self.parameters, 1)]
        if self.mode == "prepared":
            lines += [f"  then ${index} = {value!r}" for index, value in enumerate(self.others, 1)]
        return "\n".join(lines)


def with_clauses(queries):
    """Makes CTEs, which the queries behind see."""
    words = []
    for _ in range(queries.one((1, 1, 2))):
        name = queries.name("w") if queries.chance(0.85) or any(name == "orders" for name, _ in queries.ctes) else "orders"
        query = queries.query([], 0)
        words.append(f"{name} AS {queries.one(('', '', 'MATERIALIZED ', 'NOT MATERIALIZED '))}({query.text})")
        queries.ctes.append((name, query.columns))
    return f"WITH {', '.join(words)} "


def recursive(queries):
    queries.ctes.append(("r", [("id", "int"), ("up", "int"), ("depth", "int")]))
    return queries.one(RECURSIVE).replace("{start}", queries.one(("customer_id = 40", "region = 3", "customer_id IN (7, 30, 50)", "referred_by IS NULL", "true")))


def fresh(pick, parameterised):
    queries = Queries(pick, parameterised)
    queries.bare_names = set()
    return queries


def whole(queries):
    way = queries.pick.random()
    clause = with_clauses(queries) if way < 0.12 else recursive(queries) if way < 0.16 else ""
    query = queries.query([], 2, top=True)
    return clause + query.text, query.order


def several(number, pick):
    """Some statements of one simple query."""
    parts = [whole(fresh(pick, False)) for _ in range(pick.choice((2, 2, 3)))]
    return Statement(number, "; ".join(text for text, _ in parts), order=[order for _, order in parts])


def generated(seed, number):
    pick = random.Random(f"{seed} {number}")
    way = pick.random()
    mode = pick.choice(("simple", "simple", "simple", "extended", "extended", "prepared", "prepared", "portal", "declare"))
    if way < 0.02:
        return several(number, pick)
    if way < 0.05:
        return Statement(number, pick.choice(ERRORS), mode, fails=True)
    queries = fresh(pick, mode not in ("simple", "declare"))
    text, order = whole(queries)
    before = ()
    if mode in ("simple", "extended") and pick.random() < 0.1:
        before = pick.choice(SETTINGS)
    return Statement(number, text, mode, queries.parameters, queries.others, [order], mode not in ("simple", "declare") and pick.random() < 0.5, before, pick.choice((1, 3, 10, 200)))


SETTINGS = ("SET TimeZone = 'Asia/Tokyo'", "SET DateStyle = 'German, DMY'", "SET IntervalStyle = 'iso_8601'", "SET bytea_output = 'escape'", "SET extra_float_digits = 0",
            "SET search_path = pg_catalog, public", "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            "BEGIN; UPDATE customers SET region = 99, name = 'changed' WHERE customer_id = 7", "BEGIN; DELETE FROM orders WHERE customer_id = 12",
            "BEGIN; INSERT INTO customers (customer_id, name, region) VALUES (1001, 'new', 3)",
            ("BEGIN", "INSERT INTO customers (customer_id, name, region) VALUES (1002, 'ab', 3)", "UPDATE orders SET total = 1.00 WHERE customer_id = 5", "DELETE FROM lines WHERE customer_id = 9"),
            ("BEGIN", "UPDATE levels SET label = 'changed' WHERE level = 2", "UPDATE notes SET body = NULL WHERE id < 20"),
            ("BEGIN ISOLATION LEVEL SERIALIZABLE", "SAVEPOINT a", "UPDATE customers SET region = 4 WHERE customer_id = 3", "ROLLBACK TO a", "UPDATE articles SET stock = 0 WHERE sku = 'Axe/1'"))
