"""Three shards behind one pgrotor for a client that this folder tests: three databases of one cluster, which is quick to start and the same
to pgrotor. `run` starts the client with the connection in PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE; `check` looks at the
shards past pgrotor: every row of a sharded table is on its owner, and more than one shard has some.

    client.py psycopg2            what the test integration_client_psycopg2 runs
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
from cluster import Scene  # noqa: E402
from fleet import SEED, Pgrotor, deploy_file, scram_verifier  # noqa: E402

PASSWORD, ENGINE = "right horse", "engine-password"
SHARDS = ("s1", "s2", "s3")
SHARDED = {"accounts": ("id", "bank", "hashint8extended"), "entries": ("account_id", "bank", "hashint8extended"),
           "tokens": ("token", "tokens", "uuid_hash_extended"), "words": ("word", "words", "hashtextextended")}


class Stage:
    def __init__(self, scene):
        self.scene = scene
        self.cluster = scene.cluster("shards")
        verifier = scram_verifier(PASSWORD)
        self.cluster.psql(f"CREATE ROLE app LOGIN PASSWORD '{verifier}'; CREATE ROLE catalog LOGIN;")
        with open(os.path.join(HERE, "setup.sql")) as file:
            setup = file.read()
        for shard in SHARDS:
            self.cluster.create_database(shard)
            self.cluster.psql(setup, shard)
            self.cluster.psql(deploy_file("shard_rights.sql"), shard, password=ENGINE, owner="postgres")
        at = f"host=127.0.0.1 port={self.cluster.port}"
        settings = {"shards_role.user": "pgrotor", "shards_role.password": ENGINE, "pool.size": 4,
                    "catalog.dsn": f"{at} dbname=s2 user=pgrotor password={ENGINE}"}
        self.pgrotor = Pgrotor(scene, "pgrotor", settings, {shard: f"{at} dbname={shard}" for shard in SHARDS}, "s2", {"app": verifier},
                               "admin secret")
        self.pgrotor.command("init")
        self.pgrotor.serve()
        for table, (key, distribution, _) in SHARDED.items():
            self.pgrotor.console(f"DISTRIBUTE TABLE {table} BY {key} IN DISTRIBUTION {distribution}")

    def environment(self):
        return dict(os.environ, PGHOST="127.0.0.1", PGPORT=str(self.pgrotor.port), PGUSER="app", PGPASSWORD=PASSWORD, PGDATABASE="s2",
                    PGSSLMODE="disable", CONSOLE_PASSWORD="admin secret", PYTHONPATH=HERE, PYTHONDONTWRITEBYTECODE="1")

    def run(self, command, **options):
        done = subprocess.run(command, env=dict(self.environment(), **options.pop("env", {})), stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, **options)
        print(done.stdout, end="")
        if done.returncode:
            raise AssertionError(f"{command[0]} ended with {done.returncode}: {done.stdout}")
        return done.stdout

    def rows(self, shard, sql):
        return self.cluster.query(sql, shard)

    def check(self, *tables):
        """Rows on shards that do not own them, and tables whose rows all landed on one shard, are faults of routing."""
        ranges = {}
        for row in self.pgrotor.console("SHOW RANGES"):
            upper = "true" if row["upper"] in (None, "") else f"p < {row['upper']}"
            ranges.setdefault((row["distribution"], row["shard"]), []).append(f"(p >= {row['lower']} AND {upper})")
        for table in tables:
            key, distribution, hashed = SHARDED[table]
            used = 0
            for shard in SHARDS:
                mine = " OR ".join(ranges.get((distribution, shard), ["false"]))
                total, owned = self.rows(shard, f"SELECT count(*), count(*) FILTER (WHERE {mine}) "
                                                f"FROM (SELECT {hashed}({key}, {SEED}) AS p FROM {table}) t")[0]
                assert total == owned, f"{total - owned} of {total} rows of {table} on {shard} are not its own"
                used += total > 0
            assert used > 1, f"the rows of {table} are all on one shard"


__all__ = ["HERE", "SHARDS", "Scene", "Stage"]
