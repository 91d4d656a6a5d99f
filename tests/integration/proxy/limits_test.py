"""Bounds: clients, waiting strangers, large messages, prepared statements; nobody starves or is forgotten."""
import select
import time
import unittest

import wire
from wire import Client, bind, execute, parse, query
from world import World, in_background, wait_until

W = None


def setUpModule():
    global W
    W = World(pool_size=4)


def tearDownModule():
    W.finish()


def resident():
    with open(f"/proc/{W.child.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def sanitized():
    """A sanitizer's shadow memory is not the program's."""
    with open(f"/proc/{W.child.pid}/maps") as maps:
        return any("libasan" in line or "libtsan" in line for line in maps)


class Limits(unittest.TestCase):
    def setUp(self):
        wait_until(lambda: W.counters()["clients_now"] == 0, "sessions of the test before to end", timeout=20)

    def client(self):
        made = Client(W.port)
        self.addCleanup(made.close)
        return made

    def test_clients_over_the_limit_are_told(self):
        before = resident()
        clients = [Client(W.port) for _ in range(200)]
        if not sanitized():
            self.assertLess((resident() - before) / 200, 16, "KiB of an idle client")
        late = Client(W.port, login=False)
        late.send(wire.startup(user="app", database="shop"))
        self.assertEqual(late.closed()["C"], "53300")
        clients.pop().close()
        wait_until(lambda: W.counters()["clients_now"] <= 199, "a session to end", timeout=5)
        clients.append(Client(W.port))
        self.assertEqual(clients[-1].rows("SELECT 1"), [["1"]])
        for client in clients:
            client.close()
        wait_until(lambda: W.counters()["clients_now"] == 0, "sessions to end", timeout=5)

    def test_who_says_nothing_makes_room_for_who_logs_in(self):
        # 200 may be logging in. Some stop before their first byte, some in the middle of SCRAM.
        before = [Client(W.port) for _ in range(20)]
        silent = [Client(W.port, login=False) for _ in range(450)]
        for client in silent[1::2]:
            client.send(wire.startup(user="app", database="shop"))
        started = time.monotonic()
        for client in before + [Client(W.port) for _ in range(20)]:
            self.assertEqual(client.rows("SELECT 1"), [["1"]])
            client.close()
        self.assertLess(time.monotonic() - started, 2)
        self.assertEqual([client.closed()["C"] for client in silent[:200]], ["53300"] * 200)
        for client in silent:
            client.close()

    def test_large_messages_share_a_budget(self):
        # Four of 8 MiB are the bound; each client announces one and sends half of it.
        clients = [Client(W.port) for _ in range(6)]
        told = []
        for client in clients:
            client.send(b"Q" + wire.struct.pack("!i", (8 << 20) - 100) + b"x" * (4 << 20))
        for client in clients:
            client.socket.settimeout(1)
            try:
                told.append(client.closed().get("C"))
            except TimeoutError:
                told.append(None)
        self.assertEqual(sorted(told, key=str), ["53200", "53200", None, None, None, None])
        for client in clients:
            client.close()
        wait_until(lambda: W.counters()["clients_now"] == 0, "sessions to end", timeout=5)
        client = self.client()
        text = "SELECT length('" + "x" * (7 << 20) + "')"
        self.assertEqual(client.rows(text), [[str(7 << 20)]])
        self.assertEqual(client.rows(text), [[str(7 << 20)]])

    def test_copy_to_a_shard_that_stops_reading_is_not_buffered(self):
        W.shards["s2"].psql("""
            CREATE TABLE slow_sink (line text);
            GRANT ALL ON slow_sink TO PUBLIC;
            CREATE FUNCTION wait_for_77() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NEW; END';
            CREATE TRIGGER slow BEFORE INSERT ON slow_sink FOR EACH ROW EXECUTE FUNCTION wait_for_77();""", "shop")
        piece = wire.message(b"d", b"x" * 1023 + b"\n") * 64
        client = self.client()
        with W.shards["s2"].connect("shop", autocommit=False) as holder:
            holder.cursor().execute("SELECT pg_advisory_xact_lock(77)")
            client.send(query("COPY slow_sink FROM STDIN"))
            self.assertEqual(client.read_kinds(last=b"G"), "G")
            before, sent = resident(), 0
            while sent < 256 << 20 and select.select([], [client.socket], [], 1.0)[1]:
                sent += client.socket.send(memoryview(piece)[sent % len(piece):])
            self.assertLess(sent, 256 << 20, "bytes taken while the shard takes none")
            if not sanitized():
                self.assertLess(resident() - before, 4096, "KiB")
        rest = -sent % len(piece)
        client.send(piece[len(piece) - rest:] if rest else b"")
        client.send(wire.message(b"c"))
        self.assertEqual(client.read_kinds(), f"C:COPY {(sent + rest) // (len(piece) // 64)} ZI")

    def test_prepared_statements_of_a_client_are_bounded(self):
        client = self.client()
        raw = b"".join(parse(f"s{n}", "BEGIN") for n in range(1000)) + wire.SYNC
        self.assertEqual(client.kinds(raw), "1 " * 1000 + "ZI")
        self.assertEqual(client.kinds(parse("more", "BEGIN") + wire.SYNC), "E54000 ZI")

    def test_a_client_that_floods_does_not_starve_others(self):
        flooding, other = self.client(), self.client()
        stop = []

        def flood():
            while not stop:
                flooding.send(query(";") * 2000)

        def drink():
            while not stop:
                flooding.socket.recv(1 << 20)
        running = [in_background(flood), in_background(drink)]
        time.sleep(0.3)
        worst = 0.0
        for _ in range(50):
            started = time.monotonic()
            other.rows("SELECT 1")
            worst = max(worst, time.monotonic() - started)
        stop.append(True)
        self.assertLess(worst, 1.0)
        flooding.close()
        del running

    def test_too_deep_a_statement_kills_nobody(self):
        client = self.client()
        self.assertEqual(client.kinds(query("SELECT " + "1+" * 5000 + "1")), "E54001 ZI")
        self.assertEqual(client.kinds(parse("", "SELECT " + "(" * 9000 + "1" + ")" * 9000) + wire.SYNC), "E54001 ZI")
        self.assertEqual(client.rows("SELECT 1"), [["1"]])

    def test_held_control_statements_are_bounded(self):
        client = self.client()
        client.kinds(query("BEGIN"))
        for number in range(2000):
            answer = client.kinds(query(f"SAVEPOINT a_savepoint_with_a_rather_long_name_{number}"))
            self.assertEqual(answer, "C:SAVEPOINT ZT")
        self.assertIsNotNone(next((c["shard"] for c in W.command("show CLIENTS") if c["shard"]), None))
        self.assertEqual(client.kinds(query("ROLLBACK")), "C:ROLLBACK ZI")

    def test_a_portal_survives_while_its_transaction_does(self):
        client = self.client()
        client.kinds(query("BEGIN"))
        self.assertEqual(client.kinds(parse("", "SELECT g FROM generate_series(1, 3) g") + bind("", (), "p") + execute("p", 1) + wire.SYNC),
                         "1 2 D s ZT")
        self.assertEqual(client.kinds(execute("p") + wire.SYNC), "D D C:SELECT 2 ZT")
        client.kinds(query("COMMIT"))
        self.assertEqual(client.kinds(execute("p") + wire.SYNC), "E34000 ZI")


if __name__ == "__main__":
    unittest.main(verbosity=2)
