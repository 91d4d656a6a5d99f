"""The tables of the oracle: what they hold, how a column's values are made, and their DDL. Values are few and often equal, NULL is among them, so
that groups, joins and orders span shards. Equal numbers are written alike (two decimals) and floats are quarters, so that sums do not depend on the
order of rows. `kind` is what the generator knows of a column's type."""
import random
import uuid

WORDS = ("alpha", "Beta", "beta", "ÄPFEL", "äpfel", "zebra", "Zoë", "a b", "a-b", "ab", "", "10", "9", "naïve", "straße", "o'clock", "100%", "x_y",
         "\\back", "Strasse")
MOODS = ("sad", "ok", "happy", "manic")
JSONS = ('{"a": 1, "b": [1, 2]}', '{"a": null}', "[1, 2, 3]", '"x"', "{}", "7", '{"b": {"c": "d"}, "a": 2}', "null")
ARRAYS = ("{}", "{a,b}", "{b,a}", "{NULL}", "{a}", '{"x y",ä}', "{b,c,d}")
BYTES = ("\\x", "\\x00", "\\x00ff", "\\xdeadbeef", "\\x616263")
UUIDS = tuple(str(uuid.UUID(int=random.Random(i).getrandbits(128))) for i in range(60))
SKUS = tuple(f"{word}/{number}" for word in ("Axe", "axe", "bolt", "Öl", "cog", "Cog") for number in range(1, 10))
RANGES = ("empty", "[1,5)", "[3,9)", "(,4)", "[7,)", "[2,3)")
SPANS = ("1 day", "02:30:00", "1 mon", "-3 days", "1 year 2 mons")


def days(pick):
    return f"2024-{pick.randrange(1, 13):02}-{pick.randrange(1, 29):02}"


def clock(pick):
    return f"{days(pick)} {pick.randrange(24):02}:{pick.choice((0, 0, 30)):02}:00"


def decimal(pick):
    return f"{pick.randrange(-80, 400) / 4:.2f}"


def quarter(pick):
    return repr(pick.randrange(-40, 200) / 4)


# A value of each kind, as text of the type.
VALUES = {
    "int": lambda pick: str(pick.choice((0, 1, 2, 3, 4, 5, 7, 10, 13, 20, -1))), "num": decimal, "float": quarter,
    "text": lambda pick: pick.choice(WORDS), "bool": lambda pick: pick.choice(("true", "false")), "date": days, "ts": clock,
    "tstz": lambda pick: clock(pick) + pick.choice(("+00", "+02", "-05")), "uuid": lambda pick: pick.choice(UUIDS),
    "bytea": lambda pick: pick.choice(BYTES), "jsonb": lambda pick: pick.choice(JSONS), "texts": lambda pick: pick.choice(ARRAYS),
    "mood": lambda pick: pick.choice(MOODS), "span": lambda pick: pick.choice(SPANS), "sku": lambda pick: pick.choice(SKUS),
    "range": lambda pick: pick.choice(RANGES), "nan": lambda pick: pick.choice(("NaN", "Infinity", "-Infinity", decimal(pick), decimal(pick))),
}
TYPES = {"int": "int4", "num": "numeric(12,2)", "float": "float8", "text": "text", "bool": "boolean", "date": "date", "ts": "timestamp",
         "tstz": "timestamptz", "uuid": "uuid", "bytea": "bytea", "jsonb": "jsonb", "texts": "text[]", "mood": "mood", "span": "interval", "range": "int4range", "nan": "numeric"}


class Column:
    """`values`: a function of (random, number of the row); by default any of its kind, one in seven NULL."""

    def __init__(self, name, kind, type=None, values=None):
        self.name, self.kind, self.type = name, kind, type or TYPES[kind]
        self.values = values or (lambda pick, _: None if pick.random() < 0.15 else VALUES[kind](pick))


class Table:
    def __init__(self, name, place, unique, columns, rows):
        """`place`: the distribution and its key, "reference" or "default"."""
        self.name, self.unique, self.columns, self.rows = name, unique, columns, rows
        self.place = place if isinstance(place, str) else "sharded"
        self.distribution, self.key = (None, None) if isinstance(place, str) else place

    def ddl(self):
        columns = ", ".join(f"{column.name} {column.type}" for column in self.columns)
        return f"CREATE TABLE {self.name} ({columns}, PRIMARY KEY ({', '.join(self.unique)}));"

    def kind(self, column):
        return next(one.kind for one in self.columns if one.name == column)

    def contents(self, scale=1):
        """Rows as tuples of texts and None, the same each time; no two with one primary key."""
        pick, seen = random.Random(self.name), {}
        for number in range(1, self.rows * scale + 1):
            row = tuple(column.values(pick, number) for column in self.columns)
            seen.setdefault(tuple(value for column, value in zip(self.columns, row) if column.name in self.unique), row)
        return list(seen.values())


