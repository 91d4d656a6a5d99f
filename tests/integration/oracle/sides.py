"""The same tables in one PostgreSQL and behind pgrotor on three shards, and a connection to each."""
import io
import threading

from fleet import DATABASE, Fleet, SEED, scram_verifier
from leftovers import PLACEMENT, owned

from asker import Asker
from tables import SETUP, TABLES

SERVER = {"fsync": "off", "jit": "off", "max_parallel_workers_per_gather": 0, "statement_timeout": "5s"}
SCHEMA = SETUP + "\n".join(table.ddl() + f"GRANT ALL ON {table.name} TO app;" for table in TABLES.values())


def copied(table, scale):
    def cell(value):
        return "\\N" if value is None else value.replace("\\", "\\\\")
    return "".join("\t".join(map(cell, row)) + "\n" for row in table.contents(scale))


def load(cluster, table, scale, where="true", database=DATABASE):
    """The rows of `table` for which `where` is true."""
    with cluster.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE fresh (LIKE {table.name})")
        cursor.copy_expert("COPY fresh FROM STDIN", io.StringIO(copied(table, scale)))
        cursor.execute(f"INSERT INTO {table.name} SELECT * FROM fresh WHERE {where} ORDER BY random(); ANALYZE {table.name}")


def types(cluster, database=DATABASE):
    return dict(cluster.query("SELECT oid, typname FROM pg_type WHERE oid >= 16384", database))


class Plain:
    """One PostgreSQL with all rows, and a database beside them with the same rows in another order and other plans: what differs between the two a
    statement leaves open."""
    OTHER_PLANS = ("enable_hashjoin = off", "enable_hashagg = off", "enable_indexscan = off", "enable_bitmapscan = off", "enable_memoize = off")

    def __init__(self, scene, password, verifier, scale):
        self.password, self.cluster = password, scene.cluster("plain", **SERVER)
        self.cluster.psql(f"CREATE ROLE app LOGIN PASSWORD '{verifier}'; CREATE ROLE shop_owner")
        for database in (DATABASE, "twin"):
            self.cluster.psql(f"CREATE DATABASE {database} OWNER shop_owner")
            self.cluster.psql("SET ROLE shop_owner;" + SCHEMA, database)
            for table in TABLES.values():
                load(self.cluster, table, scale, database=database)
        self.cluster.psql("".join(f"ALTER DATABASE twin SET {setting};" for setting in self.OTHER_PLANS))

    def asker(self, database):
        return Asker(self.cluster.port, self.password, types(self.cluster, database), database)

    def damage(self):
        for database in (DATABASE, "twin"):
            self.cluster.psql("UPDATE customers SET region = coalesce(region, 0) + 1 WHERE customer_id = 7", database)

    def direct(self):
        return self.asker(DATABASE)

    def twin(self):
        return self.asker("twin")


class Twins(Plain):
    """PostgreSQL beside itself."""

    def __init__(self, scene, scale):
        super().__init__(scene, "twins", scram_verifier("twins"), scale)

    def spread_counts(self):
        return "all on one"

    def proxied(self):
        return self.twin()


class Sides:
    """`unequal`: types of the schema have other oids on each shard."""

    def __init__(self, scene, scale=1, unequal=False):
        self.fleet = Fleet(scene, serve=False, cluster_settings=SERVER)
        self.plain = Plain(scene, self.fleet.app_password, self.fleet.app_verifier, scale)
        self.direct, self.twin, self.damage = self.plain.direct, self.plain.twin, self.plain.damage
        if unequal:
            for number, shard in enumerate(self.fleet.shards.values()):
                shard.psql("".join(f"CREATE TYPE before_{i} AS ENUM ();" for i in range(number * 3)), DATABASE)
        self.fleet.everywhere(SCHEMA)
        self.fleet.pgrotor.command("init")
        self.fleet.pgrotor.serve()
        self.distribute()
        for table in TABLES.values():
            self.spread(table, scale)

    def distribute(self):
        for table in TABLES.values():
            if table.distribution:
                self.fleet.console(f"DISTRIBUTE TABLE {table.name} BY {table.key} IN DISTRIBUTION {table.distribution}")

    def spread(self, table, scale):
        ranges = [each for each in self.fleet.ranges() if each[0] == table.distribution]
        for name, shard in self.fleet.shards.items():
            if table.place == "sharded":
                kind = shard.value("SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = %s::regclass AND attname = %s", DATABASE,
                                   (table.name, table.key))
                load(shard, table, scale, owned(ranges, name, PLACEMENT[kind].format(table.key, SEED)))
            elif table.place == "reference" or name == self.fleet.catalog:
                load(shard, table, scale)
        if table.place == "reference":
            self.fleet.console(f"REFERENCE TABLE {table.name}")

    def spread_counts(self):
        """How the rows lie, for whoever reads the output."""
        return {table.name: [shard.value(f"SELECT count(*) FROM {table.name}", DATABASE) for shard in self.fleet.shards.values()]
                for table in TABLES.values() if table.place == "sharded"}

    def proxied(self):
        """Types of their own have the oids of the default shard."""
        return Asker(self.fleet.pgrotor.port, self.fleet.app_password, types(self.fleet.shards[self.fleet.catalog]))


class Mover(threading.Thread):
    """Moves ranges of all distributions from shard to shard until it is told to stop."""

    def __init__(self, fleet):
        super().__init__(daemon=True)
        self.fleet, self.moves, self.failure, self.stopped = fleet, 0, None, threading.Event()

    def run(self):
        try:
            while not self.stopped.is_set():
                for distribution, lower, upper, owner in self.fleet.ranges():
                    if self.stopped.is_set():
                        return
                    self.move(distribution, lower, upper, owner)
        except Exception as failure:  # told by whoever joins
            self.failure = failure

    def move(self, distribution, lower, upper, owner):
        others = [name for name in self.fleet.names if name != owner]
        end = "" if upper is None else upper
        row = self.fleet.console(f"MOVE RANGE [{lower}, {end}) OF {distribution} TO {others[self.moves % 2]}")[0]
        self.fleet.wait_done(row["migration"])
        self.moves += 1

    def stop(self):
        self.stopped.set()
        self.join(120)
        if self.failure:
            raise self.failure
        return self.moves
