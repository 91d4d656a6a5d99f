"""Two servers with the same contents, one of them behind pgrotor with a pool of eight (noise keeps two of them, and rows have up to three clients); both are initialised and set up alike, so that
object ids agree. Tables accounts and entries are sharded (on one shard), everything else lives on the default shard."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
from cluster import Scene  # noqa: E402
from fleet import Pgrotor, deploy_file, scram_verifier  # noqa: E402

PASSWORD, ENGINE = "right horse", "engine-password"
SETTINGS = {"synchronous_commit": "off", "jit": "off", "autovacuum": "off", "max_prepared_transactions": 10}


def script(name):
    with open(os.path.join(HERE, name)) as file:
        return file.read()


class Twins:
    def __init__(self, scene):
        self.before = None
        self.scene, verifier = scene, scram_verifier(PASSWORD)
        self.verifier = verifier
        self.direct, self.shard = (scene.cluster(name, **SETTINGS) for name in ("direct", "shard"))
        for cluster in (self.direct, self.shard):
            cluster.psql(f"CREATE ROLE app LOGIN PASSWORD '{verifier}'; CREATE DATABASE shop;")
            cluster.psql(script("setup.sql"), "shop")
        self.shard.psql(deploy_file("shard_rights.sql"), "shop", password=ENGINE, owner="postgres")

    def pgrotor(self, name, port=None, **settings):
        """A pgrotor with a catalog of its own; `port` is where it finds the shard."""
        self.shard.psql(f'CREATE DATABASE "{name}" OWNER pgrotor')
        at = f"host=127.0.0.1 port={port or self.shard.port}"
        catalog = f"host=127.0.0.1 port={self.shard.port} dbname={name} user=pgrotor password={ENGINE}"
        options = {"shards_role.user": "pgrotor", "shards_role.password": ENGINE, "catalog.dsn": catalog, "pool.size": 8}
        made = Pgrotor(self.scene, name, dict(options, **settings), {"s1": f"{at} dbname=shop"}, "s1", {"app": self.verifier}, "admin secret")
        if self.before:  # its catalog is given up, and with it what the shard knows of it
            self.before.kill()
            self.shard.query("DELETE FROM pgrotor.identity", "shop")
        self.before = made
        made.command("init")
        made.serve()
        self.shard.psql("TRUNCATE accounts, entries", "shop")
        made.console("DISTRIBUTE TABLE accounts BY id IN DISTRIBUTION bank")
        made.console("DISTRIBUTE TABLE entries BY account_id IN DISTRIBUTION bank")
        return made


__all__ = ["PASSWORD", "Scene", "Twins", "script"]
