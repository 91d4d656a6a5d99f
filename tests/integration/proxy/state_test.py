"""State that pins a server in transaction pooling: clients that share fewer servers than there are clients never see each other's, and find their
own again on whatever server runs them."""
import contextlib
import os
import subprocess
import unittest

import state_world
import wire
from state_world import server_pid, show
from wire import Client, bind, execute, parse, query
from world import in_background, psycopg2, wait_until

from cluster import BIN  # on the path that world sets

W = None


def setUpModule():
    global W
    W = state_world.start()


def tearDownModule():
    W.finish()


class Pins(unittest.TestCase):
    def setUp(self):
        self.a, self.b = Client(W.port), Client(W.port)
        self.before = W.counters()

    def tearDown(self):
        self.a.close()
        self.b.close()
        wait_until(lambda: W.counters()["pinned_now"] == 0, "no server pinned")

    def assert_pinned(self, *reasons):
        wait_until(lambda: {r for r, n in W.counters()["pins"].items() if n > self.before["pins"][r]} == set(reasons),
                   lambda: f"pins {reasons}: {W.counters()['pins']} after {self.before['pins']}")
        self.assertEqual(W.counters()["pinned_now"], 1 if reasons else 0)

    def assert_unpinned(self, times=1):
        wait_until(lambda: W.counters()["unpins"] == self.before["unpins"] + times, "unpinned")
        self.assertEqual(W.counters()["pinned_now"], 0)

    def test_temporary_tables(self):
        self.assertEqual(self.a.kinds(query("CREATE TEMP TABLE mine (a int)")), "C:CREATE TABLE ZI")
        self.assertEqual(self.a.kinds(query("INSERT INTO mine VALUES (1)")), "C:INSERT 0 1 ZI")
        self.assert_pinned("temp_objects")
        for _ in range(3):
            self.assertEqual(self.a.rows("SELECT a FROM mine"), [["1"]])
            self.assertEqual(self.b.kinds(query("SELECT a FROM mine")), "E42P01 ZI")
        self.assertEqual(self.a.kinds(query("DROP TABLE mine")), "C:DROP TABLE ZI")
        self.assertEqual(self.a.rows("SELECT 1"), [["1"]])
        self.assert_unpinned()

    def test_temporary_objects_that_are_gone_by_the_end_pin_nothing(self):
        for script in ("BEGIN; CREATE TEMP TABLE t (a int) ON COMMIT DROP; COMMIT", "BEGIN; CREATE TEMP TABLE t (a int); ROLLBACK",
                       "CREATE TEMP TABLE t (a int); DROP TABLE t", "CREATE TEMP TABLE t (a int); SELECT 1/0", "CREATE TABLE perm (a int)",
                       "DROP TABLE perm", "SELECT nothing_inside()", "DO $$ BEGIN END $$"):
            self.a.kinds(query(script))
            self.assertEqual(self.a.rows("SELECT 1"), [["1"]])
            self.assert_pinned()

    def test_every_way_to_a_temporary_object(self):
        for make, end in (("CREATE TEMP VIEW v AS SELECT 1", "DROP VIEW v"), ("CREATE TEMP SEQUENCE s", "DROP SEQUENCE s"),
                          ("SELECT 1 AS a INTO TEMP t", "DROP TABLE t"), ("CREATE TABLE pg_temp.t AS SELECT 1", "DROP TABLE pg_temp.t"),
                          ("CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION pg_temp.f()"),
                          ("SELECT temp_inside()", "DISCARD TEMP"), ("CREATE TEMP TABLE t (a int)", "DO $$ BEGIN DROP TABLE t; END $$"),
                          ("CREATE TYPE pg_temp.e AS ENUM ('a')", "DISCARD ALL")):
            with self.subTest(make):
                self.before = W.counters()
                self.assertNotIn("E", self.a.kinds(query(make)).split()[-2][:1])
                self.assertEqual(self.a.rows("SELECT 1"), [["1"]])
                self.assert_pinned("temp_objects")
                self.a.kinds(query(end))
                self.assertEqual(self.a.rows("SELECT 1"), [["1"]])
                self.assertEqual(W.counters()["pinned_now"], 0)

    def test_advisory_locks_of_the_session(self):
        self.a.rows("SELECT pg_advisory_lock(5)")
        self.assert_pinned("advisory_locks")
        self.assertEqual(self.b.rows("SELECT pg_try_advisory_lock(5)"), [["f"]])
        self.assertEqual(self.a.rows("SELECT pg_try_advisory_lock(5)"), [["t"]])
        self.assertEqual(self.a.rows("SELECT pg_advisory_unlock(5)"), [["t"]])
        self.assertEqual(self.b.rows("SELECT pg_try_advisory_lock(5)"), [["f"]])
        self.assertEqual(self.a.rows("SELECT pg_advisory_unlock(5)"), [["t"]])
        self.assertEqual(self.b.rows("SELECT pg_try_advisory_lock(5), pg_advisory_unlock(5)"), [["t", "t"]])
        self.assertEqual(self.a.rows("SELECT 1"), [["1"]])
        self.assert_unpinned()
        self.before = W.counters()
        self.a.rows("SELECT pg_advisory_xact_lock(5)")
        self.a.rows("SELECT 1")
        self.assert_pinned()
        self.a.rows("SELECT lock_inside()")
        self.assertEqual(self.a.rows("SELECT 1"), [["1"]])
        self.assert_pinned("advisory_locks")
        self.a.rows("SELECT pg_advisory_unlock_all()")

    def test_replication_and_backup(self):
        shard = W.shards["s2"]
        shard.psql("ALTER ROLE app REPLICATION; SELECT pg_replication_origin_create('tool');"
                   "GRANT EXECUTE ON FUNCTION pg_replication_origin_session_setup(text), pg_replication_origin_session_reset(),"
                   " pg_backup_start(text, boolean), pg_backup_stop(boolean) TO app", "shop")
        for make, end, reason in (("SELECT pg_replication_origin_session_setup('tool')", "SELECT pg_replication_origin_session_reset()", "replication_origin"),
                                  ("SELECT pg_backup_start('b', true)", "SELECT lsn FROM pg_backup_stop(false)", "backup"),
                                  ("SELECT pg_create_physical_replication_slot('mine', true, true)", "DISCARD ALL", "temporary_slot")):
            with self.subTest(make):
                self.before = W.counters()
                self.a.rows(make)
                self.assert_pinned(reason)
                self.a.kinds(query(end))
                self.assertEqual(self.a.rows("SELECT 1"), [["1"]])
                self.assertEqual(W.counters()["pinned_now"], 0)
        self.assertEqual(shard.psql("SELECT count(*) FROM pg_replication_slots WHERE temporary", "shop").strip(), "0")

    def test_a_lock_is_free_when_its_client_leaves(self):
        self.a.rows("SELECT pg_advisory_lock(6)")
        self.a.send(wire.TERMINATE)
        self.a.close()
        wait_until(lambda: self.b.rows("SELECT pg_try_advisory_lock(6)") == [["t"]], "the lock is free")
        self.b.rows("SELECT pg_advisory_unlock(6)")

    def test_cursors_with_hold(self):
        self.a.kinds(query("BEGIN"))
        self.a.kinds(query("DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 5)"))
        self.a.kinds(query("DECLARE plain CURSOR FOR SELECT 1"))
        self.a.kinds(query("COMMIT"))
        self.assertEqual(self.a.rows("FETCH 2 FROM held"), [["1"], ["2"]])
        self.assert_pinned("held_cursors")
        self.assertEqual(self.b.kinds(query("FETCH 1 FROM held")), "E34000 ZI")
        self.assertEqual(self.a.rows("FETCH 1 FROM held"), [["3"]])
        self.assertEqual(self.a.kinds(query("CLOSE held")), "C:CLOSE CURSOR ZI")
        self.a.rows("SELECT 1")
        self.assert_unpinned()

    def test_listen(self):
        self.assertEqual(self.a.kinds(query("LISTEN news")), "C:LISTEN ZI")
        self.a.rows("SELECT 1")
        self.assert_pinned("listen")
        self.b.kinds(query("NOTIFY news, 'from b'"))
        kind, body = self.a.receive()  # while nothing is asked
        self.assertEqual((kind, body[4:]), (b"A", b"news\0from b\0"))
        for own in ("NOTIFY news, 'own'", "BEGIN; NOTIFY news, 'own'; COMMIT", "SELECT pg_notify('news', 'own')"):
            self.a.send(query(own))
            (note,) = [body for kind, body in self.a.until(b"Z") if kind == b"A"]
            self.assertEqual((int.from_bytes(note[:4], "big"), note[4:]), (self.a.pid, b"news\0own\0"), own)
        low = W.key_on("s1")
        self.a.kinds(query("BEGIN"))
        self.a.rows(f"SELECT * FROM orders WHERE customer_id = {low}")
        self.b.kinds(query("NOTIFY news, 'later'"))
        self.assertEqual(self.a.rows(f"SELECT 5 FROM (VALUES ({low})) v(k) LEFT JOIN orders ON customer_id = {low}"), [["5"]])
        self.a.kinds(query("COMMIT"))
        self.assertEqual(self.a.receive()[1][4:], b"news\0later\0")
        self.assertEqual(self.b.kinds(query("UNLISTEN *")), "C:UNLISTEN ZI")
        self.assertEqual(W.counters()["pinned_now"], 1)
        self.assertEqual(self.a.kinds(query("UNLISTEN *")), "C:UNLISTEN ZI")
        self.a.rows("SELECT 1")
        self.assert_unpinned()
        self.b.kinds(query("NOTIFY news, 'nobody'"))
        self.assertEqual(self.a.rows("SELECT 2"), [["2"]])

    def test_a_listener_hears_of_a_shard_that_stops(self):
        self.a.kinds(query("LISTEN news"))
        W.direct("s2", f"SELECT pg_terminate_backend({server_pid(self.a)})")
        self.assertEqual(self.a.closed()["C"], "57P01")

    def test_what_no_question_shows_stays_until_discard_all(self):
        for make, reason in (("SELECT setseed(0.5)", "random_seed"), ("SET seed = 0.5", "random_seed")):
            self.before = W.counters()
            self.a.kinds(query(make))
            self.assert_pinned(reason)
            first = server_pid(self.a)
            self.a.kinds(query("RESET ALL"))
            self.assertEqual(server_pid(self.a), first)
            self.assertEqual(self.a.kinds(query("DISCARD ALL")), "C:DISCARD ALL ZI")
            self.assertEqual(W.counters()["pinned_now"], 0)
        self.before = W.counters()
        self.assertEqual(self.a.kinds(query("LOAD 'nothing'")), "E42501 ZI")
        self.assert_pinned()

    def test_more_pinned_clients_than_servers_wait_in_line(self):
        self.a.kinds(query("CREATE TEMP TABLE one (a int)"))
        self.b.kinds(query("CREATE TEMP TABLE two (a int)"))
        wait_until(lambda: W.counters()["pinned_now"] == 2, "two pinned")
        third = Client(W.port)
        self.assertEqual(third.kinds(query("SELECT 1 FROM scratch LIMIT 0")), "E53300 ZI")
        self.a.kinds(query("DISCARD ALL"))
        self.assertEqual(third.rows("SELECT 1"), [["1"]])
        third.close()

    def test_state_on_two_shards(self):
        low = W.key_on("s1")
        self.a.kinds(query("CREATE TEMP TABLE mine (a int)"))
        self.a.kinds(query(f"DECLARE kept CURSOR WITH HOLD FOR SELECT 1 FROM orders WHERE customer_id = {low}"))
        self.assertEqual(self.a.rows("SELECT count(*) FROM mine"), [["0"]])
        self.assertEqual(W.counters()["pinned_now"], 2)
        shown = [row for row in W.command("show CLIENTS") if row["pinned"]]
        self.assertEqual(sorted(shown[0]["pinned"].split(",")), ["held_cursors", "temp_objects"])
        self.assertEqual({row["pinned"] for row in W.command("show SERVERS") if row["pinned"]}, {"held_cursors", "temp_objects"})

    def test_a_pinned_server_that_dies_ends_its_client(self):
        self.a.kinds(query("CREATE TEMP TABLE mine (a int)"))
        pid = server_pid(self.a)
        W.direct("s2", f"SELECT pg_terminate_backend({pid})")
        self.assertEqual(self.a.closed()["C"], "57P01")
        self.assertEqual(self.b.rows("SELECT 1"), [["1"]])

    def test_a_stale_plan_is_prepared_anew_and_the_pin_stays(self):
        self.a.kinds(query("CREATE TEMP TABLE mine (a int)"))
        run = bind("all") + execute() + wire.SYNC
        self.assertEqual(self.a.kinds(parse("all", "SELECT * FROM scratch WHERE false") + run), "1 2 C:SELECT 0 ZI")
        W.direct("s2", "ALTER TABLE scratch ADD COLUMN extra int")
        self.assertEqual(self.a.kinds(run), "E0A000 ZI")
        self.assertEqual(self.a.kinds(run), "2 C:SELECT 0 ZI")
        self.assertEqual(self.a.rows("SELECT count(*) FROM mine"), [["0"]])
        W.direct("s2", "ALTER TABLE scratch DROP COLUMN extra")

    def test_settings_and_pins_together(self):
        self.a.kinds(query("CREATE TEMP TABLE mine (a int); SET work_mem = '9MB'"))
        self.assertEqual(show(self.a, "work_mem"), "9MB")
        low = W.key_on("s1")
        self.a.rows(f"SELECT set_config('work_mem', '10MB', false) FROM (VALUES ({low})) v(k) LEFT JOIN orders ON customer_id = {low}")
        self.assertEqual(self.a.rows("SELECT current_setting('work_mem'), count(*) FROM mine"), [["10MB", "0"]])
        self.assertEqual(show(self.b, "work_mem"), "4MB")


