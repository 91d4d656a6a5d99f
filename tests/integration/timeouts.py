"""Time-outs of clients with PostgreSQL's SQLSTATEs: login, statement, idle in transaction, transaction, idle client; and what is left
on the shard after each. Then servers that stand still while pgrotor itself asks them something. The wire is spoken by hand, for what
drivers hide."""
import contextlib
import os
import select
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2

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


def come_while_it_is_locked(fleet, options, meanwhile):
    """A client whose login has to wait on the shard, for as long as meanwhile() takes."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'pgrotor.admit'"
    shard = fleet.shards["s1"]
    with ThreadPoolExecutor() as aside, closing(shard.connect(DATABASE, autocommit=False)) as holder:
        holder.cursor().execute("SELECT FROM pgrotor.identity FOR UPDATE")
        coming = aside.submit(fleet.app, options=options)
        wait_until(lambda: shard.query(waiting), "the login to wait", timeout=10)
        meanwhile(shard.value(waiting))
        holder.rollback()
        return coming.result()


def login_on_the_shard(fleet):
    """What a client has for its statements is not for what a login asks, and that a login of its is cancelled is no word about the shard."""
    before = counter(fleet, "shard_outages")
    for name in ("statement_timeout", "lock_timeout"):
        with closing(come_while_it_is_locked(fleet, f"-c {name}=50", lambda _: time.sleep(0.2))) as client, client.cursor() as cursor:
            cursor.execute(f"SHOW {name}")
            assert cursor.fetchone() == ("50ms",)
    # As one that is too short even for BEGIN.
    try:
        come_while_it_is_locked(fleet, "-c work_mem=7MB", lambda pid: fleet.query("s1", "SELECT pg_cancel_backend(%s)", (pid,)))
        raise AssertionError("a cancelled login lets in")
    except psycopg2.OperationalError as failed:
        assert "canceling statement" in str(failed), failed
    for _ in range(10):  # before it is asked anything, or behind it, or not at all
        with contextlib.suppress(psycopg2.OperationalError):
            fleet.app(options="-c idle_session_timeout=1").close()
    with closing(fleet.app(options="-c work_mem=8MB")):
        assert counter(fleet, "shard_outages") == before


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
    # A large message that takes longer to come than a statement may take.
    client.send(wire.parse("", "SELECT length($1::text)"))
    bind = wire.bind("", ["x" * (6 << 20)])
    for at in range(0, len(bind), 1 << 20):
        client.send(bind[at:at + (1 << 20)])
        time.sleep(0.2)
    assert client.kinds(wire.execute() + wire.SYNC) == "1 2 D C:SELECT 1 ZI"
    assert counter(fleet, "statement_timeouts") == 3
    # A shard that does not obey: the connection is given up, the client gets an answer.
    client.rows("SELECT 1")
    pid = int(client.rows("SELECT pg_backend_pid() + 0")[0][0])
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


def large_message(fleet):
    """One that comes slower than the statement may take is taken whole; of one that stops in its middle the client is told, which need not
    send more of it to hear that, and its server is closed."""
    configure(fleet, query_ms=500)
    bind = wire.bind("", ["x" * (6 << 20)])
    with closing(client_of(fleet)) as alone, closing(client_of(fleet)) as in_block:
        stopped = {alone: "ZI", in_block: "ZE"}
        in_block.kinds(wire.query("BEGIN"))
        before = counter(fleet, "statement_timeouts")
        began = time.monotonic()
        for client in stopped:
            client.send(wire.parse("", "SELECT length($1::text)") + bind[:3 << 20])
        wait_until(lambda: len(servers(fleet, "active")) == 2, "two servers to be used")
        used = servers(fleet, "active")
        for client, ready in stopped.items():
            words = next(wire.fields(body) for kind, body in client.until(b"E") if kind == b"E")
            assert (words["S"], words["C"]) == ("ERROR", "08006") and "large message" in words["D"], words
            assert 4 < time.monotonic() - began < 9
        assert not used & servers(fleet)
        assert in_transaction(fleet) == 0
        for client, ready in stopped.items():
            assert client.kinds(bind[3 << 20:] + wire.execute() + wire.SYNC) == ready
            assert client.kinds(wire.query("ROLLBACK")).endswith("C:ROLLBACK ZI")
            assert client.rows("SELECT 1") == [["1"]]
        assert counter(fleet, "statement_timeouts") == before + 2


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


def own_timeouts(fleet):
    """What SET, SET LOCAL, the startup packet or the role say holds for the client, whether it has a server or not."""
    configure(fleet)
    idle, waits = "SET idle_session_timeout = '400ms'", "SET idle_in_transaction_session_timeout = '400ms'"
    for statements, code in (((idle,), "57P05"), ((waits, "BEGIN"), "25P03"), ((waits, "BEGIN", "SELECT 1"), "25P03"),
                             (("BEGIN", "SET LOCAL" + waits[3:]), "25P03"), (("BEGIN", "SELECT 1 / 0", "ROLLBACK", idle), "57P05")):
        with closing(client_of(fleet)) as client:
            for sql in statements:
                client.kinds(wire.query(sql))
            assert last_words(client, 0.2, 2)[0] == code, statements
    with closing(client_of(fleet)) as client:  # nor does the server's own end who is not idle
        for sql in (idle, "BEGIN", "SELECT pg_sleep(0.6)", "COMMIT", "RESET idle_session_timeout"):
            client.kinds(wire.query(sql))
        time.sleep(0.8)
        assert client.rows("SELECT 1") == [["1"]]
    with closing(wire.Client(fleet.pgrotor.port, password=fleet.app_password, database=DATABASE, options="-c idle_session_timeout=400")) as client:
        assert last_words(client, 0.2, 2)[0] == "57P05"
    fleet.query("s1", "ALTER ROLE app SET idle_session_timeout = '400ms'")
    fleet.console("RECONNECT")
    try:
        with closing(client_of(fleet)) as client:
            client.rows("SELECT 1")
            assert last_words(client, 0.2, 2)[0] == "57P05"
        with closing(client_of(fleet)) as client:
            client.kinds(wire.query("SET idle_session_timeout = 0"))
            for _ in range(3):  # servers of the pool end meanwhile
                time.sleep(0.6)
                assert client.rows("SHOW idle_session_timeout") == [["0"]]
    finally:
        fleet.query("s1", "ALTER ROLE app RESET idle_session_timeout")
        fleet.console("RECONNECT")


ANSWER_MS = 2000  # connect_timeout_ms, which is also the time for an answer to a question of pgrotor's


@contextlib.contextmanager
def standing_still(fleet, table, ask):
    """The pid of a server that stands still in its answer to what `ask` leads to. That reads the table, so a lock holds the server there
    until it is stopped; then the table is free again, and nothing but the stop keeps it from answering."""
    with closing(fleet.shards["s1"].connect(DATABASE)) as holder, holder.cursor() as cursor:
        def waiting():
            cursor.execute("SELECT pid FROM pg_locks WHERE NOT granted AND relation = %s::regclass", (table,))
            return cursor.fetchone()
        cursor.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        ask()
        pid, = wait_until(waiting, "a server to wait for the table")
        os.kill(pid, signal.SIGSTOP)
        try:
            cursor.execute("ROLLBACK")
            yield pid
        finally:
            os.kill(pid, signal.SIGCONT)


def servers(fleet, *states):
    return {row["server_pid"] for row in fleet.console("SHOW SERVERS") if not states or row["state"] in states}


def keeps_waiting(client):
    """As it would wait for PostgreSQL: longer than pgrotor gives a shard for what it asks on its own account."""
    assert not select.select([client.socket], [], [], 1.3 * ANSWER_MS / 1000)[0]


def pins(fleet):
    return [row["pinned"] for row in fleet.console("SHOW CLIENTS") if row["user"] == "app"]


def question_behind_a_locked_catalog(fleet):
    """The client's own statements need no lock that anybody holds: they are answered, and the server stays until it could be asked."""
    with closing(client_of(fleet)) as client, closing(fleet.shards["s1"].connect(DATABASE)) as holder, holder.cursor() as cursor:
        client.rows("SELECT 1")
        cursor.execute("BEGIN; LOCK TABLE pg_catalog.pg_depend IN ACCESS EXCLUSIVE MODE")
        for _ in range(3):
            assert client.kinds(wire.query("DO 'BEGIN END'")) == "C:DO ZI"
            assert client.rows("SELECT 1") == [["1"]]
        assert pins(fleet) == ["unknown"]
        cursor.execute("ROLLBACK")
        assert client.rows("SELECT 1") == [["1"]]
        wait_until(lambda: pins(fleet) == [None], "the server to be nobody's")


