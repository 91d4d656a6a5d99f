"""The words that rows of the transparency runner are written in (cases_*.py). A row is a name and its steps; a step is

    "SELECT 1"                  a simple query, then everything up to ReadyForQuery
    x(parse(...), bind(...))    messages of the extended protocol and a Sync, then everything up to ReadyForQuery
    send(...), wait("Z")        bytes alone; everything up to the first message of one of these kinds
    on("b", ...)                the same for a second client, which logs in at its first step
    login(**startup)            as first step: startup parameters of the client

and is kept as (client, verb, argument), which player.py plays against PostgreSQL and against pgrotor.
"""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "proxy"))
from wire import FLUSH, SYNC, TERMINATE, close, cstr, describe, execute, message, parse, query  # noqa: E402,F401


def packed(value):
    """A value of Bind or FunctionCall: None, bytes as they are, all else as text."""
    if value is None:
        return struct.pack("!i", -1)
    raw = value if isinstance(value, bytes) else str(value).encode()
    return struct.pack("!i", len(raw)) + raw


def shorts(numbers):
    return struct.pack(f"!h{len(numbers)}h", len(numbers), *numbers)


def bind(statement="", values=(), portal="", formats=(), results=()):
    body = cstr(portal) + cstr(statement) + shorts(formats) + struct.pack("!h", len(values)) + b"".join(map(packed, values))
    return message(b"B", body + shorts(results))


def function_call(oid, *values, formats=(1,), result=1):
    return message(b"F", struct.pack("!i", oid) + shorts(formats) + struct.pack("!h", len(values)) + b"".join(map(packed, values)) +
                   struct.pack("!h", result))


def copy_data(raw):
    return message(b"d", raw if isinstance(raw, bytes) else raw.encode())


COPY_DONE = message(b"c")


def copy_fail(why):
    return message(b"f", cstr(why))


def run(sql, *values, types=(), formats=(), results=()):
    """Parse, Bind, Describe, Execute without names, as drivers send them together."""
    return parse("", sql, types) + bind("", values, formats=formats, results=results) + describe(b"P") + execute()


def send(*raw, client="a"):
    return [(client, "send", b"".join(raw))]


def wait(kinds, times=1, client="a"):
    return [(client, "wait", (kinds, times))]


def x(*raw, client="a"):
    whole = b"".join(raw) + SYNC
    return [(client, "send", whole), (client, "wait", ("Z", 1))]


def q(sql, client="a"):
    return [(client, "send", query(sql)), (client, "wait", ("Z", 1))]


def on(client, *steps):
    return [(client, verb, argument) for step in steps for _, verb, argument in (q(step) if isinstance(step, str) else step)]


def login(client="a", **parameters):
    return [(client, "login", parameters)]


def running(fragment):
    """Until a statement of which this is a part runs on the server, as pg_stat_activity has it."""
    return [("a", "running", fragment)]


def calm():
    """No noise in this row: it stays on one server connection. For what PostgreSQL notices only on the connection where it was prepared."""
    return [("a", "calm", None)]


def cancel(client="a"):
    return [(client, "cancel", None)]


def case(name, *steps):
    """A row as player.py takes it: (name, [(client, verb, argument), ...])."""
    return name, [one for step in steps for one in (q(step) if isinstance(step, str) else step)]


def section(title, *rows):
    return [case(f"{title}: {row[0]}", *row[1:]) for row in rows]
