"""The placement values of routing/map/placement.h against PostgreSQL's own: 100,000 random values for each type that a shard key may have,
in text form read by the server's input function and in binary form from its send function, through the very expression that
placement_sql() gives guards and DBAs; and texts that the server refuses. Then the order of placements that are keys themselves, against
ORDER BY. PLACEMENT_VALUES and PLACEMENT_SEED change number and seed."""
import os
import random
import subprocess
import time

from cluster import Scene

TOOL = os.path.join(os.environ["PGROTOR_BUILD"], "tests", "integration", "placement_tool")
VALUES = int(os.environ.get("PLACEMENT_VALUES", "100000"))
SEED = int(os.environ.get("PLACEMENT_SEED", "8816678312871386365"))
COLUMN = '"Key ""of"" it"'
LETTERS = "abcXYZ019 '\"\\\t\n%_ßäöüéñ漢字😀\u0301\u00a0"

# column type -> key type of the map, send function
TYPES = {"int2": ("int8", "int2send"), "int4": ("int8", "int4send"), "int8": ("int8", "int8send"), "text": ("text", "textsend"),
         "varchar": ("text", "varcharsend"), "bpchar": ("bpchar", "bpcharsend"), "char(70)": ("bpchar", "bpcharsend"),
         "uuid": ("uuid", "uuid_send")}

# What keys of range distributions may be: column type -> its send function, and how a placement is made of what that gives
ORDERED = {"int2": ("int2send", "number"), "int4": ("int4send", "number"), "int8": ("int8send", "number"), "date": ("date_send", "number"),
           "timestamp": ("timestamp_send", "number"), "timestamptz": ("timestamptz_send", "number"), "uuid": ("uuid_send", "bytes"),
           'text COLLATE "C"': ("textsend", "bytes"), "bytea": ("byteasend", "bytes")}
KEPT = 22  # bytes of a longer key


def integer(pick, bits):
    edge = 1 << (bits - 1)
    value = pick.choice([pick.randrange(-edge, edge), pick.randrange(-1000 if bits > 10 else -edge, 1000), edge - 1, -edge,
                         pick.randrange(-edge, edge) >> pick.randrange(bits)])
    text = str(value) if value < 0 or pick.random() < 0.9 else f"+{value}"
    if pick.random() < 0.05:
        text = text.replace("-", "-00") if value < 0 else "00" + text.lstrip("+")
    return pick.choice(["", "", "", " ", "\t\n"]) + text + pick.choice(["", "", "", " ", "\r\f"])


def word(pick):
    return "".join(pick.choices(LETTERS, k=pick.randrange(65))) + pick.choice(["", "", " ", "   "])


def uuid(pick):
    digits = "".join(pick.choices("0123456789abcdef", k=32))
    if pick.random() < 0.3:
        digits = digits.upper()
    form = pick.randrange(4)
    if form == 0:
        return digits
    text = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    if form == 1:
        text = "-".join(digits[i:i + 4] for i in range(0, 32, 4))
    return "{" + text + "}" if form == 2 else text


def random_value(column_type, pick):
    if column_type.startswith("int"):
        return integer(pick, 8 * int(column_type[3:]))
    return uuid(pick) if column_type == "uuid" else word(pick)


def tool(mode, key_type, lines=(), column=None):
    done = subprocess.run([TOOL, mode, key_type] + ([column] if column else []), input="\n".join(lines) + "\n" if lines else "", text=True,
                          stdout=subprocess.PIPE, check=True)
    return done.stdout.splitlines()


def compare(what, mine, servers, values):
    assert len(mine) == len(servers) == len(values), f"{what}: {len(values)} values, {len(mine)} and {len(servers)} answers"
    different = [(value, a, b) for value, a, b in zip(values, mine, servers) if a != b]
    assert not different, f"{what}: {len(different)} of {len(values)} differ, first: {different[0]}"


def fill(cursor, column_type, hexes):
    """The values go in as hex, so that nothing between here and the input function of the type touches them."""
    cursor.execute(f"DROP TABLE IF EXISTS keys; CREATE TABLE keys (id int PRIMARY KEY, {COLUMN} {column_type} NOT NULL)")
    for start in range(0, len(hexes), 20000):
        cursor.execute(f"INSERT INTO keys SELECT %s + n, pg_catalog.convert_from(decode(h, 'hex'), 'UTF8')::{column_type} "
                       "FROM unnest(%s) WITH ORDINALITY AS v(h, n)", (start, hexes[start:start + 20000]))


