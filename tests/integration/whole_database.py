"""What a client believes to be global to its database is so, whatever shard its transaction runs on, or it is refused by name; what a
statement reads or writes without naming it is refused too. Usage: whole_database.py, with PGROTOR_BUILD set."""
import psycopg2

from cluster import Scene, wait_until
from fleet import Fleet

TABLES = """
CREATE TABLE accounts (tenant bigint, id bigint, note text, PRIMARY KEY (tenant, id));
CREATE TABLE conf (id int PRIMARY KEY, v int);
INSERT INTO conf VALUES (1, 1);
CREATE TABLE plain (id int PRIMARY KEY);
CREATE SEQUENCE tickets;
GRANT ALL ON accounts, conf, plain, tickets TO app;
"""


class World:
    def __init__(self, scene):
        self.fleet = Fleet(scene)
        self.fleet.everywhere(TABLES)
        self.fleet.console("DISTRIBUTE TABLE accounts BY tenant IN DISTRIBUTION shop")
        self.fleet.console("REFERENCE TABLE conf")
        self.home = next(key for key in range(1000) if self.fleet.owner(key) == self.fleet.catalog)
        self.away = next(key for key in range(1000) if self.fleet.owner(key) != self.fleet.catalog)

    def session(self):
        return self.fleet.app().cursor()

    def transaction(self, key):
        """A session in a transaction on the key's shard."""
        cursor = self.session()
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM accounts WHERE tenant = %s", (key,))
        return cursor


def answer(cursor, sql, parameters=None):
    cursor.execute(sql, parameters)
    return cursor.fetchall() if cursor.description else cursor.statusmessage


def refused(cursor, sql, *names):
    """RT003, and its text has the names."""
    try:
        cursor.execute(sql)
    except psycopg2.Error as error:
        text = "\n".join(filter(None, (error.diag.message_primary, error.diag.message_detail, error.diag.message_hint)))
        assert error.pgcode == "RT003", (sql, error.pgcode, text)
        for name in names:
            assert name in text, (sql, name, text)
        return
    raise AssertionError(f"not refused: {sql}")


def check_refused_elsewhere(world):
    """In a transaction on another shard than the default one, each by its name."""
    for sql, name in (("SELECT pg_advisory_xact_lock(7)", "pg_advisory_xact_lock()"), ("SELECT pg_try_advisory_lock(8)", "pg_try_advisory_lock()"),
                      ("SELECT pg_advisory_unlock(8)", "pg_advisory_unlock()"), ("NOTIFY news", "NOTIFY"), ("LISTEN news", "LISTEN"),
                      ("SELECT pg_notify('news', 'x')", "pg_notify()"), ("SELECT lo_from_bytea(0, 'x')", "lo_from_bytea()"),
                      ("SELECT nextval('tickets')", "nextval()"), ("SELECT setval('tickets', 5)", "setval()"),
                      ("SELECT pg_export_snapshot()", "pg_export_snapshot()"), ("SELECT v FROM conf WHERE id = 1 FOR UPDATE", '"conf"'),
                      ("SELECT a.id FROM accounts a, conf WHERE a.tenant = %d FOR SHARE" % world.away, '"conf"'),
                      ("INSERT INTO accounts (tenant, id) VALUES (%d, nextval('tickets'))" % world.away, "nextval()")):
        refused(world.transaction(world.away), sql, name, "default shard")
    refused(world.session(), "INSERT INTO accounts (tenant, id) VALUES (%d, nextval('tickets'))" % world.away, "nextval()")
    connection = world.fleet.app(autocommit=False)
    connection.cursor().execute("SELECT count(*) FROM accounts WHERE tenant = %s", (world.away,))
    try:
        connection.lobject(0, "w")
    except psycopg2.Error as error:
        assert "a function call (large objects) belongs to the whole database" in str(error), error
    else:
        raise AssertionError("a large object was made on another shard")


def check_advisory_locks(world):
    first, second = world.transaction(world.home), world.session()
    assert answer(first, "SELECT pg_try_advisory_xact_lock(7)") == [(True,)]
    assert answer(second, "SELECT pg_try_advisory_xact_lock(7)") == [(False,)]
    assert answer(second, "SELECT pg_try_advisory_lock(8)") == [(True,)]
    assert answer(first, "SELECT pg_try_advisory_lock(8)") == [(False,)]
    assert answer(second, "SELECT count(*) FROM accounts WHERE tenant = %s", (world.away,)) == [(0,)]
    assert answer(second, "SELECT pg_advisory_unlock(8)") == [(True,)]
    first.execute("ROLLBACK")


def check_notifications(world):
    listener, teller = world.session(), world.transaction(world.home)
    answer(listener, "LISTEN news")
    answer(teller, "NOTIFY news, 'in a transaction'")
    answer(teller, "COMMIT")
    answer(world.session(), "SELECT pg_notify('news', 'alone')")

    def heard():
        listener.connection.poll()
        return len(listener.connection.notifies) == 2
    wait_until(heard, "both notifications", 20)
    assert [n.payload for n in listener.connection.notifies] == ["in a transaction", "alone"]
    answer(listener, "UNLISTEN *")


def check_large_objects(world):
    connection = world.fleet.app(autocommit=False)
    made = answer(connection.cursor(), "SELECT lo_from_bytea(0, 'x')")[0][0]
    by_call = connection.lobject(0, "w")
    by_call.write("y")
    by_call.close()
    connection.commit()
    reader = world.session()
    assert answer(reader, "SELECT convert_from(lo_get(%s), 'UTF8')", (made,)) == [("x",)]
    assert answer(reader, "SELECT convert_from(lo_get(%s), 'UTF8')", (by_call.oid,)) == [("y",)]


def check_reference_rows(world):
    holder = world.transaction(world.home)
    answer(holder, "SELECT v FROM conf WHERE id = 1 FOR UPDATE")
    try:
        answer(world.session(), "SELECT v FROM conf WHERE id = 1 FOR UPDATE NOWAIT")
    except psycopg2.Error as error:
        assert error.pgcode == "55P03", error
    else:
        raise AssertionError("a reference row was locked twice")
    assert answer(world.transaction(world.away), "SELECT a.id FROM accounts a, conf WHERE a.tenant = %s FOR UPDATE OF a", (world.away,)) == []
    holder.execute("ROLLBACK")


def check_sequences(world):
    """As ORMs do: the value is drawn alone, and the row goes where its key lives. No value comes twice."""
    drawn = []
    for key in (world.away, world.home, world.away):
        cursor = world.session()
        drawn.append(answer(cursor, "SELECT nextval('tickets')")[0][0])
        answer(cursor, "INSERT INTO accounts (tenant, id) VALUES (%s, %s)", (key, drawn[-1]))
    assert answer(world.session(), "INSERT INTO accounts (tenant, id) VALUES (%s, nextval('tickets')) RETURNING id", (world.home,))[0][0] not in drawn
    assert len(set(drawn)) == 3, drawn


if __name__ == "__main__":
    with Scene("whole_database") as scene:
        everything = World(scene)
        for check in (check_refused_elsewhere, check_advisory_locks, check_notifications, check_large_objects, check_reference_rows, check_sequences):
            check(everything)
            print("ok", check.__name__)
