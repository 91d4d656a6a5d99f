"""The rows of tests/bench/proxies: what is done through one contender for some seconds, and what came of it.

A workload is called as run(contenders, contender, clients, seconds) and returns a Sample. pgbench makes the load where it can (its log
gives the latencies); large results and COPY are read and written by a client that looks at no row.
"""
import glob
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration", "proxy"))
from cluster import BIN  # noqa: E402
import wire  # noqa: E402
from contenders import ROWS  # noqa: E402

READY = wire.message(b"Z", b"I")
LOOKUP = "\\set id random(1, {rows})\nSELECT balance FROM {table} WHERE customer_id = :id;\n"
PIPELINE = "\\startpipeline\n" + "SELECT 1;\n" * 10 + "\\endpipeline\n"


@dataclass
class Sample:
    transactions: int = 0  # or MB of a COPY, or logins
    seconds: float = 0.0
    cpu: float = 0.0  # of the proxy process
    latencies: list = field(default_factory=list)  # microseconds

    def add(self, other):
        self.transactions += other.transactions
        self.seconds += other.seconds
        self.cpu += other.cpu
        self.latencies += other.latencies


def measured(contender, work):
    """`work` returns (transactions, latencies)."""
    cpu, began = contender.cpu_seconds(), time.monotonic()
    transactions, latencies = work()
    return Sample(transactions, time.monotonic() - began, contender.cpu_seconds() - cpu, latencies)


class Pgbench:
    def __init__(self, mode, script, table=("accounts", "accounts"), session=False, login=False, user="app", sslmode="disable"):
        self.mode, self.script, self.table, self.session, self.login, self.user = mode, script, table, session, login, user
        self.sslmode = sslmode

    def __call__(self, contenders, contender, clients, seconds):
        folder = contenders.scene.folder
        script, log = os.path.join(folder, "script.sql"), os.path.join(folder, "pgbench_log")
        with open(script, "w") as file:
            file.write(self.script.format(rows=ROWS, table=self.table[contender.name == "pgrotor"]))
        database = contender.session_database if self.session else contender.database
        command = [BIN + "pgbench", "-n", "-M", self.mode, "-f", script, "-c", str(clients), "-j", "1", "-T", str(seconds), "-l",
                   "--sampling-rate=0.2", f"--log-prefix={log}", contenders.dsn(contender, database, self.user, self.sslmode)]
        command += ["-C"] if self.login else []
        for longer in (0, 4, 8):  # a busy machine may need the whole turn for the logins
            turn = command[:command.index("-T") + 1] + [str(seconds + longer)] + command[command.index("-T") + 2:]
            sample = measured(contender, lambda: self._run(turn, contenders.environment()))
            sample.latencies = self._read_log(log)
            if sample.transactions:
                sample.seconds = sample.transactions / self.rate
                return sample
        raise RuntimeError(f"{' '.join(turn)}: no transaction")

    def _run(self, command, environment):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/")
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
        said = dict(re.findall(r"^(number of transactions actually processed: |tps = )([0-9.]+)", done.stdout, re.M))
        self.rate = float(said.get("tps = ", 0))  # without the time of the first connections
        return int(said["number of transactions actually processed: "]), []

    @staticmethod
    def _read_log(prefix):
        found = []
        for path in glob.glob(prefix + ".*"):
            with open(path) as file:
                found += [int(line.split()[2]) for line in file]
            os.unlink(path)
        return found


def _connect(contenders, contender, user="app"):
    return wire.Client(contender.port, user=user, password=contenders.password, database=contender.database, timeout=120)


class Logins:
    """One client after the other: connect, log in, one statement, leave. It computes PBKDF2 once for each salt that it is told."""

    def __init__(self, user):
        self.user = user

    def __call__(self, contenders, contender, clients, seconds):
        def log_in():
            end, latencies = time.monotonic() + seconds, []
            while time.monotonic() < end or not latencies:
                began = time.monotonic()
                client = _connect(contenders, contender, self.user)
                latencies.append((time.monotonic() - began) * 1e6)
                client.rows("SELECT 1")
                client.send(wire.TERMINATE)
                client.close()
            return len(latencies), latencies
        return measured(contender, log_in)


