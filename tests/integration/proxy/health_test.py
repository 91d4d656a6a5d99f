"""Shards that cannot be reached: nobody waits for a second time-out, one attempt at a time finds out when they are back; and DSNs of
several hosts, whose primary moves."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import unittest

from wire import Client, fields, query
from world import World, in_background, wait_until

from cluster import AS_POSTGRES, DUMP_BIN, Cluster, free_port  # on the path that world sets

W = None
CONNECT_TIMEOUT = 2.0  # of the harness


class Standby(Cluster):
    """A streaming standby of another cluster."""

    def __init__(self, scene, name, primary):
        self.scene, self.name, self.bin = scene, name, primary.bin
        self.folder = os.path.join(scene.folder, name)
        self.data, self.log = os.path.join(self.folder, "data"), os.path.join(self.folder, "postgresql.log")
        self.port = free_port()
        os.mkdir(self.folder, 0o700)
        if AS_POSTGRES:
            shutil.chown(self.folder, "postgres", "postgres")
        subprocess.run([*AS_POSTGRES, DUMP_BIN + "pg_basebackup", "-h", primary.folder, "-p", str(primary.port), "-U", "postgres", "-D", self.data,
                        "-R", "-X", "stream", "-c", "fast"], cwd="/", check=True, stdin=subprocess.DEVNULL)
        self.settings = dict(primary.settings, primary_conninfo=f"host={primary.folder} port={primary.port} user=postgres")
        self.start()

    def promote(self):
        self._as_postgres("pg_ctl", "-D", self.data, "-w", "promote")


def setUpModule():
    global W
    W = World(pool_size=2, workers=2)


def tearDownModule():
    W.finish()


def restart(**dsn):
    """The harness again, with other DSNs for some shards."""
    assert W.end() == 0
    W.fakes = dsn
    W.start(2, 2)


def timed(client, sql):
    began = time.monotonic()
    client.send(query(sql))
    code = None
    with contextlib.suppress(EOFError):
        kind = None
        while kind != b"Z":
            kind, body = client.receive()
            if kind == b"E":
                code = fields(body)["C"]
    return code, time.monotonic() - began


class Health(unittest.TestCase):
    def on_s1(self, key=None):
        return f"SELECT 1 FROM orders WHERE customer_id = {key or W.key_on('s1')}"

    def nobody_waits_twice(self, clients):
        """The first ones have one time-out together; after it every client of every worker is answered at once."""
        running = [in_background(lambda c=c: timed(c, self.on_s1())) for c in clients]
        for one in running:
            code, took = one.get()
            self.assertEqual(code, "08006")
            self.assertLess(took, CONNECT_TIMEOUT + 1)
        for client in clients:
            code, took = timed(client, self.on_s1())
            self.assertEqual(code, "08006")
            self.assertLess(took, 0.5)

    def test_a_listener_that_never_accepts(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(64)
            restart(s1=f"host=127.0.0.1 port={silent.getsockname()[1]} dbname=shop")
            self.addCleanup(restart)
            clients = [Client(W.port) for _ in range(6)]
            self.nobody_waits_twice(clients)
            counted = W.counters()
            self.assertEqual(counted["shard_outages"], 1)
            self.assertEqual(counted["shards_down_now"], 1)
            self.assertEqual(clients[0].rows("SELECT 1"), [["1"]])  # the other shard's clients notice nothing
            wait_until(lambda: W.counters()["shard_probes"] > counted["shard_probes"], "another attempt", timeout=10)
            shown = {pool["shard"]: pool["shard_down"] for pool in W.command("show POOLS")}
            self.assertRegex(shown["s1"], "in time")
            self.assertIsNone(shown["s2"])

    def test_a_postmaster_that_stands_still_and_comes_back(self):
        clients = [Client(W.port) for _ in range(4)]
        postmaster = W.shards["s1"].postmaster()
        os.kill(postmaster, signal.SIGSTOP)
        try:
            self.nobody_waits_twice(clients)
        finally:
            os.kill(postmaster, signal.SIGCONT)
        for client in clients:
            wait_until(lambda c=client: timed(c, self.on_s1())[0] is None, "the shard to be found again", timeout=10)
        self.assertEqual(W.counters()["shards_down_now"], 0)

    def test_kill_9_and_a_new_start(self):
        client, other = Client(W.port), Client(W.port)
        self.assertIsNone(timed(client, self.on_s1())[0])
        os.kill(W.shards["s1"].postmaster(), signal.SIGKILL)

        def is_noticed():  # a statement that reaches a server in its last moments ends its client with that one's words
            with contextlib.closing(Client(W.port)) as one:
                return timed(one, self.on_s1())[0] == "08006"
        wait_until(is_noticed, "the shard to be noticed as gone", timeout=20)
        for one in (client, other):
            code, took = timed(one, self.on_s1())
            self.assertEqual(code, "08006")
            self.assertLess(took, 0.5)
        os.unlink(os.path.join(W.shards["s1"].data, "postmaster.pid"))
        wait_until(lambda: self.start_again("s1"), "the shard to start", timeout=30)
        for one in (client, other):
            wait_until(lambda c=one: timed(c, self.on_s1())[0] is None, "the shard to be found again", timeout=10)

    def start_again(self, name):
        """The killed server's children may still hold its memory for a moment."""
        try:
            W.shards[name].start()
        except RuntimeError:
            return False
        return True

    def test_z_the_primary_of_several_hosts(self):
        primary = W.shards["s2"]
        standby = Standby(W.scene, "s2b", primary)
        hosts = f"host=127.0.0.1,127.0.0.1 port={standby.port},{primary.port} dbname=shop"
        port_of = "SELECT current_setting('port')"
        for attrs, expected in (("any", standby.port), ("standby", standby.port), ("prefer-standby", standby.port), ("read-only", standby.port),
                                ("primary", primary.port), ("read-write", primary.port)):
            restart(s2=f"{hosts} target_session_attrs={attrs}")
            self.assertEqual(Client(W.port).rows(port_of), [[str(expected)]], attrs)
        client = Client(W.port)
        write = "INSERT INTO scratch VALUES ({}, 'x')"
        self.assertEqual(client.kinds(query(write.format(1))), "C:INSERT 0 1 ZI")

        # A primary that was made read only is not used again, and found when it writes again.
        primary.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        primary.execute("SELECT pg_reload_conf()")
        wait_until(lambda: client.kinds(query(write.format(2))) != "C:INSERT 0 1 ZI", "the primary to be read only", timeout=10)
        wait_until(lambda: client.kinds(query("SELECT 1")) == "E08006 ZI", "no host to fit", timeout=10)
        primary.execute("ALTER SYSTEM RESET default_transaction_read_only")
        primary.execute("SELECT pg_reload_conf()")
        wait_until(lambda: client.kinds(query(write.format(3))) == "C:INSERT 0 1 ZI", "the primary to be found again", timeout=10)

        # Failover: the standby is promoted, and the same DSN leads to it.
        wait_until(lambda: standby.value("SELECT count(*) FROM scratch WHERE id = 3", "shop"), "the standby to follow", timeout=20)
        primary.stop("immediate")
        self.assertEqual(client.kinds(query(write.format(4))), "E08006 ZI")
        standby.promote()
        wait_until(lambda: client.kinds(query(write.format(5))) == "C:INSERT 0 1 ZI", "the new primary to be found", timeout=10)
        self.assertEqual(client.rows(port_of), [[str(standby.port)]])


if __name__ == "__main__":
    unittest.main(verbosity=2)