class Sequences(unittest.TestCase):
    def setUp(self):
        self.a, self.b = Client(W.port), Client(W.port)
        W.direct("s2", "CREATE SEQUENCE IF NOT EXISTS one; CREATE SEQUENCE IF NOT EXISTS two; GRANT ALL ON SEQUENCE one, two TO app;"
                       "CREATE TABLE IF NOT EXISTS counted (id serial, a int); GRANT ALL ON counted, counted_id_seq TO app")

    def tearDown(self):
        self.a.close()
        self.b.close()
        wait_until(lambda: W.counters()["pinned_now"] == 0, "no server pinned")

    def test_never_the_value_of_another_client(self):
        for _ in range(4):
            self.b.rows("SELECT nextval('one'), nextval('two')")
        for sql in ("SELECT currval('one')", "SELECT lastval()"):
            with self.subTest(sql):
                one, other = Client(W.port), Client(W.port)
                self.assertEqual(one.kinds(query(sql)), "T E55000 ZI")
                other.kinds(query("BEGIN; SELECT 1"))
                self.assertEqual(other.kinds(query(sql)), "T E55000 ZE")
                one.close()
                other.close()

    def test_in_one_transaction_and_in_one_query(self):
        for number in range(3):
            client = Client(W.port)
            self.b.rows("SELECT nextval('one'), nextval('counted_id_seq')")
            client.kinds(query("BEGIN"))
            drawn = client.rows("INSERT INTO counted (a) VALUES (1) RETURNING id")
            self.assertEqual(client.rows("SELECT currval('counted_id_seq')"), drawn)
            self.assertEqual(client.rows("SELECT lastval()"), drawn)
            self.assertEqual(client.kinds(query("SELECT currval('two')")), "T E55000 ZE", number)
            client.kinds(query("ROLLBACK"))
            self.b.kinds(query("SELECT nextval('one')"))
            self.assertEqual(client.rows("SELECT currval('counted_id_seq')"), drawn)  # pinned from the first use on
            client.close()
            client = Client(W.port)
            self.assertEqual(client.kinds(query("INSERT INTO counted (a) VALUES (1); SELECT currval('counted_id_seq')")),
                             "C:INSERT 0 1 T D C:SELECT 1 ZI")
            client.close()
            wait_until(lambda: W.counters()["pinned_now"] == 0, "no server pinned")

    def test_across_transactions_on_the_same_server(self):
        with contextlib.closing(W.connect()) as c, c.cursor() as cursor, self.assertRaises(psycopg2.Error):
            cursor.execute("SELECT currval('one')")  # the pool knows from now on that such values are asked for
        wait_until(lambda: W.counters()["pinned_now"] == 0, "no server pinned")
        drawn = self.a.rows("SELECT nextval('one')")
        self.assertEqual(self.a.rows("SELECT currval('one')"), drawn)
        self.b.rows("SELECT nextval('one')")
        self.assertEqual(self.a.rows("SELECT currval('one')"), drawn)
        self.assertEqual(self.a.kinds(query("DISCARD SEQUENCES")), "C:DISCARD SEQUENCES ZI")
        self.assertEqual(W.counters()["pinned_now"], 0)
        self.assertEqual(self.a.kinds(query("SELECT currval('one')")), "T E55000 ZI")

    def test_prepared(self):
        self.b.rows("SELECT nextval('one')")
        self.assertEqual(self.a.kinds(parse("c", "SELECT currval('one')") + bind("c") + execute() + wire.SYNC), "1 2 E55000 ZI")
        self.assertEqual(self.a.kinds(parse("n", "SELECT nextval('one')") + bind("n") + execute() + bind("c") + execute() + wire.SYNC),
                         "1 2 D C:SELECT 1 2 D C:SELECT 1 ZI")


