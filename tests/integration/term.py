"""The coordinator's term: its catalog restarted and stopped, a second pgrotor on the same catalog, and shards that are not what they seem.

The catalog has a cluster of its own here, so that its outages are not a shard's too.
"""
import secrets
import signal
import time
from contextlib import closing

import psycopg2

from cluster import Scene, wait_until
from fleet import DATABASE, Fleet, Pgrotor, deploy_file

LEASE_MS, HOLD_MS = 2000, 4000


def log_of(pgrotor):
    with open(pgrotor.log, errors="replace") as log:
        return log.read()


def catalog_database(cluster, name, password):
    cluster.psql(f"CREATE DATABASE {name}")
    cluster.psql(deploy_file("catalog_rights.sql"), name, password=password)
    return f"host=127.0.0.1 port={cluster.port} dbname={name} user=pgrotor password={password}"


class World:
    def __init__(self, scene):
        self.scene, self.password = scene, secrets.token_hex(12)
        self.catalog = scene.cluster("catalog")
        settings = {"catalog.dsn": catalog_database(self.catalog, "book", self.password), "catalog.lease_ms": LEASE_MS,
                    "gate.hold_budget_ms": HOLD_MS}
        self.fleet = Fleet(scene, names=("s1", "s2"), settings=settings)
        self.fleet.shop()
        self.fleet.everywhere("CREATE TABLE later (id bigint)")
        self.pgrotor = self.fleet.pgrotor
        self.second = Pgrotor(scene, "second", self.flat(), self.pgrotor.shards, "s2",
                              {"app": self.fleet.app_verifier}, self.pgrotor.admin_password)
        self.key = {name: next(key for key in range(1, 100) if self.fleet.owner(key) == name) for name in ("s1", "s2")}
        with closing(self.fleet.app()) as client, client.cursor() as cursor:
            cursor.executemany("INSERT INTO customers (customer_id, name, country_code) VALUES (%s, 'old', 'DE')", [(key,) for key in range(1, 400)])

    def flat(self):
        return {f"{section}.{key}": value for section, options in self.pgrotor.sections.items() for key, value in options.items()
                if section not in ("listen", "http", "auth", "tools")}

    def status(self, pgrotor=None):
        return {row["name"]: row["value"] for row in (pgrotor or self.pgrotor).console("SHOW CATALOG")}

    def metric(self, name):
        return next(float(line.split()[1]) for line in self.pgrotor.http("/metrics").splitlines() if line.startswith(name + " "))

    def wait_up(self, pgrotor=None):
        wait_until(lambda: self.status(pgrotor)["connection"] == "up" and self.status(pgrotor)["term"] == "held", "the catalog to be back")

    def ready_move(self):
        self.fleet.console("DRAIN SHARD s1 TO s2 WITH (auto_cutover = off)")
        number = max(int(row["migration"]) for row in self.fleet.console("SHOW MIGRATIONS"))
        self.fleet.wait_state(number, "READY")
        return number


def error_of(call):
    try:
        call()
    except psycopg2.Error as error:
        return error.pgcode, str(error)
    raise AssertionError("no error")


def run(client, sql, *values):
    with client.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def catalog_restarted(world):
    """With nothing moving: noticed without a command, and commands work again."""
    before = int(world.status()["epoch"])
    world.catalog.restart()
    wait_until(lambda: int(world.status()["reconnects"]) >= 1, "the catalog to be connected again")
    world.wait_up()
    assert int(world.status()["epoch"]) > before
    assert world.pgrotor.http("/healthz").startswith("ok generation="), world.pgrotor.http("/healthz")
    number = world.ready_move()
    world.fleet.console(f"CANCEL MIGRATION {number}")
    world.fleet.wait_state(number, "CANCELLED")


