"""A throw-away PostgreSQL 15 cluster and a minimal v3 client for the capture scripts beside this file.

The client exists because the captures are of the bytes themselves, which drivers hide. One thread, blocking sockets.
"""
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import tempfile

BIN = "/usr/lib/postgresql/15/bin/"
AS_POSTGRES = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


def run(*command, **options):
    return subprocess.run([*AS_POSTGRES, *command], cwd="/", check=True, **options)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def cluster(**settings):
    """Starts a cluster, gives its port, and ends it whatever happens."""
    folder = tempfile.mkdtemp(prefix="pgrotor-", dir="/tmp")
    data, port = folder + "/data", free_port()
    if AS_POSTGRES:
        shutil.chown(folder, "postgres", "postgres")
    settings = dict(settings, port=port, unix_socket_directories=folder, listen_addresses="127.0.0.1")
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    try:
        run(BIN + "initdb", "-D", data, "-U", "postgres", "--locale=C.UTF-8", "-A", "trust", stdout=subprocess.DEVNULL)
        with open(data + "/pg_hba.conf", "w") as rules:
            rules.write("host all app 127.0.0.1/32 scram-sha-256\n"
                        "host all postgres 127.0.0.1/32 trust\n"
                        "host replication,all postgres 127.0.0.1/32 trust\n")
        run(BIN + "pg_ctl", "-D", data, "-w", "-l", folder + "/log", "-o", options, "start", stdout=subprocess.DEVNULL)
        yield port
    finally:
        if os.path.exists(data + "/postmaster.pid"):
            run(BIN + "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop", stdout=subprocess.DEVNULL)
        shutil.rmtree(folder)


class Connection:
    """Simple queries, and the raw bytes of replication."""

    def __init__(self, port, **parameters):
        self.socket = socket.create_connection(("127.0.0.1", port))
        names = dict({"user": "postgres", "database": "postgres"}, **parameters)
        body = struct.pack("!i", 3 << 16) + b"".join(k.encode() + b"\0" + v.encode() + b"\0" for k, v in names.items()) + b"\0"
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.until(b"Z")

    def read(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise EOFError("server closed the connection")
            data += piece
        return data

    def frame(self):
        head = self.read(5)
        body = self.read(struct.unpack("!i", head[1:])[0] - 4)
        if head[:1] == b"E":
            raise RuntimeError(body.replace(b"\0", b" ").decode())
        return head[:1], body

    def until(self, last):
        frames = []
        while not frames or frames[-1][0] != last:
            frames.append(self.frame())
        return frames

    def start(self, sql, last=b"Z"):
        body = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
        return self.until(last)

    def query(self, sql):
        """Rows as lists of text; None for NULL."""
        rows = []
        for kind, body in self.start(sql):
            if kind != b"D":
                continue
            row, at = [], 2
            for _ in range(struct.unpack("!h", body[:2])[0]):
                size = struct.unpack("!i", body[at:at + 4])[0]
                row.append(None if size < 0 else body[at + 4:at + 4 + size].decode())
                at += 4 + max(size, 0)
            rows.append(row)
        return rows
