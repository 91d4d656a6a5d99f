"""Random expressions of a known kind (tables.py) over relations that are in sight. A form is a text with {kind} for a part of that kind; {int:a} is
the same one each time, {cond} a condition, {every} columns that tell rows apart, {bare_int} a literal or parameter whose type the parser has to find."""
import re
import struct
import uuid
from datetime import date

from tables import TYPES, VALUES

OIDS = {"int": (20, 23), "text": (25,), "float": (701,), "bool": (16,), "date": (1082,), "uuid": (2950,), "num": (1700,), "ts": (1114,), "tstz": (1184,),
        "bytea": (17,), "jsonb": (3802,), "texts": (1009,), "span": (1186,)}
ARRAYS = {"int": (1016, 1007), "text": (1009,), "uuid": (2951,), "date": (1182,)}
COMPARABLE = ("int", "num", "float", "text", "date", "ts", "tstz", "uuid", "mood", "bool", "bytea", "texts", "jsonb", "span", "nan", "range")
EVERY = ("CASE WHEN {cond} THEN {same} ELSE {same} END", "CASE WHEN {cond} THEN {same} END", "coalesce({same}, {same})", "nullif({same}, {same})")
FORMS = {
    "int": ("{int} + {int}", "{int} - {int}", "{int} * 2", "length({text})", "{int} % 3", "abs({int})", "extract(year FROM {date})::int", "cardinality({texts})",
            "greatest({int}, {int}, {int})", "least({int}, {int})", "{date} - {date}", "round({num})::int", "{int} / nullif({int}, 0)", "octet_length({bytea})",
            "({jsonb} ->> 'a')::int", "{int} & 3", "position('a' IN {text})", "-{int}", "CASE {int} WHEN 1 THEN {int} WHEN 2 THEN 7 END", "{num}::int8",
            "array_position({texts}, 'b')", "width_bucket({int}, 0, 10, 4)", "{bool}::int", "extract(dow FROM {ts})::int2", "lower({range})", "upper({range})"),
    "num": ("{num} + {num}", "{num} - {num}", "{int}::numeric(12,2)", "({num} * {num})::numeric(14,2)", "abs({num})", "round({num} / 3, 2)", "greatest({num}, {num})",
            "{int} * {num}", "trunc({num}, 2)"),
    "float": ("{float} + {float}", "{float} - {float}", "{float} * 0.5", "{int}::float8", "abs({float})", "floor({float})", "{num}::float8", "{int} * {float}"),
    "text": ("{text} || {text}", "upper({text})", "lower({text})", "left({text}, 2)", "substr({text}, 2)", "{int}::text", "{mood}::text", "to_char({date}, 'YYYY-MM')",
             "replace({text}, 'a', 'b')", "btrim({text})", "repeat({text}, 2)", "md5({text})", "concat({text}, {int}, {bool})", "{jsonb} ->> 'a'", "{uuid}::text",
             "{num}::text", "format('%s-%s', {text}, {int})", "array_to_string({texts}, ',', '*')", "{text}::varchar(3)", "lpad({text}, 5, '.')", "({texts})[1]",
             "CASE WHEN {text} < {text} THEN 'less' ELSE 'not' END", "{span}::text", "{ts}::text", "{tstz}::text", "{bool}::text", "encode({bytea}, 'hex')"),
    "bool": ("{cond}", "NOT {bool}", "{bool} AND {bool}", "{bool} OR {bool}", "{cond}"),
    "date": ("{date} + 1", "{date} - {int}::int4", "{ts}::date", "date_trunc('month', {ts})::date", "greatest({date}, {date})"),
    "ts": ("{date}::timestamp", "{ts} + interval '1 hour'", "date_trunc('day', {ts})", "{tstz} AT TIME ZONE 'UTC'", "{date} + time '10:00'"),
    "tstz": ("{ts} AT TIME ZONE 'Europe/Berlin'", "{tstz} + interval '1 day'", "date_trunc('month', {tstz})"),
    "uuid": (), "mood": ("greatest({mood}, {mood})",), "bytea": ("{bytea} || {bytea}", "convert_to({text}, 'UTF8')", "substr({bytea}, 1, 1)"),
    "jsonb": ("jsonb_build_object('k', {int}, 't', {text})", "to_jsonb({num})", "{jsonb} -> 'a'", "to_jsonb({texts})", "jsonb_build_array({mood}, {date}, {bool})",
              "jsonb_strip_nulls({jsonb})"),
    "texts": ("array_append({texts}, {text})", "ARRAY[{text}, {text}]", "{texts} || {texts}", "string_to_array({text}, 'a')"),
    "span": ("{span} + interval '1 day'", "{ts} - {ts}", "{int} * interval '1 hour'", "justify_hours({span})"),
    "nan": ("{nan} + {nan}", "abs({nan})", "greatest({nan}, {nan})", "{num}"), "range": ("{range} * {range}", "int4range(0, {small})"),
}
CONDITIONS = ("{compare}",) * 9 + ("{key}",) * 4 + (
    "{cond} AND {cond}", "{cond} AND {cond}", "{cond} OR {cond}", "NOT ({cond})", "{any} IS NULL", "{any} IS NOT NULL", "{text} LIKE 'a%'", "{text} ~ '[a-c]'",
    "{text} ILIKE '%B%'", "{bool}", "{bool} IS NOT TRUE", "{bool} IS UNKNOWN", "({cond}) IS FALSE", "{texts} @> ARRAY['a']", "{text} = ANY({texts})", "{jsonb} ? 'a'",
    "{jsonb} @> '{\"a\": 1}'", "({date}, {date}) OVERLAPS ({date}, {date})", "{text} SIMILAR TO '%(a|b)%'", "{texts} && ARRAY['b', 'c']",
    "CASE WHEN {cond} THEN {bool} ELSE {cond} END", "{bytea} = '\\x00'", "{range} @> {small}", "{range} && {range}", "isempty({range})", "{nan} = 'NaN'", "{text} COLLATE \"en-x-icu\" < {bare_text}", "{text} COLLATE \"C\" > {bare_text}")
