"""The start of a connection: versions of the protocol, startup parameters, refusals by the shard, cancel keys, replication."""
import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import unittest
import unittest.mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import wire  # noqa: E402
from cluster import BIN, DUMP_BIN  # noqa: E402
from wire import Client, message, query  # noqa: E402
from world import World, in_background, wait_until  # noqa: E402

W = None


def setUpModule():
    global W
    W = World(workers=2)
    W.shards["s2"].psql("ALTER ROLE app REPLICATION")


def tearDownModule():
    W.finish()


def logged_in(version=3 << 16, **parameters):
    client = Client(W.port, login=False)
    client.version = version
    client.login("app", W.PASSWORD, "shop", **parameters)
    return client


def refused(port=None, **parameters):
    """The fields of the error that ends a login after the password was right."""
    client = Client(port or W.port, login=False)
    client.send(wire.startup(user="app", **dict({"database": "shop"}, **parameters)))
    client.receive()
    client.scram(W.PASSWORD)
    return client.closed()


def cancel(client, key):
    killer = Client(W.port, login=False)
    killer.send(struct.pack("!iii", len(key) + 12, 80877102, client.pid) + key)
    assert killer.closed() == {}


def sleeping(client):
    waiting = in_background(lambda: client.kinds(query("SELECT pg_sleep(30)")))
    wait_until(lambda: W.shards["s2"].query("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)' AND state = 'active'"),
               "the statement to run", timeout=10)
    return waiting


class Versions(unittest.TestCase):
    def test_minors_and_options_that_nobody_knows(self):
        three_two = (3 << 16) + 2
        for version, options, answer, key_size in (((3 << 16), (), None, 4), ((3 << 16) + 1, (), None, 4), (three_two, (), None, 32),
                                                   ((3 << 16) + 3, (), (three_two, 0), 32), ((3 << 16) + 9999, (), (three_two, 0), 32),
                                                   ((3 << 16), ("_pq_.x", "_pq_.y"), ((3 << 16), 2, "_pq_.x", "_pq_.y"), 4),
                                                   ((3 << 16) + 3, ("_pq_.x",), (three_two, 1, "_pq_.x"), 32)):
            with self.subTest(version=version, options=options):
                client = logged_in(version, **dict.fromkeys(options, "1"))
                self.assertEqual(client.negotiated, answer)
                self.assertEqual(len(client.secret), key_size)
                self.assertEqual(client.rows("SELECT 1"), [["1"]])
        for version in ((2 << 16), (4 << 16)):
            client = Client(W.port, login=False)
            client.send(wire.startup(version, user="app"))
            self.assertEqual(client.closed()["C"], "0A000")

    def test_cancel_with_a_key_of_its_length_and_no_other(self):
        for version in ((3 << 16), (3 << 16) + 2):
            client = logged_in(version)
            waiting = sleeping(client)
            right = client.secret
            wrong = [right[:-1] + bytes([right[-1] ^ 1]), right + b"\0", bytes(4), bytes(256)]
            if len(right) > 4:
                wrong.append(right[:4])
            before = W.counters()["cancels"]
            for key in wrong:
                cancel(client, key)
            self.assertEqual(W.counters()["cancels"], before)
            self.assertFalse(waiting.done())
            cancel(client, right)
            self.assertEqual(waiting.get().split()[-2:], ["E57014", "ZI"])


