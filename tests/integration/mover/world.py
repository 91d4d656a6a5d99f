"""Two shards, one migration prepared by hand, writers on the source, and movers as processes: what the mover's tests share.

The mover runs as role pgrotor with the rights of deploy/shard_rights.sql and nothing more. There is no coordinator: slot, publication
and origin are made here as PREPARE makes them, the marker is emitted here as the fence emits it.
"""
import json
import os
import random
import secrets
import select
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import psycopg2  # noqa: E402

from cluster import SOURCE, Scene, wait_until  # noqa: E402,F401

DATABASE = "shop"
SEED = 8816678312871386365
MIGRATION = 7
HALF = 0  # placements from here up move, those below stay

SCHEMA = """
CREATE TABLE items (          -- sliced by both columns
  tenant integer NOT NULL, id bigint NOT NULL, counter bigint NOT NULL DEFAULT 0, note text, big text, price numeric(12,2),
  tags text[], made timestamptz NOT NULL DEFAULT clock_timestamp(), doubled bigint GENERATED ALWAYS AS (counter * 2) STORED,
  serial bigint GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (tenant, id));
ALTER TABLE items ALTER big SET STORAGE EXTERNAL;
CREATE INDEX ON items (counter);
CREATE TABLE lines (          -- another unique index, whose values wander between rows
  tenant integer NOT NULL, id uuid NOT NULL, slot integer NOT NULL, amount integer, PRIMARY KEY (tenant, id), UNIQUE (tenant, slot));
CREATE TABLE names (          -- no column of the key can be ordered here: one chunk
  name text COLLATE "de-x-icu" NOT NULL, tenant integer NOT NULL, hits integer NOT NULL DEFAULT 0, PRIMARY KEY (name, tenant));
ALTER TABLE names REPLICA IDENTITY FULL;
CREATE TABLE codes (code varchar(20) COLLATE "C" NOT NULL, tenant integer NOT NULL, hits integer NOT NULL DEFAULT 0,
  PRIMARY KEY (code, tenant));
"""
TABLES = ("items", "lines", "names", "codes")


def sql_file(*path):
    with open(os.path.join(SOURCE, *path)) as file:
        return file.read()


def worker_binary():
    return os.path.join(os.environ.get("PGROTOR_BUILD") or os.path.join(SOURCE, "build", "test"), "tests", "integration", "mover_worker")


class World:
    def __init__(self, scene, schema=SCHEMA, tables=TABLES, **settings):
        self.scene, self.tables, self.password = scene, tables, secrets.token_hex(12)
        self.source, self.target = scene.cluster("source", **settings), scene.cluster("target", **settings)
        for shard in (self.source, self.target):
            shard.psql(f"CREATE ROLE app LOGIN; CREATE ROLE shop_owner NOLOGIN; CREATE DATABASE {DATABASE} OWNER shop_owner")
            shard.psql(sql_file("deploy", "shard_rights.sql"), DATABASE, password=self.password, owner="shop_owner")
            shard.psql("CREATE SCHEMA pgrotor AUTHORIZATION pgrotor; SET ROLE pgrotor;\n"
                       + sql_file("migration", "sql", "shard_1.sql"), DATABASE)
            shard.psql("SET ROLE shop_owner;\n" + schema, DATABASE)

    def prepare(self):
        names = ", ".join(self.tables) + (" WITH (publish_generated_columns = stored)" if self.source.version() >= 18 else "")
        self.source.psql(f"SET ROLE pgrotor; CREATE PUBLICATION pgrotor_{MIGRATION} FOR TABLE {names};"
                         f"SELECT pg_create_logical_replication_slot('pgrotor_{MIGRATION}', 'pgoutput')", DATABASE)
        self.target.psql(f"SET ROLE pgrotor; SELECT pg_replication_origin_create('pgrotor_{MIGRATION}')", DATABASE)

    def reset(self):
        """As new: no migration, no rows. Sessions of movers that were killed may still hold slot and origin for a moment."""
        def dropped(shard, sql):
            try:
                shard.query(sql, DATABASE)
                return True
            except psycopg2.errors.ObjectInUse:
                return False
        slot = f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'pgrotor_{MIGRATION}'"
        origin = f"SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname = 'pgrotor_{MIGRATION}'"
        wait_until(lambda: dropped(self.source, slot), "the slot to be free")
        wait_until(lambda: dropped(self.target, origin), "the origin to be free")
        self.source.psql(f"DROP PUBLICATION IF EXISTS pgrotor_{MIGRATION}; TRUNCATE {', '.join(self.tables)}", DATABASE)
        self.target.psql(f"TRUNCATE pgrotor.chunks, pgrotor.progress, {', '.join(self.tables)}", DATABASE)

    def fill(self, rows=200):
        self.source.psql("SET ROLE shop_owner;" + FILL.format(rows=rows), DATABASE)
        self.prepare()

    def tenants(self, moving=True):
        return [row[0] for row in self.query(f"SELECT DISTINCT tenant FROM items WHERE ({self.key_filter()}) = {moving} ORDER BY 1")]

    def dsn(self, shard):
        return f"host=127.0.0.1 port={shard.port} dbname={DATABASE} user=pgrotor password={self.password}"

    def connect(self, shard=None, **options):
        return (shard or self.source).connect(DATABASE, **options)

    def query(self, sql, shard=None, parameters=None):
        return (shard or self.source).query(sql, DATABASE, parameters)

    def fence(self, attempt, epoch=1, sets=MIGRATION):
        """The marker as the fence emits it; its commit is the end of the history."""
        self.query(f"SELECT pg_logical_emit_message(true, 'pgrotor', '{MIGRATION}:{sets}:{epoch}:{attempt}')")

    def key_filter(self):
        return f"hashint8extended(tenant, {SEED}) >= {HALF}"

    def digest(self, shard, table, where="true"):
        """Rows and md5 over every column of every row, in an order that both shards share."""
        order = {"items": "tenant, id", "lines": "tenant, id", "names": 'name COLLATE "C", tenant', "codes": "code, tenant"}.get(table, "1")
        return self.query(f"SELECT count(*), md5(coalesce(string_agg(md5(t::text), '' ORDER BY {order}), '')) FROM {table} t WHERE {where}",
                          shard)[0]

    def differences(self):
        """[] when every moving row is equal on both sides and nothing else came over."""
        out = []
        for table in self.tables:
            there, here = self.digest(self.source, table, self.key_filter()), self.digest(self.target, table)
            if there != here:
                out.append(f"{table}: source {there}, target {here}: {self.first_difference(table)}")
        return out

    def first_difference(self, table):
        def rows(shard, where):
            return {row[0] for row in self.query(f"SELECT left(t::text, 200) FROM {table} t WHERE {where}", shard)}
        source, target = rows(self.source, self.key_filter()), rows(self.target, "true")
        return f"missing or older on the target {sorted(source - target)[:3]}, extra there {sorted(target - source)[:3]}"


