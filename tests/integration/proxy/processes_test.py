"""Numbers of clients: who cancels and ends whom by them, in the forms that drivers send, over several workers."""
import unittest

import psycopg
from wire import Client, query
from world import World, in_background, psycopg2, wait_until

W = None
LEAST = 4_194_305


def setUpModule():
    global W
    W = World(pool_size=4, workers=2)
    for shard in W.shards.values():
        shard.psql("CREATE ROLE boss LOGIN SUPERUSER PASSWORD 'right horse'; CREATE ROLE watch LOGIN PASSWORD 'right horse' IN ROLE pg_signal_backend;")
    with open(W.users, "a") as file:
        file.write('"boss" "right horse"\n"watch" "right horse"\n')
    assert W.end() == 0
    W.start(4, 2)


def tearDownModule():
    W.finish()


def ask(client, sql, *parameters):
    with client.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchone()[0]


class Numbers(unittest.TestCase):
    def setUp(self):
        self.clients = []

    def tearDown(self):
        for client in self.clients:
            client.close()

    def client(self, **options):
        self.clients.append(W.connect(**options))
        return self.clients[-1]

    def extended(self):
        self.clients.append(psycopg.connect(host="127.0.0.1", port=W.port, user="app", password=W.PASSWORD, dbname="shop", autocommit=True))
        return self.clients[-1]

    def sleeper(self, **options):
        """A client that runs a statement, and what comes of it."""
        client = self.client(**options)
        ran = in_background(lambda: ask(client, "SELECT 'sleeps' FROM pg_sleep(30)"))
        wait_until(lambda: W.direct("s2", "SELECT 1 FROM pg_stat_activity WHERE query ~ '^SELECT .sleeps' AND state = 'active'"), "it to run")
        return client, ran

    def test_no_process_has_the_number_of_a_client(self):
        seen = [self.client() for _ in range(4)]
        numbers = [client.get_backend_pid() for client in seen]
        self.assertEqual(len(set(numbers)), 4)
        self.assertTrue(all(number >= LEAST for number in numbers), numbers)
        self.assertEqual([ask(client, "SELECT pg_backend_pid()") for client in seen], numbers)

    def test_the_own_number_in_both_formats(self):
        client = self.extended()
        for binary in (False, True):
            with client.cursor(binary=binary) as cursor:
                cursor.execute("SELECT 1, pg_backend_pid(), %s::text", ("x",))
                self.assertEqual(cursor.fetchone(), (1, client.info.backend_pid, "x"))
        self.assertEqual(ask(client, "SELECT count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid()"), 1)

    def test_a_cancel_ends_the_statement_and_not_the_session(self):
        for signaller in (self.client(), self.extended()):
            client, ran = self.sleeper()
            self.assertTrue(ask(signaller, "SELECT pg_cancel_backend(%s)", client.get_backend_pid()))
            with self.assertRaises(psycopg2.errors.QueryCanceled):
                ran.get(5)
            self.assertEqual(ask(client, "SELECT 1"), 1)
        self.assertTrue(ask(signaller, "SELECT pg_cancel_backend(%s)", client.get_backend_pid()))  # which does nothing
        self.assertEqual(ask(client, "SELECT 1"), 1)

    def test_the_end_of_a_session_ends_what_it_runs_and_holds(self):
        for signaller in (self.client(), self.extended()):
            holder = self.client(autocommit=False)
            ask(holder, "SELECT pg_advisory_xact_lock(7)")
            waiter = self.client()
            ran = in_background(lambda: ask(waiter, "SELECT pg_advisory_lock(7)"))
            wait_until(lambda: W.direct("s2", "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"), "it to wait")
            for client in (waiter, holder):
                self.assertTrue(ask(signaller, "SELECT pg_terminate_backend(%s, 5000)", client.get_backend_pid()))
            with self.assertRaises(psycopg2.OperationalError):
                ran.get(5)
            with self.assertRaises(psycopg2.OperationalError):
                ask(holder, "SELECT 1")
            wait_until(lambda: not W.direct("s2", "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"), "the lock to be let go")

    def test_an_idle_client_is_told_at_once(self):
        client, signaller = Client(W.port), self.client()
        self.assertTrue(ask(signaller, "SELECT pg_terminate_backend(%s)", client.pid))
        error = client.closed()
        self.assertEqual((error["S"], error["C"], error["M"]), ("FATAL", "57P01", "terminating connection due to administrator command"))
        client.close()
        wait_until(lambda: not ask(signaller, "SELECT pg_terminate_backend(%s)", client.pid), "it to be gone", timeout=5)
        self.assertIn(f"PID {client.pid} is not a PostgreSQL backend process", signaller.notices[-1])

    def test_who_may(self):
        victim, boss = self.client(), self.client(user="boss")
        for user, number, may in (("other", victim, "member of the role whose query"), ("watch", victim, ""), ("watch", boss, "must be a superuser"),
                                  ("boss", victim, ""), ("app", boss, "must be a superuser")):
            signaller = self.client(user=user)
            if may:
                with self.assertRaisesRegex(psycopg2.errors.InsufficientPrivilege, may):
                    ask(signaller, "SELECT pg_cancel_backend(%s)", number.get_backend_pid())
            else:
                self.assertTrue(ask(signaller, "SELECT pg_cancel_backend(%s)", number.get_backend_pid()))
        ask(boss, "SELECT set_config('role', 'other', false)")  # it is the current user who counts
        with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
            ask(boss, "SELECT pg_terminate_backend(%s)", victim.get_backend_pid())
        self.assertEqual(ask(victim, "SELECT 1"), 1)

    def test_who_signals_itself(self):
        client = self.client()
        with self.assertRaises(psycopg2.errors.QueryCanceled):
            ask(client, "SELECT pg_cancel_backend(%s)", client.get_backend_pid())
        client = Client(W.port)
        client.send(query(f"SELECT pg_terminate_backend({client.pid})"))
        self.assertEqual(client.closed()["C"], "57P01")

    def test_a_process_of_a_shard_is_what_it_was(self):
        client, signaller = self.client(autocommit=False), self.client()
        process = ask(client, "SELECT pg_backend_pid() + 0")
        self.assertLess(process, LEAST)
        self.assertTrue(ask(signaller, "SELECT pg_cancel_backend(%s)", process))

    def test_who_waits_for_whom(self):
        holder, waiter, watcher = self.client(autocommit=False), self.client(), self.extended()
        ask(holder, "SELECT pg_advisory_xact_lock(8)")
        ran = in_background(lambda: ask(waiter, "SELECT pg_advisory_xact_lock(8)"))
        sql = f"SELECT pg_catalog.pg_isolation_test_session_is_blocked($1, '{{{holder.get_backend_pid()},{waiter.get_backend_pid()}}}')"
        watcher.pgconn.prepare(b"watch", sql.encode())

        def is_blocked(client):
            return watcher.pgconn.exec_prepared(b"watch", [str(client.get_backend_pid()).encode()]).get_value(0, 0) == b"t"
        wait_until(lambda: is_blocked(waiter), "it to wait", timeout=5)
        self.assertFalse(is_blocked(holder))
        holder.rollback()
        ran.get(5)
        self.assertFalse(is_blocked(waiter))

    def test_a_notification_names_the_client_that_sent_it(self):
        listener, notifier = self.client(), self.client()
        with listener.cursor() as cursor:
            cursor.execute("LISTEN news")
        for client, sql in ((notifier, "NOTIFY news"), (listener, "NOTIFY news"), (notifier, "SELECT pg_notify('news', '')")):
            with client.cursor() as cursor:
                cursor.execute(sql)
            wait_until(lambda: listener.poll() or listener.notifies, "it to be told", timeout=5)
            self.assertEqual([note.pid for note in listener.notifies], [client.get_backend_pid()])
            listener.notifies.clear()


if __name__ == "__main__":
    unittest.main(verbosity=1)
