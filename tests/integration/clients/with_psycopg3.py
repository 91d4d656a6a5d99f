"""psycopg 3, which speaks the extended protocol: prepared after the fifth run, pipelines, COPY in both forms, binary, cancel, async."""
import asyncio
import os
import threading
import uuid

import psycopg
from psycopg import errors, sql
from psycopg.types.json import Jsonb

connection = psycopg.connect("", autocommit=True)

for key in range(1, 41):  # prepared on the server from the sixth on
    connection.execute("INSERT INTO accounts (id, owner, balance) VALUES (%s, %s, %s)", (key, f"owner {key}", key * 1.5))
for key in range(1, 41):
    assert connection.execute("SELECT owner, balance FROM accounts WHERE id = %s", (key,), prepare=True).fetchone() == (f"owner {key}", key * 1.5)
    assert connection.execute("SELECT balance FROM accounts WHERE id = %s", (key,), binary=True).fetchone()[0] == key * 1.5
for number in range(30):
    token = uuid.UUID(int=number * 7919 << 90 | number)
    connection.execute("INSERT INTO tokens VALUES (%s, %s)", (token, str(number)))
    connection.execute("INSERT INTO words VALUES (%s, %s)", (f"wörd {number}", number))
    connection.execute("INSERT INTO entries VALUES (%s, 1000, NULL)", (number,))
    assert connection.execute("SELECT note FROM tokens WHERE token = %b", (token,)).fetchone() == (str(number),)
    assert connection.execute("SELECT length FROM words WHERE word = %t", (f"wörd {number}",)).fetchone() == (number,)
assert connection.execute("SELECT owner FROM accounts WHERE id = ANY (%s)", ([5],)).fetchall() == [("owner 5",)]
assert connection.execute("SELECT owner FROM accounts WHERE id = ANY (%b)", ([5, 5],)).fetchall() == [("owner 5",)]

# A key in two places of one statement.
assert connection.execute("UPDATE accounts SET owner = owner || %(k)s::text WHERE id = %(k)s RETURNING owner", {"k": 3}).fetchone() == ("owner 33",)

# Transactions, nested ones as savepoints.
with connection.transaction():
    connection.execute("UPDATE accounts SET balance = balance + 1 WHERE id = 5")
    try:
        with connection.transaction():
            connection.execute("UPDATE accounts SET balance = balance + 1 WHERE id = 5")
            raise RuntimeError
    except RuntimeError:
        pass
assert connection.execute("SELECT balance FROM accounts WHERE id = 5").fetchone()[0] == 8.5
with connection.transaction(), connection.transaction():
    connection.execute("UPDATE accounts SET balance = balance + 1 WHERE id = 12")
try:
    with connection.transaction():
        connection.execute("DELETE FROM accounts WHERE id = 5")
        connection.execute("SELECT 1 / 0")
except errors.DivisionByZero:
    pass
assert connection.execute("SELECT count(*) FROM accounts WHERE id = 5").fetchone() == (1,)
two = psycopg.connect("", autocommit=True)
two.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
two.read_only = True
with two.transaction():
    assert two.execute("SHOW transaction_isolation").fetchone() == ("serializable",)
two.close()

# Pipelines.
with connection.pipeline() as pipeline:
    cursors = [connection.execute("SELECT %s::int", (n,)) for n in range(100)]
    pipeline.sync()
    assert [one.fetchone()[0] for one in cursors] == list(range(100))
with connection.pipeline(), connection.transaction():
    for key in (9, 9, 9):
        connection.execute("UPDATE accounts SET balance = balance + 1 WHERE id = %s", (key,))
assert connection.execute("SELECT balance FROM accounts WHERE id = 9").fetchone()[0] == 16.5
try:
    with connection.pipeline():
        connection.execute("SELECT 1")
        connection.execute("SELECT 1 / 0")
        connection.execute("SELECT 2")
    raise AssertionError("a failed pipeline went on")
