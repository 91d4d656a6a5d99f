"""Real PostgreSQL clusters (Debian's 15, or those that PGROTOR_PG_BIN names) and a real pgrotor for tests and for the demo.

    with Scene("what it shows") as scene:
        one = scene.cluster("one", wal_level="logical")
        with one.connect() as c: ...

A Scene owns a folder under /tmp and everything started in it; a reaper process (reaper.py) ends it all, even when this process is
killed. PostgreSQL refuses to run as root, so as root it runs as postgres through runuser, with / as working folder and nothing read
from the clone, which only its owner may be able to read. Every setting that makes data durable stays as PostgreSQL ships it.
Fleet (fleet.py) builds three shards, roles, the shop and pgrotor on top of this.
"""
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import psycopg2

import reaper

# PGROTOR_PG_BIN: folders of other servers, parted by colons; a scene's clusters take them in turn (tests/versions). PGROTOR_PG_CLIENTS: the
# folder of those client programs that refuse newer servers (DUMP_BIN), pg_dump and pg_basebackup.
BIN = "/usr/lib/postgresql/15/bin/"
SERVERS = os.environ.get("PGROTOR_PG_BIN", BIN).split(":")
DUMP_BIN = os.path.join(os.environ.get("PGROTOR_PG_CLIENTS", BIN), "")
AS_POSTGRES = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
SOURCE = os.environ.get("PGROTOR_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def binary():
    """The pgrotor under test: PGROTOR_BINARY, else that of the build folder which ctest or the demo names."""
    return os.environ.get("PGROTOR_BINARY") or os.path.join(os.environ.get("PGROTOR_BUILD") or os.path.join(SOURCE, "build", "test"), "proxy", "pgrotor")


class TimedOut(AssertionError):
    pass


def wait_until(condition, what, timeout=60.0, every=0.02):
    """Polls until `condition` gives something true, returns that; TimedOut names `what` and the last answer."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimedOut(f"waited {timeout:g} s for {what}; last answer: {answer!r}")
        time.sleep(every)


def free_port():
    """A port nobody listens on, below the range that outgoing connections take theirs from, and never 5432."""
    pick = random.SystemRandom()
    while True:
        port = pick.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def _stop_on(signum, _frame):
    raise SystemExit(128 + signum)


class Scene:
    """A folder, the processes started in it, and their end."""

    def __init__(self, name=""):
        self.name = name
        for signum in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, _stop_on)
        self.reaper = reaper.Reaper()
        self.folder = tempfile.mkdtemp(prefix="pgrotor-", dir="/tmp")
        self.reaper.folder(self.folder)
        if AS_POSTGRES:
            shutil.chown(self.folder, "postgres", "postgres")
        self.clusters = []

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _trace):
        if kind is not None and not issubclass(kind, (KeyboardInterrupt, SystemExit)):
            self.print_logs()
        self.reaper.close()

    def print_logs(self, lines=25):
        """The end of every log, for whoever reads the failure."""
        for folder, _, files in os.walk(self.folder):
            for file in sorted(files):
                path = os.path.join(folder, file)
                if file.endswith(".log") and os.path.getsize(path):
                    with open(path, errors="replace") as log:
                        tail = log.readlines()[-lines:]
                    print(f"--- end of {os.path.relpath(path, self.folder)}\n{''.join(tail)}", file=sys.stderr, end="")

    def cluster(self, name, **settings):
        made = Cluster(self, name, settings)
        self.clusters.append(made)
        made.start()
        return made

    def run(self, command, log, **options):
        """Starts a program in a session of its own (Ctrl-C is ours to handle), ended with the scene; output goes to `log`."""
        with open(os.path.join(self.folder, log), "ab") as out:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=options.pop("stdout", out), stderr=out,
                                     start_new_session=True, **options)
        self.reaper.process(child.pid)
        return child


class Cluster:
    """One PostgreSQL cluster; `psql` and `connect` go in as the superuser over the socket in its folder."""

    DEFAULTS = {"wal_level": "logical", "max_replication_slots": 20, "max_wal_senders": 20, "max_prepared_transactions": 10,
                "max_connections": 200, "shared_buffers": "128MB", "log_line_prefix": "%m [%p] %q%u@%d "}

    def __init__(self, scene, name, settings):
        self.scene, self.name = scene, name
        self.bin = SERVERS[len(scene.clusters) % len(SERVERS)]
        self.folder = os.path.join(scene.folder, name)
        self.data, self.log = os.path.join(self.folder, "data"), os.path.join(self.folder, "postgresql.log")
        self.settings = dict(self.DEFAULTS, **settings)
        self.port = free_port()
        os.mkdir(self.folder, 0o700)
        if AS_POSTGRES:
            shutil.chown(self.folder, "postgres", "postgres")
        self._as_postgres("initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
                          "--auth-local=trust", "--auth-host=scram-sha-256")

    def _as_postgres(self, program, *arguments):
        done = subprocess.run([*AS_POSTGRES, os.path.join(self.bin, program), *arguments], cwd="/", stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise RuntimeError(f"{program} of cluster {self.name} failed: {done.stderr.strip()}")

    def start(self):
        for attempt in (1, 2, 3):
            settings = dict(self.settings, port=self.port, listen_addresses="127.0.0.1", unix_socket_directories=self.folder)
            with open(os.path.join(self.data, "postgresql.auto.conf"), "w") as conf:
                conf.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
            try:
                self._as_postgres("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", self.log, "start")
                break
            except RuntimeError:
                with open(self.log, errors="replace") as log:
                    if attempt == 3 or "Address already in use" not in log.read():
                        raise
                self.port = free_port()
        self.scene.reaper.process(self.postmaster(), signal.SIGQUIT)

    def version(self):
        """The major version, of a cluster that runs or not."""
        with open(os.path.join(self.data, "PG_VERSION")) as file:
            return int(file.read())

    def postmaster(self):
        with open(os.path.join(self.data, "postmaster.pid")) as file:
            return int(file.readline())

    def stop(self, mode="fast"):
        self._as_postgres("pg_ctl", "-D", self.data, "-w", "-t", "60", "-m", mode, "stop")

    def restart(self, mode="fast", **settings):
        self.stop(mode)
        self.settings.update(settings)
        self.start()

    def create_database(self, name):
        self.execute(f'CREATE DATABASE "{name}"')

    def connect(self, database="postgres", autocommit=True, **options):
        """A psycopg2 connection, over the socket as the superuser unless `user` (and `password`) say otherwise."""
        if "user" in options:
            options.setdefault("host", "127.0.0.1")
        made = psycopg2.connect(**dict({"host": self.folder, "port": self.port, "user": "postgres", "dbname": database}, **options))
        made.autocommit = autocommit
        return made

    def query(self, sql, database="postgres", parameters=None):
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    execute = query

    def value(self, sql, database="postgres", parameters=None):
        return self.query(sql, database, parameters)[0][0]

    def psql(self, script, database="postgres", user="postgres", **variables):
        """Runs a script through psql's stdin, stopping at its first error; returns what it printed."""
        command = [BIN + "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port), "-U", user,
                   "-d", database]
        for name, value in variables.items():
            command += ["-v", f"{name}={value}"]
        done = subprocess.run(command, input=script, text=True, capture_output=True, cwd="/")
        if done.returncode:
            raise RuntimeError(f"psql on {self.name}: {done.stderr.strip()}")
        return done.stdout
