"""A client's transaction on several shards: it sees its own writes, ends on all of them or on none, and knows its savepoints and settings
everywhere. Real clients in the simple and in the extended protocol.

    branches.py [part ...]                     all parts when none is named
    branches.py --broken                       without the commit barrier: a statement has to see a half of a commit
"""
import itertools
import os
import signal
import socket
import sys
import threading
import time
from contextlib import closing, contextmanager

import psycopg
import psycopg2

from cluster import Scene, wait_until
from fleet import DATABASE, Fleet
from proxy import wire


class Shop:
    def __init__(self, scene, test=""):
        self.fleet = Fleet(scene, test=test, cluster_settings={"max_prepared_transactions": 20})
        self.fleet.shop()
        for shard in self.fleet.shards.values():
            shard.psql("GRANT app TO pgrotor;", DATABASE)
            shard.psql("SET ROLE shop_owner; CREATE TABLE account (id bigint PRIMARY KEY, amount bigint CHECK (amount >= 0)); GRANT ALL ON account TO app;"
                       "CREATE TABLE note (text text); GRANT ALL ON note TO app;", DATABASE)
        self.fleet.console("DISTRIBUTE TABLE account BY id IN DISTRIBUTION shop")
        keys = range(1, 1000)
        self.at = {shard: next(key for key in keys if self.fleet.owner(key) == shard) for shard in self.fleet.names}
        with closing(self.fleet.app()) as client, client.cursor() as cursor:
            for key in self.at.values():
                cursor.execute("INSERT INTO account VALUES (%s, 100)", (key,))

    def client(self, **options):
        return psycopg.connect(host="127.0.0.1", port=self.fleet.pgrotor.port, user="app", password=self.fleet.app_password, dbname=DATABASE, **options)

    def amounts(self):
        return [self.fleet.query(shard, "SELECT amount FROM account WHERE id = %s", (key,))[0][0] for shard, key in self.at.items()]

    def reset(self):
        for shard in self.fleet.names:
            self.fleet.query(shard, "UPDATE account SET amount = 100")

    def nothing_left(self):
        for shard in self.fleet.names:
            assert self.fleet.query(shard, "SELECT gid FROM pg_prepared_xacts") == [], shard
            assert self.fleet.query(shard, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state LIKE 'idle in trans%%'") == [(0,)], shard


def add(cursor, key, amount):
    cursor.execute("UPDATE account SET amount = amount + %s WHERE id = %s", (amount, key))
    assert cursor.rowcount == 1, cursor.rowcount


def amount(cursor, key):
    cursor.execute("SELECT amount FROM account WHERE id = %s", (key,))
    return cursor.fetchone()[0]


def refused(what, *sqlstates):
    try:
        what()
    except (psycopg.Error, psycopg2.Error) as error:
        code = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
        assert code in sqlstates, (code, str(error))
        return error
    raise AssertionError("it was not refused")


def unread(port):
    """Whether bytes wait for somebody who has been connected on this port."""
    with open("/proc/net/tcp") as sockets:
        rows = [line.split() for line in sockets][1:]
    return [row for row in rows if int(row[1].split(":")[1], 16) == port and row[4].split(":")[1] != "00000000" and row[3] == "01"]


def transfers(shop):
    one, two, three = shop.at.values()
    for prepare in (None, 0):  # text and binary protocols of psycopg: unnamed and named statements
        with closing(shop.client(prepare_threshold=prepare)) as client, client.cursor() as cursor:
            for _ in range(3):
                add(cursor, one, -5)
                add(cursor, two, 3)
                add(cursor, three, 2)
                assert amount(cursor, one) == 95 and amount(cursor, two) == 103 and amount(cursor, three) == 102
                client.commit()
                assert shop.amounts() == [95, 103, 102], shop.amounts()
                add(cursor, two, -3)
                add(cursor, one, 5)
                client.rollback()
                assert shop.amounts() == [95, 103, 102], shop.amounts()
                shop.reset()
    with closing(shop.fleet.app(autocommit=False)) as client, client.cursor() as cursor:
        add(cursor, one, -1)
        add(cursor, three, 1)
        client.commit()
        assert shop.amounts() == [99, 100, 101], shop.amounts()
        cursor.execute("SELECT 1")
        add(cursor, three, -1)
        add(cursor, one, 1)
        client.commit()
    shop.nothing_left()


def with_twins(shop):
    """A constraint that only COMMIT looks at."""
    for shard in shop.fleet.names:
        shop.fleet.query(shard, "ALTER TABLE account ADD COLUMN IF NOT EXISTS twin bigint REFERENCES account DEFERRABLE INITIALLY DEFERRED")


def failures(shop):
    one, two, _ = shop.at.values()
    with closing(shop.client()) as client, client.cursor() as cursor:
        add(cursor, one, -50)
        refused(lambda: add(cursor, two, -500), "23514")
        refused(lambda: add(cursor, one, 1), "25P02")
        cursor.execute("COMMIT")
        assert cursor.statusmessage == "ROLLBACK", cursor.statusmessage
        assert shop.amounts() == [100, 100, 100]
        cursor.execute("SELECT 1")
        client.commit()
        # What only COMMIT finds: a deferred constraint on one of the two.
        with_twins(shop)
        for first, second in ((one, two), (two, one)):
            add(cursor, first, -7)
            cursor.execute("UPDATE account SET twin = -1 WHERE id = %s", (second,))
            refused(client.commit, "23503")
            assert shop.amounts() == [100, 100, 100], shop.amounts()
        add(cursor, one, 1)
        add(cursor, two, 1)
        refused(lambda: cursor.execute("PREPARE TRANSACTION 'mine'"), "0A000")
        client.rollback()
        assert shop.amounts() == [100, 100, 100], shop.amounts()
    shop.nothing_left()


def savepoints(shop):
    one, two, three = shop.at.values()
    with closing(shop.client()) as client, client.cursor() as cursor:
        cursor.execute("SAVEPOINT early")
        add(cursor, one, -10)
        cursor.execute("SAVEPOINT middle")
        add(cursor, two, 10)  # comes late, and knows both
        add(cursor, one, -1)
        cursor.execute("ROLLBACK TO middle")
        assert (amount(cursor, one), amount(cursor, two)) == (90, 100)
        add(cursor, two, 4)
        cursor.execute("SAVEPOINT late")
        add(cursor, three, 6)
        refused(lambda: add(cursor, three, -1000), "23514")
        cursor.execute("ROLLBACK TO late")
        assert (amount(cursor, one), amount(cursor, two), amount(cursor, three)) == (90, 104, 100)
        cursor.execute("RELEASE middle")
        add(cursor, three, 6)
        client.commit()
        assert shop.amounts() == [90, 104, 106], shop.amounts()
        add(cursor, one, 1)
        add(cursor, two, 1)
        cursor.execute("SAVEPOINT s")
        add(cursor, two, 1)
        cursor.execute("ROLLBACK TO s")
        cursor.execute("ROLLBACK TO s")
        refused(lambda: cursor.execute("ROLLBACK TO early"), "3B001")
        client.rollback()
        assert shop.amounts() == [90, 104, 106], shop.amounts()
    shop.reset()
    shop.nothing_left()


def savepoints_of_one_name(shop):
    """A shard that was away when the newest of a name was released goes back to the one before it, as the others do."""
    one, two, _ = shop.at.values()
    with closing(shop.client()) as client, client.cursor() as cursor:
        add(cursor, one, -10)
        cursor.execute("SAVEPOINT s")
        add(cursor, two, 1)
        cursor.execute("SAVEPOINT s")
        add(cursor, two, 2)
        add(cursor, one, -1)
        cursor.execute("RELEASE s")
        cursor.execute("ROLLBACK TO s")
        assert (amount(cursor, one), amount(cursor, two)) == (90, 100)
        client.commit()
    assert shop.amounts() == [90, 100, 100], shop.amounts()
    shop.reset()
    shop.nothing_left()


def savepoints_that_are_not_known(shop):
    """What moved savepoints and was sent among others, or failed, leaves ROLLBACK as the only way back: on all shards or on none."""
    one, two, _ = shop.at.values()
    with closing(shop.client()) as client, client.cursor() as cursor:
        for several in (f"ROLLBACK TO s; UPDATE account SET amount = amount + 7 WHERE id = {two}", "RELEASE s; SELECT 1", "SAVEPOINT s; SELECT 1"):
            add(cursor, one, -1)
            cursor.execute("SAVEPOINT s")
            add(cursor, one, -1)
            add(cursor, two, 1)
            answer = client.pgconn.exec_(several.encode())
            assert answer.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"RT003", several
            cursor.execute("ROLLBACK TO s")
            assert (amount(cursor, one), amount(cursor, two)) == (99, 100), several
            client.rollback()
        # The pipeline fails in front of what goes back, or of a savepoint.
        for last in ("ROLLBACK TO s", "SAVEPOINT t"):
            add(cursor, one, -1)
            for name in "st":
                cursor.execute(f"SAVEPOINT {name}")
                add(cursor, two, 1)
                add(cursor, one, -1)
            with client.pipeline() as pipeline:
                cursor.execute("UPDATE account SET amount = amount - 1000 WHERE id = %s", (one,))
                cursor.execute(last)
                refused(pipeline.sync, "23514")
            refused(lambda: cursor.execute("ROLLBACK TO t"), "RT003")
            client.rollback()
            assert shop.amounts() == [100, 100, 100], (last, shop.amounts())
        # A failed setting is no move.
        add(cursor, one, -1)
        add(cursor, two, 1)
        cursor.execute("SAVEPOINT s")
        refused(lambda: cursor.execute("SET LOCAL work_mem = %s" % "'much'"), "22023")
        cursor.execute("ROLLBACK TO s")
        client.commit()
    assert shop.amounts() == [99, 101, 100], shop.amounts()
    shop.reset()
    shop.nothing_left()


def a_branch_is_lost_going_back(shop):
    """It breaks while it goes back to a savepoint: the transaction can only end, whatever the others still know."""
    one, two, _ = shop.at.values()
    with closing(shop.client()) as client, client.cursor() as cursor:
        add(cursor, one, -5)
        add(cursor, two, 5)
        cursor.execute("SAVEPOINT s")
        add(cursor, two, 1)
        add(cursor, one, -1)
        victim = "SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND state = 'idle in transaction'"
        (pid,), = shop.fleet.query(shop.fleet.owner(two), victim)
        os.kill(pid, signal.SIGSTOP)
        told = []
        thread = threading.Thread(target=lambda: told.append(refused(lambda: cursor.execute("ROLLBACK TO s"), "08006", "57P01")))
        try:
            thread.start()
            wait_until(lambda: unread(shop.fleet.shards[shop.fleet.owner(two)].port), "ROLLBACK TO to have been sent there")
            os.kill(pid, signal.SIGTERM)
        finally:
            os.kill(pid, signal.SIGCONT)
        thread.join(30)
        assert told, "it went back, or still waits"
        refused(lambda: cursor.execute("ROLLBACK TO s"), "25P02")
        cursor.execute("COMMIT")
        assert cursor.statusmessage == "ROLLBACK", cursor.statusmessage
    assert shop.amounts() == [100, 100, 100], shop.amounts()
    shop.nothing_left()


def settings(shop):
    one, two, three = shop.at.values()
    with closing(shop.client()) as client, client.cursor() as cursor:
        show = "SELECT current_setting('work_mem'), current_setting('my.tenant', true), current_setting('transaction_isolation') FROM account WHERE id = %s"
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SET LOCAL work_mem = '8MB'")
        add(cursor, one, 1)
        cursor.execute("SELECT set_config('my.tenant', 'seven', true)")
        cursor.execute("SAVEPOINT s")
        cursor.execute("SET LOCAL work_mem = '16MB'")
        for key in (two, one, three):
            cursor.execute(show, (key,))
            assert cursor.fetchone() == ("16MB", "seven", "repeatable read"), key
        cursor.execute("ROLLBACK TO s")
        for key in (three, two, one):
            cursor.execute(show, (key,))
            assert cursor.fetchone() == ("8MB", "seven", "repeatable read"), key
        cursor.execute("SET my.tenant = 'eight'")
        client.commit()
        for key in (one, two, three):
            cursor.execute(show, (key,))
            assert cursor.fetchone() == ("4MB", "eight", "read committed"), key
        client.rollback()
    shop.reset()
    shop.nothing_left()


def settings_that_last(shop):
    """SET in a transaction that goes on to another shard afterwards: it holds for this client on all shards, and for nobody else on any."""
    show = "SELECT current_setting('work_mem'), current_setting('my.tenant', true), current_setting('enable_seqscan'), current_user FROM account WHERE id = %s"
    for first, second in itertools.permutations(shop.at.values(), 2):
        for end, seen in (("COMMIT", ("8MB", "eight", "off", "app")), ("ROLLBACK", ("4MB", "", "on", "app"))):
            with closing(shop.client()) as client, client.cursor() as cursor:
                add(cursor, first, 1)
                cursor.execute("SET work_mem = '8MB'")
                cursor.execute("SELECT set_config('my.tenant', 'eight', false)")
                add(cursor, second, 1)
                cursor.execute("SET enable_seqscan = off")
                cursor.execute(end)
                for key in shop.at.values():
                    cursor.execute(show, (key,))
                    assert (one := cursor.fetchone())[1] in (seen[1], None if seen[1] == "" else seen[1]) and one[::2] == seen[::2], (end, key, one)
                client.rollback()
            for _ in range(2):
                with closing(shop.client()) as other, other.cursor() as cursor:
                    for key in shop.at.values():
                        cursor.execute(show, (key,))
                        assert (one := cursor.fetchone())[1] in ("", None) and (one[0], one[2]) == ("4MB", "on"), (end, key, one)
                    other.rollback()
    shop.reset()
    shop.nothing_left()


def locks_and_home(shop):
    one, two, _ = shop.at.values()
    with closing(shop.client()) as client, client.cursor() as cursor, closing(shop.client(autocommit=True)) as other:
        cursor.execute("SELECT pg_advisory_xact_lock(42)")
        cursor.execute("SELECT amount FROM account WHERE id = %s FOR UPDATE", (one,))
        add(cursor, two, 1)
        cursor.execute("INSERT INTO note VALUES ('at home')")
        assert other.execute("SELECT pg_try_advisory_xact_lock(42)").fetchone() == (False,)
        client.commit()
        assert other.execute("SELECT pg_try_advisory_xact_lock(42)").fetchone() == (True,)
        assert other.execute("SELECT text FROM note").fetchall() == [("at home",)]
        heard = []
        other.add_notify_handler(heard.append)
        other.execute("LISTEN news")
        add(cursor, one, 1)
        add(cursor, two, -1)
        cursor.execute("NOTIFY news, 'sent'")
        client.commit()
        wait_until(lambda: other.execute("SELECT 1") and heard, "the notification")
        assert [(each.channel, each.payload) for each in heard] == [("news", "sent")]
    shop.reset()
    shop.nothing_left()


def large_objects(shop):
    """libpq makes them by function calls, which are part of the transaction as statements are."""
    one, _, three = shop.at.values()

    def objects():
        return shop.fleet.query("s2", "SELECT count(*) FROM pg_largeobject_metadata")[0][0]
    with_twins(shop)
    before = objects()
    with closing(shop.fleet.app(autocommit=False)) as client, client.cursor() as cursor:
        for first, second in ((one, three), (three, one)):
            add(cursor, first, 1)
            client.lobject().write("kept")
            cursor.execute("UPDATE account SET twin = -1 WHERE id = %s", (second,))
            refused(client.commit, "23503")
            assert objects() == before and shop.amounts() == [100, 100, 100], (objects(), shop.amounts())
        add(cursor, one, 1)
        client.lobject().write("kept")
        client.commit()
        assert objects() == before + 1 and shop.amounts() == [101, 100, 100]
    shop.reset()
    shop.nothing_left()


def temporary_tables(shop):
    """The shard that has them decides, for it cannot prepare: in whatever order it was come to."""
    one, _, three = shop.at.values()
    with closing(shop.client()) as client, client.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE basket (id bigint)")
        client.commit()
        orders = itertools.permutations([lambda: add(cursor, one, 1), lambda: add(cursor, three, 1), lambda: cursor.execute("INSERT INTO basket VALUES (1)")])
        for number, steps in enumerate(orders, 1):
            for step in steps:
                step()
            client.commit()
            assert shop.amounts() == [100 + number, 100, 100 + number], shop.amounts()
            assert len(cursor.execute("SELECT * FROM basket").fetchall()) == number
            client.commit()
    shop.reset()
    shop.nothing_left()


def where_it_must_stay(shop):
    one, two, _ = shop.at.values()
    with closing(shop.client()) as client, client.cursor() as cursor:
        cursor.execute("DECLARE c CURSOR FOR SELECT amount FROM account WHERE id = %s", (one,))
        refused(lambda: add(cursor, two, 1), "RT003")
        client.rollback()
        add(cursor, one, 1)
        add(cursor, two, 1)
        refused(lambda: client.pgconn.exec_(b"SELECT 1; COMMIT") and client.execute("SELECT 1"), "25P02")
        client.rollback()
        with client.pipeline():
            cursor.execute("UPDATE account SET amount = amount + 1 WHERE id = %s", (one,))
            cursor.execute("UPDATE account SET amount = amount + 1 WHERE id = %s", (two,))
            refused(lambda: client.commit(), "RT003", "25P02")
        client.rollback()
    assert shop.amounts() == [100, 100, 100], shop.amounts()
    shop.nothing_left()


def without_rights(shop):
    """Nobody could finish after a crash what a role has prepared that pgrotor is not a member of: the commit is refused, and says what helps."""
    one, two, _ = shop.at.values()
    shop.fleet.query("s1", "REVOKE app FROM pgrotor")
    try:
        with closing(shop.client()) as client, client.cursor() as cursor:
            for first, second in ((one, two), (two, one)):
                if shop.fleet.owner(second) != "s1" and shop.fleet.owner(first) != "s1":
                    continue
                add(cursor, first, -1)
                add(cursor, second, 1)
                try:
                    client.commit()
                    shop.reset()
                except psycopg.Error as error:
                    assert error.sqlstate == "42501" and "GRANT app TO pgrotor" in error.diag.message_hint, error
                    assert shop.amounts() == [100, 100, 100], shop.amounts()
    finally:
        shop.fleet.query("s1", "GRANT app TO pgrotor")
    shop.reset()
    shop.nothing_left()


def a_branch_is_lost(shop):
    one, two, _ = shop.at.values()
    for victim in (one, two):
        with closing(shop.client()) as client, client.cursor() as cursor:
            add(cursor, one, -1)
            add(cursor, two, 1)
            shard = shop.fleet.owner(victim)
            shop.fleet.query(shard, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND state = 'idle in transaction'")
            refused(lambda: (add(cursor, one, 1), client.commit()), "57P01", None)
            assert client.closed
        assert shop.amounts() == [100, 100, 100], shop.amounts()
        with closing(shop.client()) as client, client.cursor() as cursor:
            add(cursor, one, 0)
            add(cursor, two, 0)
            client.commit()
    shop.nothing_left()


def a_branch_is_lost_behind_the_decision(shop):
    """It is committed, the client is warned, and the recoverer carries it out at once: not when it is as old as any that is in doubt."""
    one, two, _ = shop.at.values()
    warned = []
    with closing(shop.client()) as client, client.cursor() as cursor:
        client.add_notice_handler(lambda notice: warned.append(notice.message_primary))
        add(cursor, one, -1)
        add(cursor, two, 1)
        shop.fleet.console("TEST STOP 'two_phase.finish'")
        thread = threading.Thread(target=client.commit)
        thread.start()
        shop.fleet.console("TEST WAIT 'two_phase.finish'")
        away = [shard for shard in shop.fleet.names if shop.fleet.query(shard, "SELECT gid FROM pg_prepared_xacts")]
        shop.fleet.query(away[0], "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        shop.fleet.console("TEST RELEASE 'two_phase.finish'")
        thread.join(30)
        assert warned == [f"shard {away[0]} has not carried out the commit yet"], warned
        wait_until(lambda: shop.amounts() == [99, 101, 100], "the commit to be carried out", 6)
    shop.reset()
    shop.nothing_left()


def a_branch_is_lost_when_all_is_done(shop):
    """What it was to say about the session is lost, and so is the session; that the transaction is committed has been told before."""
    one, two, _ = shop.at.values()
    with closing(shop.client()) as client, client.cursor() as cursor:
        add(cursor, one, -1)
        cursor.execute("SELECT pg_advisory_lock(5)")
        add(cursor, two, 1)
        shop.fleet.console("TEST STOP 'two_phase.finish'")
        told = []

        def commit():
            try:
                client.commit()
                told.append("committed")
            except psycopg.Error as error:
                told.append(error)
        thread = threading.Thread(target=commit)
        thread.start()
        shop.fleet.console("TEST WAIT 'two_phase.finish'")
        decider, = (shard for shard in map(shop.fleet.owner, (one, two)) if not shop.fleet.query(shard, "SELECT gid FROM pg_prepared_xacts"))
        shop.fleet.query(decider, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        shop.fleet.console("TEST RELEASE 'two_phase.finish'")
        thread.join(30)
        assert told == ["committed"], told
        refused(lambda: cursor.execute("SELECT 1"), "57P01", None)
    assert shop.amounts() == [99, 101, 100], shop.amounts()
    shop.reset()
    shop.nothing_left()


def rules(shop):
    """Each rule left out, and what then fails."""
    for rule, part in (("no_missed", savepoints), ("no_missed", settings), ("no_missed", savepoints_of_one_name), ("no_going_back", savepoints),
                       ("no_left_over", a_branch_is_lost_behind_the_decision)):
        shop.fleet.console(f"TEST BREAK '{rule}'")
        try:
            part(shop)
        except (AssertionError, psycopg.Error):
            continue
        finally:
            shop.fleet.console(f"TEST MEND '{rule}'")
            wait_until(lambda: not any(shop.fleet.query(shard, "SELECT gid FROM pg_prepared_xacts") for shard in shop.fleet.names), "nothing to be prepared")
            shop.reset()
        raise AssertionError(f"{part.__name__} does not need rule {rule}")


def commit_behind_an_unread_answer(shop):
    """The client says COMMIT and has not taken all of the answer before it: what is on its way to it is not taken for a shard's answer. The
    longest answer behind which COMMIT is carried out is looked for, as the last bytes of that one find no room in the sockets."""
    one, two = list(shop.at.values())[:2]

    def commits(rows):
        client = wire.Client(shop.fleet.pgrotor.port, password=shop.fleet.app_password, database=DATABASE)
        for sql in ("BEGIN", f"UPDATE account SET amount = amount - 1 WHERE id = {one}", f"UPDATE account SET amount = amount + 1 WHERE id = {two}"):
            assert client.kinds(wire.query(sql)) == ("C:BEGIN ZT" if sql == "BEGIN" else "C:UPDATE 1 ZT"), sql
        client.send(wire.query(f"SELECT repeat('x', 1000) FROM account, generate_series(1, {rows}) WHERE id = {two}") + wire.query("COMMIT"))
        until, done = time.monotonic() + 0.3, False
        while not done and time.monotonic() < until:
            done = shop.amounts()[:2] == [99, 101]
        seen = f"{client.read_kinds()} {client.read_kinds()}"
        assert seen == f"T{' D' * rows} C:SELECT {rows} ZT C:COMMIT ZI", (rows, seen.replace(" D", ""))
        client.close()
        shop.reset()
        return done
    fits, fits_not = 1, 30_000
    while fits_not - fits > 2:
        middle = (fits + fits_not) // 2
        fits, fits_not = (middle, fits_not) if commits(middle) else (fits, middle)
    shop.nothing_left()


def by_many(shop):
    """Transfers to and fro by several clients keep the sum, and what is read in one of them is never half of another."""
    one, two, three = shop.at.values()
    pairs = [(one, two), (two, three), (three, one), (two, one)]
    problems = []

    def work(first, second):
        try:
            with closing(shop.client()) as client, client.cursor() as cursor:
                for _ in range(40):
                    try:
                        for key, by in sorted(((first, -1), (second, 1))):
                            add(cursor, key, by)
                        client.commit()
                    except psycopg.errors.CheckViolation:
                        client.rollback()
        except Exception as problem:  # pylint: disable=broad-except
            problems.append(problem)
    threads = [threading.Thread(target=work, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems
    assert sum(shop.amounts()) == 300, shop.amounts()
    shop.reset()
    shop.nothing_left()


def scattered(shop):
    """A plain SELECT over all shards, or over those of several keys: one answer, alone and in a transaction, in both protocols."""
    one, two, three = shop.at.values()
    every = sorted((key, 100) for key in shop.at.values())
    with closing(shop.fleet.app()) as simple, simple.cursor() as cursor:
        cursor.execute("SELECT id, amount FROM account")
        assert cursor.statusmessage == "SELECT 3" and sorted(cursor.fetchall()) == every
        cursor.execute("SELECT id, amount FROM account WHERE id = ANY (ARRAY[%s, %s])", (one, three))
        assert sorted(cursor.fetchall()) == [row for row in every if row[0] != two]
        cursor.execute("SELECT upper(text) FROM note")
        for fold in ("SELECT id FROM account FOR UPDATE", "SELECT id FROM account; SELECT 1", "UPDATE account SET amount = 1", "SELECT tableoid FROM account",
                     "EXPLAIN SELECT id FROM account", "DECLARE c CURSOR FOR SELECT id FROM account"):
            refused(lambda fold=fold: cursor.execute(fold), "RT003")
        refused(lambda: cursor.execute("SELECT 100 / (amount - 100) FROM account"), "22012")
        refused(lambda: cursor.execute("SELECT nothing FROM account"), "42703")
        cursor.execute("SELECT 1")
    for prepare in (None, 0):
        with closing(shop.client(prepare_threshold=prepare)) as client, client.cursor(binary=prepare == 0) as cursor:
            for _ in range(2):
                cursor.execute("SELECT id, amount FROM account WHERE amount > %s", (50,))
                assert cursor.rowcount == 3 and sorted(cursor.fetchall()) == every
                add(cursor, two, -1)
                cursor.execute("SELECT amount FROM account WHERE amount < %s", (1000,))  # what it has written itself
                assert sorted(cursor.fetchall()) == [(99,), (100,), (100,)]
                cursor.execute("SAVEPOINT s")
                refused(lambda: cursor.execute("SELECT 100 / (amount - %s) FROM account", (99,)), "22012")
                refused(lambda: cursor.execute("SELECT 1"), "25P02")
                cursor.execute("ROLLBACK TO s")
                cursor.execute("SELECT id FROM account")
                assert len(cursor.fetchall()) == 3
                client.rollback()
            cursor.execute("SELECT repeat('x', 3000000), id FROM account")
            assert [len(text if isinstance(text, str) else text.decode()) for text, _ in cursor.fetchall()] == [3000000] * 3
            client.rollback()
    shop.nothing_left()


def cancelled_behind_a_commit(shop):
    """A statement over several shards that waits for a lock while a commit comes over it: a cancel ends it, it does not begin again."""
    one, two, three = shop.at.values()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND wait_event_type = 'Lock'"
    # The second makes its copies on that shard too.
    for block, (sql, waiters) in itertools.product((False, True), (("SELECT id FROM account", 1), ("SELECT sum(id) FROM account", 2))):
        with closing(shop.fleet.shards[shop.fleet.owner(two)].connect(DATABASE, autocommit=False)) as locker, closing(shop.client(autocommit=not block)) as client:
            locker.cursor().execute("LOCK account IN ACCESS EXCLUSIVE MODE")
            told = []
            thread = threading.Thread(target=lambda client=client, told=told, sql=sql: told.append(refused(lambda: client.execute(sql), "57014")))
            thread.start()
            wait_until(lambda: shop.fleet.query(shop.fleet.owner(two), waiting) == [(waiters,)], "the statement to wait")
            with closing(shop.client()) as other, other.cursor() as cursor:
                add(cursor, one, 1)
                add(cursor, three, -1)
                other.commit()
            client.cancel()
            thread.join(30)
            assert told, "it goes on waiting"
            client.rollback()
            locker.rollback()
            assert len(client.execute("SELECT id FROM account").fetchall()) == 3
            client.rollback()
    shop.reset()
    shop.nothing_left()


@contextmanager
def transfers_under_way(shop):
    """One client for each two shards moves amounts to and fro while the block runs; the sum of all stays 300. Each always begins on the same shard:
    they do not see each other's deadlocks."""
    one, two, three = shop.at.values()
    stop, problems = threading.Event(), []

    def move(here, there):
        try:
            with closing(shop.client()) as client, client.cursor() as cursor:
                while not stop.is_set():
                    for key, by in ((here, -10), (there, 10), (here, 10), (there, -10)):
                        add(cursor, key, by)
                        if key == there:
                            client.commit()
        except Exception as problem:  # pylint: disable=broad-except
            problems.append(problem)
    movers = [threading.Thread(target=move, args=pair, daemon=True) for pair in ((one, two), (one, three), (two, three))]
    for mover in movers:
        mover.start()
    try:
        yield
    finally:
        stop.set()
        for mover in movers:
            mover.join()
    assert not problems, problems
    shop.reset()


def never_half_of_a_commit(shop):
    """A transfer is seen on both shards or on none, by statements over several shards; commits that follow each other keep no statement out."""
    with transfers_under_way(shop), closing(shop.client(autocommit=True)) as client:
        for _ in range(400):
            sums = sum(amount for amount, in client.execute("SELECT amount FROM account").fetchall())
            assert sums == 300, sums
    shop.nothing_left()


PARTS = (transfers, failures, savepoints, savepoints_of_one_name, savepoints_that_are_not_known, a_branch_is_lost_going_back, settings, settings_that_last, locks_and_home, large_objects, temporary_tables,
         where_it_must_stay, without_rights, a_branch_is_lost, a_branch_is_lost_behind_the_decision, a_branch_is_lost_when_all_is_done, by_many, commit_behind_an_unread_answer,
         scattered, cancelled_behind_a_commit, never_half_of_a_commit, rules)


def main():
    wanted, broken = [part for part in sys.argv[1:] if part != "--broken"], "--broken" in sys.argv
    with Scene("branches") as scene:
        shop = Shop(scene, "break:no_barrier" if broken else "")
        if broken:
            try:
                never_half_of_a_commit(shop)
            except AssertionError as seen:
                return print(f"without the barrier a statement sees {seen}")
            raise AssertionError("nothing was seen without the barrier")
        for part in PARTS:
            if not wanted or part.__name__ in wanted:
                print(part.__name__, flush=True)
                part(shop)


if __name__ == "__main__":
    main()
