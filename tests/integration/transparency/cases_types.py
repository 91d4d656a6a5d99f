"""Rows: the common types, as parameters and as results, in text and in binary. One line a type: its name, its oid, two values as text."""
import struct

from steps import bind, describe, execute, parse, run, section, x

TYPES = [
    ("bool", 16, "t", "f"), ("bytea", 17, r"\x00ff41", r"\x"), ("char", 18, "a", "z"), ("name", 19, "a_name", "b"),
    ("int8", 20, "9223372036854775807", "-5"), ("int2", 21, "-32768", "7"), ("int2vector", 22, "1 2 3", ""), ("int4", 23, "2147483647", "-1"),
    ("regproc", 24, "now", "-"), ("text", 25, "grüße 😀", ""), ("oid", 26, "4294967295", "0"), ("tid", 27, "(1,2)", "(0,1)"), ("xid", 28, "77", "0"),
    ("json", 114, '{"a": [1, null]}', "null"), ("xml", 142, "<a>x</a>", "<b/>"), ("point", 600, "(1,2.5)", "(0,0)"),
    ("lseg", 601, "[(0,0),(1,1)]", "[(0,1),(2,3)]"), ("path", 602, "((0,0),(1,1),(2,0))", "[(0,0),(1,1)]"), ("box", 603, "(1,1),(0,0)", "(2,2),(1,1)"),
    ("polygon", 604, "((0,0),(1,1),(2,0))", "((0,0))"), ("line", 628, "{1,2,3}", "{0,1,0}"), ("cidr", 650, "10.0.0.0/8", "::/0"),
    ("float4", 700, "1.5", "NaN"), ("float8", 701, "-1e300", "Infinity"), ("circle", 718, "<(1,2),3>", "<(0,0),0>"), ("money", 790, "$1,234.50", "-$0.01"),
    ("macaddr", 829, "08:00:2b:01:02:03", "00:00:00:00:00:00"), ("inet", 869, "192.168.0.1/24", "::1"), ("bpchar", 1042, "ab ", "x"),
    ("varchar", 1043, "v", ""), ("date", 1082, "2024-02-29", "infinity"), ("time", 1083, "12:34:56.789", "24:00:00"),
    ("timestamp", 1114, "2024-02-29 12:34:56.789", "-infinity"), ("timestamptz", 1184, "2024-02-29 12:34:56+00", "0044-03-15 00:00:00+00 BC"),
    ("interval", 1186, "1 year 2 mons 3 days 04:05:06", "-00:00:01"), ("timetz", 1266, "12:00:00+02", "00:00:00-12"), ("bit(5)", 1560, "10101", "00000"),
    ("varbit", 1562, "101", ""), ("numeric", 1700, "12345.67890", "NaN"), ("uuid", 2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
                                                                          "00000000-0000-0000-0000-000000000000"),
    ("pg_lsn", 3220, "16/B374D848", "0/0"), ("tsvector", 3614, "'a':1 'b':2", ""), ("tsquery", 3615, "'a' & 'b'", "!'x'"),
    ("jsonb", 3802, '{"a": [1, null]}', "[]"), ("int4range", 3904, "[1,10)", "empty"), ("tstzrange", 3910, '["2024-01-01 00:00:00+00",)', "empty"),
    ("jsonpath", 4072, "$.a[*]", "$"), ("int4multirange", 4451, "{[1,3),[5,7)}", "{}"), ("regclass", 2205, "plain", "-"), ("regtype", 2206, "integer", "text"),
    ("int4[]", 1007, "{1,NULL,3}", "{}"), ("text[]", 1009, '{a,"b c",NULL}', "{{a,b},{c,d}}"), ("int8[]", 1016, "[0:1]={5,6}", "{}"),
    ("uuid[]", 2951, "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "{}"), ("bool[]", 1000, "{t,f}", "{}"), ("bytea[]", 1001, r'{"\\x00ff"}', "{}"),
    ("numeric[]", 1231, "{1.5,NaN}", "{}"), ("date[]", 1182, "{2024-02-29}", "{}"), ("jsonb[]", 3807, '{"{\\"a\\": 1}"}', "{}"),
    ("mood", 0, "ok", "happy"), ("positive", 0, "5", "1"), ("pair", 0, "(1,x)", "(,)"), ("mood[]", 0, "{ok,sad}", "{}"),
]

BINARY = [  # a parameter in binary, for the formats that drivers use
    ("bool", 16, b"\1"), ("bytea", 17, b"\0\xff\0"), ("int8", 20, struct.pack("!q", -(1 << 60))), ("int2", 21, struct.pack("!h", -2)),
    ("int4", 23, struct.pack("!i", 77)), ("text", 25, "grüße".encode()), ("oid", 26, struct.pack("!I", 3 << 30)), ("json", 114, b'{"a":1}'),
    ("float4", 700, struct.pack("!f", 1.25)), ("float8", 701, struct.pack("!d", -1e-7)), ("inet", 869, b"\2\x20\0\4\x7f\0\0\1"),
    ("varchar", 1043, b"v"), ("date", 1082, struct.pack("!i", 8825)), ("time", 1083, struct.pack("!q", 45296789000)),
    ("timestamp", 1114, struct.pack("!q", 762525296789000)), ("timestamptz", 1184, struct.pack("!q", 762525296789000)),
    ("interval", 1186, struct.pack("!qii", 14706000000, 3, 14)), ("numeric", 1700, struct.pack("!hhhh3h", 3, 1, 0, 4, 1, 2345, 6789)),
    ("uuid", 2950, bytes(range(16))), ("jsonb", 3802, b'\1{"a": 1}'), ("int4range", 3904, b"\2\0\0\0\4\0\0\0\1\0\0\0\4\0\0\0\5"),
    ("int4[]", 1007, struct.pack("!iii2i", 1, 1, 23, 3, 1) + b"\0\0\0\4\0\0\0\1" + b"\xff\xff\xff\xff" + b"\0\0\0\4\0\0\0\3"),
    ("text[]", 1009, struct.pack("!iii2i", 1, 0, 25, 2, 1) + b"\0\0\0\1a" + b"\0\0\0\2bc"), ("bit varying", 1562, b"\0\0\0\3\xa0"),
    ("point", 600, struct.pack("!dd", 1, 2)), ("macaddr", 829, bytes(range(6))), ("timetz", 1266, struct.pack("!qi", 0, 3600)),
]


def columns(name, one, two):
    quoted = ", ".join(f"'{value}'::{name}" if name != "char" else f"'{value}'::\"char\"" for value in (one, two))
    return f"SELECT {quoted}, NULL::" + ('"char"' if name == "char" else name)


ROWS = section("type", *(
    (f"{name} as text and in binary", columns(name, one, two), x(run(columns(name, one, two), results=[1])),
     x(parse("", "SELECT $1::" + ('"char"' if name == "char" else name), [oid] if oid else []), describe(b"S"), bind("", [one], results=[1]), describe(b"P"), execute(),
       bind("", [None], results=[0]), execute()))
    for name, oid, one, two in TYPES)) + section("type", *(
        (f"{name} as binary parameter", x(run(f"SELECT $1, $1::text, pg_typeof($1)", raw, types=[oid], formats=[1])),
         x(run(f"SELECT $1", raw, types=[oid], formats=[1], results=[1])), x(run("SELECT $1", raw[:-1], types=[oid], formats=[1])))
        for name, oid, raw in BINARY)) + section(
    "type",
    ("record", "SELECT ROW(1, 'x', NULL)", x(run("SELECT ROW(1, 2::int8)", results=[1]))),
    ("void and unknown", x(run("SELECT pg_sleep(0), 'x'", results=[1]))),
    ("refcursor", "BEGIN", "DECLARE c CURSOR FOR SELECT 1", "SELECT 'c'::refcursor", "ROLLBACK"),
    ("copy in binary of many types", "COPY (SELECT true, 1::int2, 2::int4, 3::int8, 1.5::float8, 1.25::numeric, 'x'::text, '\\x01'::bytea, "
     "'2024-02-29'::date, '{1,2}'::int4[], '1 day'::interval) TO STDOUT (FORMAT binary)"),
    ("numeric of many digits", "SELECT 2::numeric ^ 2000, repeat('9', 1000)::numeric / 7"),
    ("arrays of arrays", "SELECT ARRAY[[1, 2], [3, 4]], ARRAY[]::int[], '[2:3][0:1]={{1,2},{3,4}}'::int[]"),
)
