"""psycopg2, which speaks the simple protocol: transactions, COPY, server-side cursors, large objects' functions, cancel, errors, pools."""
import datetime
import io
import threading
import uuid

import psycopg2
import psycopg2.errors
import psycopg2.extras
import psycopg2.pool

psycopg2.extras.register_uuid()
connection = psycopg2.connect("")
cursor = connection.cursor()

# Transactions: one begins with the first statement.
for key in range(1, 41):
    cursor.execute("INSERT INTO accounts (id, owner, balance) VALUES (%s, %s, %s)", (key, f"owner {key}", key * 1.5))
    cursor.execute("INSERT INTO entries VALUES (%s, 1, %s)", (key, "o'neill \\ \"x\""))
    connection.commit()
cursor.execute("UPDATE accounts SET balance = 0 WHERE id = %s", (7,))
connection.rollback()
cursor.execute("SELECT owner, balance FROM accounts WHERE id = %s", (7,))
assert cursor.fetchone() == ("owner 7", 10.5)
connection.commit()
with connection, connection.cursor() as inner:
    inner.execute("SAVEPOINT a")
    inner.execute("DELETE FROM entries WHERE account_id = 7")
    inner.execute("ROLLBACK TO a")
    inner.execute("SELECT note FROM entries WHERE account_id = 7")
    assert inner.fetchone() == ("o'neill \\ \"x\"",)

# Keys of other types; psycopg2 writes values into the text, with casts.
connection.autocommit = True
for number in range(30):
    token = uuid.UUID(int=number * 7919 << 90 | number)
    cursor.execute("INSERT INTO tokens VALUES (%s, %s)", (token, str(number)))
    cursor.execute("SELECT note FROM tokens WHERE token = %s", (token,))
    assert cursor.fetchone() == (str(number),)
    cursor.execute("INSERT INTO words VALUES (%s, %s)", ("wörd %" + str(number), number))
cursor.execute("SELECT owner FROM accounts WHERE id = ANY (%s)", ([5],))
assert cursor.fetchall() == [("owner 5",)]
cursor.execute("SELECT owner FROM accounts WHERE id IN %s", ((6,),))
assert cursor.fetchall() == [("owner 6",)]
psycopg2.extras.execute_values(cursor, "INSERT INTO entries VALUES %s", [(9, no, "many") for no in range(2, 200)])
cursor.execute("SELECT count(*) FROM entries WHERE account_id = 9")
assert cursor.fetchone() == (199,)

# Types.
made = datetime.datetime(2024, 2, 29, 12, 0, tzinfo=datetime.timezone.utc)
cursor.execute("INSERT INTO notes VALUES (1, %s, %s, %s, %s)", ("text", made, psycopg2.extras.Json({"a": [1, None]}), ["x", "y z", None]))
cursor.execute("SELECT body, made, extra, tags FROM notes WHERE id = 1")
assert cursor.fetchone() == ("text", made, {"a": [1, None]}, ["x", "y z", None])
cursor.execute("SELECT %s, %s, %s", (psycopg2.Binary(b"\0\xff"), None, True))
assert bytes(cursor.fetchone()[0]) == b"\0\xff"

# COPY.
cursor.copy_expert("COPY notes (id, body) FROM STDIN", io.StringIO("".join(f"{i}\tcopied {i}\n" for i in range(100, 1100))))
assert cursor.rowcount == 1000
out = io.StringIO()
cursor.copy_expert("COPY (SELECT id, body FROM notes WHERE id >= 100 ORDER BY id) TO STDOUT (FORMAT csv)", out)
assert out.getvalue().startswith("100,copied 100\n101,") and out.getvalue().count("\n") == 1000
try:
    cursor.copy_expert("COPY notes (id) FROM STDIN", io.StringIO("x\n"))
    raise AssertionError("a broken COPY was taken")
except psycopg2.errors.InvalidTextRepresentation as failure:
    assert failure.diag.context == 'COPY notes, line 1, column id: "x"', failure.diag.context

# Server-side cursor.
connection.autocommit = False
with connection.cursor("streamed") as streamed:
    streamed.itersize = 300
    streamed.execute("SELECT id FROM notes WHERE id >= 100 ORDER BY id")
    assert [row[0] for row in streamed] == list(range(100, 1100))
connection.commit()

# Errors carry every field; the session goes on.
try:
    cursor.execute("INSERT INTO accounts VALUES (7, 'again')")
    raise AssertionError("a key was taken twice")
except psycopg2.errors.UniqueViolation as failure:
    diag = failure.diag
    assert (diag.table_name, diag.constraint_name, diag.schema_name) == ("accounts", "accounts_pkey", "public")
    assert diag.message_detail == "Key (id)=(7) already exists.", diag.message_detail
try:
    cursor.execute("SELECT 1")
    raise AssertionError("a failed transaction went on")
except psycopg2.errors.InFailedSqlTransaction:
    connection.rollback()
try:
    cursor.execute("SELECT sum(random()) FROM accounts")
    raise AssertionError("a part of the rows was read")
except psycopg2.Error as failure:
    assert failure.pgcode == "RT003", failure
    connection.rollback()

# Notices, cancel.
cursor.execute("DO $$ BEGIN RAISE NOTICE 'told'; END $$")
assert "told" in connection.notices[-1]
timer = threading.Timer(0.3, connection.cancel)
timer.start()
try:
    cursor.execute("SELECT pg_sleep(60)")
    raise AssertionError("was not cancelled")
except psycopg2.errors.QueryCanceled:
    connection.rollback()
timer.join()

# Many clients on few servers.
pool = psycopg2.pool.ThreadedConnectionPool(1, 12, "")


def work(number):
    mine = pool.getconn()
    with mine, mine.cursor() as c:
        for key in range(1, 41):
            c.execute("SELECT balance FROM accounts WHERE id = %s", (key,))
            assert c.fetchone()[0] == key * 1.5
            mine.commit()
    pool.putconn(mine)


threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
pool.closeall()
connection.close()
print("psycopg2", psycopg2.__version__.split()[0])
