"""Guard, register, fence, catalog, PREPARE, checks, verification and cleaner against real clusters, as role pgrotor without superuser
rights. Starts two clusters and runs the C++ tests of control/ on them; arguments go to doctest, for example -tc='guard:*'.
"""
import os
import secrets
import subprocess
import sys

from cluster import DUMP_BIN, Scene
from fleet import deploy_file

PROGRAM = os.path.join(os.environ["PGROTOR_BUILD"], "tests", "integration", "control_test")


def prepared(cluster, password):
    """Roles and rights as the documentation tells a DBA to give them."""
    cluster.psql(f"CREATE ROLE app LOGIN PASSWORD '{password}'; CREATE ROLE shop_owner NOLOGIN; GRANT shop_owner TO app; CREATE DATABASE shop;")
    for script in ("catalog_rights.sql", "shard_rights.sql", "shard_rights.sql"):
        cluster.psql(deploy_file(script), "shop", password=password, owner="shop_owner")


def main():
    with Scene("control") as scene:
        environment, password = dict(os.environ, PG_DUMP=DUMP_BIN + "pg_dump"), secrets.token_hex(12)
        for side in ("A", "B"):
            cluster = scene.cluster(side.lower())
            prepared(cluster, password)
            tcp = f"host=127.0.0.1 port={cluster.port} dbname=shop password={password} user="
            environment.update({f"PGROTOR_{side}": tcp + "pgrotor", f"APP_{side}": tcp + "app",
                                f"SUPER_{side}": f"host={cluster.folder} port={cluster.port} dbname=shop user=postgres"})
        done = subprocess.run([PROGRAM, *sys.argv[1:]], env=environment, cwd="/", stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"control_test ended with {done.returncode}"


main()
