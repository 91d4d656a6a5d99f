"""The ledger's clients, each a thread with a session of its own: writers, readers, and one that writes past the proxy."""
import atexit
import random
import threading
import weakref

import libpq
from ledger_book import ACKED, REFUSED, UNKNOWN, payload


_started = weakref.WeakSet()


@atexit.register
def _end_all():
    """A test that failed leaves its clients running; libpq must not be torn down under them."""
    clients = [client for client in _started if client.is_alive()]
    for client in clients:
        client.stop()
    for client in clients:
        client.join(10)


class Client(threading.Thread):
    """Repeats step() until stopped. A lost connection is opened again; an error that nobody may see goes into the book."""

    def __init__(self, book, connect, mode):
        super().__init__(daemon=True)
        self.book, self.mode, self._connect = book, mode, connect
        self.stopping, self.session, self.commit_sent = threading.Event(), None, True

    def run(self):
        _started.add(self)
        while not self.stopping.is_set():
            try:
                if self.session is None:
                    self.session = self._connect(self.mode)
                self.step()
            except libpq.Lost as lost:
                self.lost(lost)
            except libpq.Refused as refused:
                self.refused(refused)
        if self.session:
            self.session.close()

    def lost(self, reason):
        self.book.error(f"{type(self).__name__} ({self.mode}): connection lost: {reason}")
        if self.session:
            self.session.close()
        self.session = None
        self.stopping.wait(0.05)  # pgrotor may be starting again

    def refused(self, error):
        self.book.error(f"{type(self).__name__} ({self.mode}): {error}")
        if self.session:
            self.session.close()  # whatever transaction was open has ended
        self.session = None

    def stop(self):
        self.stopping.set()

    def attempt(self, kind, number, account, work):
        """Runs a write and records its fate; the exception goes on to run(). Without autocommit, `commit_sent` says how far it came."""
        self.commit_sent = True  # a transaction that was lost before its COMMIT says nothing of the statement after it
        try:
            value = work()
        except libpq.Lost:
            self.book.record(kind, number, account, UNKNOWN if self.commit_sent else REFUSED)
            raise
        except libpq.Refused:
            self.book.record(kind, number, account, REFUSED)
            raise
        self.book.record(kind, number, account, ACKED, value)
        return value


class Writer(Client):
    """INSERT, counter UPDATE with its idempotency row in one transaction, DELETE, an UPDATE that leaves the TOASTed column alone; reads
    its own writes back."""

    def step(self):
        account = random.choice(list(self.book.accounts))
        random.choices((self.insert, self.bump, self.delete, self.touch), (5, 5, 2, 1))[0](account)

    def insert(self, account):
        number = self.book.number()
        self.attempt("inserted", number, account, lambda: self.session.run(
            "INSERT INTO entries (account_id, entry_id, payload) VALUES ($1, $2, $3)", account, number, payload(number)))
        rows = self.session.run("SELECT payload FROM entries WHERE account_id = $1 AND entry_id = $2", account, number)
        if not rows and number not in self.book.deleted and self.book.is_alive((account, number)):
            self.book.violated(f"entry {number} of account {account} is gone for the session that wrote it ({self.mode})")

    def bump(self, account):
        number = self.book.number()
        value = self.attempt("bumped", number, account, lambda: self._bump(account, number))
        seen = int(self.session.run("SELECT n FROM accounts WHERE account_id = $1", account)[0][0])
        if seen < value:
            self.book.violated(f"account {account}: {seen} read after {value} was acknowledged to the same session ({self.mode})")

    def _bump(self, account, number):
        self.commit_sent = False
        self.session.run("BEGIN")
        self.session.run("INSERT INTO applied (account_id, op_id) VALUES ($1, $2)", account, number)
        value = self.session.run("UPDATE accounts SET n = n + 1 WHERE account_id = $1 RETURNING n", account)[0][0]
        self.commit_sent = True
        self.session.run("COMMIT")
        return int(value)

    def delete(self, _account):
        taken = self.book.take_alive()
        if taken:
            account, number = taken
            rows = self.attempt("deleted", number, account, lambda: self.session.run(
                "DELETE FROM entries WHERE account_id = $1 AND entry_id = $2", account, number))
            if rows != 1:
                self.book.violated(f"entry {number} of account {account}: a DELETE of it met {rows} rows")

    def touch(self, account):
        if self.session.run("UPDATE accounts SET touched = touched + 1 WHERE account_id = $1", account) != 1:
            self.book.violated(f"account {account}: an UPDATE of it met no row")


class Reader(Client):
    """Checks what others were told: a counter never falls behind, an acked entry is there, a deleted one is not."""

    def step(self):
        random.choice((self.counter, self.entry, self.deleted))()
        self.book.reads += 1

    def counter(self):
        account = random.choice(list(self.book.accounts))
        least = self.book.at_least[account]
        rows = self.session.run("SELECT n, doubled FROM accounts WHERE account_id = $1", account)
        if not rows or int(rows[0][0]) < least or int(rows[0][1]) != 2 * int(rows[0][0]):
            self.book.violated(f"account {account}: read {rows}, but {least} had been acknowledged before ({self.mode})")
        else:
            self.book.saw(account, int(rows[0][0]))

    def entry(self):
        pair = self.book.pick(self.book.alive)
        if pair and not self._read(pair) and self.book.is_alive(pair):
            self.book.violated(f"entry {pair[1]} of account {pair[0]}: acknowledged before, not found ({self.mode})")

    def deleted(self):
        pair = self.book.pick(self.book.gone)
        if pair and self._read(pair):
            self.book.violated(f"entry {pair[1]} of account {pair[0]}: its DELETE was acknowledged before, found ({self.mode})")

    def _read(self, pair):
        return self.session.run("SELECT payload FROM entries WHERE account_id = $1 AND entry_id = $2", *pair)


class Bypass(Client):
    """Writes to the old owner past the proxy, as a psql left open would, until its first RT001."""

    def __init__(self, book, connect, accounts):
        super().__init__(book, connect, "simple")
        self.accounts = accounts

    def step(self):
        account, number = random.choice(self.accounts), self.book.number()
        self.attempt("inserted", number, account, lambda: self.session.run(
            "INSERT INTO entries (account_id, entry_id, payload) VALUES ($1, $2, $3)", account, number, payload(number)))
        self.book.bypassed += 1
        self.stopping.wait(0.002)  # a person at psql is slower than a pool

    def refused(self, error):
        if error.sqlstate != "RT001":
            return super().refused(error)
        self.book.bypass_refused += 1
        self.stop()
