"""Statements that run on copies of the rows of several shards (executor `pull`): answers, errors, the client's own writes, limits, and what is
left when a client, a shard or the statement ends in the middle.

    pulls.py [part ...]                     all parts when none is named
"""
import sys
import threading
from contextlib import closing
from decimal import Decimal

import psycopg

from branches import Shop, add, refused, transfers_under_way
from cluster import Scene, wait_until
from fleet import DATABASE
from proxy import wire

ONE = "SELECT sum(a.amount * b.id) FROM account a JOIN account b ON a.id >= b.id"


def no_copies(shop):
    shop.nothing_left()
    for shard in shop.fleet.names:
        assert shop.fleet.query(shard, "SELECT relname FROM pg_class WHERE relname LIKE 'pgrotor_copy%%'") == [], shard


def ways(shop):
    """Cursors in the simple protocol, and in the extended one with text and with binary values."""
    for binary, prepare in ((None, None), (False, None), (True, 0)):
        with closing(shop.client(prepare_threshold=prepare, autocommit=True)) as client:
            yield client, client.cursor(binary=binary) if binary is not None else psycopg.ClientCursor(client)


def answers(shop):
    """As one PostgreSQL would, with its own types, in a transaction too."""
    one, two, three = shop.at.values()
    keys = sorted((one, two, three))
    asked = (("SELECT count(*), sum(amount), avg(amount) FROM account", [(3, Decimal(300), Decimal(100))]),
             ("SELECT id FROM account ORDER BY id DESC LIMIT 2", [(keys[2],), (keys[1],)]),
             ("SELECT amount, array_agg(id ORDER BY id) FROM account GROUP BY amount HAVING count(*) > 1", [(100, keys)]),
             ("SELECT id, amount FROM account GROUP BY id ORDER BY id", [(key, 100) for key in keys]),
             ("SELECT a.id FROM account a LEFT JOIN account b ON b.id > a.id WHERE b.id IS NULL", [(keys[2],)]),
             ("SELECT id FROM account WHERE id IN (SELECT min(id) FROM account)", [(keys[0],)]),
             ("SELECT id FROM account UNION SELECT id FROM account ORDER BY 1", [(key,) for key in keys]),
             ("SELECT row_number() OVER (ORDER BY id) FROM account ORDER BY 1", [(1,), (2,), (3,)]),
             ("SELECT count(*) FROM account, countries", [(3 * shop.fleet.query("s1", "SELECT count(*) FROM countries")[0][0],)]),
             ("SELECT count(*) FROM account LEFT JOIN note ON true", [(3,)]))
    for client, cursor in ways(shop):
        for sql, rows in asked:
            assert cursor.execute(sql).fetchall() == rows, sql
        assert cursor.execute("SELECT count(*) FROM account WHERE id > %s", (keys[0],)).fetchall() == [(2,)]
        with client.transaction(force_rollback=True):
            for sql, rows in asked:
                assert cursor.execute(sql).fetchall() == rows, sql
            add(cursor, one, 7)
            cursor.execute("SAVEPOINT s")
            add(cursor, two, 7)
            assert cursor.execute("SELECT sum(amount) FROM account").fetchall() == [(314,)]
            cursor.execute("ROLLBACK TO s")
            assert cursor.execute("SELECT sum(amount) FROM account").fetchall() == [(307,)]
    with closing(shop.client()) as client:
        client.read_only = True
        assert client.execute("SELECT sum(amount) FROM account").fetchall() == [(300,)]
        client.commit()
    no_copies(shop)


def settings(shop):
    """Of the session and of the transaction, those of a savepoint that is gone excepted."""
    asked = "SELECT max('2024-07-13 18:00:00+00'::timestamptz)::text, count(*) FROM account"
    for client, cursor in ways(shop):
        for block in (False, True):
            for zone, hour in (("Asia/Tokyo", "2024-07-14 03:00:00+09"), ("UTC", "2024-07-13 18:00:00+00")):
                cursor.execute(f"SET TimeZone = '{zone}'")
                with client.transaction() if block else closing(client.cursor()):
                    assert cursor.execute(asked).fetchall() == [(hour, 3)], zone
        with client.transaction():
            cursor.execute("SET LOCAL TimeZone = 'Asia/Tokyo'")
            cursor.execute("SAVEPOINT s")
            cursor.execute("SET LOCAL TimeZone = 'Europe/Berlin'")
            assert cursor.execute(asked).fetchall() == [("2024-07-13 20:00:00+02", 3)]
            cursor.execute("ROLLBACK TO s")
            assert cursor.execute(asked).fetchall() == [("2024-07-14 03:00:00+09", 3)]
    no_copies(shop)