class Parameters(unittest.TestCase):
    def test_what_the_startup_said_is_what_reset_returns_to(self):
        cases = (({"options": "-c work_mem=5MB -c lock_timeout=1234"}, "work_mem", "5MB", "9MB"),
                 ({"options": "--lock-timeout=1s"}, "lock_timeout", "1s", "2s"), ({"work_mem": "6MB"}, "work_mem", "6MB", "9MB"),
                 ({"TimeZone": "Asia/Tokyo"}, "TimeZone", "Asia/Tokyo", "UTC"), ({"search_path": "pg_catalog, public"}, "search_path",
                                                                              "pg_catalog, public", "public"),
                 ({"options": "-c search_path=\\\"My\\ Schema\\\""}, "search_path", '"My Schema"', "public"))
        for parameters, name, value, other in cases:
            with self.subTest(name=name):
                client = logged_in(**parameters)
                self.assertEqual(client.rows(f"SELECT reset_val = setting, source FROM pg_settings WHERE name = '{name}'"), [["t", "client"]])
                client.kinds(query("BEGIN"))
                client.kinds(query(f"SET LOCAL {name} = '{other}'"))
                client.rows(f"SELECT current_setting('{name}')")
                client.kinds(query("ROLLBACK"))
                self.assertEqual(client.rows(f"SHOW {name}"), [[value]])
        environment = dict(os.environ, PGPASSWORD=W.PASSWORD, PGOPTIONS="-c statement_timeout=4321")
        done = subprocess.run([BIN + "psql", "-X", "-A", "-t", "-h", "127.0.0.1", "-p", str(W.port), "-U", "app", "-d", "shop", "-c",
                               "SHOW statement_timeout"], env=environment, capture_output=True, text=True, cwd="/")
        self.assertEqual(done.stdout, "4321ms\n", done.stderr)

    def test_the_shards_own_words_for_a_login_it_refuses(self):
        shard = W.shards["s2"]
        def direct(**parameters):
            client = Client(shard.port, login=False)
            client.send(wire.startup(user="app", **dict({"database": "shop"}, **parameters)))
            client.receive()
            client.scram(W.PASSWORD)
            return client.closed()
        for parameters in ({"nonsense": "1"}, {"work_mem": "a lot"}, {"options": "-c work_mem=1"}, {"options": "--no-such"},
                           {"search_path": '"'}, {"TimeZone": "Nowhere/Land"}):
            with self.subTest(parameters=parameters):
                expected = direct(**parameters)
                self.assertTrue(expected)
                self.assertEqual(refused(**parameters), expected)
        shard.query("ALTER ROLE app CONNECTION LIMIT 0")
        try:
            self.assertEqual(refused(TimeZone="Europe/Oslo"), direct())
        finally:
            shard.query("ALTER ROLE app CONNECTION LIMIT -1")
        shard.query("ALTER DATABASE shop ALLOW_CONNECTIONS false")
        try:
            self.assertEqual(refused(TimeZone="Europe/Rome"), direct())
        finally:
            shard.query("ALTER DATABASE shop ALLOW_CONNECTIONS true")

    def test_in_the_middle_of_a_session_the_same_words_are_an_error(self):
        client, shard = logged_in(TimeZone="Europe/Paris"), W.shards["s1"]
        shard.query("ALTER ROLE app CONNECTION LIMIT 0")
        try:
            client.send(query(f"SELECT * FROM orders WHERE customer_id = {W.key_on('s1')}"))
            error = wire.fields(dict(client.until(b"Z"))[b"E"])
            self.assertEqual((error["S"], error["V"], error["C"], error["M"]), ("ERROR", "ERROR", "53300", 'too many connections for role "app"'))
        finally:
            shard.query("ALTER ROLE app CONNECTION LIMIT -1")
        self.assertEqual(client.rows("SELECT 1"), [["1"]])

    def test_a_packet_in_pieces_and_one_that_is_too_long(self):
        client = Client(W.port, one_by_one=True, application_name="x" * 3000)
        self.assertEqual(client.parameters["application_name"], "x" * 3000)
        client = Client(W.port, login=False)
        client.send(wire.startup(user="app", application_name="x" * 10_000))
        self.assertEqual(client.closed(), {})


