#!/usr/bin/env python3
"""Captures golden/pgoutput_{text,binary,stream,again}.txt and golden/replication.txt from PostgreSQL 15.

    ./capture_pgoutput.py        (writes beside this folder; run it again only when a step below changes)

A line of pgoutput_text, _binary and _again is `lsn xid hex` as pg_logical_slot_get_binary_changes gives it; a line of the
other two is the hex of a CopyData body as a walsender sent it. Above it stands the message's name, above that the SQL that
made it. Positions, transaction numbers and times differ from run to run, so the tests compare them with each other and with
the first two columns, not with constants.
"""
import pathlib
import struct

from cluster import Connection, cluster

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
NAMES = {"B": "Begin", "C": "Commit", "O": "Origin", "R": "Relation", "Y": "Type", "I": "Insert", "U": "Update", "D": "Delete",
         "T": "Truncate", "M": "Message", "S": "Stream Start", "E": "Stream Stop", "c": "Stream Commit", "A": "Stream Abort"}

SETUP = [
    "create schema shop",
    "create type shop.colour as enum ('red', 'green')",
    "create table shop.item (id int8 primary key, name text, price numeric(10,2), data bytea, colour shop.colour, big text)",
    "alter table shop.item alter column big set storage external",
    "create table shop.audit (id int4, note varchar(20))",
    "alter table shop.audit replica identity full",
    "create table shop.noise (filler text)",  # not published: it makes transactions large without making the golden large
    "create publication pub for table shop.item, shop.audit",
    "select pg_replication_origin_create('pgrotor_origin')",
]

STEPS = [
    ("insert into shop.item values (1, 'one', 9.90, '\\x00ff', 'red', null), (-2, '', null, null, null, 'b')", None),
    ("update shop.item set name = 'uno' where id = 1", None),
    ("update shop.item set id = 3 where id = -2", None),
    ("update shop.item set big = repeat('x', 2100) where id = 1", None),
    ("update shop.item set price = 1.5 where id = 1", None),
    ("insert into shop.audit values (7, 'seven')", None),
    ("update shop.audit set note = null where id = 7", None),
    ("delete from shop.audit where id = 7", None),
    ("delete from shop.item where id = 3", None),
    ("truncate shop.item, shop.audit restart identity cascade", None),
    ("truncate shop.audit", None),
    ("select pg_logical_emit_message(true, 'pgrotor', 'marker 1')", None),
    ("select pg_logical_emit_message(false, 'pgrotor', '\\x0001ff'::bytea)", None),
    ("begin; insert into shop.audit values (8, 'from afar'); commit",
     ["select pg_replication_origin_session_setup('pgrotor_origin')",
      "select pg_replication_origin_xact_setup('1A/2B3C4D', '2024-01-01 00:00:00+00')"]),
]

# More than logical_decoding_work_mem.
NOISE = "insert into shop.noise select repeat('n', 500) from generate_series(1, 150)"


def changes(control, slot, **options):
    named = ", ".join(f"'{name}', '{value}'" for name, value in options.items())
    return control.query("select lsn, xid, encode(data, 'hex') from pg_logical_slot_get_binary_changes("
                         f"'{slot}', null, null, 'publication_names', 'pub', 'messages', 'true', {named})")


def lines(title, rows):
    yield f"\n## {title}"
    for lsn, xid, data in rows:
        yield f"# {NAMES[chr(int(data[:2], 16))]}"
        yield f"{lsn} {xid} {data}"


def with_origin(port, sql, setup):
    replica = Connection(port)
    replica.query(setup[0])
    begin, rest = sql.split(";", 1)
    replica.query(begin)
    replica.query(setup[1])
    replica.query(rest)


def capture_plain(port, control):
    out = {"text": [], "binary": []}
    for kind in out:
        control.query(f"select pg_create_logical_replication_slot('{kind}', 'pgoutput')")
    for sql, setup in STEPS:
        with_origin(port, sql, setup) if setup else control.query(sql)
        for kind in out:
            rows = changes(control, kind, proto_version=1, binary=str(kind == "binary").lower())
            out[kind] += lines(sql, rows)
    for kind, text in out.items():
        control.query(f"select pg_drop_replication_slot('{kind}')")
        write(f"pgoutput_{kind}.txt", text)


