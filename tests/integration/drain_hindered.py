"""Moves that something is in the way of, on one fleet: partitions written to, large rows under max_rate, tables on which a transaction is
always open, a reader idle in its transaction, sessions that hold the fence's locks without a right to them.

    drain_hindered.py [name ...]         all but `load` when none is named
    drain_hindered.py --load [clients]   PREPARE and the whole move under clients with transactions of 0.3 s, printed
"""
import os
import sys
import threading
import time
from contextlib import closing

import psycopg2

from cluster import Scene, wait_until
from fleet import DATABASE, FINAL, Fleet
from leftovers import inventory, leftovers

TABLES = """
CREATE TABLE meas (tenant bigint NOT NULL, at date NOT NULL, v integer NOT NULL, note text, PRIMARY KEY (tenant, at))
  PARTITION BY RANGE (at);
CREATE TABLE meas_old PARTITION OF meas FOR VALUES FROM ('2000-01-01') TO ('2026-01-01');
CREATE TABLE meas_new PARTITION OF meas FOR VALUES FROM ('2026-01-01') TO ('2030-01-01') PARTITION BY RANGE (at);
CREATE TABLE meas_near (note text, v integer NOT NULL, at date NOT NULL, tenant bigint NOT NULL);
ALTER TABLE meas_new ATTACH PARTITION meas_near FOR VALUES FROM ('2026-01-01') TO ('2028-01-01');
CREATE TABLE meas_far PARTITION OF meas_new FOR VALUES FROM ('2028-01-01') TO ('2030-01-01');
CREATE TABLE files (tenant bigint, id integer, content bytea, PRIMARY KEY (tenant, id));
GRANT SELECT, INSERT, UPDATE, DELETE ON meas, files TO app;
"""


class Hindered:
    """One fleet for all checks; each moves everything of its table there and back as it needs."""

    def __init__(self, scene):
        self.fleet = fleet = Fleet(scene, names=("s1", "s2"))
        fleet.everywhere(TABLES)
        for table in ("meas", "files"):
            fleet.console(f"DISTRIBUTE TABLE {table} BY tenant IN DISTRIBUTION {table}")
        self.before = inventory(fleet)

    def range_of(self, distribution):
        """The first range of the distribution, its owner, and a tenant inside."""
        lower, upper, owner = next((low, up, shard) for name, low, up, shard in self.fleet.ranges() if name == distribution)
        tenant = next(key for key in range(10_000) if self.fleet.owner(key, distribution) == owner)
        return f"[{lower}, {'' if upper is None else upper})", owner, tenant

    def move(self, distribution, options=""):
        """Begins to move that range to the other shard: migration, source, tenant."""
        text, source, tenant = self.range_of(distribution)
        target = next(name for name in self.fleet.names if name != source)
        rows = self.fleet.console(f"MOVE RANGE {text} OF {distribution} TO {target}{options}")
        return int(rows[0]["migration"]), source, target, tenant

    def waiting_for(self, number):
        return self.fleet.row(number)["blockers"] or ""

    def past_proxy(self, shard, autocommit=True):
        made = psycopg2.connect(host="127.0.0.1", port=self.fleet.shards[shard].port, user="app", password=self.fleet.app_password,
                                dbname=DATABASE)
        made.autocommit = autocommit
        return made


class Load:
    """Clients through the proxy that repeat one transaction; `longest` is what one of its statements took at most, `total` in all."""

    def __init__(self, fleet, count, transaction):
        self.fleet, self.transaction = fleet, transaction
        self.stop, self.errors, self.took = threading.Event(), [], [[] for _ in range(count)]
        self.threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(count)]

    def _run(self, number):
        with closing(self.fleet.app(autocommit=False)) as connection, connection.cursor() as cursor:
            def run(sql, *values):
                began = time.monotonic()
                cursor.execute(sql, values)
                self.took[number].append(time.monotonic() - began)
            while not self.stop.is_set():
                try:
                    self.transaction(number, run)
                    connection.commit()
                except psycopg2.Error as error:
                    self.errors.append(str(error))
                    connection.rollback()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_until(lambda: all(self.took), "every client to have begun")
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)

    longest = property(lambda self: max(max(each) for each in self.took))