KINDWISE = ("{k} = {bare}",) * 3 + ("{k} <> {bare}", "{k} <= {k}", "{k} >= {bare}", "{k} < {bare}", "{k} > {bare}") * 2 + ("{bare} = {k}", "{k} IS DISTINCT FROM {k}", "{k} IS NOT DISTINCT FROM {bare}", "{k} = {k}",
                                   "{k} IN ({bare}, {bare}, {bare})", "{k} NOT IN ({bare}, {bare})", "{k} BETWEEN {bare} AND {bare}", "{k} NOT BETWEEN SYMMETRIC {bare} AND {k}",
                                   "{k} = ANY({array})", "{k} <> ALL({array})", "({k}, {l}) < ({bare}, {bare_l})", "({k}, {l}) = ({bare}, {bare_l})",
                                   "({k}, {l}) IN (({bare}, {bare_l}), ({bare}, {bare_l}))", "({k}, {l}) IS DISTINCT FROM ({k}, {bare_l})", "{k} IN ({k}, {bare}, NULL)")


class Relation:
    """What a query can see: columns by name and kind; `unique` tells its rows apart; `key` is a shard key of the distribution."""

    def __init__(self, alias, columns, unique=None, key=None, distribution=None):
        self.alias, self.columns, self.key, self.distribution = alias, columns, key, distribution
        self.unique = unique or list(columns)

    def refer(self, name):
        return f"{self.alias}.{name}"


class Parameter:
    def __init__(self, oid, text, binary):
        self.oid, self.text, self.binary = oid, text, int(binary)
        self.sent = None if text is None else packed(oid, text) if binary else text

    def __repr__(self):
        return f"{self.text!r} (type {self.oid}{', binary' if self.binary else ''})"


