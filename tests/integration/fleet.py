"""pgrotor as a process, its admin console, and a Fleet: three shards with roles and schema behind one pgrotor.

    with Scene("drain") as scene:
        fleet = Fleet(scene)                   # s1, s2, s3; catalog and default shard on s2; role app; pgrotor runs
        fleet.shop()                           # the demo's tables on every shard, distributed
        with fleet.app() as c: ...             # through the proxy
        fleet.console("DRAIN SHARD s1 TO s2, s3")
        fleet.wait_state(1, "DONE")
"""
import base64
import hashlib
import hmac
import json
import os
import secrets
import signal
import subprocess
import urllib.error
import urllib.request

import psycopg2
import psycopg2.extensions

from cluster import DUMP_BIN, SOURCE, binary, free_port, wait_until

DATABASE = "shop"
SEED = 8816678312871386365
FINAL = ("DONE", "FAILED", "CANCELLED", "ROLLED_BACK")
AS_TEXT = psycopg2.extensions.new_type((20, 701, 1184), "TEXT", lambda value, _: value)  # what the console says, not what it is


def scram_verifier(password, iterations=4096):
    """As pg_authid holds it (RFC 5803). One verifier for all shards and the users file lets the proxy log in with what clients prove."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    text = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{text[0]}${text[1]}:{text[2]}"


def deploy_file(name):
    with open(os.path.join(SOURCE, "deploy", name)) as file:
        return file.read()


def toml(value):
    return json.dumps(value)  # strings, numbers, booleans and flat lists are written alike


class Pgrotor:
    """One `pgrotor serve` with its configuration, restarted on the same ports."""

    def __init__(self, scene, name, settings, shards, default_shard, users, admin_password):
        self.scene, self.name = scene, name
        self.port, self.http_port = free_port(), free_port()
        self.folder = os.path.join(scene.folder, name)
        os.mkdir(self.folder, 0o700)
        self.config, self.log = os.path.join(self.folder, "pgrotor.toml"), os.path.join(self.folder, "pgrotor.log")
        self.admin_password, self.child = admin_password, None
        users_file = self.users_file = os.path.join(self.folder, "users.txt")
        with open(users_file, "w") as file:
            file.writelines(f'"{user}" "{secret}"\n' for user, secret in dict(users, admin=admin_password).items())
        self.sections = {"listen": {"host": "127.0.0.1", "port": self.port}, "http": {"host": "127.0.0.1", "port": self.http_port},
                         "auth": {"users_file": users_file, "admin_users": ["admin"]}, "tools": {"pg_dump": DUMP_BIN + "pg_dump"}}
        self.default_shard, self.shards = default_shard, shards
        self.set(**settings)
        os.chmod(self.config, 0o600)
        os.chmod(users_file, 0o600)

    def set(self, **settings):
        """Writes the configuration file anew with more or other values, keys as "section.option"."""
        for key, value in settings.items():
            section, _, option = key.partition(".")
            self.sections.setdefault(section, {})[option] = value
        with open(self.config, "w") as file:
            file.write(f"default_shard = {toml(self.default_shard)}\n")
            for section, options in self.sections.items():
                file.write(f"\n[{section}]\n" + "".join(f"{option} = {toml(value)}\n" for option, value in options.items()))
            for shard, dsn in self.shards.items():
                file.write(f"\n[[shard]]\nname = {toml(shard)}\ndsn = {toml(dsn)}\n")

    def add_user(self, user, secret):
        with open(self.users_file, "a") as file:
            file.write(f'"{user}" "{secret}"\n')

    def restart(self):
        assert self.terminate() == 0
        self.serve()

    def command(self, verb, check=True):
        """Runs `pgrotor init` or `check` to its end."""
        done = subprocess.run([binary(), verb, "-c", self.config], cwd="/", text=True, capture_output=True, stdin=subprocess.DEVNULL)
        if check and done.returncode:
            raise RuntimeError(f"pgrotor {verb} failed ({done.returncode}): {done.stdout}{done.stderr}")
        return done

    def serve(self, test="", ready=True):
        """`test`: stop points and mutations for a build with test hooks (migration/base/test_hooks.h)."""
        environment = dict(os.environ)
        environment.pop("PGROTOR_TEST", None)
        if test:
            environment["PGROTOR_TEST"] = test
        self.child = self.scene.run([binary(), "serve", "-c", self.config], os.path.relpath(self.log, self.scene.folder), cwd="/",
                                    env=environment)
        if ready:
            wait_until(self.healthy, f"{self.name} to answer on /healthz", timeout=30)

    def healthy(self):
        if self.child.poll() is not None:
            with open(self.log, errors="replace") as log:
                raise RuntimeError(f"{self.name} ended with {self.child.returncode}: {log.read()[-2000:]}")
        try:
            return self.http("/healthz").startswith("")
        except (urllib.error.URLError, ConnectionError):
            return False

    def http(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def wait_killed(self, timeout=60):
        """A stop point killed it, or something else did: the test that armed it knows which."""
        self.child.wait(timeout)
        return self.child.returncode

    def terminate(self, timeout=60):
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(timeout)
        return self.child.returncode

    def console(self, command, timeout=60):
        """One command of the admin console: rows as dicts, keys in the answer's order."""
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="admin", password=self.admin_password, dbname="pgrotor",
                                      connect_timeout=5)
        try:
            connection.autocommit = True
            psycopg2.extensions.register_type(AS_TEXT, connection)
            with connection.cursor() as cursor:
                cursor.execute(command)
                if cursor.description is None:
                    return []
                names = [column.name for column in cursor.description]
                return [dict(zip(names, row)) for row in cursor.fetchall()]
        finally:
            connection.close()