class NewServer:
    """A server of protocol 3.2 whose cancel key has 256 bytes, as Debian 12 has none: what it saw is in `seen`, `cancelled` is set by the
    right CancelRequest and not by another."""
    KEY = bytes(range(256))

    def __init__(self, lets_in=True):
        self.lets_in = lets_in  # says so before it says that it is ready
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port, self.seen, self.cancelled = self.listening.getsockname()[1], [], threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listening.accept()
                threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        connection = Client.__new__(Client)
        connection.socket, connection.one_by_one = peer, False
        with contextlib.suppress(EOFError, OSError):
            size, code = struct.unpack("!ii", connection.read_exactly(8))
            rest = connection.read_exactly(size - 8)
            if code == 80877103:
                peer.sendall(b"N")
                size, code = struct.unpack("!ii", connection.read_exactly(8))
                rest = connection.read_exactly(size - 8)
            self.seen.append(code)
            if code == 80877102:
                if rest == struct.pack("!i", 77) + self.KEY:
                    self.cancelled.set()
                return peer.close()
            settings = {"server_version": "18.0", "server_encoding": "UTF8", "client_encoding": "UTF8", "standard_conforming_strings": "on"}
            ready = message(b"Z", b"I")
            peer.sendall((message(b"R", struct.pack("!i", 0)) if self.lets_in else b"") + b"".join(message(b"S", wire.cstr(k) + wire.cstr(v)) for k, v in settings.items())
                         + message(b"K", struct.pack("!i", 77) + self.KEY) + ready)
            while True:
                kind, body = connection.receive()
                if kind == b"Q" and b"pg_sleep" in body:
                    self.cancelled.wait(10)
                    peer.sendall(message(b"E", b"SERROR\0VERROR\0C57014\0Mcanceled\0\0") + ready)
                elif kind == b"Q":
                    if b"pg_show_all_settings" in body:
                        row = [b"s", b"server_encoding", b"UTF8", b"internal"]
                        peer.sendall(message(b"D", struct.pack("!h", len(row)) + b"".join(struct.pack("!i", len(cell)) + cell for cell in row)))
                    peer.sendall(message(b"C", b"SELECT 1\0") + ready)


class NewProtocol(unittest.TestCase):
    def test_a_server_that_lets_nobody_in_and_is_ready(self):
        server = NewServer(lets_in=False)
        assert W.end() == 0
        W.fakes = {"s2": f"host=127.0.0.1 port={server.port} dbname=shop"}
        try:
            W.start()
            error = refused()
            self.assertEqual((error["C"], error["D"]), ("08006", "The shard goes on without having let pgrotor in."))
        finally:
            W.end()
            W.fakes = {}
            W.start()

    def test_a_shard_with_a_long_cancel_key(self):
        server = NewServer()
        assert W.end() == 0
        W.fakes = {"s2": f"host=127.0.0.1 port={server.port} dbname=shop"}
        try:
            W.start()
            client = logged_in((3 << 16) + 2)
            self.assertEqual(client.kinds(query("SELECT 1")), "C:SELECT 1 ZI")
            waiting = in_background(lambda: client.kinds(query("SELECT pg_sleep(30)")))
            wait_until(lambda: any(row["state"] == "active" for row in W.command("show CLIENTS")), "the statement to run", timeout=5)
            self.assertEqual(server.seen, [(3 << 16) + 2])
            cancel(client, client.secret)
            self.assertEqual(waiting.get(), "E57014 ZI")
            self.assertTrue(server.cancelled.is_set())
        finally:
            W.end()
            W.fakes = {}
            W.start()