def catalog_away(world):
    """Commands fail at once, SHOW and traffic go on; a move waits and goes on; keys that move wait once the lease has run out."""
    number = world.ready_move()
    world.catalog.stop("immediate")
    wait_until(lambda: world.status()["connection"] != "up", "the loss to be noticed", timeout=5)
    began = time.monotonic()
    code, text = error_of(lambda: world.fleet.console("REFERENCE TABLE later"))
    assert code == "08006" and "is being made again" in text, (code, text)
    assert time.monotonic() - began < 2
    assert len(world.fleet.console("SHOW SHARDS")) == 2
    assert "not known" in world.fleet.migration(number)["journal"]
    wait_until(lambda: world.status()["term"] == "lapsed", "the lease to run out")
    assert " catalog: lost for " in world.pgrotor.http("/healthz"), world.pgrotor.http("/healthz")
    assert (world.metric("pgrotor_catalog_up"), world.metric("pgrotor_term_held")) == (0, 0)
    with closing(world.fleet.app()) as client:
        assert run(client, "SELECT name FROM customers WHERE customer_id = %s", world.key["s2"]) == [("old",)]  # does not move
        code, text = error_of(lambda: run(client, "SELECT name FROM customers WHERE customer_id = %s", world.key["s1"]))
        assert code == "55P03" and "the catalog cannot be reached" in text, (code, text)
    with closing(world.fleet.app()) as client:
        world.catalog.start()
        assert run(client, "SELECT name FROM customers WHERE customer_id = %s", world.key["s1"]) == [("old",)]  # held, then let go
    world.wait_up()
    assert world.metric("pgrotor_term_held") == 1
    wait_until(lambda: resumed(world, number), "the move to go on")
    world.fleet.wait_state(number, "DONE")
    assert {shard for _, _, _, shard in world.fleet.ranges()} == {"s2"}


def resumed(world, number):
    try:
        return world.fleet.console(f"CUTOVER MIGRATION {number}") == []
    except psycopg2.errors.ObjectNotInPrerequisiteState:  # it does not run yet
        return False


def second_refused(world):
    began = time.monotonic()
    world.second.serve(ready=False)
    assert world.second.child.wait(30) == 1
    assert "another coordinator works on this catalog" in log_of(world.second), log_of(world.second)
    assert time.monotonic() - began < 10
    assert world.status()["term"] == "held"


def stopped_and_taken_over(world):
    """The first is stopped in a move, with clients in the middle of something; the second takes over, ends the move and changes the rows. When the
    first wakes it neither commits on the old owner nor reads there, and ends."""
    first, second, key = world.pgrotor, world.second, world.key["s1"]
    idle, reader, writer = world.fleet.app(), world.fleet.app(), world.fleet.app(autocommit=False)
    number = first.console("MOVE RANGE [MINVALUE, MAXVALUE) OF shop TO s1 WITH (auto_cutover = off)")[0]["migration"]
    world.fleet.wait_state(number, "READY")  # its mover holds slot and origin
    assert run(reader, "SELECT name FROM customers WHERE customer_id = %s", key) == [("old",)]
    run(writer, "UPDATE customers SET name = 'of the first' WHERE customer_id = %s", key)
    first.child.send_signal(signal.SIGSTOP)
    second.serve()
    wait_until(lambda: all(world.fleet.query(name, "SELECT epoch FROM pgrotor.identity") == [(int(world.status(second)["epoch"]),)]
                           for name in ("s1", "s2")), "both shards to be entered")
    second.console(f"CUTOVER MIGRATION {number}")
    wait_until(lambda: next(row for row in second.console("SHOW MIGRATIONS") if row["migration"] == number)["state"] == "DONE",
               "the second to go on with the move")
    with closing(world.fleet.app(port=second.port)) as client:
        assert run(client, "UPDATE customers SET name = 'of the second' WHERE customer_id = %s", key) == 1
    first.child.send_signal(signal.SIGCONT)
    for client in (reader, idle):
        code, text = error_of(lambda: run(client, "SELECT name FROM customers WHERE customer_id = %s", key))
    assert error_of(writer.commit)
    assert first.child.wait(30) == 1, first.child.returncode
    assert "another pgrotor has begun term" in log_of(first), log_of(first)[-2000:]
    assert world.fleet.query("s1", "SELECT name FROM customers WHERE customer_id = %s", (key,)) == [("of the second",)]
    assert world.fleet.query("s2", "SELECT name FROM customers WHERE customer_id = %s", (key,)) == []


def restarted_after_kill(world):
    """Whoever knows that the other is gone does not wait for its lease."""
    world.second.kill()
    began = time.monotonic()
    world.pgrotor.serve()
    took = time.monotonic() - began
    print(f"  serving again {took:.1f} s after SIGKILL")
    world.wait_up()


def sigstop_alone(world):
    """Stopped for longer than its lease, with nobody else there: it goes on."""
    world.pgrotor.child.send_signal(signal.SIGSTOP)
    epoch = world.catalog.value("SELECT epoch FROM pgrotor.coordinator", "book")
    wait_until(lambda: world.catalog.value("SELECT until < clock_timestamp() FROM pgrotor.lease", "book"), "the lease to run out")
    world.pgrotor.child.send_signal(signal.SIGCONT)
    world.wait_up()
    assert int(world.status()["epoch"]) == epoch
    with closing(world.fleet.app()) as client:
        assert run(client, "SELECT name FROM customers WHERE customer_id = %s", world.key["s1"]) == [("of the second",)]