except errors.DivisionByZero:
    pass
connection.cursor().executemany("INSERT INTO entries VALUES (%s, %s, %s)", [(11, no, "many") for no in range(100)])
assert connection.execute("SELECT count(*) FROM entries WHERE account_id = 11").fetchone() == (101,)

# COPY.
cursor = connection.cursor()
with cursor.copy("COPY notes (id, body) FROM STDIN") as copy:
    for number in range(100, 1100):
        copy.write_row((number, f"copied {number}"))
with cursor.copy("COPY notes (id, body) FROM STDIN (FORMAT binary)") as copy:
    copy.set_types(["int4", "text"])
    copy.write_row((1, "in binary"))
with cursor.copy("COPY (SELECT id, body FROM notes WHERE id >= 100 ORDER BY id) TO STDOUT") as copy:
    copy.set_types(["int4", "text"])
    assert list(copy.rows()) == [(number, f"copied {number}") for number in range(100, 1100)]
try:
    with cursor.copy("COPY notes (id) FROM STDIN") as copy:
        copy.write("5\n")
        raise KeyError("ours")  # CopyFail
except errors.QueryCanceled as failure:
    assert "ours" in str(failure)
try:
    with cursor.copy("COPY notes (id) FROM STDIN") as copy:
        copy.write("x\n")
    raise AssertionError("a broken COPY was taken")
except errors.InvalidTextRepresentation:
    pass
assert connection.execute("SELECT count(*) FROM notes").fetchone() == (1001,)

# Server-side cursor, errors, composed SQL, types.
with connection.transaction(), connection.cursor("streamed") as streamed:
    streamed.execute("SELECT id FROM notes WHERE id >= 100 ORDER BY id")
    assert [row[0] for row in streamed.fetchmany(3)] == [100, 101, 102]
try:
    connection.execute("INSERT INTO notes (id, body) VALUES (2, %s)", ("x" * 1000,))
except errors.CheckViolation as failure:
    assert failure.diag.constraint_name == "body_is_short"
connection.execute(sql.SQL("UPDATE {} SET extra = %s, tags = %s WHERE id = 1").format(sql.Identifier("notes")), (Jsonb({"a": 1}), ["x", None]))
assert connection.execute("SELECT extra, tags FROM notes WHERE id = 1").fetchone() == ({"a": 1}, ["x", None])

# Cancel.
timer = threading.Timer(0.3, connection.cancel)
timer.start()
try:
    connection.execute("SELECT pg_sleep(60)")
    raise AssertionError("was not cancelled")
except errors.QueryCanceled:
    pass
timer.join()


async def many():
    async def one(number):
        async with await psycopg.AsyncConnection.connect("") as mine:
            for key in range(1 + number % 40, 41, 5):
                await mine.execute("SELECT owner FROM accounts WHERE id = %s", (key,), prepare=True)
                await mine.commit()
    await asyncio.gather(*(one(n) for n in range(10)))


asyncio.run(many())
connection.close()

# The admin console, with transactions that are begun unasked, and with values in binary.
with psycopg.connect(dbname="pgrotor", user="admin", password=os.environ["CONSOLE_PASSWORD"]) as console:
    for _ in range(7):  # prepared on the server in the end
        assert [row[0] for row in console.execute("SHOW SHARDS")] == ["s1", "s2", "s3"]
    for binary in (False, True):
        assert {tuple(map(type, row[1:3])) for row in console.execute("SHOW RANGES", binary=binary) if row[2] is not None} == {(int, int)}
        assert all(isinstance(row[1], float) for row in console.execute("SHOW STATS", binary=binary))
    try:
        console.execute("SHOW NOTHING")
    except errors.SyntaxError:
        console.rollback()
    assert console.execute("HELP", prepare=True).fetchone() and console.execute("").statusmessage is None
print("psycopg", psycopg.__version__)