def packed(oid, text):
    """The binary form of a value."""
    if oid in (1016, 1007, 1009, 2951):
        element = {1016: 20, 1007: 23, 1009: 25, 2951: 2950}[oid]
        parts = [part.strip('"').replace("\\\\", "\\") for part in text[1:-1].split(",")] if len(text) > 2 else []
        raw = [struct.pack("!i", -1) if part == "NULL" else struct.pack("!i", len(packed(element, part))) + packed(element, part) for part in parts]
        return struct.pack("!iii", 1 if raw else 0, "NULL" in parts, element) + (struct.pack("!ii", len(raw), 1) if raw else b"") + b"".join(raw)
    pack = {20: "!q", 23: "!i", 21: "!h"}.get(oid)
    if pack:
        return struct.pack(pack, int(text))
    return {701: lambda: struct.pack("!d", float(text)), 16: lambda: bytes([text == "true"]), 2950: lambda: uuid.UUID(text).bytes,
            1082: lambda: struct.pack("!i", (date.fromisoformat(text) - date(2000, 1, 1)).days)}.get(oid, text.encode)()


BINARY = {20, 23, 21, 701, 16, 2950, 1082, 25, 1043, 1016, 1007, 1009, 2951}


class Expressions:
    def __init__(self, pick, parameterised):
        self.pick, self.parameterised = pick, parameterised
        self.parameters, self.others = [], []

    def chance(self, p):
        return self.pick.random() < p

    def one(self, options):
        return self.pick.choice(options)

    # -- values

    def parameter(self, kind, bare=False, array=False, values=None):
        make = values or VALUES[kind]
        type_name = TYPES[kind] if kind in TYPES else "text"
        oids = (ARRAYS if array else OIDS).get(kind, ())
        way = self.pick.random()
        oid = self.one(oids) if oids and way < 0.4 else 0
        binary = oid in BINARY and self.chance(0.5)
        for where in (self.parameters, self.others):
            text = None if self.chance(0.04) else self.array_text(kind) if array else make(self.pick)
            where.append(Parameter(oid, text, binary and (not array or '"' not in (text or "") or oid != 1009)))
        name = f"${len(self.parameters)}"
        if oid or (bare and way < 0.7):
            return name
        return f"{name}::{'int8' if kind == 'int' and self.chance(0.5) else type_name}{'[]' if array else ''}"

    def array_text(self, kind):
        values = [VALUES[kind](self.pick) for _ in range(self.pick.randrange(4))] + (["NULL"] if self.chance(0.1) else [])
        quoted = [value if value == "NULL" or kind == "int" else '"' + value.replace("\\", "\\\\") + '"' for value in values]
        return "{" + ",".join(quoted) + "}"

    def literal(self, kind, bare=False):
        if self.parameterised and self.chance(0.5):
            return self.parameter(kind, bare)
        if self.chance(0.03):
            return "NULL" if bare else f"NULL::{TYPES[kind]}"
        text = VALUES[kind](self.pick)
        if kind in ("int", "num"):
            return f"({text})" if text.startswith("-") else text
        if kind == "bool":
            return text
        quoted = "'" + text.replace("'", "''") + "'"
        return quoted if bare and self.chance(0.8) else f"{quoted}::{TYPES[kind]}"

    def array(self, kind):
        if self.parameterised and kind in ARRAYS and self.chance(0.6):
            return self.parameter(kind, True, True)
        values = ", ".join(self.literal(kind) for _ in range(self.pick.randrange(1, 4)))
        return f"ARRAY[{values}]"

    # -- expressions

    def column(self, kind, relations):
        found = [relation.refer(name) for relation in relations for name, its in relation.columns.items() if its == kind]
        return self.one(found) if found else None

    def kinds(self, relations):
        """Of the columns in sight, each as often as there are columns of it."""
        return [kind for relation in relations for kind in relation.columns.values()] or ["int", "text"]

    def expression(self, kind, relations, depth=2):
        way = self.pick.random()
        if depth > 0 and way < 0.35 and (FORMS[kind] or way < 0.2):
            form = self.one(FORMS[kind] if FORMS[kind] and self.chance(0.8) else EVERY)
            return "(" + self.fill(form, relations, depth - 1, kind) + ")"
        if depth > 0 and way < 0.38:
            return self.scalar(kind, relations, depth - 1)
        return (self.column(kind, relations) if way < 0.93 else None) or self.literal(kind)

    def over_columns(self, kind, relations, depth=1):
        """An expression that has a column, as ORDER BY and GROUP BY need: a constant there means something else."""
        column = self.column(kind, relations)
        if column is None:
            return None
        form = self.one(EVERY[:3])
        return "(" + self.fill(form.replace("{same}", column, 1), relations, 0, kind) + ")" if depth and self.chance(0.2) else column

    def fill(self, form, relations, depth, kind="int", words=None):
        made, words = {}, words or {}

        def part(match):
            word, again = match.groups()
            if again and again in made:
                return made[again]
            made[again] = filled(word)
            return made[again]

        def filled(word):
            if word in words:
                return words[word]
            if word == "same":
                return self.expression(kind, relations, depth)
            if word == "cond":
                return self.condition(relations, depth)
            if word == "compare":
                return self.compare(relations, depth)
            if word == "key":
                return self.key_condition(relations, depth)
            if word == "every":
                return ", ".join(relation.refer(name) for relation in relations for name in relation.unique)
            if word == "any":
                return self.expression(self.one(self.kinds(relations)), relations, depth)
            if word == "small":
                return str(self.pick.randrange(20))
            if word.startswith("bare_"):
                return self.literal(word[5:], True)
            return self.expression(word, relations, depth)
        return re.sub(r"\{([a-z_]+)(?::([a-z]))?\}", part, form)

    def compare(self, relations, depth):
        kind, other = (self.one([one for one in self.kinds(relations) if one in COMPARABLE]) for _ in range(2))
        if depth > 0 and self.chance(0.12):
            return self.with_subquery(kind, relations, depth - 1)
        form = self.one(KINDWISE)
        words = {"k": lambda: self.expression(kind, relations, min(depth, 1) - (form.count("{k}") == 1)), "l": lambda: self.expression(other, relations, 0),
                 "bare": lambda: self.literal(kind, True), "bare_l": lambda: self.literal(other, True), "array": lambda: self.array(kind)}
        return re.sub(r"\{([a-z_]+)\}", lambda match: words[match.group(1)](), form)

    def key_condition(self, relations, depth):
        keyed = [relation for relation in relations if relation.key]
        if not keyed:
            return self.compare(relations, depth)
        relation = self.one(keyed)
        key, kind = relation.refer(relation.key), relation.columns[relation.key]
        form = self.one(("{k} = {v}",) * 5 + ("{v} = {k}", "{k} IN ({v}, {v})", "{k} = ANY({a})", "{k} = {v} OR {k} = {v}", "{k} BETWEEN {v} AND {v}", "{k} >= {v}",
                                              "({k}, 1) = ({v}, 1)", "{k} IS NOT DISTINCT FROM {v}", "{k} = {v} AND {k} = {v}", "NOT ({k} <> {v})", "{k} IN ({v})",
                                              "CASE WHEN {k} = {v} THEN true END", "{k} = coalesce({v}, {v})", "{k} = (SELECT {v}::{t})"))
        words = {"k": lambda: key, "t": lambda: TYPES[kind], "v": lambda: self.key_value(kind, relation), "a": lambda: self.array(kind)}
        return "(" + re.sub(r"\{([a-z]+)\}", lambda match: words[match.group(1)](), form) + ")"

    def key_value(self, kind, relation):
        if kind == "int":
            values = lambda pick: str(pick.randrange(1, 64))  # noqa: E731
            return self.parameter(kind, True, values=values) if self.parameterised and self.chance(0.6) else values(self.pick)
        values = VALUES["sku" if relation.distribution == "catalogue" else kind]
        if self.parameterised and self.chance(0.6):
            return self.parameter(kind, True, values=values)
        return f"'{values(self.pick)}'"

    def condition(self, relations, depth=2):
        if depth <= 0:
            return self.compare(relations, 0) if self.chance(0.85) else self.key_condition(relations, 0)
        form, seen = self.one(CONDITIONS), self.kinds(relations)
        if any(kind in FORMS and kind not in seen for kind in re.findall(r"\{([a-z]+)", form)):
            form = "{compare}"
        return self.fill(form, relations, depth - 1)