class Failed(AssertionError):
    """The mover gave up; the message is its own."""


class Mover:
    """One mover process. `test`: PGROTOR_TEST, stop points and mutations."""

    def __init__(self, world, test="", **options):
        command = [worker_binary(), "--migration", str(MIGRATION), "--source", world.dsn(world.source), "--target", world.dsn(world.target),
                   "--lower", str(HALF)]
        for table in world.tables:
            command += ["--table", f"public.{table}:tenant"]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        environment = dict(os.environ, PGROTOR_TEST=test)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", env=environment)
        world.scene.reaper.process(self.process.pid)
        self.answer(60)

    def answer(self, timeout):
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            raise AssertionError(f"the mover did not answer within {timeout} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"the mover ended with {self.process.wait()}")
        told = json.loads(line)
        if "failed" in told:
            raise Failed(told["failed"])
        return told

    def ask(self, command, timeout=60):
        try:
            self.process.stdin.write((command + "\n").encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says why
        return self.answer(timeout)

    def progress(self):
        return self.ask("progress")

    def wait_copied(self, timeout=120):
        return wait_until(lambda: (p := self.progress())["copied"] and p, "all chunks to be loaded", timeout)

    def expect(self, attempt, epoch=1, sets=MIGRATION):
        self.ask(f"expect {sets} {epoch} {attempt}")

    def wait_marker(self, seconds=60):
        """The end of the history, or None when the time passes; a mover that stops before that says why."""
        until = time.monotonic() + seconds
        marker = self.ask(f"wait {int(seconds * 1000)}", seconds + 30)["marker"]
        if marker is None and time.monotonic() < until:
            wait_until(lambda: self.progress() and None, "the mover to say why it stopped")
        return marker

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def stop(self):
        self.process.stdin.write(b"stop\n")
        self.process.stdin.flush()
        assert self.process.wait(30) == 0, "a mover that is told to stop ends in peace"


class Writers:
    """Threads that write to the source until told to stop: hot rows, inserts, deletes, key changes inside, into and out of the moving
    placements, unchanged TOAST, several rows a transaction, subtransactions, rollbacks, asynchronous commits."""

    def __init__(self, world, threads=3, seed=1, pause=0.0):
        self.world, self.stopping, self.errors, self.commits, self.pause = world, threading.Event(), [], 0, pause
        self.threads = [threading.Thread(target=self.run, args=(random.Random(seed * 1000 + i),)) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        assert not self.errors, self.errors
        return self.commits

    def run(self, rng):
        try:
            connection = self.world.connect(autocommit=False)
            cursor = connection.cursor()
            while not self.stopping.is_set():
                self.transaction(connection, cursor, rng)
                time.sleep(self.pause)
            connection.close()
        except Exception as error:  # noqa: BLE001  told to whoever stops the writers
            self.errors.append(repr(error))

    def transaction(self, connection, cursor, rng):
        try:
            if rng.random() < 0.3:
                cursor.execute("SET LOCAL synchronous_commit = off")
            for _ in range(rng.choice((1, 1, 2, 5, 20))):
                if rng.random() < 0.15:
                    self.nested(cursor, rng)
                else:
                    self.statement(cursor, rng)
            if rng.random() < 0.1:
                connection.rollback()
            else:
                connection.commit()
                self.commits += 1
        except (psycopg2.errors.UniqueViolation, psycopg2.errors.DeadlockDetected):
            connection.rollback()

    def nested(self, cursor, rng):
        cursor.execute("SAVEPOINT s")
        self.statement(cursor, rng)
        self.statement(cursor, rng)
        cursor.execute("ROLLBACK TO s" if rng.random() < 0.5 else "RELEASE s")

    def statement(self, cursor, rng):
        tenant, row = rng.randrange(1, 40), rng.randrange(1, 400)
        hot = rng.randrange(1, 5)
        choices = (
            (30, "UPDATE items SET counter = counter + 1 WHERE tenant = %s AND id = %s", (hot, hot)),
            (20, "UPDATE items SET counter = counter + 1, note = %s WHERE tenant = %s AND id = %s", (f"n{rng.random()}", tenant, row)),
            (8, "UPDATE items SET counter = counter + 1 WHERE tenant = %s AND id BETWEEN %s AND %s + 5", (tenant, row, row)),
            (8, "INSERT INTO items (tenant, id, note, tags) VALUES (%s, %s, 'new', ARRAY['a', NULL]) ON CONFLICT DO NOTHING",
             (tenant, rng.randrange(1, 500))),
            (8, "DELETE FROM items WHERE tenant = %s AND id = %s", (tenant, row)),
            (3, "UPDATE items SET big = %s WHERE tenant = %s AND id = %s", ("x" * rng.randrange(3000, 6000), tenant, row)),
            (5, "UPDATE items SET id = %s WHERE tenant = %s AND id = %s AND big IS NULL", (rng.randrange(1, 500), tenant, row)),
            (3, "UPDATE items SET tenant = %s WHERE tenant = %s AND id = %s AND big IS NULL", (rng.randrange(1, 40), tenant, row)),
            (8, "UPDATE lines SET amount = amount + 1 WHERE tenant = %s AND slot = %s", (tenant, rng.randrange(60))),
            (4, "UPDATE lines SET slot = slot + 1000 * (1 - 2 * (slot / 1000)) WHERE tenant = %s AND slot %% 1000 = %s",
             (tenant, rng.randrange(60))),
            (4, "DELETE FROM lines WHERE tenant = %s AND slot = %s", (tenant, rng.randrange(60))),
            (6, "INSERT INTO lines VALUES (%s, gen_random_uuid(), %s, 0) ON CONFLICT DO NOTHING", (tenant, rng.randrange(60))),
            (6, "INSERT INTO names VALUES (%s, %s) ON CONFLICT (name, tenant) DO UPDATE SET hits = names.hits + 1",
             (f"näme {rng.randrange(300)}", tenant)),
            (3, "UPDATE names SET name = %s WHERE name = %s AND tenant = %s",
             (f"näme {rng.randrange(300)}", f"näme {rng.randrange(300)}", tenant)),
            (3, "DELETE FROM names WHERE name = %s AND tenant = %s", (f"näme {rng.randrange(300)}", tenant)),
            (6, "INSERT INTO codes VALUES (%s, %s) ON CONFLICT (code, tenant) DO UPDATE SET hits = codes.hits + 1",
             (f"c{rng.randrange(2000)}", tenant)),
            (3, "UPDATE codes SET code = %s WHERE code = %s AND tenant = %s", (f"c{rng.randrange(2000)}", f"c{rng.randrange(2000)}", tenant)),
        )
        _, sql, values = rng.choices(choices, weights=[choice[0] for choice in choices])[0]
        cursor.execute(sql, values)


FILL = """
INSERT INTO items (tenant, id, counter, note, big, price, tags)
  SELECT t, i, 0, 'note ' || i, CASE WHEN i % 40 = 0 THEN repeat(md5(i::text), 120) END, i * 1.25, ARRAY['a', 'b ' || i]
  FROM generate_series(1, 40) t, generate_series(1, {rows}) i;
INSERT INTO lines SELECT t, gen_random_uuid(), i, 0 FROM generate_series(1, 40) t, generate_series(0, 59) i;
INSERT INTO names SELECT 'näme ' || i, t FROM generate_series(1, 40) t, generate_series(0, 99) i;
INSERT INTO codes SELECT 'c' || i, t FROM generate_series(1, 40) t, generate_series(0, 999) i;
ANALYZE items, lines, names, codes;
"""