def init_of(world, name, catalog, shards):
    """`pgrotor init` with another catalog or other shards."""
    other = Pgrotor(world.scene, name, dict(world.flat(), **{"catalog.dsn": catalog}), shards, next(iter(shards)), {"app": "x"}, "x")
    return other.command("init", check=False)


def wrong_catalog(world):
    done = init_of(world, "wrong", catalog_database(world.catalog, "other", world.password), world.pgrotor.shards)
    assert done.returncode == 1 and done.stderr.count("of another cluster") == 2, done
    assert "DELETE FROM pgrotor.identity" in done.stderr, done


def one_database_twice(world):
    shard = world.fleet.shards["s1"]
    shard.psql("CREATE DATABASE twice OWNER shop_owner")
    shard.psql(deploy_file("shard_rights.sql"), "twice", password=world.fleet.pgrotor_password, owner="shop_owner")
    dsn = f"host=127.0.0.1 port={shard.port} dbname=twice"
    done = init_of(world, "twice", catalog_database(world.catalog, "third", world.password), {"a": dsn, "b": dsn + " connect_timeout=5"})
    assert done.returncode == 1 and "this database is shard a (1), not shard number 2" in done.stderr, done
    shard.query("DELETE FROM pgrotor.identity", "twice")
    shard.psql("SET ROLE shop_owner;\n" + deploy_file("shop.sql") + deploy_file("countries.sql"), "twice")
    numbers = []
    for _ in range(2):
        world.fleet.console(f"ADD SHARD s3 '{dsn}'")
        numbers += world.catalog.query("SELECT id FROM pgrotor.shards WHERE name = 's3'", "book")
        code, text = error_of(lambda: world.fleet.console(f"ADD SHARD s4 '{dsn}'"))
        assert code == "RT020" and "this database is shard s3 (" in text, (code, text)
        world.fleet.console("REMOVE SHARD s3")
    assert len(set(numbers)) == 2, numbers


def another_database_behind_the_address(world):
    """What logins of pools find: clients are told, nothing runs there, and the shard is back by itself."""
    for change, said in (("shard = 99", "this database is shard s1 (99), not shard number 1"), ("place = '1/2'", "is a copy of shard s1 (1)"),
                         ("cluster = gen_random_uuid()", "of another cluster")):
        kept = world.fleet.query("s1", "SELECT shard, place, cluster FROM pgrotor.identity")
        world.fleet.query("s1", f"UPDATE pgrotor.identity SET {change}")
        world.fleet.console("RECONNECT")
        with closing(world.fleet.app()) as client:
            code, text = error_of(lambda: run(client, "SELECT name FROM customers WHERE customer_id = %s", world.key["s1"]))
            assert code == "08006" and said in text, (code, text)
            world.fleet.query("s1", "UPDATE pgrotor.identity SET shard = %s, place = %s, cluster = %s", kept[0])

            def back():
                try:
                    return run(client, "SELECT name FROM customers WHERE customer_id = %s", world.key["s1"])
                except psycopg2.OperationalError:
                    return None
            wait_until(back, "the shard to be back")


def older_catalog(world):
    """Of a version without terms: serve says what to run, init brings it up to date."""
    assert world.pgrotor.terminate() == 0
    assert world.catalog.query("SELECT until FROM pgrotor.lease", "book") == [(None,)]  # given back
    world.catalog.psql("DROP TABLE pgrotor.lease, pgrotor.cluster, pgrotor.versions; DROP SEQUENCE pgrotor.shard_number", "book")
    world.pgrotor.serve(ready=False)
    assert world.pgrotor.child.wait(30) == 1
    assert f"run pgrotor init -c {world.pgrotor.config} first" in log_of(world.pgrotor)
    for name in ("s1", "s2"):
        world.fleet.shards[name].psql("DROP TABLE pgrotor.identity, pgrotor.versions CASCADE", DATABASE)
    world.pgrotor.command("init")
    world.pgrotor.serve()
    world.wait_up()


def main():
    with Scene("term") as scene:
        world = World(scene)
        for step in (catalog_restarted, catalog_away, second_refused, stopped_and_taken_over, restarted_after_kill, sigstop_alone, wrong_catalog,
                     one_database_twice, another_database_behind_the_address, older_catalog):
            began = time.monotonic()
            step(world)
            print(f"{step.__name__}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