class Fleet:
    def __init__(self, scene, names=("s1", "s2", "s3"), catalog="s2", settings=None, cluster_settings=None, test="", serve=True,
                 dsn_options=""):
        self.scene, self.names, self.catalog = scene, names, catalog
        self.app_password, self.pgrotor_password = secrets.token_hex(12), secrets.token_hex(12)
        self.app_verifier = scram_verifier(self.app_password)
        self.shards = {name: scene.cluster(name, **(cluster_settings or {})) for name in names}
        for shard in self.shards.values():
            shard.psql(f"CREATE ROLE app LOGIN PASSWORD '{self.app_verifier}'; CREATE ROLE shop_owner NOLOGIN;"
                       f"CREATE DATABASE {DATABASE} OWNER shop_owner;")
            shard.psql(deploy_file("shard_rights.sql"), DATABASE, password=self.pgrotor_password, owner="shop_owner")
        dsn = {name: f"host=127.0.0.1 port={shard.port} dbname={DATABASE}{dsn_options}" for name, shard in self.shards.items()}
        credentials = {"shards_role.user": "pgrotor", "shards_role.password": self.pgrotor_password,
                       "catalog.dsn": f"{dsn[catalog]} user=pgrotor password={self.pgrotor_password}"}
        self.pgrotor = Pgrotor(scene, "pgrotor", dict(credentials, **(settings or {})), dsn, catalog, {"app": self.app_verifier},
                               secrets.token_hex(12))
        if serve:
            self.pgrotor.command("init")
            self.pgrotor.serve(test)

    def everywhere(self, script):
        """Runs a script as the owner of the tables on every shard."""
        for shard in self.shards.values():
            shard.psql("SET ROLE shop_owner;\n" + script, DATABASE)

    def shop(self):
        self.everywhere(deploy_file("shop.sql") + deploy_file("countries.sql"))
        self.console("REFERENCE TABLE countries")
        for table in ("customers", "orders", "order_lines"):
            self.console(f"DISTRIBUTE TABLE {table} BY customer_id IN DISTRIBUTION shop")

    def console(self, command):
        return self.pgrotor.console(command)

    def app(self, autocommit=True, **options):
        """A connection of the application, through the proxy."""
        made = psycopg2.connect(**dict({"host": "127.0.0.1", "port": self.pgrotor.port, "user": "app", "password": self.app_password,
                                        "dbname": DATABASE}, **options))
        made.autocommit = autocommit
        return made

    def query(self, shard, sql, parameters=None):
        return self.shards[shard].query(sql, DATABASE, parameters)

    def stray(self, shard, table, sql, parameters=None):
        """Puts a row where it does not belong, as from before there was an ownership guard."""
        self.query(shard, f'ALTER TABLE {table} DISABLE TRIGGER "~~pgrotor_owner"; {sql}; ALTER TABLE {table} ENABLE ALWAYS TRIGGER "~~pgrotor_owner"',
                   parameters)

    def row(self, number):
        """The migration's row of SHOW MIGRATIONS, which answers at any time, also while a cutover stands at a stop point."""
        return next(row for row in self.console("SHOW MIGRATIONS") if int(row["migration"]) == int(number))

    def migration(self, number):
        """SHOW MIGRATION n as a dict of its (name, value) rows; waits for its turn at the catalog."""
        return {row["name"]: row["value"] for row in self.console(f"SHOW MIGRATION {number}")}

    def wait_state(self, number, *states, timeout=120):
        """Until the migration is in one of the states, then all of SHOW MIGRATION; another final state fails at once."""
        def reached():
            row = self.row(number)
            if row["state"] in states:
                return self.migration(number)
            assert row["state"] not in FINAL, f"migration {number} is {row['state']}: {row['error']}"
            return None
        return wait_until(reached, f"migration {number} to be {' or '.join(states)}", timeout, every=0.05)

    def wait_end(self, number, timeout=120):
        """Until it is DONE, or stands in SWITCHED because rows differ and a person must look; all of SHOW MIGRATION."""
        def ended():
            row = self.row(number)
            assert row["state"] not in FINAL or row["state"] == "DONE", f"migration {number} is {row['state']}: {row['error']}"
            return row["state"] == "DONE" or (row["state"] == "SWITCHED" and row["error"])
        wait_until(ended, f"migration {number} to end", timeout, every=0.05)
        return self.migration(number)

    def wait_done(self, number, timeout=120):
        """As wait_state(DONE), also where a kill has cost the target's snapshot and clients have written since. The word that the DBA then gives
        is right if the test's own book is in order at the end."""
        row = self.wait_end(number, timeout)
        if row["state"] == "SWITCHED":
            assert "its snapshot from before it opened was lost" in row["error"], row
            self.console(f"RESUME MIGRATION {number} ACCEPT TARGET")
        return self.wait_state(number, "DONE", timeout=timeout)

    def ranges(self):
        """[(distribution, lower, upper or None, shard)] of the map."""
        return [(row["distribution"], int(row["lower"]), None if row["upper"] in (None, "") else int(row["upper"]), row["shard"])
                for row in self.console("SHOW RANGES")]

    def owner(self, key, distribution="shop"):
        """The shard that owns a bigint key, by PostgreSQL's hash and the ranges shown."""
        value = self.shards[self.catalog].value(f"SELECT hashint8extended(%s::bigint, {SEED})", DATABASE, (key,))
        for name, lower, upper, shard in self.ranges():
            if name == distribution and lower <= value and (upper is None or value < upper):
                return shard
        raise AssertionError(f"no range holds {value}")