def errors(shop):
    """PostgreSQL's own; in a transaction they fail it, and only from the last savepoint on."""
    for client, cursor in ways(shop):
        for sql, sqlstate in (("SELECT id / 0 FROM account ORDER BY 1", "22012"), ("SELECT sum(nothing) FROM account", "42703"), ("SELECT sum(id) OVER (nowhere) FROM account", "42704"),
                              ("SELECT id FROM account ORDER BY 2", "42P10"), ("SELECT 9223372036854775807 + sum(id)::int8 FROM account", "22003")):
            refused(lambda sql=sql: cursor.execute(sql), sqlstate)
            with client.transaction(force_rollback=True):
                add(cursor, shop.at["s1"], 1)
                cursor.execute("SAVEPOINT s")
                refused(lambda sql=sql: cursor.execute(sql), sqlstate)
                refused(lambda: cursor.execute("SELECT 1"), "25P02")
                cursor.execute("ROLLBACK TO s")
                assert cursor.execute("SELECT sum(amount) FROM account").fetchall() == [(301,)]
    no_copies(shop)


def never(shop):
    """What copies cannot answer as the relations would is refused, with the reason."""
    with closing(shop.client(autocommit=True)) as client:
        for sql in ("SELECT max(ctid) FROM account", "SELECT count(*) FROM account TABLESAMPLE system (50)", "SELECT sum(id) FROM account FOR UPDATE", "SELECT max(random() * id) FROM account"):
            refused(lambda sql=sql: client.execute(sql), "RT003")
        with client.transaction(force_rollback=True):
            client.execute("SELECT 1")
            told = refused(lambda: client.execute("SELECT count(*), now() FROM account"), "RT003")
            assert "time at which the transaction began" in told.diag.message_detail, told.diag.message_detail
        assert client.execute("SELECT count(*), now() > '2000-01-01' FROM account").fetchall() == [(3, True)]
        client.execute("CREATE TEMP TABLE t (id int8)")
        told = refused(lambda: client.execute("SELECT count(*) FROM account"), "RT003")
        assert "temporary objects" in told.diag.message_detail, told.diag.message_detail
    no_copies(shop)


def limited(shop):
    """Rows over scatter.pull_limit end the statement, and nothing else."""
    shop.fleet.pgrotor.set(**{"scatter.pull_limit": 100})
    shop.fleet.pgrotor.restart()
    with closing(shop.client(autocommit=True)) as client:
        for _ in range(2):
            told = refused(lambda: client.execute("SELECT max(id) FROM account"), "54000")
            assert "scatter.pull_limit (100 bytes)" in told.diag.message_detail, told.diag.message_detail
        assert len(client.execute("SELECT id FROM account").fetchall()) == 3
    shop.fleet.pgrotor.set(**{"scatter.pull_limit": 1 << 30})
    shop.fleet.pgrotor.restart()
    no_copies(shop)


def cancelled(shop):
    """While its copies are filled, and while it runs on them."""
    for sql in (ONE, ONE + ", generate_series(1, 1000000000) n WHERE b.amount + n > 0"):
        for block in (False, True):
            waits = "a.amount" in sql and "n > 0" not in sql
            with closing(shop.fleet.shards["s1"].connect(DATABASE, autocommit=False)) as locker, closing(shop.client(autocommit=not block)) as client:
                if waits:
                    locker.cursor().execute("LOCK account IN ACCESS EXCLUSIVE MODE")
                told = []
                thread = threading.Thread(target=lambda: told.append(refused(lambda: client.execute(sql), "57014")))
                thread.start()
                asked = "wait_event_type = 'Lock'" if waits else "query LIKE 'SELECT sum(a.amount%%pgrotor_copy%%'"
                wait_until(lambda: any(shop.fleet.query(shard, f"SELECT 1 FROM pg_stat_activity WHERE usename = 'app' AND state = 'active' AND {asked}") for shard in shop.fleet.names),
                           "the statement to run")
                client.cancel()
                thread.join(30)
                assert told, ("it goes on", sql, block)
                client.rollback()
                locker.rollback()
                assert client.execute("SELECT sum(amount) FROM account").fetchall() == [(300,)]
    no_copies(shop)


