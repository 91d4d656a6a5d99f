"""The clients of storm.py. Each asks for things that only it can have asked for: a number of its own, a nonce, is in every statement and has
to come back in its answer and in no other. An answer that is nobody's business of this client, one that is missing, or a wait of more than
`patience` seconds goes into `complaints`; errors are counted by SQLSTATE, and those that no event of the storm explains are complaints too.
"""
import collections
import os
import queue
import random
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy"))
from wire import FLUSH, SYNC, TERMINATE, Client, cells, cstr, execute, fields, message, parse, query  # noqa: E402
from wire import bind, close  # noqa: E402

KEYS = 64
COPY_DONE, COPY_FAIL = message(b"c"), message(b"f", cstr("the client changed its mind"))
# A server or a shard went away, its pool was empty for too long, a cancel or a time-out hit, or the transaction had failed by one of them.
EXPECTED = {"08006", "08007", "53300", "57014", "57P01", "57P02", "57P03", "25P02", "58000"}


class Gone(Exception):
    """The connection is over, by an event of the storm or by an error of class FATAL."""


class Book:
    """What all clients have seen."""

    def __init__(self):
        self.lock, self.complaints, self.failures = threading.Lock(), [], collections.Counter()
        self.answered, self.longest, self.connections = collections.Counter(), 0.0, 0

    def complain(self, what):
        with self.lock:
            self.complaints.append(what)


