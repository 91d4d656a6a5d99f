"""Random queries on top of expressions.py. Whatever is not the same each time in PostgreSQL itself is left out: LIMIT comes behind an order that
leaves nothing open, aggregates of several rows have one, windows too."""
import re

from expressions import COMPARABLE, Expressions, Relation
from tables import TABLES

SHARES = ("customers", "orders", "lines") * 4 + ("devices", "readings", "articles") * 2 + ("countries", "levels", "notes", "nodes")
LINKS = ("int", "text", "uuid", "mood", "date")
FOLDS = {  # form of an aggregate, the kind that it gives
    "int": ("count(*)", "count({any})", "count(DISTINCT {any})", "sum({int})", "max({int})", "min({int})", "count(*) FILTER (WHERE {cond})", "sum(DISTINCT {int})",
            "bit_or({int}::int4)", "sum(length({text}))", "mode() WITHIN GROUP (ORDER BY {int})", "percentile_disc(0.5) WITHIN GROUP (ORDER BY {int})", "sum({int}) + count(*)",
            "max({int}) - min({int})", "rank(3) WITHIN GROUP (ORDER BY {int})", "sum(CASE WHEN {cond} THEN 1 ELSE 0 END)", "count(DISTINCT ({int}, {text}))"),
    "num": ("sum({num})", "max({num})", "min({num}) FILTER (WHERE {cond})", "coalesce(sum({num}), 0.00)", "sum(DISTINCT {num})", "round(avg({num}), 2)", "round(avg({int}), 2)",
            "round(sum({num}) / nullif(count({num}), 0), 2)", "round(stddev({num}), 2)", "round(variance({int}), 2)", "sum({num}) - max({num})"),
    "float": ("sum({float})", "avg({float})", "min({float})", "percentile_cont(0.5) WITHIN GROUP (ORDER BY {float})", "round(stddev({float})::numeric, 6)::float8",
              "round(corr({float}, {int})::numeric, 6)::float8", "percentile_cont(0.25) WITHIN GROUP (ORDER BY {int})"),
    "text": ("max({text})", "min({text})", "string_agg({text:a}, ',' ORDER BY {text:a} COLLATE \"C\")", "string_agg({text}, ',' ORDER BY {every})", "string_agg(DISTINCT {text}, '-')", "min({text} COLLATE \"C\")",
             "max({text}) FILTER (WHERE {cond})"),
    "bool": ("bool_and({bool})", "bool_or({bool})", "every({cond})", "count(*) > 3", "sum({int}) > 10"),
    "date": ("min({date})", "max({date})"), "ts": ("max({ts})", "min({ts})"), "tstz": ("max({tstz})", "min({tstz})"),
    "texts": ("array_agg({text:a} ORDER BY {text:a} COLLATE \"C\", {int})", "array_agg({text} ORDER BY {int} DESC, {every})", "array_agg(DISTINCT {text})", "max({texts})"),
    "jsonb": ("jsonb_agg({int:a} ORDER BY {int:a})", "jsonb_agg({any} ORDER BY {every}) FILTER (WHERE {cond})", "jsonb_agg(DISTINCT {text})", "to_jsonb(array_agg({int:a} ORDER BY {int:a} DESC NULLS LAST))",
              "jsonb_object_agg(coalesce({text:a}, ''), {int:b} ORDER BY {int:b}, {text:a} COLLATE \"C\")"),
    "mood": ("max({mood})", "min({mood})"), "span": ("sum({span})", "max({span})"), "uuid": ("(array_agg({uuid:a} ORDER BY {uuid:a}))[1]",), "bytea": (),
    "nan": ("sum({nan})", "max({nan})", "min({nan}) FILTER (WHERE {cond})"), "range": ("range_intersect_agg({range})", "range_merge(range_agg({range}))"),
}
PLAIN_AVERAGES = ("avg({int})", "avg({num})", "variance({num})", "stddev_pop({int})")  # their scale depends on the value: not below DISTINCT or an order
WINDOWS = {
    "int": ("row_number() OVER ({p}ORDER BY {o})", "rank() OVER ({p}ORDER BY {f})", "dense_rank() OVER ({p}ORDER BY {f})", "ntile(3) OVER ({p}ORDER BY {o})",
            "count(*) OVER ({p})", "sum({int}) OVER ({p}ORDER BY {f})", "lag({int}) OVER ({p}ORDER BY {o})", "lead({int}, 2, 0) OVER ({p}ORDER BY {o})",
            "first_value({int}) OVER ({p}ORDER BY {o})", "last_value({int}) OVER ({p}ORDER BY {o} ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
            "sum({int}) OVER ({p}ORDER BY {o} ROWS 2 PRECEDING)", "count({any}) FILTER (WHERE {cond}) OVER ({p})", "max({int}) OVER ({p}ORDER BY {f} GROUPS 1 PRECEDING)"),
    "num": ("sum({num}) OVER ({p})", "max({num}) OVER ({p}ORDER BY {f})", "round(avg({num}) OVER ({p}), 2)"),
    "float": ("percent_rank() OVER ({p}ORDER BY {f})", "cume_dist() OVER ({p}ORDER BY {f})", "sum({float}) OVER ({p})"),
    "text": ("nth_value({text}, 2) OVER ({p}ORDER BY {o})", "min({text}) OVER ({p})"),
}


