"""init, check and serve: repeatable, one coordinator a catalog, what signals do to clients and to open transactions, and what goes on
when a shard or the catalog is down."""
import os
import signal
import subprocess
import time
import urllib.error
from contextlib import closing

import psycopg2

from cluster import BIN, Scene, binary, free_port, wait_until
from fleet import Fleet


def http_status(pgrotor, path):
    try:
        return 200, pgrotor.http(path).strip()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode().strip()


def log_of(pgrotor):
    with open(pgrotor.log, errors="replace") as log:
        return log.read()


def psql(pgrotor, sql):
    """What a DBA sees: psql draws the table or the error with its position."""
    done = subprocess.run([BIN + "psql", "-X", "-h", "127.0.0.1", "-p", str(pgrotor.port), "-U", "admin", "-d", "pgrotor", "-c", sql],
                          env=dict(os.environ, PGPASSWORD=pgrotor.admin_password), cwd="/", text=True, capture_output=True)
    return done.stdout + done.stderr


def before_init(fleet):
    check = fleet.pgrotor.command("check", check=False)
    assert check.returncode == 1, check
    findings = check.stderr.splitlines()
    assert len(findings) == 4 and all(f"run pgrotor init -c {fleet.pgrotor.config}" in line for line in findings), findings
    fleet.pgrotor.serve(ready=False)
    assert fleet.pgrotor.child.wait(30) == 1
    assert f"run pgrotor init -c {fleet.pgrotor.config} first" in log_of(fleet.pgrotor)


def init_twice(fleet):
    first, second = fleet.pgrotor.command("init").stdout, fleet.pgrotor.command("init").stdout
    assert "map of generation 1 written: 3 shards, default shard s2" in first, first
    assert "the map of generation 1 stays as it is" in second, second
    assert fleet.query("s2", "SELECT count(*), max(generation) FROM pgrotor.maps") == [(1, 1)]
    assert "catalog and 3 shards are fine" in fleet.pgrotor.command("check").stdout


def shards_that_only_the_map_names(fleet):
    """As those that came by ADD SHARD: init and check look after them too."""
    listed = dict(fleet.pgrotor.shards)
    del fleet.pgrotor.shards["s3"]
    fleet.pgrotor.set()
    try:
        # As from before an upgrade.
        fleet.query("s3", "DROP FUNCTION pgrotor.set_owner_guard(regclass, text, text, text, text)")
        check = fleet.pgrotor.command("check", check=False)
        assert check.returncode == 1 and check.stderr.startswith(f"{fleet.pgrotor.config}: map: shard s3: "), check
        assert "shard s3: schema pgrotor has version 1 already" in fleet.pgrotor.command("init").stdout
        assert "catalog and 3 shards are fine" in fleet.pgrotor.command("check").stdout
        fleet.shards["s3"].stop()
        said = f"shard s3 (host=127.0.0.1 port={fleet.shards['s3'].port}) cannot be reached: connection refused"
        for verb in ("check", "init"):
            done = fleet.pgrotor.command(verb, check=False)
            assert done.returncode == 1 and done.stderr.startswith(f"{fleet.pgrotor.config}: map: {said}; "), done
        fleet.shards["s3"].start()
    finally:
        fleet.pgrotor.shards = listed
        fleet.pgrotor.set()


def two_phase_commit(fleet):
    """check: a shard that refuses PREPARE TRANSACTION while others take it, one where no more fits, and shards that all refuse it."""
    def check(**settings):
        for name, most in settings.items():
            fleet.shards[name].restart(max_prepared_transactions=most)
        return fleet.pgrotor.command("check", check=False)
    raised = "run: ALTER SYSTEM SET max_prepared_transactions = {}; and restart the server\n"
    done = check(s1=0)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stderr.endswith(
        ": shard.dsn: shard s1: max_prepared_transactions is 0, and more on other shards; PREPARE TRANSACTION fails with 55000 on this one; "
        + raised.format(10)), done
    fleet.shards["s1"].restart(max_prepared_transactions=1)
    fleet.shards["s1"].execute("BEGIN; PREPARE TRANSACTION 'forgotten'")
    done = check()
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and done.stderr.endswith(
        ": shard.dsn: shard s1: no free prepared transaction; 1 of 1 are in use; end those of pg_prepared_xacts that were forgotten, or "
        + raised.format(2)), done
    fleet.shards["s1"].execute("ROLLBACK PREPARED 'forgotten'")
    done = check(s1=0, s2=0, s3=0)
    assert done.returncode == 0 and "max_prepared_transactions is 0 on every shard: PREPARE TRANSACTION fails with 55000" in done.stdout, done
    assert "catalog and 3 shards are fine" in done.stdout, done
    done = check(s1=10, s2=10, s3=10)
    assert done.returncode == 0 and "max_prepared" not in done.stdout, done
    for shard in fleet.shards.values():
        shard.execute("GRANT app TO pgrotor")
    done = check()
    assert done.returncode == 0 and "42501" not in done.stdout, done
    fleet.shards["s2"].execute("REVOKE app FROM pgrotor")  # those who write on one shard at a time need it not
    done = check()
    assert (done.returncode, done.stderr, done.stdout.count("42501")) == (0, "", 1), done
    assert ("shard s2: what app would leave prepared after a crash could not be finished: COMMIT of what has written on several shards fails with 42501; all "
            "else works; where it is used, run as a superuser: GRANT app TO pgrotor;") in done.stdout, done


