"""Two shards behind the harness (harness.cc): a hand-made map, keys below placement zero on s1, the others on s2, default shard s2.

    with World() as w:
        low, high = w.key_on("s1"), w.key_on("s2")
        with w.connect() as c: ...             # through the proxy
        w.command("close 7 1 500 1000")        # what a coordinator would ask of the gates
"""
import json
import os
import queue
import subprocess
import sys
import threading

import psycopg2

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from cluster import Scene, wait_until  # noqa: E402
from fleet import SEED, scram_verifier  # noqa: E402

SCHEMA = """
CREATE TABLE orders (customer_id bigint NOT NULL, id bigint NOT NULL, note text, PRIMARY KEY (customer_id, id));
CREATE TABLE words (word text PRIMARY KEY, note text);
CREATE TABLE scratch (id bigint PRIMARY KEY, note text);
GRANT ALL ON ALL TABLES IN SCHEMA public TO app, other;
"""
MAIN = -9223372036854775808


class World:
    PASSWORD = "right horse"
    fakes = {}

    def __init__(self, pool_size=4, workers=1, shards=("s1", "s2"), **cluster_settings):
        self.scene = Scene("proxy")
        try:
            verifier, self.shards = scram_verifier(self.PASSWORD), {}
            for name in shards:
                shard = self.shards[name] = self.scene.cluster(name, **cluster_settings)
                shard.psql(f"CREATE ROLE app LOGIN PASSWORD '{verifier}'; CREATE ROLE other LOGIN PASSWORD '{verifier}';"
                           "CREATE DATABASE shop;")
                shard.psql(SCHEMA, "shop")
            self.users = os.path.join(self.scene.folder, "users.txt")
            with open(self.users, "w") as file:
                file.write(f'"app" "{verifier}"\n"other" "{self.PASSWORD}"\n')
            self.start(pool_size, workers)
            self.keys = {name: self._keys(name) for name in shards[:2]}
        except BaseException:
            self.scene.__exit__(*sys.exc_info())
            raise

    def start(self, pool_size=4, workers=1, dsn=""):
        """The harness; `dsn` is added to the connection string of every shard. `fakes`: DSNs of scripted servers instead of a shard."""
        program = os.path.join(os.environ["PGROTOR_BUILD"], "tests", "integration", "proxy_harness")
        dsn = [f"{name}=" + self.fakes.get(name, f"host=127.0.0.1 port={shard.port} dbname=shop {dsn}") for name, shard in self.shards.items()]
        with open(os.path.join(self.scene.folder, "harness.log"), "ab") as log:
            self.child = subprocess.Popen([program, self.users, "s2", str(pool_size), str(workers), *dsn], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, stderr=log, text=True, cwd="/")
        self.scene.reaper.process(self.child.pid)
        self.port = json.loads(self.child.stdout.readline())["port"]
        self.lock = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.scene.__exit__(*failure)

    def _keys(self, name):
        """Keys that the shard owns, as PostgreSQL itself hashes them."""
        side = "<" if name == "s1" else ">="
        rows = self.shards[name].query(f"SELECT k FROM generate_series(1, 400) k WHERE hashint8extended(k, {SEED}) {side} 0 ORDER BY k",
                                       "shop")
        return [key for key, in rows]

    def key_on(self, name, index=0):
        return self.keys[name][index]

    def command(self, line):
        with self.lock:
            self.child.stdin.write(line + "\n")
            self.child.stdin.flush()
            answer = self.child.stdout.readline()
        if not answer:
            raise RuntimeError(f"the harness ended with {self.child.wait()}")
        return json.loads(answer)

    def counters(self):
        return self.command("counters")

    def end(self):
        """Stops the harness as SIGTERM would have main do; its exit code (sanitizers speak here)."""
        self.child.stdin.close()
        return self.child.wait(30)

    def finish(self):
        """For tearDownModule: everything ends, and the harness has to end well."""
        code = self.end()
        self.__exit__(None, None, None)
        assert code == 0, f"the harness ended with {code}"

    def connect(self, autocommit=True, **options):
        made = psycopg2.connect(**dict({"host": "127.0.0.1", "port": self.port, "user": "app", "password": self.PASSWORD, "dbname": "shop",
                                        "connect_timeout": 10}, **options))
        made.autocommit = autocommit
        return made

    def direct(self, shard, sql, parameters=None):
        return self.shards[shard].query(sql, "shop", parameters)

    def count(self, shard, table="orders"):
        return self.direct(shard, f"SELECT count(*) FROM {table}")[0][0]


def in_background(work):
    """Runs work() in a thread; the result's get(timeout) gives its value or raises its exception."""
    results = queue.Queue()

    def run():
        try:
            results.put((work(), None))
        except BaseException as failure:  # handed to whoever asks
            results.put((None, failure))

    class Later:
        def done(self):
            return not results.empty()

        def get(self, timeout=20):
            value, failure = results.get(timeout=timeout)
            if failure:
                raise failure
            return value

    threading.Thread(target=run, daemon=True).start()
    return Later()


__all__ = ["World", "in_background", "wait_until", "psycopg2", "MAIN"]