class StormClient(threading.Thread):
    def __init__(self, number, port, password, book, seed, patience):
        super().__init__(daemon=True)
        self.number, self.port, self.password, self.book, self.patience = number, port, password, book, patience
        self.random, self.orders, self.ending, self.count = random.Random(f"{seed}/{number}"), queue.Queue(), threading.Event(), 0
        self.wire, self.what, self.failed = None, "", False

    def nonce(self):
        self.count += 1
        return self.number * 10**9 + self.count

    def run(self):
        while not self.ending.is_set():
            try:
                if not self.wire:
                    self.connect()
                self.obey() if not self.orders.empty() else self.work()
            except Gone:
                self.drop()
            except Exception as failure:
                self.book.complain(f"client {self.number}, {self.what}: {failure!r}")
                self.drop()
        if self.wire:
            self.wire.send(TERMINATE)
            self.drop()

    def connect(self):
        try:
            made = Client(self.port, password=self.password, timeout=self.patience)
        except (AssertionError, OSError, EOFError, struct.error):  # the shard that says what its parameters are is down
            self.ending.wait(0.05)
            raise Gone from None
        self.wire = made
        with self.book.lock:
            self.book.connections += 1

    def drop(self, reset=False):
        if not self.wire:
            return
        if reset:
            self.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wire.close()
        self.wire = None

    def cancel(self):
        """From the storm's thread: a CancelRequest for whatever this client does now."""
        current = self.wire
        if not current or not current.pid:
            return
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as other:
            other.sendall(struct.pack("!iiii", 16, 80877102, current.pid, current.key))
            while other.recv(1):
                pass

    # What the storm orders; it is done in the middle of something.
    def obey(self):
        order, n = self.orders.get(), self.nonce()
        self.what = order
        key = self.key()
        unfinished = [query(f"SELECT {n}, pg_sleep(0.05)"), query(f"BEGIN; UPDATE seats SET note = '{n}' WHERE key = {key}"), b"Q\0\0",
                      parse("", "SELECT 1"), parse("", "COPY bulk FROM STDIN") + bind() + execute() + message(b"d", f"{n}\n".encode()) + SYNC,
                      query(f"SELECT repeat('x', 1000000), {n} FROM generate_series(1, 20)"),
                      parse("", "SELECT $1::text") + b"B" + struct.pack("!i", 5_000_000) + b"\0\0\0\0\0\1" + struct.pack("!i", 4_000_000) + b"x" * 90_000]
        self.send(self.random.choice(unfinished))
        if self.random.random() < 0.5:
            self.ending.wait(0.03)
        self.drop(reset=order == "reset")

    def key(self):
        return self.random.randrange(1, KEYS + 1)

    def work(self):
        kinds = (self.simple, self.extended, self.pipeline, self.prepared, self.copy_in, self.copy_in_extended, self.copy_out, self.transaction,
                 self.listen, self.temporary)
        kind = self.random.choice(kinds)
        self.what, self.failed, began = kind.__name__, False, time.monotonic()
        kind()
        took = time.monotonic() - began
        with self.book.lock:
            self.book.longest = max(self.book.longest, took)
            self.book.answered[self.what] += not self.failed
        if self.failed:
            self.ending.wait(0.02)  # a shard that is down is not asked as fast as it can refuse

    def send(self, raw):
        try:
            self.wire.send(raw)
        except OSError:
            pass  # what was said before comes first

    def receive(self):
        try:
            kind, body = self.wire.receive()
        except TimeoutError:
            raise AssertionError(f"no answer for {self.patience} s (pid {self.wire.pid})") from None
        except (EOFError, OSError):
            raise Gone from None
        if kind == b"E":
            self.note(fields(body))
        if kind == b"A":
            payload = body[4:].split(b"\0")[1].decode()
            assert payload.startswith(f"{self.number}:"), f"a notification of somebody else's: {payload}"
        return kind, body

    def note(self, error):
        self.failed = True
        with self.book.lock:
            self.book.failures[error["C"]] += 1
        assert error["C"] in EXPECTED, error
        if error["V"] == "FATAL":
            raise Gone

    def until(self, kinds):
        found = []
        while not found or found[-1][0] not in kinds:
            found.append(self.receive())
        return found

    def ask(self, raw, nonces=(), ready=1):
        """Sends, reads so many ReadyForQuery; the first cells of all rows are `nonces`, in order, as far as nothing failed."""
        self.send(raw)
        seen = [one for _ in range(ready) for one in self.until((b"Z",))]
        rows = [int(cells(body)[0]) for kind, body in seen if kind == b"D"]
        left = iter(nonces)
        assert all(row in left for row in rows), f"rows {rows} in an answer to {list(nonces)}"
        assert self.failed or rows == list(nonces), f"rows {rows} instead of {list(nonces)}"
        return seen[-1][1]

    def settle(self):
        """Nothing is left of what went wrong: the next answer is that of the next question. Until one of these gets through."""
        asked = [self.nonce()]
        self.send(query("ROLLBACK") + query(f"SELECT {asked[-1]}"))
        while True:
            kind, body = self.receive()
            if kind == b"E":
                self.ending.wait(0.02)
                asked.append(self.nonce())
                self.send(query(f"SELECT {asked[-1]}"))
            if kind == b"D":
                assert int(cells(body)[0]) in asked, f"{cells(body)} in an answer to {asked}"
                if int(cells(body)[0]) == asked[-1]:
                    return self.until((b"Z",))

    def simple(self):
        n = self.nonce()
        sql = self.random.choice(("SELECT {n}", "SELECT {n} FROM seats WHERE key = {k}", "UPDATE seats SET note = '{n}' WHERE key = {k} RETURNING {n}"))
        self.ask(query(sql.format(n=n, k=self.key())), (n,))

    def one(self, n, statement=""):
        return bind(statement, (n, self.key())) + execute()

    def extended(self):
        n = self.nonce()
        self.ask(parse("", "SELECT $1::bigint FROM seats WHERE key = $2") + self.one(n) + SYNC, (n,))

    def pipeline(self):
        """Units of their own, all in one write."""
        numbers = [self.nonce() for _ in range(self.random.randrange(2, 9))]
        self.ask(b"".join(parse("", "SELECT $1::bigint FROM seats WHERE key = $2") + self.one(n) + SYNC for n in numbers), numbers, len(numbers))

    def prepared(self):
        numbers = [self.nonce() for _ in range(3)]
        name = f"of_{numbers[0]}"
        self.ask(parse(name, "SELECT $1::bigint FROM seats WHERE key = $2") + SYNC)
        if self.failed:
            return
        for n in numbers:
            self.ask(self.one(n, name) + SYNC, (n,))
        self.ask(close(b"S", name) + SYNC)

    def lines(self, n):
        return [message(b"d", f"{n}\n".encode()) for _ in range(self.random.randrange(1, 30))]

    def copied(self, n, count):
        if not self.failed:
            self.ask(query(f"SELECT DISTINCT n, count(*) = {count} FROM bulk WHERE n = {n} GROUP BY n HAVING count(*) = {count}"), (n,))
        else:
            self.settle()

    def copy_in(self):
        n = self.nonce()
        lines = self.lines(n)
        self.send(query("COPY bulk FROM STDIN"))
        if self.until((b"G", b"Z"))[-1][0] == b"G":
            self.ask(b"".join(lines) + COPY_DONE)
        self.copied(n, len(lines))

    def copy_in_extended(self):
        n, synced = self.nonce(), self.random.random() < 0.5
        lines = self.lines(n)
        self.send(parse("", "COPY bulk FROM STDIN") + bind() + execute() + (SYNC if synced else FLUSH))
        if self.until((b"G", b"E"))[-1][0] == b"E":
            self.ask(b"" if synced else SYNC)
            return
        for at in range(self.random.randrange(3)):
            lines.insert(at, self.random.choice((SYNC, FLUSH)))
        good = self.random.random() < 0.7
        if not good:
            self.book_a_failure_of_mine(b"".join(lines))
            return
        self.ask(b"".join(lines) + COPY_DONE + SYNC)
        self.copied(n, sum(line[:1] == b"d" for line in lines))

    def book_a_failure_of_mine(self, data):
        self.send(data + COPY_FAIL + SYNC)
        while self.until((b"Z",))[-2][0] == b"Z":
            pass
        self.settle()

    def copy_out(self):
        n = self.nonce()
        self.send(query(f"COPY (SELECT {n} FROM generate_series(1, 300)) TO STDOUT"))
        data = [body for kind, body in self.until((b"Z",)) if kind == b"d"]
        assert all(int(line) == n for line in data), f"lines of somebody else's in an answer to {n}"
        assert self.failed or len(data) == 300, f"{len(data)} lines instead of 300"

    def transaction(self):
        key, numbers = self.key(), [self.nonce() for _ in range(3)]
        self.ask(query("BEGIN"))
        for n in numbers:
            if not self.failed:
                self.ask(query(f"UPDATE seats SET note = '{n}' WHERE key = {key} RETURNING {n}"), (n,))
        if self.ask(query(self.random.choice(("COMMIT", "ROLLBACK")))) != b"I":
            self.settle()

    def listen(self):
        n = self.nonce()
        self.ask(query(f"LISTEN storm_{self.number}"))
        if not self.failed:
            self.ask(query(f"SELECT {n} FROM (SELECT pg_notify('storm_{self.number}', '{self.number}:{n}')) said"), (n,))
        self.ask(query("UNLISTEN *"))

    def temporary(self):
        n = self.nonce()
        self.ask(query(f"CREATE TEMPORARY TABLE of_{n} AS SELECT {n}::bigint AS n"))
        if not self.failed:
            self.ask(query(f"SELECT n FROM of_{n}"), (n,))
        self.ask(query("DISCARD ALL"))