class Prepared(unittest.TestCase):
    """PREPARE, EXECUTE and DEALLOCATE as SQL."""

    def setUp(self):
        self.a, self.b = Client(W.port), Client(W.port)

    def tearDown(self):
        self.a.close()
        self.b.close()
        wait_until(lambda: W.counters()["pinned_now"] == 0, "no server pinned")

    def test_names_of_different_clients_never_meet(self):
        self.assertEqual(self.a.kinds(query("PREPARE p AS SELECT 'a'")), "C:PREPARE ZI")
        self.assertEqual(self.b.kinds(query("PREPARE p AS SELECT 'b'")), "C:PREPARE ZI")
        for _ in range(2):
            self.assertEqual((self.a.rows("EXECUTE p"), self.b.rows("EXECUTE p")), ([["a"]], [["b"]]))
        self.assertEqual(self.a.kinds(query("PREPARE p AS SELECT 'c'")), "E42P05 ZI")
        self.assertEqual(self.a.rows("EXECUTE p"), [["a"]])
        self.assertEqual(self.a.kinds(query("DEALLOCATE p")), "C:DEALLOCATE ZI")
        self.assertEqual(self.a.kinds(query("EXECUTE p")), "E26000 ZI")
        self.assertEqual(W.counters()["pinned_now"], 1)
        self.assertEqual(self.b.kinds(query("DEALLOCATE ALL")), "C:DEALLOCATE ALL ZI")
        self.assertEqual(self.b.kinds(query("EXECUTE p")), "E26000 ZI")
        self.assertEqual(W.counters()["pinned_now"], 0)

    def test_execute_goes_where_its_key_lives(self):
        low, high = W.key_on("s1"), W.key_on("s2")
        for shard in W.shards:
            W.direct(shard, "TRUNCATE orders")
        self.assertEqual(self.a.kinds(query("PREPARE ins (bigint, int) AS INSERT INTO orders VALUES ($1, $2, 'x')")), "C:PREPARE ZI")
        for key in (low, high, low):
            self.assertEqual(self.a.kinds(query(f"EXECUTE ins({key}, {100 + W.count('s1') + W.count('s2')})")), "C:INSERT 0 1 ZI")
        self.assertEqual((W.count("s1"), W.count("s2")), (2, 1))
        self.a.kinds(query("BEGIN"))
        self.assertEqual(self.a.kinds(query(f"EXECUTE ins({low}, 7)")), "C:INSERT 0 1 ZT")
        self.assertEqual(self.a.kinds(query(f"EXECUTE ins({high}, 7)")), "C:INSERT 0 1 ZT")
        self.a.kinds(query("ROLLBACK"))
        self.assertEqual(self.a.kinds(query(f"EXECUTE ins({low} + 0, 8)")), "ERT003 ZI")
        self.assertEqual(self.a.kinds(query("DEALLOCATE ins")), "C:DEALLOCATE ZI")
        for key in (low, high):  # the other shard's copy does not come back
            self.assertEqual(self.a.kinds(query("PREPARE ins (bigint, int) AS DELETE FROM orders WHERE customer_id = $1 AND id <> $2")),
                             "C:PREPARE ZI")
            self.assertNotEqual(self.a.kinds(query(f"EXECUTE ins({key}, 0)")), "C:INSERT 0 1 ZI")
            self.a.kinds(query("DEALLOCATE ins"))
        self.assertEqual((W.count("s1"), W.count("s2")), (0, 0))

    def test_prepared_in_a_transaction_that_is_rolled_back(self):
        self.a.kinds(query("BEGIN"))
        self.a.kinds(query("PREPARE p AS SELECT 'kept'"))
        self.assertEqual(self.a.rows("EXECUTE p"), [["kept"]])
        self.a.kinds(query("ROLLBACK"))
        self.assertEqual(self.a.rows("EXECUTE p"), [["kept"]])
        self.assertEqual(self.a.kinds(query("BEGIN; PREPARE q AS SELECT 1/0; PREPARE q AS SELECT 2; ROLLBACK")), "C:BEGIN C:PREPARE E42P05 ZE")
        self.a.kinds(query("ROLLBACK"))
        self.assertEqual(self.a.kinds(query("EXECUTE q")), "E22012 ZI")

    def test_extended_protocol_and_explain(self):
        low = W.key_on("s1")
        prepare = parse("", "PREPARE p AS SELECT note FROM orders WHERE customer_id = $1") + bind() + execute()
        run = parse("", f"EXECUTE p({low})") + bind() + execute()
        self.assertEqual(self.a.kinds(prepare + wire.SYNC), "1 2 C:PREPARE ZI")
        self.assertEqual(self.a.kinds(run + wire.SYNC), "1 2 C:SELECT 0 ZI")
        self.assertIn("orders", self.a.rows(f"EXPLAIN EXECUTE p({low})")[0][0])
        self.assertEqual(self.a.kinds(parse("", "DEALLOCATE p") + bind() + execute() + run + wire.SYNC)[:18], "1 2 C:DEALLOCATE 1")

    def test_deallocate_of_a_statement_of_the_protocol(self):
        before = W.counters()["pins"]
        self.assertEqual(self.a.kinds(parse("mine", "SELECT 1") + bind("mine") + execute() + wire.SYNC), "1 2 D C:SELECT 1 ZI")
        self.assertEqual(self.a.kinds(query("DEALLOCATE mine")), "C:DEALLOCATE ZI")
        self.assertEqual(self.a.kinds(bind("mine") + execute() + wire.SYNC), "E26000 ZI")
        self.a.kinds(parse("mine", "SELECT 1") + wire.SYNC)
        self.assertEqual(self.a.kinds(parse("", "DEALLOCATE mine") + bind() + execute() + wire.SYNC), "1 2 C:DEALLOCATE ZI")
        self.assertEqual(self.a.kinds(bind("mine") + execute() + wire.SYNC), "E26000 ZI")
        self.assertEqual(W.counters()["pins"], before)


