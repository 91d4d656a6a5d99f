"""Random statements for proofs_test.py: SELECTs with joins of all kinds, subqueries in every place, WITH, UNION, and writes, leaning
towards conditions on shard keys so that a good part of them is accepted. Names are chosen to collide on purpose."""

TABLES = {"customers": ("customer_id", "region", "score"), "orders": ("customer_id", "order_id", "total"),
          "lines": ("customer_id", "order_id", "line"), "clicks": ("click_id", "cust", "hits"), "countries": ("code", "region")}
KEYS = {"customers": "customer_id", "orders": "customer_id", "lines": "customer_id", "clicks": "cust"}
NAMES = ("a", "b", "c", "orders", "lines")


class Relation:
    def __init__(self, name, columns, key=None):
        self.name, self.columns, self.key = name, columns, key


class Generator:
    def __init__(self, pick):
        self.pick = pick

    def chance(self, p):
        return self.pick.random() < p

    def statement(self):
        self.hot = str(self.pick.randrange(1, 6))
        self.ctes = []
        kind = self.pick.random()
        if kind < 0.8:
            return self.with_clause() + self.select([], 2)[0]
        return self.pick.choice((self.update, self.delete, self.insert, self.merge))()

    def with_clause(self):
        if not self.chance(0.2):
            return ""
        text, columns = self.select([], 1)
        name = self.pick.choice(("w", "orders", "a"))
        self.ctes.append((name, columns))
        return f"WITH {name} AS ({text}) "

    # -- queries

    def select(self, outer, depth):
        """A SELECT and the columns it yields, as (name, is it a shard key)."""
        if depth and self.chance(0.15):
            left, columns = self.plain_select(outer, depth - 1, 2)
            right, _ = self.plain_select(outer, depth - 1, 2)
            return f"{left} {self.pick.choice(('UNION', 'UNION ALL', 'EXCEPT', 'INTERSECT'))} {right}", columns
        return self.plain_select(outer, depth, None)

    def plain_select(self, outer, depth, width):
        relations, text = self.from_clause(outer, depth)
        scopes = [relations] + outer
        items, columns = [], []
        if width is None and self.chance(0.1):
            items, columns = ["count(*) AS n"], [("n", False)]
        elif width is None and len(relations) == 1 and self.chance(0.2):
            items, columns = ["*"], [(c, c == relations[0].key) for c in relations[0].columns]
        else:
            for i in range(width or self.pick.randrange(1, 4)):
                relation = self.pick.choice(relations)
                column = relation.key if relation.key and self.chance(0.5) else self.pick.choice(relation.columns)
                name = self.pick.choice((column, f"x{i}")) if width is None else column
                if any(name == c for c, _ in columns):
                    name = f"x{i}"
                items.append(f"{relation.name}.{column} AS {name}")
                columns.append((name, column == relation.key))
            if depth and width is None and self.chance(0.15):
                items.append(f"({self.scalar(scopes, depth - 1)}) AS s")
                columns.append(("s", False))
        if width is None and items[0] != "*" and self.chance(0.05):
            items.append("count(*) OVER () AS w")
            columns.append(("w", False))
        where = self.condition(scopes, depth, joined=False)
        text = f"SELECT {'DISTINCT ' if self.chance(0.05) else ''}{', '.join(items)} FROM {text}"
        return text + (f" WHERE {where}" if where else "") + self.grouping(items), columns

    def grouping(self, items):
        """GROUP BY everything: one row for each different one, so that a subquery no longer passes its rows through."""
        plain = not any("(" in item or item == "*" for item in items)
        return " GROUP BY " + ", ".join(str(i + 1) for i in range(len(items))) if plain and self.chance(0.06) else ""

    def scalar(self, outer, depth):
        relations, text = self.from_clause(outer, 0)
        where = self.condition([relations] + outer, depth, joined=False)
        return f"SELECT count(*) FROM {text}" + (f" WHERE {where}" if where else "")

    def from_clause(self, outer, depth):
        visible, texts = [], []
        for _ in range(self.pick.choices((1, 2, 3), (6, 4, 1))[0]):
            relations, text = self.from_item(outer, visible, depth, joins=2)
            visible = visible + relations
            texts.append(text)
        return visible, ", ".join(texts)

    def from_item(self, outer, siblings, depth, joins):
        if joins and self.chance(0.35):
            return self.join(outer, siblings, depth, joins)
        taken = {relation.name for relation in siblings}
        name = self.pick.choice([n for n in NAMES + tuple("defghijklmnopq") if n not in taken])
        if depth and self.chance(0.2):
            lateral = siblings and self.chance(0.4)
            text, columns = self.select(([siblings] if lateral else []) + outer, depth - 1)
            key = next((c for c, is_key in columns if is_key), None)
            return [Relation(name, [c for c, _ in columns], key)], f"{'LATERAL ' if lateral else ''}({text}) {name}"
        if self.chance(0.06):
            values = self.pick.choice((f"({self.hot})", f"({self.hot}), ({self.constant()})"))
            return [Relation(name, ["v"], "v")], f"(VALUES {values}) {name}(v)"
        if self.ctes and self.chance(0.5):
            cte, columns = self.pick.choice(self.ctes)
            return [Relation(name, [c for c, _ in columns], next((c for c, is_key in columns if is_key), None))], f"{cte} {name}"
        table = self.pick.choices(list(TABLES), (3, 3, 3, 2, 1))[0]
        return [Relation(name, list(TABLES[table]), KEYS.get(table))], f"{table} {name}"

    def join(self, outer, siblings, depth, joins):
        left, left_text = self.from_item(outer, siblings, depth, joins - 1)
        right, right_text = self.from_item(outer, siblings + left, depth, joins - 1)
        kind = self.pick.choices(("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"), (4, 4, 2, 1))[0]
        shared = [c for c in {c for r in left for c in r.columns} & {c for r in right for c in r.columns}]
        if shared and self.chance(0.25):
            using = sorted(self.pick.sample(sorted(shared), self.pick.randrange(1, len(shared) + 1)))
            condition = f"USING ({', '.join(using)})"
        else:
            condition = "ON " + (self.condition([left + right] + outer, depth, joined=True) or "true")
        text = f"{left_text} {kind} {right_text} {condition}"
        if condition.startswith("ON") and self.chance(0.06):
            name = self.pick.choice([n for n in NAMES + tuple("rstuv") if n not in {relation.name for relation in siblings}])
            counts = {c: sum(c in r.columns for r in left + right) for r in left + right for c in r.columns}
            columns = [c for c in counts if counts[c] == 1]
            if columns:
                key = next((r.key for r in left + right if r.key in columns), None)
                return [Relation(name, columns, key)], f"({text}) AS {name}"
        return left + right, f"({text})" if self.chance(0.5) or joins < 2 else text

    # -- conditions

    def constant(self):
        return self.hot if self.chance(0.7) else str(self.pick.randrange(1, 6))

    def column(self, scopes, keys):
        scope = self.pick.choices(scopes, [4] + [2] * (len(scopes) - 1))[0]
        relation = self.pick.choice(scope)
        name = relation.key if relation.key and self.chance(keys) else self.pick.choice(relation.columns)
        return name if self.chance(0.12) else f"{relation.name}.{name}"

    def condition(self, scopes, depth, joined):
        parts = []
        for relation in scopes[0]:
            if relation.key and self.chance(0.55):
                others = [f"{r.name}.{r.key}" for s in scopes for r in s if r.key and r is not relation]
                other = self.pick.choice(others) if others and self.chance(0.6 if joined else 0.5) else self.constant()
                key = relation.key if self.chance(0.12) else f"{relation.name}.{relation.key}"
                parts.append(self.pick.choice((f"{key} = {other}", f"{other} = {key}")))
        for _ in range(self.pick.choices((0, 1, 2), (5, 3, 1))[0]):
            parts.append(self.atom(scopes, depth))
        self.pick.shuffle(parts)
        return " AND ".join(parts)

    def atom(self, scopes, depth):
        kind = self.pick.randrange(12 if depth else 8)
        a, b = self.column(scopes, 0.5), self.column(scopes, 0.5)
        if kind == 0:
            return f"({a} = {self.constant()} OR {b} = {self.constant()})"
        if kind == 1:
            return f"NOT {a} = {self.constant()}"
        if kind == 2:
            return f"{a} IN ({self.constant()}, {self.constant()})"
        if kind == 3:
            return f"{a} IS {self.pick.choice(('NULL', 'NOT NULL'))}"
        if kind == 4:
            return f"({a}, {b}) = ({self.constant()}, {self.column(scopes, 0.5)})"
        if kind == 5:
            other = b if self.chance(0.6) else self.constant()
            return f"{a} {self.pick.choice(('=', '=', '<', '>=', '<>', 'IS NOT DISTINCT FROM'))} {other}"
        if kind == 6:
            one, other = self.constant(), self.constant()
            return f"{a} = ANY (ARRAY[{one}, {other}])" if self.chance(0.5) else f"{a} = ANY ('{{{one}, {other}}}')"
        if kind == 7:
            return f"coalesce({a}, {self.constant()}) = {self.constant()}"
        if kind in (8, 9):
            inner, text = self.from_clause(scopes, 0)
            where = self.condition([inner] + scopes, depth - 1, joined=False)
            return f"{self.pick.choice(('', 'NOT '))}EXISTS (SELECT 1 FROM {text}{' WHERE ' + where if where else ''})"
        inner, text = self.from_clause(scopes, 0)
        relation = self.pick.choice(inner)
        where = self.condition([inner] + scopes, depth - 1, joined=False)
        target = f"{relation.name}.{relation.key or relation.columns[0]}"
        if kind == 10:
            query = f"SELECT {target} FROM {text}" + (f" WHERE {where}" if where else "")
            return f"{a} {self.pick.choice(('IN', 'IN', 'NOT IN', '= ANY'))} ({query})"
        return f"{a} = (SELECT max({target}) FROM {text}{' WHERE ' + where if where else ''})"

    # -- writes

    def target(self):
        table = self.pick.choice(list(KEYS))
        return table, Relation(self.pick.choice(("t", "orders")), list(TABLES[table]), KEYS[table])

    def update(self):
        table, relation = self.target()
        more, text = self.from_clause([], 1) if self.chance(0.4) else ([], "")
        more = [r for r in more if r.name != relation.name] or []
        scopes = [[relation] + more]
        column = self.pick.choice([c for c in relation.columns if c != relation.key])
        value = f"({self.scalar(scopes, 0)})" if self.chance(0.3) else "7"
        where = self.condition(scopes, 1, joined=False)
        return (f"UPDATE {table} {relation.name} SET {column} = {value}" + (f" FROM {text}" if text else "") +
                (f" WHERE {where}" if where else "") + (" RETURNING " + relation.name + ".*" if self.chance(0.5) and not text else ""))

    def delete(self):
        table, relation = self.target()
        more, text = self.from_clause([], 1) if self.chance(0.4) else ([], "")
        where = self.condition([[relation] + more], 1, joined=False)
        return (f"DELETE FROM {table} {relation.name}" + (f" USING {text}" if text else "") + (f" WHERE {where}" if where else "") +
                (f" RETURNING {relation.name}.*" if self.chance(0.5) else ""))

    def insert(self):
        table, relation = self.target()
        if self.chance(0.3):
            return f"INSERT INTO {table} ({relation.key}) VALUES ({self.constant()}), ({self.constant()}) RETURNING *"
        text, columns = self.select([], 1)
        names = [relation.key] + [c for c in relation.columns if c != relation.key]
        return f"INSERT INTO {table} ({', '.join(names[:len(columns)])}) {text} RETURNING *"

    def merge(self):
        table, relation = self.target()
        source, text = self.from_item([], [relation], 1, joins=0)
        condition = self.condition([[relation] + source], 1, joined=True) or "true"
        other = source[0]
        key = f"{other.name}.{other.key}" if other.key and self.chance(0.7) else self.constant()
        column = self.pick.choice([c for c in relation.columns if c != relation.key])
        return (f"MERGE INTO {table} {relation.name} USING {text} ON {condition} WHEN MATCHED THEN "
                f"{self.pick.choice(('DELETE', f'UPDATE SET {column} = 7'))} WHEN NOT MATCHED THEN INSERT ({relation.key}) VALUES ({key})")
