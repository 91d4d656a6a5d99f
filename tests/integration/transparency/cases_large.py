"""Rows: values and results of many megabytes. Not played with the stream cut into single bytes, which would take hours."""
import struct

from steps import COPY_DONE, bind, copy_data, execute, function_call, message, on, parse, query, run, section, send, wait, x

MEGABYTE = 1 << 20
FIVE = "v" * (5 * MEGABYTE)
LIES = message(b"B", b"\0\0" + struct.pack("!hhi", 0, 1, 2 * MEGABYTE + 9) + b"l" * (2 * MEGABYTE) + b"\0\0")

ROWS = section(
    "large",
    ("a value of 1 MB", "SELECT repeat('x', 1048576)"),
    ("a value of 20 MB", "SELECT repeat('x', 20971520)"),
    ("a value of 20 MB, extended, binary", x(run("SELECT repeat('x', 20971520)::bytea", results=[1]))),
    ("a parameter of 1 MB", x(run("SELECT md5($1::text), length($1)", "y" * MEGABYTE))),
    ("a parameter of 20 MB", x(run("SELECT md5($1::bytea), length($1)", b"y" * (20 * MEGABYTE), formats=[1]))),
    ("a parameter of 5 MB, sent back", x(run("SELECT $1::text", "z" * (5 * MEGABYTE)))),
    ("a parameter of 100 MB, binary", x(run("SELECT octet_length($1::bytea), right($1, 2)", b"y" * (100 * MEGABYTE), formats=[1]))),
    ("two large parameters between small ones", x(run("SELECT 1"), run("SELECT length($1)", FIVE), run("SELECT $1::text", "a"),
                                                  run("SELECT length($1), $2::int", FIVE, 7), run("SELECT 2"))),
    ("a large parameter that is no number", x(run("SELECT 1"), run("SELECT $1::int", "9" * (2 * MEGABYTE)), run("SELECT 2")), "SELECT 3"),
    ("a large parameter in a failed transaction", "BEGIN", "SELECT 1 / 0", x(run("SELECT length($1)", FIVE)), "ROLLBACK"),
    ("a large parameter behind an error", x(run("SELECT 1 / 0"), run("SELECT length($1)", FIVE), run("SELECT 1")), x(run("SELECT 2"))),
    ("a large parameter of a missing statement", x(bind("missing", [FIVE]), execute()), "SELECT 1"),
    ("a large parameter in a transaction", "BEGIN", x(run("INSERT INTO bulk VALUES ($1, $2)", 1, FIVE)), "COMMIT", "SELECT id, length(body) FROM bulk"),
    ("a large parameter of a sharded table", x(run("INSERT INTO accounts (id, owner) VALUES ($1, $2)", 20, FIVE)), x(run("INSERT INTO accounts (id, owner) VALUES ($1, $2)", 20, FIVE)),
     x(run("UPDATE accounts SET owner = $1 WHERE id = $2", FIVE, 20)), "SELECT length(owner) FROM accounts WHERE id = 20"),
    ("a large parameter with a length that lies", x(parse("", "SELECT length($1)"), LIES, execute()), "SELECT 1"),
    ("a large parameter too many", x(run("SELECT 1", FIVE)), x(run("SELECT length($1), $2", FIVE)), "SELECT 1"),
    ("a large object written in one piece", "SELECT lo_create(424245)", "BEGIN", "SELECT lo_open(424245, 393216)",
     send(function_call(955, struct.pack("!i", 0), FIVE.encode())), wait("Z"), send(function_call(955, struct.pack("!i", 9), FIVE.encode())), wait("Z"),
     send(function_call(955, struct.pack("!i", 0), FIVE.encode())), wait("Z"), "ROLLBACK", "SELECT length(lo_get(424245))", "SELECT lo_unlink(424245)"),
    ("a text of 1 MB", "SELECT length('" + "x" * MEGABYTE + "')"),
    ("a text of 5 MB", "SELECT length('" + "x" * (5 * MEGABYTE) + "')"),
    ("a text of 20 MB", "SELECT length('" + "x" * (20 * MEGABYTE) + "')"),
    ("a prepared text of 1 MB", x(parse("s", "SELECT length('" + "x" * MEGABYTE + "')"))),
    ("100,000 rows", "SELECT i, i * 2 FROM generate_series(1, 100000) i"),
    ("ten pipelined results of 1 MB", x(*(run("SELECT repeat($1, 1048576)", str(i)) for i in range(10)))),
    ("a large row between small ones", x(run("SELECT 1"), run("SELECT repeat('x', 3000000)"), run("SELECT 2"))),
    ("a pipeline of 5 MB", x(*(run("SELECT length($1)", "w" * 50000) for _ in range(100)))),
    ("copy out of 10 MB", "COPY (SELECT i, repeat('c', 100) FROM generate_series(1, 100000) i) TO STDOUT"),
    ("copy in of 10 MB", send(query("COPY bulk FROM STDIN")), wait("G"), send(*[copy_data("1\t" + "d" * 990 + "\n") * 1] * 10000, COPY_DONE), wait("Z"),
     "SELECT count(*), sum(length(body)) FROM bulk"),
    ("copy in of one message of 20 MB", send(query("COPY bulk FROM STDIN")), wait("G"), send(copy_data("1\t" + "e" * (20 * MEGABYTE) + "\n"), COPY_DONE), wait("Z"),
     "SELECT length(body) FROM bulk"),
    ("a notice of 2 MB", "DO $$ BEGIN RAISE NOTICE '%', repeat('n', 2000000); END $$"),
    ("an error of 2 MB", "DO $$ BEGIN RAISE EXCEPTION '%', repeat('n', 2000000); END $$"),
    ("two clients at once", send(query("SELECT repeat('x', 5000000)")), on("b", send(query("SELECT repeat('y', 5000000)"), client="b"), wait("Z", client="b")), wait("Z")),
)