def start_replication(port, slot, options):
    walsender = Connection(port, replication="database")
    walsender.start(f"START_REPLICATION SLOT {slot} LOGICAL 0/0 ({options}, publication_names 'pub')", last=b"W")
    return walsender


def bodies_until(walsender, enough):
    """CopyData bodies as golden lines, up to the first that is enough."""
    while True:
        _, body = walsender.frame()
        yield "# " + ("keepalive" if body[:1] == b"k" else "XLogData " + NAMES[chr(body[25])])
        yield body.hex()
        if enough(body):
            return


def is_payload(body, start):
    return body[:1] == b"w" and body[25:].startswith(start)


def capture_stream(port, control):
    """One walsender runs through all of it. A small transaction after each step flushes what the open one has written and,
    in the golden, lies between its segments."""
    control.query("select pg_create_logical_replication_slot('stream', 'pgoutput')")
    walsender = start_replication(port, "stream", "proto_version '2', streaming 'on', binary 'true', messages 'true'")
    writer, out = Connection(port), []

    def step(sql):
        writer.query(sql)
        control.query("select pg_logical_emit_message(true, 'step', '')")
        out.append(f"\n## {sql}")
        out.extend(bodies_until(walsender, lambda body: is_payload(body, b"M") and b"step" in body))
        out.extend(bodies_until(walsender, lambda body: is_payload(body, b"C")))

    step(f"begin; insert into shop.item values (10, 'streamed', 1, null, 'green', null); {NOISE}")
    step(f"select pg_logical_emit_message(true, 'pgrotor', 'in a stream'); update shop.item set id = 11 where id = 10; {NOISE}")
    step(f"savepoint a; insert into shop.audit values (1, 'undone'); {NOISE}")
    step("rollback to a")
    step(f"truncate shop.audit; delete from shop.item; {NOISE}")
    step("commit")
    step(f"begin; insert into shop.audit values (2, 'never'); {NOISE}")
    step("rollback")
    write("pgoutput_stream.txt", out)


def capture_again(port, control):
    """A slot decodes again from its restart position, which lags behind what was confirmed: here a large transaction that the
    first read confirmed, streamed once more by the second because TRUNCATE left invalidations in its commit record."""
    control.query("select pg_create_logical_replication_slot('again', 'pgoutput')")
    out = []
    for sql in (["begin", "insert into shop.audit values (3, 'large')", NOISE, "truncate shop.audit", "commit"], ["insert into shop.audit values (4, 'small')"]):
        for statement in sql:
            control.query(statement)
        out += lines("; ".join(sql), changes(control, "again", proto_version=2, streaming="true"))
    write("pgoutput_again.txt", out)


def capture_envelopes(port, control):
    control.query("select pg_create_logical_replication_slot('wire', 'pgoutput')")
    control.query("insert into shop.audit values (9, 'wire')")
    with_origin(port, *STEPS[-1])
    walsender = start_replication(port, "wire", "proto_version '1'")
    out = []
    for title in ("insert into shop.audit values (9, 'wire')", STEPS[-1][0]):
        out += [f"\n## {title}", *bodies_until(walsender, lambda body: is_payload(body, b"C"))]
    # The server understood the layout of standby_status() if it answers what asks for a reply.
    status = b"r" + struct.pack("!QQQqB", 0x10203, 0x10202, 0x10201, 765432100000000, 1)
    walsender.socket.sendall(b"d" + struct.pack("!i", len(status) + 4) + status)
    out += ["\n## standby status update that asks for a reply, and the reply", "# status", status.hex()]
    out += bodies_until(walsender, lambda body: body[:1] == b"k")
    write("replication.txt", out)


def write(name, text):
    head = [f"# {name}: captured from PostgreSQL 15 by capture/capture_pgoutput.py, which explains the format."]
    (GOLDEN / name).write_text("\n".join(head + text) + "\n")


def main():
    with cluster(wal_level="logical", logical_decoding_work_mem="64kB", autovacuum="off") as port:
        control = Connection(port)
        for statement in SETUP:
            control.query(statement)
        capture_plain(port, control)
        capture_stream(port, control)
        capture_again(port, control)
        capture_envelopes(port, control)


if __name__ == "__main__":
    main()
