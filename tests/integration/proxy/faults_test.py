"""What goes wrong: servers that die, clients that leave, pools that are full, results larger than memory, cancels, shutdown."""
import contextlib
import os
import signal
import socket
import struct
import time
import unittest

import wire
from wire import Client, bind, execute, parse, query
from world import World, in_background, wait_until

W = None


def setUpModule():
    global W
    W = World(pool_size=2, workers=2)


def tearDownModule():
    W.finish()


def backends(shard, condition="true"):
    return W.shards[shard].query(f"SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND {condition}")


def attached():
    return sum(int(row["sv_active"]) for row in W.command("show POOLS"))


def terminate(shard, condition="true"):
    killed = W.shards[shard].query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND {condition}")
    wait_until(lambda: not backends(shard, condition), "backends to be gone", timeout=10)
    return len(killed)


class Faults(unittest.TestCase):
    def setUp(self):
        self.low, self.high = W.key_on("s1"), W.key_on("s2")
        for shard in W.shards:
            W.direct(shard, "TRUNCATE orders")

    def insert(self, number=1, key=None):
        return query(f"INSERT INTO orders VALUES ({key or self.low}, {number}, 'x')")

    def test_idle_connections_that_died_are_not_handed_out(self):
        client = Client(W.port)
        for _ in range(3):
            self.assertEqual(client.kinds(query(f"SELECT 1 FROM orders WHERE customer_id = {self.low}")), "T C:SELECT 0 ZI")
            terminate("s1")

    def test_idle_connections_that_died_are_thrown_away_with_nobody_asking(self):
        def idle():
            return sum(int(row["sv_idle"]) for row in W.command("show POOLS") if row["shard"] == "s1")

        Client(W.port).kinds(query(f"SELECT 1 FROM orders WHERE customer_id = {self.low}"))
        wait_until(lambda: idle() > 0, "a connection to be idle", timeout=10)
        terminate("s1")
        wait_until(lambda: idle() == 0, "it to be thrown away", timeout=10)

    def test_a_server_that_is_ended_in_an_idle_transaction(self):
        client = Client(W.port)
        client.kinds(query("BEGIN"))
        client.kinds(self.insert(1))
        terminate("s1")
        told = client.closed()
        self.assertEqual((told["S"], told["C"], told["M"]), ("FATAL", "57P01", "terminating connection due to administrator command"))
        self.assertEqual(told["R"], "ProcessInterrupts")
        self.assertEqual(W.count("s1"), 0)

    def test_a_server_that_is_ended_in_a_statement_of_a_transaction(self):
        client = Client(W.port)
        client.kinds(query("BEGIN"))
        client.kinds(self.insert(1))
        client.send(query(f"SELECT pg_sleep(30) FROM orders WHERE customer_id = {self.low}"))
        wait_until(lambda: backends("s1", "query LIKE '%pg_sleep%' AND state = 'active'"), "the statement to run", timeout=10)
        terminate("s1", "query LIKE '%pg_sleep%'")
        self.assertEqual(client.closed()["C"], "57P01")
        self.assertEqual(W.count("s1"), 0)

    def test_a_server_that_is_ended_in_a_read(self):
        for read in "SELECT pg_sleep(30)", "SELECT 1 FROM pg_sleep(30)":
            client = Client(W.port)
            client.send(query(read))
            wait_until(lambda: backends("s2", "query LIKE '%pg_sleep%' AND state = 'active'"), "the statement to run", timeout=10)
            terminate("s2", "query LIKE '%pg_sleep%'")
            self.assertEqual(client.closed()["C"], "57P01")

    def test_a_crash_beside_a_transaction(self):
        client = Client(W.port)
        client.kinds(query("BEGIN"))
        client.kinds(self.insert(1))
        (victim,), = W.shards["s1"].query("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
        os.kill(victim, signal.SIGKILL)
        told = client.closed()
        self.assertEqual((told["S"], told["C"]), ("FATAL", "57P02"))
        wait_until(lambda: Client(W.port).kinds(self.insert(2)) == "C:INSERT 0 1 ZI", "the shard to be back", timeout=20)

    def test_what_ends_every_error_ends_the_session(self):
        client = Client(W.port)
        client.kinds(query("SET exit_on_error = on"))
        client.send(query("SELECT 1/0"))
        told = client.closed()
        self.assertEqual((told["S"], told["C"]), ("FATAL", "22012"))
        client = Client(W.port)
        W.direct("s1", f"INSERT INTO orders VALUES ({self.low}, 1, 'x')")
        client.kinds(query("SET exit_on_error = on"))
        client.send(self.insert(1))  # which has certainly not been committed
        self.assertEqual(client.closed()["C"], "23505")

    def test_a_server_that_is_ended_in_a_plain_read(self):
        client = Client(W.port)
        W.direct("s1", "INSERT INTO orders SELECT %s, g FROM generate_series(1, 4000) g", (self.low,))
        slow = f"SELECT count(*) FROM orders a, orders b, orders c WHERE a.customer_id = {self.low} AND b.customer_id = {self.low} " \
               f"AND c.customer_id = {self.low}"
        client.send(query(slow))
        wait_until(lambda: backends("s1", "query LIKE '%orders c%' AND state = 'active'"), "the statement to run", timeout=10)
        terminate("s1", "query LIKE '%orders c%'")
        self.assertEqual(client.closed()["C"], "57P01")

    def test_an_autocommit_write_whose_outcome_is_unknown(self):
        for raw in (query(f"INSERT INTO orders SELECT {self.low}, 1, pg_sleep(30)::text"),
                    parse("", f"INSERT INTO orders SELECT {self.low}, 1, pg_sleep(30)::text") + bind() + execute() + wire.SYNC):
            client = Client(W.port)
            client.send(raw)
            wait_until(lambda: backends("s1", "query LIKE '%pg_sleep%' AND state = 'active'"), "the statement to run", timeout=10)
            before = W.counters()["commits_unknown"]
            terminate("s1", "query LIKE '%pg_sleep%'")
            self.assertEqual(client.closed()["C"], "08007")
            self.assertEqual(W.counters()["commits_unknown"], before + 1)
        self.assertEqual(W.count("s1"), 0)

    def test_a_commit_whose_outcome_is_unknown(self):
        W.direct("s1", "CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END'")
        W.direct("s1", "CREATE CONSTRAINT TRIGGER stall AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
                       "EXECUTE FUNCTION stall()")
        try:
            client = Client(W.port)
            client.kinds(query("BEGIN"))
            client.kinds(self.insert(1))
            client.send(query("COMMIT"))
            wait_until(lambda: backends("s1", "query = 'COMMIT' AND state = 'active'"), "COMMIT to run", timeout=10)
            terminate("s1", "query = 'COMMIT'")
            self.assertEqual(client.closed()["C"], "08007")
        finally:
            W.direct("s1", "DROP FUNCTION stall CASCADE")

    def test_a_shard_that_is_down(self):
        client = Client(W.port)
        W.shards["s1"].stop("immediate")
        try:
            self.assertEqual(client.kinds(self.insert(1)), "E08006 ZI")
            self.assertEqual(client.kinds(self.insert(1, self.high)), "C:INSERT 0 1 ZI")
            client.kinds(query("BEGIN"))
            self.assertEqual(client.kinds(self.insert(1)), "E08006 ZE")
            self.assertEqual(client.kinds(query("ROLLBACK")), "C:ROLLBACK ZI")
        finally:
            W.shards["s1"].start()
        if f"port={W.shards['s1'].port}" in open(f"/proc/{W.child.pid}/cmdline").read():
            wait_until(lambda: client.kinds(self.insert(1)) == "C:INSERT 0 1 ZI", "the shard to be found again", timeout=10)

    def test_clients_that_leave_in_a_transaction_leave_nothing(self):
        for goodbye in (lambda c: c.close(), lambda c: c.send(wire.TERMINATE)):
            client = Client(W.port)
            client.kinds(query("BEGIN"))
            client.kinds(self.insert(1))
            goodbye(client)
            wait_until(lambda: not backends("s1", "state = 'idle in transaction'"), "the transaction to end", timeout=10)
            self.assertEqual(W.count("s1"), 0)
        wait_until(lambda: W.counters()["clients_now"] <= 1, "sessions to end", timeout=10)

    def test_clients_that_are_reset_behind_their_last_bytes_leave_nothing(self):
        large = parse("", "SELECT $1::text") + b"B" + struct.pack("!i", 5_000_000) + b"\0\0\0\0\0\1" + struct.pack("!i", 4_000_000) + b"x" * 90_000
        copying = parse("", "COPY scratch FROM STDIN") + bind() + execute() + wire.message(b"d", b"1\tx\n")
        half = query("BEGIN") + self.insert(1)
        for last in (b"Q\0\0", parse("", "SELECT 1"), parse("", "SELECT 1") + wire.SYNC, large, copying, copying + query("SELECT 1"), half):
            before, busy = W.counters()["clients_now"], attached()
            for _ in range(8):
                client = Client(W.port)
                client.send(last)
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
            # Sooner than the sweep would find them.
            wait_until(lambda: W.counters()["clients_now"] <= before, f"the sessions behind {last[:30]} to end", timeout=4)
            wait_until(lambda: attached() <= busy, "their servers to be back", timeout=4)
        self.assertEqual(W.counters()["sockets_overlooked"], 0)
        self.assertEqual(W.counters()["sessions_failed"], 0)

    def test_a_copy_that_has_lost_its_protocol_ends_and_lets_its_server_go(self):
        for wrong in (query("SELECT 1"), parse("", "SELECT 1"), wire.message(b"F", b"\0" * 14), wire.message(b"p", b"x\0")):
            client = Client(W.port)
            client.send(parse("", "COPY scratch FROM STDIN") + bind() + execute() + wire.FLUSH)
            client.until(b"G")
            client.send(wire.message(b"d", b"1\tx\n") + wrong + wire.SYNC)
            self.assertEqual(client.closed()["C"], "08P01")
        wait_until(lambda: not W.direct("s2", "SELECT 1 FROM pg_locks WHERE relation = 'scratch'::regclass"), "the locks to be gone", timeout=5)
        self.assertEqual(W.count("s2", "scratch"), 0)

    def test_many_clients_share_few_servers(self):
        def work(number):
            with contextlib.closing(W.connect()) as c, c.cursor() as cursor:
                for i in range(20):
                    key = self.low if (i + number) % 2 else self.high
                    cursor.execute("BEGIN")
                    cursor.execute("INSERT INTO orders VALUES (%s, %s, 'x')", (key, number * 1000 + i))
                    cursor.execute("COMMIT")
        running = [in_background(lambda n=n: work(n)) for n in range(40)]
        for one in running:
            one.get(60)
        self.assertEqual(W.count("s1") + W.count("s2"), 800)
        self.assertLessEqual(len(backends("s1")), 2)
        self.assertLessEqual(len(backends("s2")), 2)

    def test_a_full_pool_says_so_in_time(self):
        busy = [Client(W.port) for _ in range(2)]
        for client in busy:
            client.kinds(query("BEGIN"))
            client.kinds(self.insert(client.pid))
        others = [Client(W.port) for _ in range(2)]
        started = time.monotonic()
        waiting = [in_background(lambda c=c: c.kinds(self.insert(c.pid))) for c in others]
        self.assertEqual([one.get() for one in waiting], ["E53300 ZI"] * 2)
        self.assertLess(time.monotonic() - started, 6)
        waiting = [in_background(lambda c=c: c.kinds(self.insert(c.pid))) for c in others]
        wait_until(lambda: sum(int(p["cl_waiting"]) for p in W.command("show POOLS")) == 2, "two in the queue", timeout=5)
        for client in busy:
            client.kinds(query("COMMIT"))
        self.assertEqual([one.get() for one in waiting], ["C:INSERT 0 1 ZI"] * 2)

    def test_cancel_reaches_the_shard_through_any_worker(self):
        for _ in range(2):
            client = Client(W.port)
            waiting = in_background(lambda: client.kinds(query("SELECT pg_sleep(30)")))
            wait_until(lambda: backends("s2", "query LIKE '%pg_sleep%' AND state = 'active'"), "the statement to run", timeout=10)
            wrong = Client(W.port, login=False)
            wrong.send(struct.pack("!iiii", 16, 80877102, client.pid, client.key ^ 1))
            self.assertEqual(wrong.closed(), {})
            self.assertFalse(waiting.done())
            right = Client(W.port, login=False)
            right.send(struct.pack("!iiii", 16, 80877102, client.pid, client.key))
            self.assertEqual(waiting.get().split()[-2:], ["E57014", "ZI"])
            self.assertEqual(client.rows("SELECT 1"), [["1"]])

    def test_cancels_never_hit_the_next_one(self):
        stop, hit = [], []

        def innocent():
            client = Client(W.port)
            while not stop:
                answer = client.kinds(query("SELECT 1"))
                if "E" in answer.replace("SELECT", ""):
                    hit.append(answer)
        bystanders = [in_background(innocent) for _ in range(4)]
        client = Client(W.port)
        for _ in range(60):
            client.send(query("SELECT count(*) FROM generate_series(1, 3000)"))
            killer = Client(W.port, login=False)
            killer.send(struct.pack("!iiii", 16, 80877102, client.pid, client.key))
            client.until(b"Z")
            killer.close()
        stop.append(True)
        for one in bystanders:
            one.get()
        self.assertEqual(hit, [])

    def memory(self):
        with open(f"/proc/{W.child.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024

    def test_a_large_result_goes_through_in_bounded_memory(self):
        before = self.memory()
        client = Client(W.port)
        client.send(query("SELECT repeat('x', 1000000) FROM generate_series(1, 200)"))
        got = sum(len(body) for kind, body in client.until(b"Z") if kind == b"D")
        self.assertGreater(got, 200_000_000)
        client.send(query("SELECT repeat('x', 100000000)"))
        got = sum(len(body) for kind, body in client.until(b"Z") if kind == b"D")
        self.assertGreater(got, 100_000_000)
        self.assertLess(self.memory() - before, 20)

    def test_a_client_that_does_not_read_costs_little(self):
        before = self.memory()
        client = Client(W.port)
        client.send(query("SELECT repeat('x', 1000000) FROM generate_series(1, 200)"))
        wait_until(lambda: backends("s2", "wait_event = 'ClientWrite'"), "the shard to be held back", timeout=10)
        self.assertLess(self.memory() - before, 20)
        client.close()
        wait_until(lambda: not backends("s2", "wait_event = 'ClientWrite'"), "the shard to be let go", timeout=10)

    def test_z_shutdown_lets_transactions_finish(self):
        idle, busy = Client(W.port), Client(W.port)
        busy.kinds(query("BEGIN"))
        busy.kinds(self.insert(1))
        draining = in_background(lambda: W.command("drain"))
        self.assertEqual(idle.closed()["C"], "57P01")
        self.assertEqual(busy.kinds(self.insert(2)), "C:INSERT 0 1 ZT")
        self.assertEqual(busy.kinds(query("COMMIT")), "C:COMMIT ZI")
        self.assertEqual(busy.closed()["C"], "57P01")
        draining.get()
        self.assertEqual(W.count("s1"), 2)
        late = Client(W.port, login=False)
        late.send(wire.startup(user="app", database="shop"))
        self.assertEqual(late.closed()["C"], "57P03")


if __name__ == "__main__":
    unittest.main(verbosity=2)