def console(fleet):
    assert [row["shard"] for row in fleet.console("SHOW SHARDS")] == ["s1", "s2", "s3"]
    table = psql(fleet.pgrotor, "SHOW VERSION")
    assert "version" in table and "(1 row)" in table, table
    error = psql(fleet.pgrotor, "SHWO SHARDS")
    assert error.startswith("ERROR:  unknown command SHWO; nearest: SHOW\nLINE 1: SHWO SHARDS\n        ^\n"), error
    owner = fleet.owner(42)
    route, = fleet.console("EXPLAIN ROUTE SELECT * FROM orders WHERE customer_id = 42")
    assert (route["shard"], route["destination"], route["refused"]) == (owner, "by key", None), route
    other = next(key for key in range(1, 100) if fleet.owner(key) != owner)
    for sql, shards in (("SELECT * FROM orders", {"s1", "s2", "s3"}),
                        (f"SELECT * FROM orders WHERE customer_id IN (42, {other})", {owner, fleet.owner(other)})):
        scattered, = fleet.console("EXPLAIN ROUTE " + sql)
        assert (scattered["destination"], scattered["shard"], scattered["refused"]) == ("several shards", ", ".join(sorted(shards)), None), scattered
        assert scattered["help"].startswith("concat: the rows of each shard") and "commit barrier" in scattered["help"], scattered
    pulled, = fleet.console("EXPLAIN ROUTE SELECT count(*) FROM orders")
    assert (pulled["destination"], pulled["shard"], pulled["refused"]) == ("several shards", "s1, s2, s3", None) and pulled["help"].startswith("pull: "), pulled
    for sql in ("UPDATE orders SET total = 0", "PREPARE p AS SELECT * FROM orders", "EXPLAIN SELECT * FROM orders"):
        refused, = fleet.console("EXPLAIN ROUTE " + sql)
        assert refused["destination"] == "refused" and refused["refused"].startswith("RT003: ") and refused["help"], refused
    def of_clients():
        return {(int(row["id"]) - 5_000_000) // 8_000_000 for row in fleet.console("SHOW CLIENTS")}
    workers = of_clients()
    clients = [fleet.app() for _ in range(3)]
    workers |= of_clients()
    assert workers == {0, 1, 2}, workers  # dealt out in turn
    for client in clients:
        client.close()


def one_coordinator(fleet):
    """A second serve on the same catalog is refused and names the holder; the first goes on."""
    pgrotor, path = fleet.pgrotor, fleet.pgrotor.config + ".second"
    with open(pgrotor.config) as file:
        text = file.read()
    for port in (pgrotor.port, pgrotor.http_port):
        text = text.replace(f"port = {port}", f"port = {free_port()}")
    with open(path, "w") as file:
        file.write(text)
    done = subprocess.run([binary(), "serve", "-c", path], text=True, capture_output=True, cwd="/", timeout=60)
    assert done.returncode == 1 and "another coordinator works on this catalog" in done.stderr, done
    assert http_status(pgrotor, "/healthz")[0] == 200


def terminated(fleet):
    """SIGTERM: no new clients, idle ones get 57P01, an open transaction commits, exit code 0. SIGHUP before changes nothing."""
    pgrotor = fleet.pgrotor
    pgrotor.child.send_signal(signal.SIGHUP)
    wait_until(lambda: "SIGHUP" in log_of(pgrotor), "SIGHUP to be logged")
    with closing(fleet.app()) as idle, closing(fleet.app(autocommit=False)) as busy, busy.cursor() as cursor:
        cursor.execute("INSERT INTO customers (customer_id, name, country_code) VALUES (7, 'x', 'DE')")
        pgrotor.child.send_signal(signal.SIGTERM)
        wait_until(lambda: http_status(pgrotor, "/healthz") == (503, "draining"), "/healthz to say that pgrotor drains")
        assert b"C57P01" in os.read(idle.fileno(), 4096)
        try:
            fleet.app()
            raise AssertionError("a new client was accepted while draining")
        except psycopg2.OperationalError:
            pass
        cursor.execute("SELECT name FROM customers WHERE customer_id = 7")
        busy.commit()
        assert pgrotor.child.wait(30) == 0
    assert fleet.query(holder_of_7(fleet), "SELECT name FROM customers WHERE customer_id = 7") == [("x",)]


def holder_of_7(fleet):
    return next(name for name in fleet.names if fleet.query(name, "SELECT 1 FROM customers WHERE customer_id = 7"))


def stuck_transaction(fleet):
    """It has drain_timeout_ms; then pgrotor ends all the same, and its second signal ends it at once."""
    for signals, code in ((1, 0), (2, 1)):
        fleet.pgrotor.serve()
        with closing(fleet.app(autocommit=False)) as stuck, stuck.cursor() as cursor:
            cursor.execute("SELECT name FROM customers WHERE customer_id = 7")
            began = time.monotonic()
            fleet.pgrotor.child.send_signal(signal.SIGTERM)
            if signals == 2:
                wait_until(lambda: http_status(fleet.pgrotor, "/healthz")[0] == 503, "pgrotor to drain")
                fleet.pgrotor.child.send_signal(signal.SIGTERM)
            assert fleet.pgrotor.child.wait(60) == code
            took = time.monotonic() - began
            assert (took < 5) == (signals == 2), took


def shard_down(fleet):
    """A warning at start; statements for the others go on, and so does the console."""
    dead = next(name for name in fleet.names if name != fleet.catalog)
    fleet.shards[dead].stop()
    check = fleet.pgrotor.command("check", check=False)
    port = fleet.shards[dead].port
    said = f"shard {dead} (host=127.0.0.1 port={port}) cannot be reached: connection refused; start that server, or correct host and port"
    assert check.returncode == 1 and check.stderr.count("\n") == 1 and check.stderr.endswith(f": shard.dsn: {said}\n"), check
    fleet.pgrotor.serve()
    wait_until(lambda: f"warning {said}; statements for other shards go on" in log_of(fleet.pgrotor), "the warning")
    keys = {fleet.owner(key): key for key in range(100)}
    with closing(fleet.app()) as client, client.cursor() as cursor:
        for owner, key in keys.items():
            try:
                cursor.execute("SELECT name FROM customers WHERE customer_id = %s", (key,))
                assert owner != dead
            except psycopg2.OperationalError as error:
                assert owner == dead and error.pgcode == "08006", (owner, error)
    up = {name: f'pgrotor_shard_up{{shard="{name}"}} {int(name != dead)}\n' for name in fleet.names}
    assert all(line in fleet.pgrotor.http("/metrics") for line in up.values()), fleet.pgrotor.http("/metrics")
    fleet.shards[dead].start()
    wait_until(lambda: f'pgrotor_shard_up{{shard="{dead}"}} 1\n' in fleet.pgrotor.http("/metrics"), "the metric to say that the shard is back")
    assert fleet.pgrotor.terminate() == 0


def catalog_down(fleet):
    """Refused at start, with file, line and key."""
    fleet.shards[fleet.catalog].stop()
    fleet.pgrotor.serve(ready=False)
    assert fleet.pgrotor.child.wait(60) == 1
    port = fleet.shards[fleet.catalog].port
    assert f": catalog.dsn: catalog (host=127.0.0.1 port={port}) cannot be reached: connection refused" in log_of(fleet.pgrotor)


def main():
    with Scene("serve") as scene:
        fleet = Fleet(scene, settings={"proxy.workers": 3, "proxy.drain_timeout_ms": 5000}, serve=False)
        before_init(fleet)
        init_twice(fleet)
        shards_that_only_the_map_names(fleet)
        two_phase_commit(fleet)
        fleet.pgrotor.serve()
        fleet.shop()
        for step in (console, one_coordinator, terminated, stuck_transaction, shard_down, catalog_down):
            print(step.__name__, flush=True)
            step(fleet)


if __name__ == "__main__":
    main()