class Unpinned(unittest.TestCase):
    def test_ordinary_work_asks_and_pins_nothing(self):
        before = W.counters()
        with contextlib.closing(W.connect(autocommit=False)) as c, c.cursor() as cursor:
            for _ in range(3):
                cursor.execute("SET LOCAL work_mem = '9MB'")
                cursor.execute("INSERT INTO scratch VALUES (%s, 'x') ON CONFLICT DO NOTHING", (5,))
                cursor.execute("SELECT count(*), nextval('pg_catalog.pg_class_oid_index'::regclass) FROM scratch WHERE false GROUP BY id")
                cursor.execute("SELECT pg_advisory_xact_lock(9), lo_creat(-1), txid_current(), random(), now()")
                c.commit()
        after = W.counters()
        self.assertEqual((after["replays"], after["pins"]), (before["replays"], before["pins"]))
        self.assertLessEqual(after["probes"] - before["probes"], 3)  # whether there are triggers is asked now and then

    def test_pgbench_with_ddl_in_between(self):
        # A thread for each client: pgbench waits for the answer to a Parse, and so for a server that another of its clients may hold.
        shard, before = W.shards["s2"], W.counters()
        shard.psql("GRANT CREATE ON DATABASE shop TO app", "shop")
        where = ["-h", "127.0.0.1", "-U", "app", "shop"]
        environment = dict(os.environ, PGPASSWORD=W.PASSWORD)

        def pgbench(port, *options):
            done = subprocess.run([BIN + "pgbench", "-p", str(port), *options, *where], env=environment, text=True,
                                  capture_output=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("aborted", done.stderr)
            return done.stdout

        pgbench(W.port, "-i", "-q")
        for mode in ("simple", "extended", "prepared"):
            running = in_background(lambda m=mode: pgbench(W.port, "-n", "-M", m, "-c", "3", "-j", "3", "-t", "40"))
            other = Client(W.port, application_name="pgbench")
            for number in range(5):
                other.kinds(query(f"ALTER TABLE pgbench_branches ADD COLUMN c{number} int"))
                other.kinds(query(f"ALTER TABLE pgbench_branches DROP COLUMN c{number}"))
            other.close()
            self.assertIn("number of transactions actually processed: 120/120", running.get(timeout=120))
        after = W.counters()
        self.assertEqual((after["pins"], after["pinned_now"]), (before["pins"], 0))
        # All have one application_name, which each server takes once.
        self.assertLessEqual(after["replays"] - before["replays"], after["servers_opened"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
