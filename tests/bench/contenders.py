"""What tests/bench/proxies compares: PostgreSQL itself, PgBouncer and pgrotor in front of it, side by side on one machine.

Contenders starts all three on one Fleet (shards s1 and s2; s1 is the PostgreSQL that all three talk to) and gives each as a Contender:
a port to connect to and, for a proxy, the process whose CPU time and memory are read. Everything ends with the scene.
"""
import os
import resource
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from certificates import Authority  # noqa: E402
from cluster import AS_POSTGRES, TimedOut, free_port, wait_until  # noqa: E402
from fleet import DATABASE, SEED, Fleet  # noqa: E402

TICK = 1.0 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
ROWS = 10_000
SCHEMA = f"""
CREATE TABLE accounts (customer_id bigint PRIMARY KEY, balance int NOT NULL);
INSERT INTO accounts SELECT i, i FROM generate_series(1, {ROWS}) i;
CREATE TABLE keyed (customer_id bigint PRIMARY KEY, balance int NOT NULL);
CREATE TABLE sink (line text);
GRANT ALL ON accounts, keyed, sink TO app, plain;
"""


def fill(fleet):
    """`keyed` is sharded behind pgrotor: each shard holds the rows that it owns. For others s1 has them all in `accounts`."""
    fleet.everywhere(SCHEMA)
    fleet.console("DISTRIBUTE TABLE keyed BY customer_id IN DISTRIBUTION bench")
    for name, shard in fleet.shards.items():
        owned = [(lower, upper) for _, lower, upper, owner in fleet.ranges() if owner == name]
        value = f"hashint8extended(customer_id, {SEED})"
        rule = " OR ".join(f"({value} >= {lower}" + (f" AND {value} < {upper})" if upper is not None else ")") for lower, upper in owned)
        shard.execute(f"INSERT INTO keyed SELECT * FROM accounts WHERE {rule or 'false'}", DATABASE)
        shard.execute("VACUUM ANALYZE", DATABASE)


class Contender:
    """`database`: where a workload goes; `session_database`: the same without sharing server connections between transactions."""

    def __init__(self, name, port, pid=None, session_database=DATABASE):
        self.name, self.port, self.pid, self.session_database = name, port, pid, session_database
        self.database = DATABASE

    def cpu_seconds(self):
        """utime + stime of all threads, those that have ended included; 0 for PostgreSQL itself."""
        if self.pid is None:
            return 0.0
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * TICK

    def memory(self):
        with open(f"/proc/{self.pid}/statm") as statm:
            return int(statm.read().split()[1]) * PAGE


class Contenders:
    def __init__(self, scene, pool_size=20, max_clients=6000):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.descriptors = hard
        self.scene, self.pool_size, self.max_clients = scene, pool_size, max_clients
        authority, names = Authority(scene.folder, "bench"), "DNS:localhost,IP:127.0.0.1"
        self.certificate, self.key = authority.issue("server", names, for_postgres=True)
        rotor_certificate, rotor_key = authority.issue("pgrotor", names)
        self.fleet = Fleet(scene, ("s1", "s2"), "s1", serve=False, cluster_settings={
            "max_connections": 300, "max_wal_size": "4GB", "ssl": "on", "ssl_cert_file": self.certificate, "ssl_key_file": self.key},
                           settings={"pool.size": pool_size, "limits.max_clients": max_clients, "log.level": "warning",
                                     "listen.tls.mode": "allow", "listen.tls.certificate": rotor_certificate, "listen.tls.key": rotor_key},
                           dsn_options=" sslmode=disable")
        self.password = self.fleet.app_password
        for shard in self.fleet.shards.values():
            shard.psql(f"CREATE ROLE plain LOGIN PASSWORD '{self.fleet.app_verifier}'")
        # The same password in clear: whoever keeps it so has to compute what a verifier has ready.
        self.users = [("app", self.fleet.app_verifier), ("plain", self.password)]
        self._start_pgrotor()
        self.all = [Contender("direct", self.fleet.shards["s1"].port), self._start_pgbouncer(),
                    Contender("pgrotor", self.fleet.pgrotor.port, self.fleet.pgrotor.child.pid)]
        fill(self.fleet)

    def _start_pgrotor(self):
        users_file = os.path.join(self.fleet.pgrotor.folder, "users.txt")
        with open(users_file, "a") as file:
            file.write('"plain" "{}"\n'.format(self.password))
        self.fleet.pgrotor.command("init")
        self.fleet.pgrotor.serve()

    def _start_pgbouncer(self):
        if not shutil.which("pgbouncer"):
            raise SystemExit("pgbouncer is not installed: apt-get install pgbouncer")
        folder, port = os.path.join(self.scene.folder, "pgbouncer"), free_port()
        os.mkdir(folder, 0o700)
        backend = f"host=127.0.0.1 port={self.fleet.shards['s1'].port} dbname={DATABASE}"
        files = {"users.txt": "".join(f'"{user}" "{secret}"\n' for user, secret in self.users), "pgbouncer.ini": f"""
[databases]
{DATABASE} = {backend}
{DATABASE}_session = {backend} pool_mode=session pool_size=100
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {self.pool_size}
max_client_conn = {self.max_clients}
ignore_startup_parameters = extra_float_digits
client_tls_sslmode = allow
client_tls_cert_file = {self.certificate}
client_tls_key_file = {self.key}
server_tls_sslmode = disable
log_connections = 0
log_disconnections = 0
"""}
        for name, text in files.items():
            with open(os.path.join(folder, name), "w") as file:
                file.write(text)
        if AS_POSTGRES:
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                shutil.chown(path, "postgres", "postgres")
        # setpriv, not runuser: it becomes pgbouncer, whose pid is the one to measure.
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if AS_POSTGRES else []
        child = self.scene.run([*become, "pgbouncer", os.path.join(folder, "pgbouncer.ini")], "pgbouncer.log", cwd="/")
        contender = Contender("pgbouncer", port, child.pid, DATABASE + "_session")
        wait_until(lambda: child.poll() is not None or self._answers(contender), "pgbouncer to answer", timeout=20)
        if child.poll() is not None:
            raise TimedOut("pgbouncer ended at once, see its log")
        return contender

    def _answers(self, contender):
        done = subprocess.run(["psql", "-Xqc", "SELECT 1", self.dsn(contender)], capture_output=True, env=self.environment(), cwd="/")
        return done.returncode == 0

    def dsn(self, contender, database=None, user="app", sslmode="disable"):
        return (f"host=127.0.0.1 port={contender.port} dbname={database or contender.database} user={user} sslmode={sslmode} "
                "gssencmode=disable")

    def environment(self):
        return dict(os.environ, PGPASSWORD=self.password, LC_ALL="C")

    def versions(self):
        """One line each; PgBouncer below 1.21 has no prepared statements in transaction pooling."""
        text = subprocess.run(["pgbouncer", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
        return f"PostgreSQL {self.fleet.shards['s1'].value('SHOW server_version')}", text, "pgrotor from " + os.environ["PGROTOR_BUILD"]
