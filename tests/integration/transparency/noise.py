"""Clients that use the same server connections as the row under test, leave what they can in them, and change the order in which the pool
gives them out. `stir()` runs before each step; it waits for its own answers, so that a run with the same seed stirs the same way."""
import random

from steps import bind, execute, parse, query
from wire import Client, SYNC

POISON = (
    "SET search_path = other", "SET DateStyle = 'SQL, DMY'", "SET TimeZone = 'Asia/Tokyo'", "SET work_mem = '1MB'",
    "SET extra_float_digits = 0", "SET bytea_output = escape", "SET client_min_messages = error", "SET app.tenant = 'poison'",
    "SET default_transaction_isolation = 'serializable'", "SET default_transaction_read_only = on", "SET row_security = off",
    "SET IntervalStyle = 'iso_8601'", "SET enable_seqscan = off", "SET statement_timeout = '1h'", "SET ROLE reader",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SELECT set_config('search_path', 'other', false)",
    "CREATE TEMP TABLE plain (poison int)", "CREATE TEMP TABLE poison AS SELECT 1 AS id", "CREATE TEMP SEQUENCE counter",
    "SELECT pg_advisory_lock_shared(4711)", "SELECT pg_try_advisory_lock(4712, 1)", "LISTEN poison", "LISTEN canal",
    "PREPARE p AS SELECT 'poison'", "PREPARE plan AS SELECT 'poison'", "DECLARE c CURSOR WITH HOLD FOR SELECT 'poison'",
    "SELECT nextval('counter')", "SELECT setseed(0.5)", "LOAD 'plpgsql'", "RESET ALL", "DISCARD ALL", "DEALLOCATE ALL",
    "BEGIN; SET LOCAL search_path = other; SELECT 1", "BEGIN; SELECT 1 / 0", "BEGIN; LOCK TABLE secret", "SELECT 1 / 0",
    "BEGIN; DECLARE c CURSOR FOR SELECT 'poison'", "COPY secret FROM STDIN", "SELECT 'poison'", "",
)


class Noise:
    def __init__(self, port, password, seed):
        self.port, self.password, self.random, self.clients = port, password, random.Random(seed), []
        self.statements = 0

    def client(self):
        made = Client(self.port, password=self.password, application_name="case")
        self.clients.append(made)
        return made

    def stir(self):
        """As below; one whose server was ended with it is gone."""
        try:
            self.stir_once()
        except (EOFError, ConnectionError):
            self.close()

    def stir_once(self):
        """Two clients each occupy a server at the same time and let go in random order, one of them poisons, sometimes one leaves."""
        while len(self.clients) < 2:
            self.client()
        for one in self.clients:
            one.send(query("BEGIN; SELECT 1"))
            one.until(b"Z")
        self.random.shuffle(self.clients)
        for one in self.clients:
            self.say(one, "ROLLBACK")
        self.poison(self.clients[0])
        if self.clients and self.random.random() < 0.2:
            self.clients.pop(0).close()

    def poison(self, one):
        if self.random.random() < 0.3:
            one.send(parse("case", "SELECT 'poison'") + bind("case") + execute() + parse("", "SELECT 'poison'") + SYNC)
            self.finish(one)
            return
        if not self.say(one, self.random.choice(POISON)) and one in self.clients:
            self.say(one, "ROLLBACK")

    def say(self, one, sql):
        """True: it stands outside of a transaction now."""
        self.statements += 1
        one.send(query(sql))
        return self.finish(one)

    def finish(self, one):
        """Its answer up to ReadyForQuery. In the middle of a COPY it just leaves; a transaction that poison opened ends either way."""
        kind = body = b""
        while kind not in (b"Z", b"G"):
            kind, body = one.receive()
        if kind == b"G" or (body != b"I" and self.random.random() < 0.3):
            one.close()
            self.clients.remove(one)
            return False
        return body == b"I"

    def close(self):
        for one in self.clients:
            one.close()
        self.clients = []
