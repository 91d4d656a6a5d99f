"""One connection of the oracle: says a statement in one of the ways that clients have, and keeps all of the answer that has to be alike. Oids are kept as
names, those of a server's own types as its catalog has them."""
import struct

from steps import bind
from wire import FLUSH, SYNC, Client, cells, close, describe, execute, fields, parse, query


class Result:
    """Of one statement: `columns` of (name, type, typmod, format) or None, bodies of its DataRows, command tag."""

    def __init__(self):
        self.columns, self.rows, self.tag = None, [], None


class Answer:
    def __init__(self):
        self.results, self.error, self.parameters, self.before, self.state = [], None, None, [], b"I"

    def refused(self):
        """pgrotor's own errors name no routine of the server (proxy/README.md)."""
        return self.error is not None and "R" not in self.error


class Asker(Client):
    def __init__(self, port, password, types, database="shop", timeout=30):
        self.types, self.file, self.state = types, None, b"I"
        super().__init__(port, password=password, database=database, timeout=timeout)

    def read_exactly(self, count):
        if self.file is None:
            self.file = self.socket.makefile("rb", 1 << 16)
        got = self.file.read(count)
        if len(got) < count:
            raise EOFError(f"closed after {len(got)} of {count} bytes")
        return got

    def name_of(self, oid):
        return self.types.get(oid, f"type {oid}" if oid >= 16384 else oid)

    def described(self, body):
        found, at = [], 2
        for _ in range(struct.unpack("!h", body[:2])[0]):
            end = body.index(b"\0", at)
            oid, _, modifier, form = struct.unpack("!IhiH", body[end + 7:end + 19])
            found.append((body[at:end].decode(), self.name_of(oid), modifier, form))
            at = end + 19
        return found

    def collect(self, answer, last=b"Z"):
        """Reads up to a message of one of the kinds in `last`, and gives that kind."""
        current = Result()
        while True:
            kind, body = self.receive()
            if kind == b"D":
                current.rows.append(body)
            elif kind == b"T":
                current.columns = self.described(body)
            elif kind == b"t":
                answer.parameters = [self.name_of(oid) for oid in struct.unpack(f"!{(len(body) - 2) // 4}I", body[2:])]
            elif kind in b"CI":
                current.tag = body[:-1].decode()
                answer.results.append(current)
                current = Result()
            elif kind == b"E":
                answer.error = answer.error or fields(body)
                if current.rows:
                    answer.results.append(current)
            elif kind == b"s":
                answer.results.append(current)
                current = Result()
            if kind == b"Z":
                self.state = body
            if kind in last:
                return kind, body

    def begin(self, statement):
        """Sends what can be sent at once, so that two servers work at the same time; `finish` has the rest."""
        self.prepared = [self.kinds(query(text)) for text in statement.before]
        getattr(self, "send_" + statement.mode)(statement)

    def finish(self, statement):
        answer = Answer()
        answer.before = self.prepared
        getattr(self, "take_" + statement.mode)(statement, answer)
        answer.state = self.state
        if statement.before or self.state != b"I":
            assert [self.kinds(query(text))[-2:] for text in ("ROLLBACK", "RESET ALL")] == ["ZI", "ZI"]
        return answer

    def send_simple(self, statement):
        self.send(query(statement.text))

    def take_simple(self, _, answer):
        self.collect(answer)

    def bound(self, statement, values, name=""):
        return bind(name, [value.sent for value in values], formats=[value.binary for value in values], results=(1,) if statement.binary else (0,))

    def send_extended(self, statement):
        types = [value.oid for value in statement.parameters]
        self.send(parse("", statement.text, types) + self.bound(statement, statement.parameters) + describe(b"P") + execute() + SYNC)

    take_extended = take_simple

    def send_prepared(self, statement):
        self.send(parse("o", statement.text, [value.oid for value in statement.parameters]) + describe(b"S", "o") + SYNC)

    def take_prepared(self, statement, answer):
        self.collect(answer)
        for values in (statement.parameters, statement.others, statement.parameters):
            if answer.error is None:
                self.send(self.bound(statement, values, "o") + describe(b"P") + execute() + SYNC)
                self.collect(answer)
        self.send(close(b"S", "o") + SYNC)
        self.collect(Answer())

    def send_portal(self, statement):
        types = [value.oid for value in statement.parameters]
        self.send(parse("", statement.text, types) + self.bound(statement, statement.parameters) + describe(b"P") + execute(rows=statement.rows) + FLUSH)

    def take_portal(self, statement, answer):
        while self.collect(answer, b"sCE")[0] == b"s":
            self.send(execute(rows=statement.rows) + FLUSH)
        self.send(SYNC)
        self.collect(Answer())

    def send_declare(self, statement):
        self.send(query("BEGIN"))

    def take_declare(self, statement, answer):
        self.collect(Answer())
        for text in (f"DECLARE o CURSOR FOR {statement.text}", f"FETCH {statement.rows} FROM o", "FETCH ALL FROM o"):
            if answer.error is None:
                self.send(query(text))
                self.collect(answer)


__all__ = ["Asker", "Answer", "cells"]