def upsert(tenant, dates, value=1):
    return ("INSERT INTO meas VALUES " + ", ".join(f"({tenant}, '{date}', {value})" for date in dates)
            + " ON CONFLICT (tenant, at) DO UPDATE SET v = meas.v + excluded.v")


def partitions(world):
    """Written to while it moves, nested partitions of another column order too; the sum says that nothing came twice or was lost."""
    fleet = world.fleet
    _, source, tenant = world.range_of("meas")
    dates = ("2020-05-01", "2027-05-01", "2029-05-01")
    written = [0]

    def write(_, run):
        run(upsert(tenant, dates))
        run("DELETE FROM meas WHERE tenant = %s AND at = '2027-06-01'", tenant)
        run(f"INSERT INTO meas VALUES ({tenant}, '2027-06-01', 0)")
        run("UPDATE meas SET at = '2028-06-01' WHERE tenant = %s AND at = '2027-06-01'", tenant)  # from one partition to another
        run("DELETE FROM meas WHERE tenant = %s AND at = '2028-06-01'", tenant)
        written[0] += 1
    with Load(fleet, 1, write) as load:
        number, _, target, _ = world.move("meas", " WITH (auto_cutover = off)")
        fleet.wait_state(number, "READY")
        seen = written[0]
        wait_until(lambda: written[0] > seen + 5, "more writes")
        fleet.console(f"CUTOVER MIGRATION {number}")
        row = fleet.wait_state(number, "DONE")
    assert not load.errors, load.errors[:3]
    sums = fleet.query(target, "SELECT count(*), min(v), max(v) FROM meas WHERE tenant = %s", (tenant,))[0]
    assert sums == (3, written[0], written[0]), (sums, written[0])
    assert row["rows_differing"] == "0" and not fleet.query(source, "SELECT 1 FROM meas WHERE tenant = %s", (tenant,)), row
    print(f"partitions: {written[0]} transactions on three partitions, {row['rows_compared']} rows compared, 0 differ")


def truncated_partition(world):
    """pgoutput says nothing of a partition's own TRUNCATE: the guard does."""
    fleet = world.fleet
    number, source, _, tenant = world.move("meas", " WITH (auto_cutover = off)")
    fleet.wait_state(number, "READY")
    fleet.shards[source].psql("SET ROLE shop_owner; TRUNCATE meas_far", DATABASE)
    row = wait_until(lambda: (r := fleet.row(number))["state"] == "FAILED" and r, "the move to fail")
    assert "public.meas_far was truncated on the source" in row["error"], row["error"]
    print(f"truncated partition: {row['error'][:90]}")


def identity_of_partitions(world):
    """The root's replica identity is what the stream announces: it must not promise more than the partitions give."""
    fleet = world.fleet
    fleet.everywhere("ALTER TABLE meas REPLICA IDENTITY FULL")
    try:
        world.move("meas")
        raise AssertionError("the move was not refused")
    except psycopg2.errors.ObjectNotInPrerequisiteState as refused:
        assert "Run: ALTER TABLE public.meas_near REPLICA IDENTITY FULL;" in str(refused), refused
    finally:
        fleet.everywhere("ALTER TABLE meas REPLICA IDENTITY DEFAULT")


