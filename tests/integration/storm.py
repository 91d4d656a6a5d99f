"""Everything that can end ends, at random, under load: clients (closed and reset, in the middle of anything), statements (cancels,
time-outs), backends (pg_terminate_backend, kill -9, which restarts their cluster) and whole shards (immediate restarts).

    storm.py --events 1000 --clients 32 --seed 7       the long one; ctest runs a short sample

Looked for: pgrotor lives on as the same process; no answer reaches the wrong client; nobody waits once its shard is back; at the end SHOW
CLIENTS and SHOW POOLS are as before, each pool gives out its full size again, the sweep has found nothing, and no session has failed.
"""
import argparse
import collections
import contextlib
import os
import random
import signal
import sys
import threading
import time

import psycopg2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Scene, wait_until  # noqa: E402
from fleet import DATABASE, Fleet  # noqa: E402
from storm_clients import KEYS, Book, Client, StormClient, query  # noqa: E402

POOL, PATIENCE = 8, 20
TABLES = """
CREATE TABLE seats (key bigint PRIMARY KEY, note text); CREATE TABLE bulk (n bigint);
GRANT ALL ON seats, bulk TO app;
"""
# How often of 100, and of which a short run must have one.
EVENTS = {"reset": 28, "leave": 15, "cancel": 20, "overdue": 5, "terminate": 20, "kill": 8, "restart": 4}


def build(scene):
    """Shards s1 (default) and s2; the catalog has a cluster of its own, which the storm leaves alone."""
    fleet = Fleet(scene, catalog="s3", serve=False, settings={"pool.size": POOL, "pool.wait_ms": 5000, "pool.connect_timeout_ms": 3000,
                                                              "timeouts.query_ms": 8000, "proxy.workers": 2})
    fleet.pgrotor.default_shard = "s1"
    del fleet.pgrotor.shards["s3"]
    fleet.pgrotor.set()
    fleet.pgrotor.command("init")
    fleet.pgrotor.serve()
    fleet.everywhere(TABLES)
    fleet.console("DISTRIBUTE TABLE seats BY key IN DISTRIBUTION storm")
    return fleet


