"""Time-outs of clients with PostgreSQL's SQLSTATEs: login, statement, idle in transaction, transaction, idle client; and what is left
on the shard after each. The wire is spoken by hand, for what drivers hide."""
import os
import signal
import socket
import struct
import sys
import time
from contextlib import closing

from cluster import Scene, wait_until
from fleet import DATABASE, Fleet

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy"))
import wire  # noqa: E402


def configure(fleet, **times):
    usual = {"query_ms": 0, "idle_in_transaction_ms": 0, "transaction_ms": 0, "client_idle_ms": 0}
    fleet.pgrotor.set(**{f"timeouts.{key}": value for key, value in dict(usual, **times).items()})
    fleet.console("RELOAD")


def client_of(fleet):
    return wire.Client(fleet.pgrotor.port, password=fleet.app_password, database=DATABASE)


def counter(fleet, name):
    return next(int(row["total"]) for row in fleet.console("SHOW STATS") if row["counter"] == f"pgrotor_{name}_total")


def in_transaction(fleet):
    return fleet.query("s1", "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND xact_start IS NOT NULL")[0][0]


def last_words(client, least, most):
    """The FATAL that ends the connection, and when it came."""
    began = time.monotonic()
    words = client.closed()
    took = time.monotonic() - began
    assert least < took < most, took
    assert words.get("S") == "FATAL", words
    return words["C"], words["M"]


def login(fleet):
    for sent in (b"", wire.startup(user="app", database=DATABASE)):
        with closing(socket.create_connection(("127.0.0.1", fleet.pgrotor.port), timeout=10)) as raw:
            raw.sendall(sent)
            began, got = time.monotonic(), b""
            while part := raw.recv(4096):
                got += part
            assert 0.8 < time.monotonic() - began < 4
            assert b"C57014\0Mcanceling authentication due to timeout\0" in got, got


def statement(fleet):
    configure(fleet, query_ms=500)
    client = client_of(fleet)
    for raw in (wire.query("SELECT pg_sleep(30)"), wire.parse("", "SELECT pg_sleep(30)") + wire.bind() + wire.execute() + wire.SYNC):
        began = time.monotonic()
        assert client.kinds(raw).split()[-2:] == ["E57014", "ZI"]
        assert 0.4 < time.monotonic() - began < 2
    assert client.rows("SELECT 1") == [["1"]]
    assert client.kinds(wire.query("BEGIN")) == "C:BEGIN ZT"
    assert client.kinds(wire.query("SELECT pg_sleep(30)")).split()[-2:] == ["E57014", "ZE"]
    time.sleep(0.7)  # it is the client's turn: no statement runs
    assert client.kinds(wire.query("ROLLBACK")) == "C:ROLLBACK ZI"
    assert counter(fleet, "statement_timeouts") == 3
    # A shard that does not obey: the connection is given up, the client gets an answer.
    client.rows("SELECT 1")
    pid = int(client.rows("SELECT pg_backend_pid()")[0][0])
    client.send(wire.query("SELECT pg_sleep(20)"))
    wait_until(lambda: fleet.query("s1", "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active'", (pid,)), "it to run")
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        words = [wire.fields(body)["C"] for kind, body in client.until(b"E") if kind == b"E"]
        assert words == ["08007"] or words == ["08006"], words
        assert 4 < time.monotonic() - began < 9
    finally:
        os.kill(pid, signal.SIGCONT)


def idle_in_transaction(fleet):
    configure(fleet, idle_in_transaction_ms=600)
    for statements in (("BEGIN", "SELECT 1"), ("BEGIN",)):
        with closing(client_of(fleet)) as client:
            for sql in statements:
                client.kinds(wire.query(sql))
            assert last_words(client, 0.4, 2) == ("25P03", "terminating connection due to idle-in-transaction timeout")
    wait_until(lambda: in_transaction(fleet) == 0, "the transaction to be rolled back", timeout=5)
    with closing(client_of(fleet)) as client:  # who works is not idle
        client.kinds(wire.query("BEGIN"))
        for _ in range(3):
            assert client.kinds(wire.query("SELECT pg_sleep(0.4)")) == "T D C:SELECT 1 ZT"
        assert client.kinds(wire.query("COMMIT")) == "C:COMMIT ZI"
        time.sleep(0.8)
        assert client.rows("SELECT 1") == [["1"]]


def transaction(fleet):
    configure(fleet, transaction_ms=700)
    with closing(client_of(fleet)) as client:
        client.kinds(wire.query("BEGIN"))
        began = time.monotonic()
        while time.monotonic() - began < 0.5:
            assert client.kinds(wire.query("SELECT 1")) == "T D C:SELECT 1 ZT"
        assert last_words(client, 0, 2) == ("25P04", "terminating connection due to transaction timeout")
    with closing(client_of(fleet)) as client:
        client.kinds(wire.query("BEGIN"))
        client.send(wire.query("SELECT pg_sleep(30)"))
        assert last_words(client, 0.4, 2)[0] == "25P04"
    wait_until(lambda: in_transaction(fleet) == 0, "the statement to be cancelled", timeout=5)
    with closing(client_of(fleet)) as client:
        for _ in range(20):  # each is a transaction of its own
            assert client.rows("SELECT pg_sleep(0.05)") == [[""]]


def client_idle(fleet):
    configure(fleet, client_idle_ms=600)
    with closing(client_of(fleet)) as client:
        for _ in range(3):
            time.sleep(0.4)
            client.rows("SELECT 1")
        assert last_words(client, 0.4, 2) == ("57P05", "terminating connection due to idle-session timeout")
    with closing(client_of(fleet)) as never_spoke:
        assert last_words(never_spoke, 0.4, 2)[0] == "57P05"
    with closing(client_of(fleet)) as client:
        client.kinds(wire.query("BEGIN"))
        time.sleep(1)
        assert client.kinds(wire.query("COMMIT")) == "C:COMMIT ZI"
    configure(fleet)
    with closing(client_of(fleet)) as client:
        time.sleep(1)
        assert client.rows("SELECT 1") == [["1"]]


def keepalives(fleet, client):
    """Sockets of pgrotor to this client and to the shard whose keepalive timer runs, and is that of the file."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    own = {os.readlink(f"/proc/{fleet.pgrotor.child.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{fleet.pgrotor.child.pid}/fd")}
    ends = {client.socket.getsockname()[1], fleet.shards["s1"].port}
    mine = [row for row in rows if f"socket:[{row[9]}]" in own and int(row[2].split(":")[1], 16) in ends]
    return {row[2] for row in mine if row[5].startswith("02:") and 20 < int(row[5][3:], 16) / 100 <= 33}


def socket_options(fleet):
    """What the kernel says of the sockets: keepalive on both sides, with the times of the file."""
    fleet.pgrotor.set(**{"tcp.keepalive_idle_ms": 33000, "tcp.keepalive_interval_ms": 7000})
    fleet.console("RELOAD")
    fleet.console("RECONNECT")
    with closing(client_of(fleet)) as client:
        client.rows("SELECT 1")
        wait_until(lambda: len(keepalives(fleet, client)) == 2, "keepalive on both sides", timeout=10)


def main():
    with Scene("timeouts") as scene:
        fleet = Fleet(scene, names=("s1",), catalog="s1", settings={"limits.login_timeout_ms": 1000, "pool.size": 3})
        for step in (login, statement, idle_in_transaction, transaction, client_idle, socket_options):
            print(step.__name__, flush=True)
            step(fleet)
        assert fleet.pgrotor.terminate() == 0


if __name__ == "__main__":
    main()