def ended(shop):
    """A client that goes away in the middle, and a server that is ended there: the shard's error, and nothing stays open."""
    endless = ONE + ", generate_series(1, 1000000000) n WHERE b.amount + n > 0"
    running = "FROM pg_stat_activity WHERE usename = 'app' AND state = 'active' AND query LIKE 'SELECT sum(a.amount%%pgrotor_copy%%'"

    def where():
        return next((shard for shard in shop.fleet.names if shop.fleet.query(shard, f"SELECT 1 {running}")), None)
    streaming = "SELECT sum(a.amount) OVER (), generate_series(1, 1000000000) FROM account a"
    client = wire.Client(shop.fleet.pgrotor.port, password=shop.fleet.app_password, database=DATABASE)
    client.send(wire.query(streaming))
    wait_until(lambda: any(shop.fleet.query(shard, "SELECT 1 FROM pg_stat_activity WHERE usename = 'app' AND wait_event = 'ClientWrite'") for shard in shop.fleet.names),
               "rows to wait for the client")
    client.socket.close()
    wait_until(lambda: not where(), "the statement to end with its client")
    for block in (False, True):
        with closing(shop.client(autocommit=not block)) as client:
            told = []
            thread = threading.Thread(target=lambda client=client, told=told: told.append(words_of_the_end(client, endless)))
            thread.start()
            shard = wait_until(where, "the statement to run")
            shop.fleet.query(shard, f"SELECT pg_terminate_backend(pid) {running}")
            thread.join(30)
            assert "terminating connection due to administrator command" in told[0], told
    no_copies(shop)


def words_of_the_end(client, sql):
    try:
        client.execute(sql)
    except psycopg.OperationalError as error:
        return str(error)
    return "none"


def many_rows(shop):
    """More than goes into one chunk, from all shards; each row once."""
    with closing(shop.client(autocommit=True)) as client:
        keys = range(10_000, 13_000)
        for key in keys:
            client.execute("INSERT INTO account VALUES (%s, 1)", (key,))
        before = client.execute("SELECT count(*), count(DISTINCT id), sum(id) FROM account WHERE id >= 10000").fetchall()
        assert before == [(3000, 3000, sum(keys))], before
        for shard in shop.fleet.names:
            shop.fleet.shards[shard].psql("SET ROLE shop_owner; CREATE TABLE wide (id bigint PRIMARY KEY, text text); GRANT ALL ON wide TO app", DATABASE)
        shop.fleet.console("DISTRIBUTE TABLE wide BY id IN DISTRIBUTION shop")
        for key in keys[:60]:
            client.execute("INSERT INTO wide VALUES (%s, repeat('x', 100000))", (key,))
        assert client.execute("SELECT count(*), sum(length(text)) FROM wide").fetchall() == [(60, 6_000_000)]
        for shard in shop.fleet.names:
            shop.fleet.query(shard, "DELETE FROM account WHERE id >= 10000")
    no_copies(shop)


def never_half_of_a_commit(shop):
    """A transfer is in the copies on both shards or on none."""
    with transfers_under_way(shop), closing(shop.client(autocommit=True)) as client:
        for _ in range(200):
            assert client.execute("SELECT sum(amount) FROM account").fetchall() == [(300,)]
    no_copies(shop)


PARTS = (answers, settings, errors, never, limited, cancelled, ended, many_rows, never_half_of_a_commit)


def main():
    with Scene("pulls") as scene:
        shop = Shop(scene)
        for part in PARTS:
            if not sys.argv[1:] or part.__name__ in sys.argv[1:]:
                print(part.__name__, flush=True)
                part(shop)


if __name__ == "__main__":
    main()