class Storm:
    def __init__(self, fleet, clients, seed):
        self.fleet, self.random, self.book = fleet, random.Random(seed), Book()
        self.done = collections.Counter()
        self.clients = [StormClient(number, fleet.pgrotor.port, fleet.app_password, self.book, seed, PATIENCE) for number in range(1, clients + 1)]

    def draw(self, count):
        """So many events, each kind as often as its weight says and once at least, in random order."""
        drawn = list(EVENTS) + self.random.choices(list(EVENTS), list(EVENTS.values()), k=max(0, count - len(EVENTS)))
        self.random.shuffle(drawn)
        return drawn

    def run(self, events):
        for client in self.clients:
            client.start()
        for event in self.draw(events):
            getattr(self, event)()
            self.done[event] += 1
            threading.Event().wait(self.random.uniform(0.02, 0.15))
            assert self.fleet.pgrotor.child.poll() is None, f"pgrotor ended with {self.fleet.pgrotor.child.returncode}"
        for client in self.clients:
            client.ending.set()
        for client in self.clients:
            client.join(PATIENCE + 5)
            assert not client.is_alive(), f"client {client.number} does not come back from {client.what}"

    def reset(self):
        self.random.choice(self.clients).orders.put("reset")

    def leave(self):
        self.random.choice(self.clients).orders.put("leave")

    def cancel(self):
        try:
            self.random.choice(self.clients).cancel()
        except OSError:
            pass  # it has just left

    def overdue(self):
        """A statement that runs into timeouts.query_ms."""
        def ask():
            try:
                with contextlib.closing(Client(self.fleet.pgrotor.port, password=self.fleet.app_password, timeout=PATIENCE)) as client:
                    client.send(query("SELECT pg_sleep(60)"))
                    client.until(b"Z")
            except TimeoutError:
                self.book.complain("a statement has outlived timeouts.query_ms")
            except (AssertionError, EOFError, OSError):
                pass  # its shard is down
        threading.Thread(target=ask, daemon=True).start()

    def shard(self):
        return self.fleet.shards[self.random.choice(("s1", "s2"))]

    @staticmethod
    def ask(shard, sql, parameters=None):
        """Nothing while it is down."""
        try:
            return shard.query(sql, parameters=parameters)
        except psycopg2.OperationalError:
            return []

    def backends(self, shard):
        return [pid for pid, in self.ask(shard, "SELECT pid FROM pg_stat_activity WHERE usename = 'app' ORDER BY pid")]

    def terminate(self):
        shard = self.shard()
        pids = self.backends(shard)
        if pids:
            self.ask(shard, "SELECT pg_terminate_backend(%s)", (self.random.choice(pids),))

    def kill(self):
        shard = self.shard()
        pids = wait_until(lambda: self.backends(shard), "a backend to kill")
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.random.choice(pids), signal.SIGKILL)
        self.back(shard)

    def restart(self):
        shard = self.shard()
        shard.restart("immediate")
        self.back(shard)

    def back(self, shard):
        wait_until(lambda: self.ask(shard, "SELECT 1"), f"{shard.name} to be back")

    # What is left.
    def check_end(self, pid):
        fleet, book = self.fleet, self.book
        assert fleet.pgrotor.child.pid == pid and fleet.pgrotor.child.poll() is None
        assert not book.complaints, "\n".join(book.complaints[:20])
        wait_until(lambda: len(fleet.console("SHOW CLIENTS")) == 1, "only the console to be in SHOW CLIENTS", timeout=12)
        wait_until(lambda: all(int(row["sv_active"]) == int(row["cl_waiting"]) == 0 for row in fleet.console("SHOW POOLS")),
                   "all servers to be back in their pools", timeout=12)
        self.check_permits()
        for name in ("pgrotor_sockets_overlooked_total", "pgrotor_sessions_failed_total"):
            value = next(line.split()[1] for line in fleet.pgrotor.http("/metrics").splitlines() if line.startswith(name + " "))
            assert float(value) == 0, f"{name} is {value}"

    def check_permits(self):
        """As many transactions as the pool is large, at a time, on each shard."""
        for shard in ("s1", "s2"):
            key = self.fleet.query(shard, "SELECT min(key) FROM seats")[0][0]
            holders = [self.fleet.app(autocommit=False) for _ in range(POOL)]
            for holder in holders:
                with holder.cursor() as cursor:
                    cursor.execute("SELECT pg_backend_pid() FROM seats WHERE key = %s", (key,))
                    assert cursor.fetchone()
            for holder in holders:
                holder.close()

    def report(self, took):
        book = self.book
        print(f"{sum(self.done.values())} events in {took:.0f} s: " + ", ".join(f"{count} {event}" for event, count in sorted(self.done.items())))
        print(f"{len(self.clients)} clients, {book.connections} connections, {sum(book.answered.values())} exchanges answered: "
              + ", ".join(f"{count} {kind}" for kind, count in sorted(book.answered.items())))
        print("errors: " + (", ".join(f"{count} {code}" for code, count in sorted(book.failures.items())) or "none")
              + f"; longest exchange {book.longest:.2f} s; complaints: {len(book.complaints)}")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--events", type=int, default=60)
    options.add_argument("--clients", type=int, default=32)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    with Scene("storm") as scene:
        fleet = build(scene)
        with contextlib.closing(fleet.app()) as connection, connection.cursor() as cursor:
            for key in range(1, KEYS + 1):
                cursor.execute("INSERT INTO seats VALUES (%s, '')", (key,))
        storm, pid, began = Storm(fleet, chosen.clients, chosen.seed), fleet.pgrotor.child.pid, time.monotonic()
        try:
            storm.run(chosen.events)
        finally:
            storm.report(time.monotonic() - began)
        storm.check_end(pid)
        print(f"seed {chosen.seed}: passed")


if __name__ == "__main__":
    main()