def check_type(cursor, column_type):
    key_type, send = TYPES[column_type]
    started = time.monotonic()
    pick = random.Random(f"{SEED} {column_type}")
    hexes = [random_value(column_type, pick).encode().hex() for _ in range(VALUES)]
    fill(cursor, column_type, hexes)
    expression = tool("sql", key_type, column=COLUMN)[0]
    cursor.execute(f"SELECT {expression}, encode(pg_catalog.{send}({COLUMN}), 'hex') FROM keys ORDER BY id")
    rows = cursor.fetchall()
    servers = [str(placement) for placement, _ in rows]
    compare(f"{column_type} as text", tool("text", key_type, hexes), servers, hexes)
    compare(f"{column_type} in binary", tool("binary", key_type, [sent for _, sent in rows]), servers, hexes)
    print(f"{column_type:8} {len(rows)} values, text and binary, {len(set(servers))} placements, equal ({time.monotonic() - started:.1f} s)")


def check_refused(cursor, column_type, texts):
    """What the server's input function accepts must have its placement, what it refuses none."""
    key_type = TYPES[column_type][0]
    cursor.execute(f"""CREATE OR REPLACE FUNCTION placed(h text) RETURNS text LANGUAGE plpgsql AS $$
        DECLARE k {column_type};
        BEGIN k := convert_from(decode(h, 'hex'), 'UTF8'); RETURN {tool("sql", key_type, column="k")[0]};
        EXCEPTION WHEN data_exception THEN RETURN '-'; END $$""")
    hexes = [text.encode().hex() for text in texts]
    cursor.execute("SELECT placed(h) FROM unnest(%s) WITH ORDINALITY AS v(h, n) ORDER BY n", (hexes,))
    servers = [row[0] for row in cursor.fetchall()]
    assert "-" in servers and set(servers) != {"-"}, f"{column_type}: the odd texts are not odd enough"
    compare(f"odd texts for {column_type}", tool("text", key_type, hexes), servers, texts)
    print(f"{column_type:8} {len(texts)} odd texts, {servers.count('-')} refused by both")


def odd_texts(column_type, pick):
    alphabet = "0123456789+- \tx.e" if column_type == "int8" else "0af-{}G "
    for _ in range(3000):
        text = random_value(column_type, pick)
        for _ in range(pick.randrange(3)):
            at = pick.randrange(len(text) + 1)
            text = text[:at] + pick.choice(alphabet) + text[at + pick.randrange(2):]
        yield text
    yield from ("", " ", "-", "+", "--1", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
                "1" * 40, "{", "{}", "}", "-" * 36)


def ordered_value(column_type, pick):
    if column_type.startswith("int"):
        return integer(pick, 8 * int(column_type[3:]))
    if column_type == "uuid":
        return uuid(pick)
    if column_type == "bytea":
        return "\\x" + pick.choice(["", "00" * 20, "ff" * 21]) + "".join(pick.choices(("00", "01", "7f", "80", "ff"), k=pick.randrange(5)))
    if column_type.startswith("text"):
        return pick.choice(["", "begins alike twenty-t", "漢" * 7]) + word(pick)[:pick.randrange(30)]
    if pick.random() < 0.02:
        return pick.choice(("infinity", "-infinity"))
    date = f"{pick.choice((pick.randrange(1, 4700), 2000)):04}-{pick.randrange(1, 13):02}-{pick.randrange(1, 29):02}"
    clock = f" {pick.randrange(24):02}:{pick.randrange(60):02}:{pick.randrange(60)}.{pick.randrange(1000000):06}"
    return date + (clock if column_type != "date" else "") + pick.choice(["", " BC"])


def check_order(cursor, column_type, count=20000):
    """Sorted by the server, each value lies to the one before it as the server says: long keys, of which the same bytes are kept, are equal."""
    pick = random.Random(f"{SEED} order {column_type}")
    fill(cursor, column_type, [ordered_value(column_type, pick).encode().hex() for _ in range(count)])
    send, how = ORDERED[column_type]
    cursor.execute(f"SELECT encode(pg_catalog.{send}({COLUMN}), 'hex'), {COLUMN} = lag({COLUMN}) OVER w FROM keys WINDOW w AS (ORDER BY {COLUMN})"
                   f" ORDER BY {COLUMN}")
    rows = cursor.fetchall()
    alike = [a[0][:2 * KEPT] == b[0][:2 * KEPT] and min(len(a[0]), len(b[0])) > 2 * KEPT for a, b in zip(rows, rows[1:])]
    servers = ["=" if same or cut else "<" for (_, same), cut in zip(rows[1:], alike)]
    compare(f"the order of {column_type}", tool("order", how, [sent for sent, _ in rows]), servers, servers)
    assert "<" in servers and ("=" in servers or column_type == "uuid"), servers[:10]
    print(f"{column_type:16} {len(rows)} values in the server's order, {servers.count('=')} equal, {sum(alike)} cut alike")


def main():
    with Scene("placement") as scene:
        with scene.cluster("one").connect() as connection, connection.cursor() as cursor:
            for column_type in TYPES:
                check_type(cursor, column_type)
            for column_type in ("int8", "uuid"):
                check_refused(cursor, column_type, list(odd_texts(column_type, random.Random(f"{SEED} odd {column_type}"))))
            for column_type in ORDERED:
                check_order(cursor, column_type)
        connection.close()


if __name__ == "__main__":
    main()