class Replication(unittest.TestCase):
    def tool(self, name, *arguments):
        return [DUMP_BIN + name, "-d", f"host=127.0.0.1 port={W.port} user=app dbname=shop password='{W.PASSWORD}'", *arguments]

    def run_tool(self, name, *arguments):
        done = subprocess.run(self.tool(name, *arguments), capture_output=True, text=True, cwd="/", timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_logical_replication_with_pg_recvlogical(self):
        path = os.path.join(W.scene.folder, "changes.txt")
        self.run_tool("pg_recvlogical", "--slot=proxied", "--create-slot", "--plugin=test_decoding")
        W.direct("s2", "INSERT INTO scratch VALUES (4711, 'before')")
        receiving = subprocess.Popen(self.tool("pg_recvlogical", "--slot=proxied", "--start", "-f", path, "--fsync-interval=0"), cwd="/",
                                     stderr=subprocess.PIPE)
        try:
            def received():
                if not os.path.exists(path):
                    return ""
                with open(path) as file:
                    return file.read()
            wait_until(lambda: "4711" in received(), "the row of before")
            W.direct("s2", "INSERT INTO scratch SELECT g, repeat('x', 1000) FROM generate_series(100000, 120000) g")
            wait_until(lambda: received().count("repeat") == 0 and received().count("INSERT:") == 20002, "20,000 rows")
            servers = W.counters()["servers_now"]
            self.assertEqual(W.shards["s2"].query("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'pg_recvlogical'"), [(1,)])
        finally:
            receiving.send_signal(signal.SIGINT)
            receiving.communicate(timeout=20)
        self.assertEqual(receiving.returncode, 0)
        wait_until(lambda: W.counters()["servers_now"] == servers - 1, "its server connection to be closed")
        wait_until(lambda: W.shards["s2"].query("SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'proxied'") == [(True,)],
                   "the slot to be free")
        self.run_tool("pg_recvlogical", "--slot=proxied", "--drop-slot")

    def test_physical_replication_with_pg_basebackup(self):
        target = os.path.join(W.scene.folder, "backup")
        with open(os.path.join(W.shards["s2"].data, "pg_hba.conf"), "a") as file:
            file.write("host replication app 127.0.0.1/32 scram-sha-256\n")
        W.shards["s2"].query("SELECT pg_reload_conf()")
        with unittest.mock.patch.dict(os.environ, PGCLIENTENCODING="UTF8"):  # a walsender of no database says SQL_ASCII
            self.run_tool("pg_basebackup", "-D", target, "-X", "stream", "-c", "fast")
        verify, version = DUMP_BIN + "pg_verifybackup", W.shards["s2"].version()
        other = [] if f" {version}." in subprocess.check_output([verify, "--version"], text=True) else ["--no-parse-wal"]  # of other versions it cannot
        done = subprocess.run([verify, *other, target], capture_output=True, text=True)
        self.assertIn("backup successfully verified", done.stdout, done.stderr)

    def test_commands_errors_and_cancel_on_such_a_connection(self):
        client = logged_in(replication="database")
        self.assertTrue(client.kinds(query("IDENTIFY_SYSTEM")).startswith("T D C:IDENTIFY_SYSTEM ZI"))
        self.assertEqual(client.kinds(query("START_REPLICATION SLOT nowhere LOGICAL 0/0")), "E42704 ZI")
        self.assertEqual(client.rows("SELECT count(*) > 0 FROM pg_class"), [["t"]])
        waiting = sleeping(client)
        cancel(client, client.secret)
        self.assertEqual(waiting.get().split()[-2:], ["E57014", "ZI"])
        client.send(wire.TERMINATE)
        self.assertEqual(client.closed(), {})

    def test_who_may_not_replicate_is_told_by_the_shard(self):
        client = Client(W.port, login=False)
        client.send(wire.startup(user="other", database="shop", replication="true"))
        client.receive()
        client.scram(W.PASSWORD)
        error = client.closed()
        self.assertEqual((error["C"], error["S"]), ("28000", "FATAL")) if "pg_hba" in error["M"] else self.assertEqual(error["C"], "42501")
        client = Client(W.port, login=False)
        client.send(wire.startup(user="app", database="shop", replication="maybe"))
        error = client.closed()
        self.assertEqual((error["C"], error["M"]), ("22023", 'invalid value for parameter "replication": "maybe"'))
        self.assertEqual(logged_in(replication="off").rows("SELECT 1"), [["1"]])

    def test_it_ends_with_the_shards_connection_and_with_the_drain(self):
        client = logged_in(replication="database")
        pid = client.rows("SELECT pg_backend_pid()")[0][0]
        W.shards["s2"].query("SELECT pg_terminate_backend(%s::int)", parameters=(pid,))
        self.assertEqual(client.closed()["C"], "57P01")
        client = logged_in(replication="database")
        W.end()
        self.assertEqual(client.closed(), {})
        W.start()


if __name__ == "__main__":
    unittest.main(verbosity=2)
