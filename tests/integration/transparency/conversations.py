#!/usr/bin/env -S /usr/bin/python3 -B
"""What comes back for each message in each state of a conversation (manual 55.2): every row of conversations.txt is said to PostgreSQL and to
pgrotor in front of one alike, at once and in steps. tests/unit/proxy/session_table_test.cc says the same rows to a session without sockets.

    conversations.py            does the table tell the truth, and is pgrotor like it?
    conversations.py --write    makes the table anew, from what PostgreSQL says
"""
import os
import sys
import time

from steps import bind, close, describe, execute, function_call, message, parse, query
from twins import PASSWORD, Scene, Twins
from wire import FLUSH, SYNC, TERMINATE, Client, cstr, fields

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "unit", "proxy", "conversations.txt")
SELECT, COPY = "SELECT 's2' AS shard", "COPY stock FROM STDIN"
DATA, DONE, FAIL = message(b"d", b"w1\n"), message(b"c"), message(b"f", cstr("enough"))
RUN = parse("", SELECT) + bind() + execute()

STATES = {
    "idle": b"",
    "block": query("BEGIN"),
    "failed block": query("BEGIN") + query("SELECT 1 / 0 AS boom"),
    "with a setting": query("SET work_mem TO '5MB'"),
    "pipeline": RUN + FLUSH,
    "pipeline, not flushed": RUN,
    "pipeline in a block": query("BEGIN") + RUN + FLUSH,
    "pipeline with a setting": parse("", "SET work_mem TO '5MB'") + bind() + execute() + FLUSH,
    "pipeline that failed": parse("", "SELECT boom in parse") + FLUSH,
    "pipeline that failed, not flushed": parse("", "SELECT boom in parse"),
    "copy": query(COPY) + DATA,
    "copy, extended": parse("", COPY) + bind() + execute() + FLUSH + DATA,
    "copy, extended, synced": parse("", COPY) + bind() + execute() + SYNC + DATA,
    "copy in a block": query("BEGIN") + query(COPY) + DATA,
    "copy that failed": query(COPY) + FAIL,
    "copy that failed, extended": parse("", COPY) + bind() + execute() + FLUSH + FAIL,
    "copy that failed, extended, synced": parse("", COPY) + bind() + execute() + SYNC + FAIL,
}
MESSAGES = {
    "Query": query(SELECT), "Query, empty": query(""), "Query that fails": query("SELECT 1 / 0 AS boom"), "BEGIN": query("BEGIN"), "ROLLBACK": query("ROLLBACK"),
    "DEALLOCATE ALL": query("DEALLOCATE ALL"), "DISCARD ALL": query("DISCARD ALL"), "SET": query("SET work_mem TO '6MB'"), "COPY TO": query("COPY (SELECT 's2') TO STDOUT"),
    "Parse": parse("", SELECT), "Parse that fails": parse("", "SELECT boom in parse"), "Bind": bind(), "Bind of nothing": bind("missing"), "Describe": describe(b"S"),
    "Describe of no portal": describe(b"P", "missing"), "Execute": execute(), "Execute of nothing": execute("missing"), "Close": close(b"S", "missing"),
    "FunctionCall": function_call(1610, formats=(), result=0), "Flush": FLUSH, "Sync": SYNC, "CopyData": message(b"d"), "CopyDone": DONE, "CopyFail": FAIL,
    "PasswordMessage": message(b"p", cstr("secret")), "unknown": message(b"!"), "Terminate": TERMINATE,
}
# Who says that he goes hears what he has not asked for yet.
KNOWN = {("pipeline, not flushed", "Terminate")}
# A way back from everywhere, and what shows that the client is where it believes to be.
TAIL = SYNC + DONE + SYNC + query("ROLLBACK") + query(SELECT)


def words_of(kind, body):
    kind = kind.decode()
    if kind == "E":
        told = fields(body)
        return f"E[{'FATAL ' if told['S'] == 'FATAL' else ''}{told['C']}]"
    if kind == "N":
        return f"N[{fields(body)['C']}]"
    if kind == "Z":
        return f"Z[{body.decode()}]"
    if kind == "C":
        return f"C[{body[:-1].decode()}]"
    if kind == "D":
        return "D[s2]"
    return {"T": "T[shard]", "d": "d[s2]"}.get(kind, kind)


def heard(client):
    words = []
    try:
        while True:
            kind, body = client.receive()
            if kind != b"S":
                words.append(words_of(kind, body))
    except (EOFError, ConnectionError):
        return " ".join(words)


def said_to(port, parts):
    client = Client(port, password=PASSWORD, timeout=10)
    for part in parts:
        try:
            client.send(part)
        except OSError:
            break
        if len(parts) > 1:
            time.sleep(0.02)
    try:
        client.send(TERMINATE)
    except OSError:
        pass
    words = heard(client)
    client.close()
    return words


def rows_of(port):
    return {(state, kind): said_to(port, [before + raw + TAIL]) for state, before in STATES.items() for kind, raw in MESSAGES.items()}


HEAD = ["# What each is in bytes, then what PostgreSQL answers: state | message | answer. Made by tests/integration/transparency/conversations.py --write"]
HEAD += [f"{what} | {name} | {raw.hex()}" for what, all_of in (("a state", STATES), ("a message", MESSAGES), ("then", {"tail": TAIL})) for name, raw in all_of.items()]


def read_table():
    with open(TABLE) as file:
        lines = file.read().splitlines()
    assert lines[:len(HEAD)] == HEAD, "the table is of other states or messages: --write"
    return {(state, kind): answer for state, kind, answer in (line.split(" | ") for line in lines[len(HEAD):])}


def write_table(rows):
    with open(TABLE, "w") as file:
        file.write("\n".join([*HEAD, *(f"{state} | {kind} | {answer}" for (state, kind), answer in rows.items())]) + "\n")


def differences(what, told, expected):
    wrong = [(row, told.get(row), expected.get(row)) for row in sorted({*told, *expected} - KNOWN) if told.get(row) != expected.get(row)]
    for (state, kind), got, wanted in wrong:
        print(f"{what}: {state} | {kind}\n    wanted {wanted}\n    heard  {got}")
    return len(wrong)


def main():
    with Scene("conversations") as scene:
        twins = Twins(scene)
        for cluster in (twins.direct, twins.shard):
            cluster.psql("CREATE TABLE stock (name text); GRANT ALL ON stock TO app", "shop")
        true = rows_of(twins.direct.port)
        if "--write" in sys.argv:
            return write_table(true)
        wrong = differences("the table", read_table(), true)
        port = twins.pgrotor("plain").port
        wrong += differences("pgrotor", rows_of(port), true)
        steps = {(state, kind): said_to(port, [before, raw, TAIL]) for state, before in STATES.items() for kind, raw in MESSAGES.items()}
        wrong += differences("pgrotor, in steps", steps, true)
        print(f"{len(true)} rows, {wrong} differ")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