def rate(world):
    """max_rate holds inside a chunk too, whatever the size of a row."""
    fleet = world.fleet
    _, _, tenant = world.range_of("files")
    with closing(fleet.app()) as connection, connection.cursor() as cursor:
        for size, count in ((200_000, 20), (1_000, 4_000)):
            cursor.execute("DELETE FROM files WHERE tenant = %s", (tenant,))
            for first in range(0, count, 100):
                rows = [(tenant, first + i, os.urandom(size)) for i in range(min(100, count - first))]
                cursor.execute("INSERT INTO files VALUES " + ", ".join(["(%s, %s, %s)"] * len(rows)), [v for row in rows for v in row])
            number, *_ = world.move("files", " WITH (max_rate = '1MB', auto_cutover = off)")
            fleet.wait_state(number, "COPYING", "CATCHING_UP", "VERIFYING", "READY")
            began = time.monotonic()
            longest, age = 0.0, ("SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity"
                                 " WHERE application_name ~ '^pgrotor copy'")
            while fleet.row(number)["state"] == "COPYING":
                longest = max([longest, *(fleet.query(shard, age)[0][0] for shard in fleet.names)])
                time.sleep(0.05)
            took = time.monotonic() - began
            fleet.console(f"CANCEL MIGRATION {number}")
            fleet.wait_state(number, "CANCELLED")
            print(f"rate: {count} rows of {size} bytes in {took:.1f} s at 1 MB/s, a snapshot for {longest:.1f} s at most")
            assert 2.8 < took < 8, took
            assert longest < 2, longest


def always_open(world, clients=3, each=0.15):
    """A transaction of some client is always open on the table: the guard gets its lock all the same, and soon."""
    fleet = world.fleet
    _, _, tenant = world.range_of("meas")

    def write(number, run):
        run(upsert(tenant + 1000 * number, ("2020-01-01",)))  # its owner is whoever it is
        time.sleep(each)
    with Load(fleet, clients, write) as load:
        began = time.monotonic()
        number, *_ = world.move("meas")
        row = fleet.wait_state(number, "COPYING", "CATCHING_UP", "VERIFYING", "READY", "CUTTING_OVER", "SWITCHED", "CLEANING", "DONE")
        prepared = time.monotonic() - began
        fleet.wait_state(number, "DONE")
        done = time.monotonic() - began
    assert not load.errors, load.errors[:3]
    print(f"always open: {clients} clients, transactions of {each} s: COPYING after {prepared:.1f} s, DONE after {done:.1f} s, "
          f"longest statement {load.longest * 1000:.0f} ms")
    return prepared, load.longest


def writer_in_the_way(world):
    """An old transaction in the way of the guard's lock is named, and others are not held for its sake; CANCEL ends the wait."""
    fleet = world.fleet
    text, source, tenant = world.range_of("meas")
    with closing(world.past_proxy(source, autocommit=False)) as stranger, stranger.cursor() as cursor:
        cursor.execute("SET application_name = 'nightly'")
        cursor.execute(upsert(tenant, ("2020-01-01",)))
        pid = stranger.info.backend_pid
        with Load(fleet, 1, lambda _, run: run(upsert(tenant, ("2021-01-01",)))) as load:
            old = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND xact_start < clock_timestamp() - interval '1 s'"
            wait_until(lambda: fleet.query(source, old, (pid,)), "the transaction to be old")
            number, *_ = world.move("meas")
            named = wait_until(lambda: f"pid {pid} (nightly" in (w := world.waiting_for(number)) and w, "who is in the way to be named")
            seen = len(load.took[0])
            wait_until(lambda: len(load.took[0]) > seen + 100, "writes to go on")
            fleet.console(f"CANCEL MIGRATION {number}")
            began = time.monotonic()
            stranger.rollback()
            fleet.wait_state(number, "CANCELLED")
        assert load.longest < 0.5, load.longest
    print(f"writer in the way: {named}; longest statement beside it {load.longest * 1000:.0f} ms")


def idle_reader(world):
    """A client that has read and then idles in its transaction: no attempt while it does, so that nobody is held for it."""
    fleet = world.fleet
    number, source, target, tenant = world.move("meas", " WITH (auto_cutover = off)")
    fleet.wait_state(number, "READY")
    with closing(fleet.app(autocommit=False, application_name="report")) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT v FROM meas WHERE tenant = %s", (tenant,))
        with Load(fleet, 2, lambda number, run: run(upsert(tenant, (f"2020-01-0{number + 1}",)))) as load:
            fleet.console(f"CUTOVER MIGRATION {number}")
            named = wait_until(lambda: "application report" in (w := world.waiting_for(number)) and w, "the reader to be named", timeout=20)
            began = time.monotonic()
            wait_until(lambda: time.monotonic() - began > 6, "time to pass", timeout=10)
            held = sum(took for each in load.took for took in each if took > 0.03)
            attempts = int(fleet.row(number)["attempt"])
            reader.rollback()
            fleet.wait_state(number, "DONE")
    assert not load.errors, load.errors[:3]
    assert attempts <= 1, attempts
    assert held < 1, f"{held:.2f} s held in all"
    print(f"idle reader: {named}; {attempts} attempts, others waited {held * 1000:.0f} ms in all, longest {load.longest * 1000:.0f} ms")


