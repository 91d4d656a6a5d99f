"""The gate: statements for a moving set wait, go to the new owner in order, and never wait longer than their budget. The harness does
what a coordinator would: announce, close, flip (the rows are copied by the test), open."""
import contextlib
import struct
import time
import unittest

import wire
from wire import Client, bind, execute, parse, query
from world import MAIN, World, in_background, psycopg2, wait_until

W = None


def setUpModule():
    global W
    W = World(pool_size=4, workers=2)


def tearDownModule():
    W.finish()


class Gate(unittest.TestCase):
    """Each test moves everything below zero from s1 to s2, or tries to, and back."""
    number = 0

    def setUp(self):
        Gate.number += 1
        self.id = Gate.number
        self.low, self.high = W.key_on("s1"), W.key_on("s2")
        for shard in W.shards:
            W.direct(shard, "TRUNCATE orders")
        W.command(f"announce {self.id} {MAIN} 0 1 2")
        self.flipped = False

    def tearDown(self):
        W.command(f"open {self.id}")
        W.command(f"forget {self.id}")
        if self.flipped:
            W.command(f"announce {self.id + 1000} {MAIN} 0 2 1")
            W.command(f"flip {self.id + 1000}")
            W.command(f"forget {self.id + 1000}")

    def close(self, budget=1000, hold=5000):
        self.start_close(budget, hold)
        return W.command(f"closed {self.id}")

    def start_close(self, budget, hold=5000):
        W.command(f"close {self.id} 1 {budget} {hold}")

    def move_rows(self):
        rows = W.direct("s1", "DELETE FROM orders RETURNING customer_id, id, note")
        W.direct("s2", "INSERT INTO orders SELECT * FROM unnest(%s::int8[], %s::int8[], %s::text[])", [list(c) for c in zip(*rows)] or [[]] * 3)

    def flip(self):
        self.move_rows()
        self.flipped = True
        W.command(f"flip {self.id}")

    def insert(self, number=1, key=None):
        return query(f"INSERT INTO orders VALUES ({key or self.low}, {number}, 'x')")

    def held(self, count):
        wait_until(lambda: W.counters()["gate_waiting_now"] == count, f"{count} held statements", timeout=5)

    def test_a_cancel_ends_the_wait_of_a_transaction_that_has_a_server(self):
        client = Client(W.port)
        client.kinds(query("BEGIN"))
        client.kinds(query(f"SELECT * FROM orders WHERE customer_id = {self.high}"))
        self.assertTrue(self.close(hold=15000))
        client.send(self.insert())
        self.held(1)
        with contextlib.closing(Client(W.port, login=False)) as other:
            other.send(struct.pack("!iiii", 16, 80877102, client.pid, client.key))
        client.socket.settimeout(5)
        self.assertEqual(client.read_kinds(), "E57014 ZE")
        self.assertEqual(client.kinds(query("ROLLBACK")), "C:ROLLBACK ZI")
        W.command(f"open {self.id}")
        self.assertEqual(client.kinds(self.insert()), "C:INSERT 0 1 ZI")

    def test_held_statements_run_on_the_new_owner_in_order(self):
        clients = [Client(W.port) for _ in range(6)]
        prepared = clients[5]
        prepared.kinds(parse("ins", "INSERT INTO orders VALUES ($1, $2, 'x')") + wire.SYNC)
        self.assertTrue(self.close())
        waiting = [in_background(lambda c=c, n=n: c.kinds(self.insert(n))) for n, c in enumerate(clients[:5])]
        waiting.append(in_background(lambda: prepared.kinds(bind("ins", (self.low, 5)) + execute() + wire.SYNC)))
        self.held(6)
        self.assertEqual(Client(W.port).kinds(self.insert(9, self.high)), "C:INSERT 0 1 ZI")  # other keys go on
        self.flip()
        self.assertFalse(any(one.done() for one in waiting))
        report = W.command(f"open {self.id}")
        self.assertEqual([one.get() for one in waiting], ["C:INSERT 0 1 ZI"] * 5 + ["2 C:INSERT 0 1 ZI"])
        self.assertEqual(report["held"], 6)
        self.assertEqual((W.count("s1"), W.count("s2")), (0, 7))

    def test_one_session_keeps_its_order(self):
        client = Client(W.port)
        client.kinds(self.insert(1))
        self.assertTrue(self.close())
        client.send(query(f"UPDATE orders SET note = note || '1' WHERE customer_id = {self.low}")
                    + query(f"UPDATE orders SET note = note || '2' WHERE customer_id = {self.low}")
                    + query(f"SELECT note FROM orders WHERE customer_id = {self.low}"))
        self.held(1)
        self.flip()
        W.command(f"open {self.id}")
        client.until(b"Z"), client.until(b"Z")
        rows = [wire.cells(body) for kind, body in client.until(b"Z") if kind == b"D"]
        self.assertEqual(rows, [["x12"]])

    def test_a_held_begin_waits_with_its_statement(self):
        client = Client(W.port)
        self.assertEqual(client.kinds(query("BEGIN")), "C:BEGIN ZT")
        self.assertTrue(self.close())
        waiting = in_background(lambda: client.kinds(self.insert()))
        self.held(1)
        self.flip()
        W.command(f"open {self.id}")
        self.assertEqual(waiting.get(), "C:INSERT 0 1 ZT")
        self.assertEqual(client.kinds(query("COMMIT")), "C:COMMIT ZI")
        self.assertEqual((W.count("s1"), W.count("s2")), (0, 1))

    def test_closing_waits_for_open_transactions_and_lets_them_run_on(self):
        client, other = Client(W.port), Client(W.port)
        client.kinds(query("BEGIN"))
        client.kinds(self.insert(1))
        self.start_close(budget=5000)
        waiting = in_background(lambda: other.kinds(self.insert(2)))
        self.held(1)
        self.assertEqual(client.kinds(self.insert(3)), "C:INSERT 0 1 ZT")
        self.assertEqual(client.kinds(self.insert(4, W.key_on("s1", 1))), "C:INSERT 0 1 ZT")  # a first touch of another key
        closing = in_background(lambda: W.command(f"closed {self.id}"))
        self.assertFalse(closing.done())
        self.assertEqual(client.kinds(query("COMMIT")), "C:COMMIT ZI")
        self.assertTrue(closing.get())
        self.flip()
        W.command(f"open {self.id}")
        self.assertEqual(waiting.get(), "C:INSERT 0 1 ZI")
        self.assertEqual((W.count("s1"), W.count("s2")), (0, 4))

    def test_a_transaction_that_was_open_when_the_set_was_announced_counts(self):
        W.command(f"forget {self.id}")
        client = Client(W.port)
        client.kinds(query("BEGIN"))
        client.kinds(self.insert(1))
        W.command(f"announce {self.id} {MAIN} 0 1 2")
        self.assertFalse(self.close(budget=100))
        self.assertEqual(W.command(f"open {self.id}")["blocking"], [client.pid])
        client.kinds(query("ROLLBACK"))
        self.assertTrue(self.close(budget=100))

    def test_a_hold_keeps_newcomers_and_waits_for_nobody(self):
        client, other = Client(W.port), Client(W.port)
        client.kinds(query("BEGIN"))
        client.kinds(self.insert(1))
        W.command(f"hold {self.id}")
        waiting = in_background(lambda: other.kinds(self.insert(2)))
        self.held(1)
        self.assertEqual(client.kinds(self.insert(3)), "C:INSERT 0 1 ZT")
        self.assertEqual(W.command(f"open {self.id}")["held"], 1)
        self.assertEqual(waiting.get(), "C:INSERT 0 1 ZI")
        client.kinds(query("COMMIT"))

    def test_the_oldest_open_transaction_is_named(self):
        self.assertIsNone(W.command(f"oldest {self.id}"))
        older, younger, elsewhere = (W.connect(autocommit=False, application_name=name) for name in ("older", "younger", "elsewhere"))
        with contextlib.closing(older), contextlib.closing(younger), contextlib.closing(elsewhere):
            elsewhere.cursor().execute("SELECT note FROM orders WHERE customer_id = %s", (self.high,))
            self.assertIsNone(W.command(f"oldest {self.id}"))
            older.cursor().execute("SELECT note FROM orders WHERE customer_id = %s", (self.low,))
            wait_until(lambda: W.command(f"oldest {self.id}")["age_ms"] >= 20, "the transaction to be older than the next", timeout=5)
            younger.cursor().execute("SELECT note FROM orders WHERE customer_id = %s", (self.low,))
            found = W.command(f"oldest {self.id}")
            self.assertEqual((found["application"], found["user"]), ("older", "app"))
            self.assertGreater(found["client"], 0)
            self.assertTrue(W.direct("s1", "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'idle in transaction'", (found["server_pid"],)))
            older.rollback()
            self.assertEqual(W.command(f"oldest {self.id}")["application"], "younger")
            younger.rollback()
            self.assertIsNone(W.command(f"oldest {self.id}"))

    def test_the_budget_reopens_every_gate(self):
        client, other = Client(W.port), Client(W.port)
        client.kinds(query("BEGIN"))
        client.kinds(self.insert(1))
        started = time.monotonic()
        self.start_close(budget=2000)
        waiting = in_background(lambda: other.kinds(self.insert(2)))
        self.held(1)
        self.assertFalse(W.command(f"closed {self.id}"))
        self.assertLess(time.monotonic() - started, 4)
        self.assertEqual(waiting.get(), "C:INSERT 0 1 ZI")
        report = W.command(f"open {self.id}")
        self.assertEqual((report["blocking"], report["held"]), ([client.pid], 1))
        client.kinds(query("COMMIT"))
        self.assertEqual((W.count("s1"), W.count("s2")), (2, 0))

    def test_a_held_statement_that_runs_out_of_budget_was_not_run(self):
        client = Client(W.port)
        self.assertTrue(self.close(hold=300))
        self.assertEqual(client.kinds(self.insert()), "E55P03 ZI")
        self.assertEqual(client.rows("SELECT 1"), [["1"]])
        client.kinds(query("BEGIN"))
        self.assertEqual(client.kinds(self.insert()), "E55P03 ZE")
        self.assertEqual(client.kinds(query("ROLLBACK")), "C:ROLLBACK ZI")
        self.assertEqual(client.kinds(parse("", "INSERT INTO orders VALUES ($1, 1, 'x')") + bind("", (self.low,)) + execute() + wire.SYNC),
                         "E55P03 ZI")
        W.command(f"open {self.id}")
        self.assertEqual((W.count("s1"), W.count("s2")), (0, 0))
        self.assertEqual(client.kinds(self.insert()), "C:INSERT 0 1 ZI")

    def test_a_held_statement_can_be_cancelled(self):
        client = Client(W.port)
        self.assertTrue(self.close())
        waiting = in_background(lambda: client.kinds(self.insert()))
        self.held(1)
        canceller = Client(W.port, login=False)
        canceller.send(wire.struct.pack("!iiii", 16, 80877102, client.pid, client.key))
        self.assertEqual(waiting.get(), "E57014 ZI")

    def test_a_transaction_left_on_the_old_owner_goes_on_at_the_new_one_unless_it_keeps_its_snapshot(self):
        client, keeps, cursor = Client(W.port), Client(W.port), Client(W.port)
        client.kinds(query("BEGIN"))
        self.assertEqual(client.rows("SELECT 1 FROM orders WHERE customer_id = %d" % self.high), [])
        client.kinds(query("ROLLBACK"))
        # Open on s1 for a key that does not move: announce a smaller set.
        stays = W.key_on("s1", 3)
        placement = W.direct("s1", "SELECT hashint8extended(%s, 8816678312871386365)", (self.low,))[0][0]
        W.command(f"forget {self.id}")
        W.command(f"announce {self.id} {placement} {placement + 1} 1 2")
        for number, each, begin in ((1, client, "BEGIN"), (2, keeps, "BEGIN ISOLATION LEVEL REPEATABLE READ"), (3, cursor, "BEGIN")):
            each.kinds(query(begin))
            self.assertEqual(each.kinds(self.insert(number, stays)), "C:INSERT 0 1 ZT")
        cursor.kinds(query(f"DECLARE c CURSOR FOR SELECT * FROM orders WHERE customer_id = {stays}"))
        self.assertTrue(self.close())
        W.command(f"flip {self.id}")
        W.command(f"open {self.id}")
        try:
            self.assertEqual(keeps.kinds(self.insert(2)), "E40001 ZE")
            self.assertEqual(cursor.kinds(self.insert(2)), "E40001 ZE")  # it cannot go to another shard
            self.assertEqual(client.kinds(self.insert(2)), "C:INSERT 0 1 ZT")
            for each in (client, keeps, cursor):
                self.assertEqual(each.kinds(query("ROLLBACK")), "C:ROLLBACK ZI")
            self.assertEqual(client.kinds(self.insert(2)), "C:INSERT 0 1 ZI")
            self.assertEqual(W.count("s2"), 1)
        finally:
            W.command(f"announce {self.id + 2000} {placement} {placement + 1} 2 1")
            W.command(f"flip {self.id + 2000}")
            W.command(f"forget {self.id + 2000}")

    def test_row_locks_are_refused_while_the_range_moves(self):
        client = Client(W.port)
        self.assertEqual(client.kinds(query(f"SELECT * FROM orders WHERE customer_id = {self.low} FOR UPDATE")), "ERT003 ZI")
        self.assertEqual(client.kinds(query(f"SELECT * FROM orders WHERE customer_id = {self.high} FOR UPDATE")), "T C:SELECT 0 ZI")
        W.command(f"forget {self.id}")
        self.assertEqual(client.kinds(query(f"SELECT * FROM orders WHERE customer_id = {self.low} FOR UPDATE")), "T C:SELECT 0 ZI")

    def test_a_large_bind_is_held_and_counts_once_its_front_is_sent(self):
        statement, large = parse("", "INSERT INTO orders VALUES ($1, $2, $3)"), "x" * (9 << 20)
        client, other = Client(W.port), Client(W.port)
        half = statement + bind("", (self.low, 1, large))
        client.send(half[:5 << 20])
        wait_until(lambda: client.pid in [int(c["id"]) for c in W.command("show CLIENTS") if c["shard"] == "s1"], "its front to be sent", timeout=5)
        self.assertFalse(self.close(budget=200))
        self.assertEqual(W.command(f"open {self.id}")["blocking"], [client.pid])
        self.start_close(budget=5000)
        waiting = in_background(lambda: other.kinds(statement + bind("", (self.low, 2, large)) + execute() + wire.SYNC))
        self.held(1)
        self.assertEqual(client.kinds(half[5 << 20:] + execute() + wire.SYNC), "1 2 C:INSERT 0 1 ZI")
        self.assertTrue(W.command(f"closed {self.id}"))
        self.flip()
        self.assertFalse(waiting.done())
        W.command(f"open {self.id}")
        self.assertEqual(waiting.get(), "1 2 C:INSERT 0 1 ZI")
        self.assertEqual((W.count("s1"), W.direct("s2", "SELECT id, length(note) FROM orders ORDER BY id")), (0, [(1, 9 << 20), (2, 9 << 20)]))

    def test_an_unknown_set_cannot_be_closed(self):
        W.command("close 999999 1 100 100")
        self.assertFalse(W.command("closed 999999"))

    def test_announced_twice_is_known_once(self):
        W.command(f"announce {self.id} {MAIN} 0 1 2")
        self.assertTrue(self.close())
        client = Client(W.port)
        waiting = in_background(lambda: client.kinds(self.insert()))
        self.held(1)
        W.command(f"announce {self.id} {MAIN} 0 1 2")
        self.assertFalse(waiting.done())
        W.command(f"open {self.id}")
        self.assertEqual(waiting.get(), "C:INSERT 0 1 ZI")

    def test_the_generation_is_told_before_the_next_ready(self):
        client = Client(W.port)
        before = int(client.parameters["pgrotor.generation"])
        self.flip()
        client.send(query("SELECT 1"))
        told = [body for kind, body in client.until(b"Z") if kind == b"S"]
        self.assertEqual(told, [b"pgrotor.generation\0" + str(before + 1).encode() + b"\0"])
        client.send(query("SELECT 1"))
        self.assertEqual([body for kind, body in client.until(b"Z") if kind == b"S"], [])

    def test_one_who_waits_in_the_pool_decides_anew_after_the_switch(self):
        # All connections of s1 are busy with a transaction that does not touch the set; the statement in the queue does.
        placement = W.direct("s1", "SELECT hashint8extended(%s, 8816678312871386365)", (self.low,))[0][0]
        W.command(f"forget {self.id}")
        W.command(f"announce {self.id} {placement} {placement + 1} 1 2")
        stays = W.key_on("s1", 3)
        busy = [Client(W.port) for _ in range(4)]
        for number, client in enumerate(busy):
            client.kinds(query("BEGIN"))
            self.assertEqual(client.kinds(self.insert(number, stays)), "C:INSERT 0 1 ZT")
        queued = [Client(W.port) for _ in range(2)]
        waiting = [in_background(lambda c=c, n=n: c.kinds(self.insert(100 + n))) for n, c in enumerate(queued)]
        wait_until(lambda: sum(int(p["cl_waiting"]) for p in W.command("show POOLS")) == 2, "two in the pools' queues", timeout=5)
        self.assertTrue(self.close())
        W.command(f"flip {self.id}")
        W.command(f"open {self.id}")
        for client in busy:
            client.kinds(query("COMMIT"))
        try:
            self.assertEqual([one.get() for one in waiting], ["C:INSERT 0 1 ZI"] * 2)
            self.assertEqual((W.count("s1"), W.count("s2")), (4, 2))
        finally:
            W.command(f"announce {self.id + 2000} {placement} {placement + 1} 2 1")
            W.command(f"flip {self.id + 2000}")
            W.command(f"forget {self.id + 2000}")

    def test_warm_opens_connections_to_the_target(self):
        W.shards["s2"].execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        busy = [Client(W.port) for _ in range(4)]
        for client in busy:
            client.kinds(query("BEGIN"))
            client.rows(f"SELECT 1 FROM orders WHERE customer_id = {self.low}")
        for client in busy:
            client.kinds(query("COMMIT"))
        W.command(f"warm {self.id}")
        pools = W.command("show POOLS")
        total = {s: sum(int(p["sv_idle"]) for p in pools if p["shard"] == s and p["user"] == "app") for s in ("s1", "s2")}
        self.assertGreaterEqual(total["s2"], total["s1"])
        self.assertEqual(total["s1"], 4)

    def test_cutovers_under_load_lose_nothing(self):
        stop, failures, written = [], [], []

        def writer(number):
            done = 0
            with contextlib.closing(W.connect()) as c, c.cursor() as cursor:
                while not stop:
                    done += 1
                    try:
                        cursor.execute("INSERT INTO orders VALUES (%s, %s, 'x')", (self.low, number * 1_000_000 + done))
                        written.append(number * 1_000_000 + done)
                    except psycopg2.Error as error:
                        failures.append(error)
            return done
        writers = [in_background(lambda n=n: writer(n)) for n in range(1, 9)]
        wait_until(lambda: len(written) > 200, "some writes", timeout=20)
        self.assertTrue(self.close(budget=2000))
        self.flip()
        longest = W.command(f"open {self.id}")["longest_ms"]
        after = len(written)
        wait_until(lambda: len(written) > after + 200, "writes after the switch", timeout=20)
        stop.append(True)
        for one in writers:
            one.get()
        self.assertEqual(failures, [])
        self.assertEqual(W.count("s1"), 0)
        self.assertEqual(sorted(row for row, in W.direct("s2", "SELECT id FROM orders")), sorted(written))
        self.assertLess(longest, 5000)

    def test_z_whoever_is_ended_while_he_waits_is_told_why(self):
        """A drain that has no more time, as when the term is lost: 57P01 and nothing else, not that his statement was cancelled."""
        simple, pipeline, idle = (Client(W.port) for _ in range(3))
        idle.kinds(query("BEGIN"))
        idle.kinds(self.insert(3, self.high))
        self.assertTrue(self.close(hold=60000))
        simple.send(self.insert(1))
        pipeline.send(parse("", f"INSERT INTO orders VALUES ({self.low}, 2, 'x')") + bind() + execute() + wire.SYNC)
        self.held(2)
        W.command("drain")
        for client in (simple, pipeline, idle):
            told = []
            with contextlib.suppress(EOFError, ConnectionError):
                while True:
                    told.append(client.receive())
            self.assertEqual([wire.fields(body)["C"] if kind == b"E" else kind for kind, body in told], ["57P01"])
        self.assertEqual((W.count("s1"), W.count("s2")), (0, 0))


if __name__ == "__main__":
    unittest.main(verbosity=2)