class Query:
    """`columns`: (name, kind). `order`: "total", "open" or the positions that are sorted by."""

    def __init__(self, text, columns, order="open", limited=False):
        self.text, self.columns, self.order, self.limited = text, columns, order, limited


class Queries(Expressions):
    def __init__(self, pick, parameterised):
        super().__init__(pick, parameterised)
        self.made, self.ctes = 0, []

    def name(self, letter):
        self.made += 1
        return f"{letter}{self.made}"

    # -- FROM

    def table(self):
        hidden = [name for name, _ in self.ctes]
        table = TABLES[self.one([name for name in SHARES if name not in hidden])]
        alias = self.name("t")
        if self.chance(0.1):
            alias = table.name if not any(alias == table.name for alias in self.bare_names) else alias
        self.bare_names.add(alias)
        text = table.name if alias == table.name else f"{table.name} {self.one(('', 'AS '))}{alias}"
        return text, Relation(alias, {column.name: column.kind for column in table.columns}, table.unique, table.key, table.distribution)

    def relation(self, outer, depth):
        way = self.pick.random()
        if self.ctes and way < 0.3:
            name, columns = self.one(self.ctes)
            alias = self.name("c")
            return f"{name} {alias}", Relation(alias, dict(columns))
        if depth > 0 and way < 0.42:
            query = self.query([], depth - 1)
            alias = self.name("d")
            return f"({query.text}) {alias}", Relation(alias, dict(query.columns))
        if way < 0.45:
            rows = ", ".join(f"({self.literal('int')}, {self.literal('text')})" for _ in range(3))
            alias = self.name("v")
            return f"(VALUES {rows}) AS {alias}(n, w)", Relation(alias, {"n": "int", "w": "text"})
        if way < 0.47:
            alias = self.name("g")
            return f"generate_series(1, 4) AS {alias}(n)", Relation(alias, {"n": "int"})
        return self.table()

    def link(self, left, right):
        """An equality between the right relation and one on the left."""
        pairs = [(one, name, other) for one in left for name, kind in one.columns.items() for other, its in right.columns.items()
                 if kind == its and kind in LINKS]
        alike = [pair for pair in pairs if pair[1] == pair[2]]
        if not pairs:
            return "true"
        one, name, other = self.one(alike if alike and self.chance(0.85) else pairs)
        collation = ' COLLATE "C"' if right.columns[other] == "text" and (name, other) != ("sku", "sku") else ""  # the two may have another each
        return f"{one.refer(name)} = {right.refer(other)}{collation}"

    def joined(self, text, relations, outer, depth):
        kind = self.one(("JOIN",) * 4 + ("LEFT JOIN",) * 3 + ("RIGHT JOIN", "FULL JOIN", "LATERAL"))
        if kind == "LATERAL" and depth > 0:
            query = self.query(relations, 0)
            alias = self.name("l")
            return f"{text} {self.one(('LEFT', 'INNER'))} JOIN LATERAL ({query.text}) {alias} ON true", relations + [Relation(alias, dict(query.columns))]
        kind = "JOIN" if kind == "LATERAL" else kind
        more, right = self.relation(outer, depth)
        shared = [name for name in right.columns if len(relations) == 1 and name in relations[0].columns and right.columns[name] == relations[0].columns[name]]
        if shared and self.chance(0.25):
            return f"{text} {kind} {more} USING ({self.one(shared)})", relations + [right]
        link = self.link(relations, right)
        if link == "true" and kind != "JOIN":
            kind = "LEFT JOIN"
        if kind != "FULL JOIN" and self.chance(0.35):
            link += f" AND {self.condition(relations + [right], 1)}"
        return f"{text} {kind} {more} ON {link}", relations + [right]

    def from_clause(self, outer, depth):
        """Text, relations, conditions for WHERE."""
        text, first = self.relation(outer, depth)
        relations, conditions = [first], []
        for _ in range(self.one((0, 0, 0, 1, 1, 2))):
            text, relations = self.joined(text, relations, outer, depth)
        if len(relations) == 1 and self.chance(0.1):
            more, right = self.relation(outer, 0)
            conditions.append(self.link(relations, right))
            text, relations = f"{text}, {more}", relations + [right]
        return text, relations, conditions

    def where(self, relations, outer, conditions, depth):
        conditions = list(conditions)
        for _ in range(self.one((0, 0, 1, 1, 2))):
            conditions.append(self.condition(relations + (outer if self.chance(0.5) else []), depth))
        if self.chance(0.3):
            conditions += self.pinned(relations)
        if outer and self.chance(0.7):
            conditions.append(self.link(outer, self.one(relations)))
        return " WHERE " + " AND ".join(f"({one})" for one in conditions) if conditions else ""

    def pinned(self, relations):
        """One key for all relations of one distribution."""
        keyed = [relation for relation in relations if relation.key]
        if not keyed:
            return []
        alike = [relation for relation in keyed if relation.distribution == keyed[0].distribution]
        value = self.key_value(alike[0].columns[alike[0].key], alike[0])
        return [f"{relation.refer(relation.key)} = {value}" for relation in alike]

    # -- subqueries in expressions

    def scalar(self, kind, relations, depth):
        """One value; of an aggregate, so that there is one row."""
        forms = FOLDS[kind]
        if not forms:
            return self.literal(kind)
        text, inner, conditions = self.from_clause(relations, 0)
        return f"(SELECT {self.fill(self.one(forms), inner, 0)} FROM {text}{self.where(inner, relations, conditions, 0)})"

    def with_subquery(self, kind, relations, depth):
        text, inner, conditions = self.from_clause(relations, 0)
        where = self.where(inner, relations if self.chance(0.6) else [], conditions, 0)
        if self.chance(0.4):
            return f"{self.one(('EXISTS', 'NOT EXISTS'))} (SELECT {self.one(('1', '*', 'NULL'))} FROM {text}{where})"
        if kind in ("jsonb", "texts", "bytea", "bool"):
            kind = "int"
        item = self.expression(kind, inner, 0)
        form = self.one(("{} IN ({})", "{} IN ({})", "{} NOT IN ({})", "{} = ANY ({})", "{} > ALL ({})", "{} <= SOME ({})"))
        return form.format(self.expression(kind, relations, 0), f"SELECT {item} FROM {text}{where}")

    # -- SELECT

    def alias(self, index, distinct_names):
        if distinct_names:
            return f" AS x{index}"
        return self.one(("", "", f" AS x{index}", f" AS x{index}", ' AS "Some Name"'))

    def query(self, outer, depth, kinds=None, top=False):
        """A query whose columns have names of their own, unless it is the outermost."""
        way = self.pick.random()
        if kinds is None and way < 0.12 and depth >= 0:
            return self.set_operation(outer, depth, top)
        if kinds is None and way < 0.40:
            return self.aggregate(outer, depth, top)
        return self.rows(outer, depth, kinds, top)

    def rows(self, outer, depth, kinds, top):
        text, relations, conditions = self.from_clause(outer, depth)
        distinct = self.one(("",) * 8 + ("DISTINCT ", "DISTINCT ", "DISTINCT ON")) if kinds is None else self.one(("", "", "DISTINCT "))
        if top and kinds is None and not distinct and self.chance(0.08):
            star = "*" if len(relations) == 1 or self.chance(0.5) else f"{self.one(relations).alias}.*"
            return self.finished(f"SELECT {star} FROM {text}{self.where(relations, outer, conditions, 2)}", [], relations, top, "plain")
        wanted = kinds or [self.one(self.kinds(relations)) for _ in range(self.one((1, 2, 2, 3, 3, 4)))]
        items = []
        for kind in wanted:
            window = kind in WINDOWS and not distinct and kinds is None and self.chance(0.12)
            items.append((self.window(kind, relations) if window else self.expression(kind, relations + outer, 2 if depth >= 0 else 1), kind))
        where = self.where(relations, outer, conditions, 2)
        if distinct == "DISTINCT ON":
            return self.distinct_on(text, relations, items, where, top)
        body = f"SELECT {distinct}{self.listed(items, top)} FROM {text}{where}"
        return self.finished(body, items, relations, top, "plain" if not distinct else "distinct")

    def listed(self, items, top):
        return ", ".join(item + self.alias(index, not top) for index, (item, _) in enumerate(items, 1))

    def named(self, items):
        return [(f"x{index}", kind) for index, (_, kind) in enumerate(items, 1)]

    def unique(self, relations):
        return [relation.refer(name) for relation in relations for name in relation.unique]

    def window(self, kind, relations):
        partition = f"PARTITION BY {self.sorter(relations)} " if self.chance(0.6) else ""
        falling = self.sorter(relations)
        order = ", ".join([falling + self.one(("", " DESC", " NULLS FIRST"))] + self.unique(relations))
        return self.fill(self.one(WINDOWS[kind]), relations, 0, kind, {"p": partition, "f": falling, "o": order})

    def sorter(self, relations):
        return self.over_columns(self.one([one for one in self.kinds(relations) if one in COMPARABLE]), relations)

    def distinct_on(self, text, relations, items, where, top):
        by = [self.sorter(relations) for _ in range(self.one((1, 1, 2)))]
        order = ", ".join([one + self.one(("", " DESC", " NULLS FIRST")) for one in by] + self.unique(relations))
        body = f"SELECT DISTINCT ON ({', '.join(by)}) {self.listed(items, top)} FROM {text}{where} ORDER BY {order}"
        limit = self.limit() if self.chance(0.3) else ""
        return Query(body + limit, self.named(items), "total")

    def aggregate(self, outer, depth, top):
        text, relations, conditions = self.from_clause(outer, depth)
        by = []
        for _ in range(self.one((0, 0, 1, 1, 1, 2, 3))):
            kind = self.one([one for one in self.kinds(relations) if one in COMPARABLE])
            by.append((self.over_columns(kind, relations), kind))
        items = [one for one in by if self.chance(0.8)]
        for _ in range(self.one((1, 1, 2, 3)) if items else self.one((1, 2, 3, 4))):
            kind = self.one([one for one in ("int", "int", "num", "float", "text", "bool", "date", "texts", "jsonb", "mood", "tstz", "span", "uuid", "nan", "range") if FOLDS[one]])
            items.append((self.fill(self.one(FOLDS[kind]), relations, 1, kind), kind))
        self.pick.shuffle(items)
        averages = top and self.chance(0.15)
        if averages:
            items.append((self.fill(self.one(PLAIN_AVERAGES), relations, 0), "num"))
        grouped = self.group_by([expression for expression, _ in by], items, top)
        having = f" HAVING {self.having(by, relations)}" if self.chance(0.25) else ""
        body = f"SELECT {self.listed(items, top)} FROM {text}{self.where(relations, outer, conditions, 1)}{grouped}{having}"
        hidden = [] if "(" in grouped else [expression for expression, _ in by]
        return self.finished(body, items, relations, top, "grouped", hidden)

    def group_by(self, by, items, top):
        if not by:
            return ""
        if top and self.chance(0.1) and all(any(item == one for item, _ in items) for one in by):
            return " GROUP BY " + ", ".join(str(1 + [item for item, _ in items].index(one)) for one in by)
        listed = ", ".join(by)
        if not self.chance(0.2):
            return f" GROUP BY {listed}"
        return " GROUP BY " + self.one((f"ROLLUP ({listed})", f"CUBE ({listed})", f"GROUPING SETS (({listed}), ())", f"GROUPING SETS ({listed})",
                                        f"DISTINCT ROLLUP ({listed}), ROLLUP ({by[0]})"))

    def having(self, by, relations):
        form = self.one(("count(*) > 1", "sum({int}) > 5", "max({text}) IS NOT NULL", "count(*) % 2 = 0", "bool_or({bool})", "min({num}) < 50.00 OR count(*) > 2",
                         "avg({num}) > 10", "count(DISTINCT {int}) BETWEEN 1 AND 3", "NOT bool_and({bool})"))
        return self.fill(form, relations, 0)

    def set_operation(self, outer, depth, top):
        kinds = [self.one(("int", "text", "num", "date", "mood", "uuid", "bool")) for _ in range(self.one((1, 2, 3)))]
        text, items = "", [("", kind) for kind in kinds]
        for index in range(self.one((2, 2, 3))):
            branch = self.query(outer, -1, kinds)
            operator = self.one(("UNION", "UNION ALL", "EXCEPT", "INTERSECT", "UNION ALL", "EXCEPT ALL", "INTERSECT ALL"))
            part = branch.text if branch.order == "open" and self.chance(0.9) else f"({branch.text})"
            text = part if index == 0 else f"{text} {operator} {part}"
        return self.finished(text, items, [], top, "set")

    # -- ORDER BY and LIMIT

    def limit(self):
        form = self.one((" LIMIT {c}", " LIMIT {c}", " LIMIT {c} OFFSET {s}", " LIMIT 7 OFFSET {s}", " OFFSET {s}", " OFFSET ({s}) ROWS FETCH NEXT 3 ROWS ONLY", " LIMIT ALL",
                         " FETCH FIRST 4 ROWS WITH TIES"))
        return re.sub(r"\{[cs]\}", lambda _: self.count(), form)

    def count(self):
        if self.parameterised and self.chance(0.5):
            return self.parameter("int", True, values=lambda pick: str(pick.randrange(9)))
        return str(self.pick.choice((0, 1, 2, 3, 5, 10, 30)))

    def direction(self):
        return self.one(("", "", " ASC", " DESC", " DESC NULLS LAST", " NULLS FIRST", " DESC NULLS FIRST", " NULLS LAST"))

    def ordered_by(self, items, relations, kind, hidden):
        """Items of ORDER BY and the positions of the result that they sort by, as far as they lead."""
        words, positions, leading = [], [], True
        for position in self.pick.sample(range(1, len(items) + 1), len(items))[:self.one((1, 2, 3))]:
            words.append(f"{position}{self.direction()}")
            positions += [position] if leading else []
        if kind == "plain" and relations and self.chance(0.35):
            column = self.sorter(relations)
            text = column in [relation.refer(name) for relation in relations for name, its in relation.columns.items() if its == "text"]
            words.insert(0, column + (self.one(("", ' COLLATE "C"', ' COLLATE "en-x-icu"')) if text else "") + self.direction())
            positions = []
        if kind == "grouped" and self.chance(0.3):
            words.insert(0, self.one(hidden + ["count(*)", "max(1)"]) + self.direction())
            positions = []
        return words, positions

    def finished(self, body, items, relations, top, kind, hidden=()):
        """With or without an order, and with a limit where that order leaves nothing open."""
        if not items:
            order = self.unique(relations) if self.chance(0.6) else []
            text = f" ORDER BY {', '.join(order)}{self.limit()}" if order else ""
            return Query(body + text, [], "total" if order else "open")
        if not self.chance(0.55 if top else 0.15):
            return Query(body, self.named(items))
        words, positions = self.ordered_by(items, relations, kind, list(hidden))
        if not self.chance(0.75):
            return Query(f"{body} ORDER BY {', '.join(words)}", self.named(items), positions)
        words += [str(position) for position in range(1, len(items) + 1)]
        limit = self.limit() if self.chance(0.7) else ""
        return Query(f"{body} ORDER BY {', '.join(words)}{limit}", self.named(items), "total")