def strangers(world):
    """Holders of the fence's locks who have no business with them are named and ended, whatever they hold; writers are not."""
    fleet = world.fleet
    number, source, target, tenant = world.move("meas", " WITH (auto_cutover = off)")
    fleet.wait_state(number, "READY")
    with closing(world.past_proxy(source, autocommit=False)) as writer, writer.cursor() as cursor:
        cursor.execute(upsert(tenant, ("2020-01-01",)))  # holds the guard's lock by right
        key = fleet.query(source, "SELECT pgrotor.lock_key(%s)", (number,))[0][0]
        assert fleet.query(source, "SELECT count(*) FROM pgrotor.advisory_locks() WHERE key = %s", (key,))[0][0] == 1
        for shard, sql in ((source, "SELECT pg_advisory_lock_shared(%s)"), (source, "SELECT pg_advisory_lock(%s + 1)"),
                           (target, "SELECT pg_advisory_lock(%s)")):
            key = fleet.query(shard, "SELECT pgrotor.lock_key(%s)", (number,))[0][0]
            with closing(world.past_proxy(shard)) as stranger, stranger.cursor() as other:
                other.execute(sql, (key,))
                pid = stranger.info.backend_pid
                wait_until(lambda: not fleet.query(shard, "SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)), "the stranger to be ended")
                named = world.waiting_for(number)
                assert f"pid {pid} (user app" in named and named.endswith("; ended"), named
        cursor.execute(upsert(tenant, ("2020-01-02",)))
        writer.commit()
    fleet.console(f"CUTOVER MIGRATION {number}")
    fleet.wait_state(number, "DONE")
    print(f"strangers: {named}")


def busy_writers(world):
    """Past the proxy, one short transaction behind the other: whatever a look meets of them, none is a stranger."""
    fleet = world.fleet
    number, source, _, tenant = world.move("meas", " WITH (auto_cutover = off)")
    fleet.wait_state(number, "READY")
    over = threading.Event()

    def write(day):
        with closing(world.past_proxy(source)) as writer, writer.cursor() as cursor:
            cursor.execute("SET synchronous_commit = off")
            while not over.is_set():
                cursor.execute(upsert(tenant, (day,)))
    writers = [threading.Thread(target=write, args=(f"2020-03-0{day}",), daemon=True) for day in (1, 2, 3)]
    for writer in writers:
        writer.start()
    shard = fleet.shards[source]
    with closing(shard.connect(DATABASE, user="pgrotor", password=fleet.pgrotor_password)) as connection, connection.cursor() as cursor:
        for _ in range(3000):
            cursor.execute("SELECT who FROM pgrotor.strangers(%s, ARRAY['meas'::regclass])", (number,))
            found = cursor.fetchall()
            assert not found, found
    over.set()
    for writer in writers:
        writer.join()
    fleet.console(f"CUTOVER MIGRATION {number}")
    fleet.wait_state(number, "DONE")


CHECKS = [partitions, truncated_partition, identity_of_partitions, rate, always_open, writer_in_the_way, idle_reader, strangers, busy_writers]


def main():
    names = sys.argv[1:]
    with Scene("drain_hindered") as scene:
        world = Hindered(scene)
        if names[:1] == ["--load"]:
            return always_open(world, int((names + ["24"])[1]), 0.3)
        for check in CHECKS:
            if not names or check.__name__ in names:
                check(world)
        open_ones = [row["migration"] for row in world.fleet.console("SHOW MIGRATIONS") if row["state"] not in FINAL]
        assert not open_ones, open_ones
        left = leftovers(world.fleet, world.before)
        assert not left, left


main()