def numbered(_, number):
    return str(number)


def among(most):
    return lambda pick, _: str(pick.randrange(1, most + 1))


def of(values):
    return lambda pick, _: pick.choice(values)


C = Column
CUSTOMERS = 60
TABLES = {table.name: table for table in (
    Table("customers", ("shop", "customer_id"), ("customer_id",), (
        C("customer_id", "int", "int8", numbered), C("name", "text"), C("nick", "text", 'text COLLATE "C"'),
        C("title", "text", 'varchar(20) COLLATE "en-x-icu"'), C("region", "int", "int4"), C("small", "int", "int2"), C("balance", "num"), C("born", "date"),
        C("joined", "tstz"), C("active", "bool"), C("feeling", "mood"), C("tags", "texts"), C("extra", "jsonb"), C("code", "uuid"), C("score", "float"),
        C("country", "text", "char(2)", of(("de", "fr", "us", "xx", None))),
        C("referred_by", "int", "int8", lambda pick, n: None if n < 4 or pick.random() < 0.1 else str(pick.randrange(1, n)))), CUSTOMERS),
    Table("orders", ("shop", "customer_id"), ("customer_id", "order_id"), (
        C("customer_id", "int", "int4", among(CUSTOMERS)), C("order_id", "int", "int4", among(200)), C("total", "num"), C("placed", "ts"), C("due", "date"),
        C("note", "text"), C("priority", "int", "int2"), C("weight", "float"), C("status", "mood"), C("open", "bool"), C("raw", "bytea"),
        C("ratio", "nan")), 200),
    Table("lines", ("shop", "customer_id"), ("customer_id", "order_id", "line_no"), (
        C("customer_id", "int", "int8", among(CUSTOMERS)), C("order_id", "int", "int4", among(200)), C("line_no", "int", "int4", among(5)),
        C("sku", "text", "text", of(SKUS + (None,))), C("quantity", "int", "int4"), C("price", "num", "numeric(10,2)"), C("remark", "text"), C("span", "range")), 400),
    Table("devices", ("home", "device"), ("device",), (
        C("device", "uuid", "uuid", lambda _, n: UUIDS[n - 1]), C("customer_id", "int", "int8", among(CUSTOMERS + 10)), C("model", "text"), C("firmware", "int", "int4"),
        C("settings", "jsonb"), C("bought", "date")), 50),
    Table("readings", ("home", "device"), ("device", "at"), (
        C("device", "uuid", "uuid", of(UUIDS)), C("at", "tstz", None, lambda pick, _: clock(pick) + "+00"), C("value", "float"), C("level", "int", "int4"),
        C("lasted", "span"), C("labels", "texts")), 200),
    Table("articles", ("catalogue", "sku"), ("sku",), (
        C("sku", "text", "text", lambda _, n: SKUS[n - 1]), C("label", "text"), C("price", "num"), C("stock", "int", "int4"), C("kinds", "texts"), C("since", "date"),
        C("rating", "num", "numeric")), 50),
    Table("countries", "reference", ("code",), (
        C("code", "text", "char(2)", lambda _, n: ("de", "fr", "us", "pl", "se")[n - 1]), C("label", "text"), C("region", "int", "int4"), C("population", "int", "int8"),
        C("euro", "bool")), 5),
    Table("levels", "reference", ("level",), (
        C("level", "int", "int4", numbered), C("label", "text", 'text COLLATE "C"'), C("factor", "float"), C("feeling", "mood")), 8),
    Table("notes", "default", ("id",), (
        C("id", "int", "int4", numbered), C("customer_id", "int", "int8"), C("body", "text"), C("written", "ts"), C("feeling", "mood")), 80),
    Table("nodes", "default", ("id",), (
        C("id", "int", "int4", numbered), C("parent", "int", "int4", lambda pick, n: None if n < 3 else str(pick.randrange(1, n))), C("label", "text"), C("cost", "num")), 30),
)}
SETUP = "CREATE TYPE mood AS ENUM (" + ", ".join(f"'{mood}'" for mood in MOODS) + ");"