class LargeResult:
    """One statement whose answer is `size` MB; counts MB."""

    def __init__(self, sql, size):
        self.sql, self.size = sql, size

    def __call__(self, contenders, contender, clients, seconds):
        client, buffer = _connect(contenders, contender), bytearray(1 << 20)

        def read_all():
            began, total, tail = time.monotonic(), 0, b""
            client.send(wire.query(self.sql.format(mb=self.size)))
            while tail != READY:
                count = client.socket.recv_into(buffer)
                if count == 0:
                    raise RuntimeError("the connection closed")
                total += count
                tail = (tail + bytes(buffer[max(0, count - 6):count]))[-6:]
            if total < self.size * 1_000_000:
                raise RuntimeError(f"only {total} bytes came")
            return total / 1e6, [(time.monotonic() - began) * 1e6]
        sample = measured(contender, read_all)
        client.close()
        return sample


class CopyIn:
    """COPY ... FROM STDIN of `size` MB of which PostgreSQL keeps nothing; counts MB."""

    def __init__(self, size, message_bytes):
        self.size = size
        line = b"x" * 99 + b"\n"
        frame = wire.message(b"d", line * max(1, message_bytes // len(line)))
        self.chunk = frame * max(1, (1 << 18) // len(frame))

    def __call__(self, contenders, contender, clients, seconds):
        client = _connect(contenders, contender)

        def write_all():
            began = time.monotonic()
            client.send(wire.query("COPY sink FROM STDIN WHERE false"))
            client.until(b"G")
            for _ in range(self.size * 1_000_000 // len(self.chunk)):
                client.socket.sendall(self.chunk)
            client.send(wire.message(b"c"))
            if "C:COPY 0" not in client.read_kinds():
                raise RuntimeError("COPY failed")
            return self.size, [(time.monotonic() - began) * 1e6]
        sample = measured(contender, write_all)
        client.close()
        return sample


class IdleClients:
    """Logs `count` clients in, lets each do one transaction, and leaves them idle. Gives the proxy's bytes for each."""

    def __init__(self, count):
        self.count = count

    def __call__(self, contenders, contender):
        warm = [_connect(contenders, contender) for _ in range(50)]
        for client in warm:
            client.rows("SELECT 1")
        before, clients = contender.memory(), []
        for _ in range(self.count):
            clients.append(_connect(contenders, contender))
            clients[-1].rows("SELECT 1")
        sample = (contender.memory() - before) / self.count
        for client in warm + clients:
            client.send(wire.TERMINATE)
            client.close()
        return sample


def rows(copy_mb):
    """name -> (workload, numbers of clients, unit). `sharded` rows read a table that only pgrotor knows to be sharded."""
    generate = "SELECT repeat('x', {width}) FROM generate_series(1, {{mb}} * {rows})"
    small, large = generate.format(width=89, rows=10_000), generate.format(width=995, rows=1_000)
    return {
        "simple": (Pgbench("simple", "SELECT 1;\n"), (1, 32), "tx"),
        "extended": (Pgbench("extended", LOOKUP), (1, 32), "tx"),
        "prepared": (Pgbench("prepared", LOOKUP, session=True), (1, 32), "tx"),
        "pipeline10": (Pgbench("extended", PIPELINE), (1, 32), "tx"),
        "sharded_prepared": (Pgbench("prepared", LOOKUP, ("accounts", "keyed"), session=True), (1, 32), "tx"),
        "sharded_simple": (Pgbench("simple", LOOKUP, ("accounts", "keyed")), (1, 32), "tx"),
        "tls_simple": (Pgbench("simple", "SELECT 1;\n", sslmode="require"), (1, 32), "tx"),
        "tls_login": (Pgbench("simple", "SELECT 1;\n", login=True, sslmode="require"), (8,), "login"),
        "login_verifier": (Logins("app"), (1,), "login"),
        "login_password": (Logins("plain"), (1,), "login"),
        "select_large": (LargeResult(small, copy_mb), (1,), "MB"),
        "copy_out": (LargeResult(f"COPY ({large}) TO STDOUT", copy_mb), (1,), "MB"),
        "copy_in": (CopyIn(copy_mb, 8192), (1,), "MB"),
        "copy_in_rows": (CopyIn(copy_mb, 100), (1,), "MB"),
    }