def sent_bytes(fleet):
    """To clients; nothing while they are still on their way."""
    before = counter(fleet, "client_sent_bytes")
    time.sleep(0.3)
    after = counter(fleet, "client_sent_bytes")
    return after if after - before < 5000 else None  # which are the console's own answers


def clients_that_do_not_read(fleet):
    """The answer to the question is there, but the client has not taken all that came before: it is the client that is late. How much the
    kernel takes for a client that does not read is measured, and answers around that size leave some of them in just that state."""
    fleet.pgrotor.set(**{"pool.size": 50})
    fleet.console("RELOAD")
    def begin(rows):
        client = client_of(fleet)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.send(wire.query(f"DO 'BEGIN END'; SELECT repeat('x', 1000) FROM generate_series(1, {rows})"))
        return client
    before = wait_until(lambda: sent_bytes(fleet), "silence")
    with closing(begin(20000)):
        room = wait_until(lambda: max(0, (sent_bytes(fleet) or 0) - before) // 1011, "the kernel to take no more")
        assert room < 20000, room
    clients = [begin(room + 50 * i) for i in range(-20, 20)]
    time.sleep(1.5 * ANSWER_MS / 1000)
    for client in clients:
        assert client.read_kinds().endswith(" ZI")
        assert client.rows("SELECT 1") == [["1"]]
        client.close()
    fleet.pgrotor.set(**{"pool.size": 3})
    fleet.console("RELOAD")


def settings_made_again(fleet):
    """With settings that may be refused nothing is sent but them, with others the client's statement follows at once."""
    reads, table = ("default_text_search_config", "pg_catalog.simple"), "pg_catalog.pg_ts_config"  # no login reads that
    for also in (("default_tablespace", "pg_default"),), ():
        with closing(client_of(fleet)) as client:
            for name, value in (reads, *also):
                assert client.kinds(wire.query(f"SET {name} = '{value}'")) == "C:SET ZI"
            assert client.rows("SELECT 1") == [["1"]]  # the question is answered
            fleet.console("RECONNECT")  # a server that has not yet looked at the table
            with standing_still(fleet, table, lambda c=client: c.send(wire.query("SELECT 1"))):
                keeps_waiting(client)
            assert client.read_kinds() == "T D C:SELECT 1 ZI"
            for name, value in (reads, *also):
                assert client.rows(f"SHOW {name}") == [[value]]


def types_of_parameters(fleet):
    """In a transaction the client waits; outside of one the server is nobody's, and given up."""
    fleet.everywhere("CREATE TABLE notes (owner bigint PRIMARY KEY); GRANT SELECT ON notes TO app")
    fleet.console("DISTRIBUTE TABLE notes BY owner IN DISTRIBUTION notes")
    raw = wire.parse("", "SELECT count(*) FROM notes WHERE owner = $1 AND $1 > 0") + wire.bind(values=(7,)) + wire.execute() + wire.SYNC
    with closing(client_of(fleet)) as client:
        with standing_still(fleet, "notes", lambda: client.send(raw)) as stopped:
            assert client.read_kinds() == "E08006 ZI"
            assert str(stopped) not in servers(fleet)
        client.kinds(wire.query("BEGIN; SELECT 1"))
        with standing_still(fleet, "notes", lambda: client.send(raw)):
            keeps_waiting(client)
        assert client.read_kinds() == "1 2 D C:SELECT 1 ZT"
        client.kinds(wire.query("ROLLBACK"))
        assert client.kinds(raw) == "1 2 D C:SELECT 1 ZI"


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
        fleet = Fleet(scene, names=("s1",), catalog="s1", settings={"limits.login_timeout_ms": 1000, "pool.size": 3,
                                                                            "pool.connect_timeout_ms": ANSWER_MS})
        for step in (login, login_on_the_shard, statement, large_message, idle_in_transaction, transaction, client_idle, own_timeouts, socket_options,
                     question_behind_a_locked_catalog, clients_that_do_not_read, settings_made_again, types_of_parameters):
            print(step.__name__, flush=True)
            step(fleet)
        assert fleet.pgrotor.terminate() == 0


if __name__ == "__main__":
    main()
