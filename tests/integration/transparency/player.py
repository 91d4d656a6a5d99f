"""Plays a row (steps.py) against one port and keeps every message that came back, in a form that two servers can be compared by.

What is left out, because no two servers agree on it: the contents of BackendKeyData and of the SASL exchange, pids in
NotificationResponse (but whether it is the client's own: another's is that of the shard's backend), object ids that were given out after the setup (numbered in order
of appearance), and pgrotor's own ParameterStatus pgrotor.generation. All else is compared byte for byte.
"""
import re
import socket
import struct

from steps import TERMINATE
from wire import Client, fields, message

TIMEOUT = 5
ERROR = ("E", "N")


class Recorder(Client):
    """A client of wire.py that notes what it receives."""

    def __init__(self, name, player, parameters):
        self.name, self.player, self.notes = name, player, player.notes
        super().__init__(player.port, password=player.password, timeout=TIMEOUT, **dict({"application_name": "case"}, **parameters))

    def receive(self):
        kind, body = super().receive()
        self.notes.append((self.name, kind.decode(), body))
        return kind, body

    def login(self, *arguments, **parameters):
        super().login(*arguments, **parameters)
        self.player.pids[self.pid] = self.name

    def receive_until(self, kinds, times):
        """Stops at the last of `times` messages of these kinds, and where the connection ends or nothing comes any more."""
        try:
            while times > 0:
                kind, _ = self.receive()
                times -= kind.decode() in kinds
            return True
        except (socket.timeout, EOFError, ConnectionError) as end:
            self.notes.append((self.name, "silence" if isinstance(end, socket.timeout) else "closed", b""))
            return False

    def leave(self):
        """What is still to come after the last step; a server says nothing more and closes."""
        try:
            self.send(TERMINATE)
        except OSError:
            pass
        if not self.receive_until("", 1) and self.notes[-1][1] == "closed":
            self.notes.pop()
        self.close()


class Player:
    def __init__(self, port, cluster, password, noise=None):
        self.port, self.cluster, self.password, self.noise = port, cluster, password, noise
        self.super = cluster.connect("shop")
        self.first_new_oid = self.ask("SELECT max(oid::bigint) FROM pg_class")[0][0] + 1

    def ask(self, sql):
        with self.super.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def reset(self, script):
        """The tables as every row expects them; whoever still has locks on them is ended. What pgrotor asks a server by itself, behind a
        client's transaction, takes no such time."""
        self.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND"
                 " (state LIKE 'idle in %' OR state = 'active' AND clock_timestamp() - query_start > '200 ms')")
        for gid, in self.ask("SELECT quote_literal(gid) FROM pg_prepared_xacts WHERE database = current_database()"):
            self.ask(f"ROLLBACK PREPARED {gid}")
        self.ask("BEGIN;" + script + "COMMIT")

    def play(self, steps):
        self.notes, self.pids, self.oids, self.calm, clients = [], {}, {}, False, {}
        for client, verb, argument in steps:
            if verb == "login" or client not in clients:
                clients[client] = self.enter(client, argument if verb == "login" else {})
            if clients[client] is None:
                break
            if verb == "login":
                continue
            if not self.step(clients[client], verb, argument):
                break
        for one in filter(None, clients.values()):
            one.leave()
        return [self.settled(*note) for note in self.notes if not (note[1] == "S" and note[2].startswith(b"pgrotor."))]

    def enter(self, name, parameters):
        try:
            return Recorder(name, self, parameters)
        except (OSError, EOFError, AssertionError) as failure:
            self.notes.append((name, f"no login: {failure!r}", b""))
            return None

    def step(self, client, verb, argument):
        if verb == "send":
            if self.noise and not self.calm:
                self.noise.stir()
            try:
                client.send(argument)
            except ConnectionError:
                pass  # it has closed, which the next wait notes
            return True
        if verb == "wait":
            return client.receive_until(*argument)
        if verb == "calm":
            self.calm = True
            return True
        if verb == "running":
            return self.wait_running(argument)
        if verb == "cancel":
            with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as other:
                other.sendall(struct.pack("!iiii", 16, 80877102, client.pid, client.key))
                other.recv(1)
            return True
        raise ValueError(verb)

    def wait_running(self, fragment):
        for _ in range(2000):
            if self.ask(f"SELECT 1 FROM pg_stat_activity WHERE query LIKE '%{fragment}%' AND state = 'active' AND usename = 'app' "
                        "AND wait_event IS NOT NULL"):
                return True
        self.notes.append(("a", "never ran", b""))
        return False

    def settled(self, client, kind, body):
        if kind == "K" or (kind == "R" and body[:4] in (b"\0\0\0\x0b", b"\0\0\0\x0c")):
            body = b"..."
        elif kind == "A":
            own = self.pids.get(struct.unpack("!i", body[:4])[0]) == client
            body = (b"itself" if own else b"another") + body[4:]
        elif kind == "T":
            body = self.row_description(body)
        elif kind == "t":
            body = body[:2] + b"".join(self.oid(body[at:at + 4]) for at in range(2, len(body), 4))
        elif kind in ERROR:
            body = re.sub(rb"(process|PID|oid|OID|object|pg_temp_|backend) ?\d+", rb"\1 ...", re.sub(rb"tuple \(\d+,\d+\)", b"tuple ...", body), flags=re.I)
        return client, kind, body

    def oid(self, raw):
        number = struct.unpack("!I", raw)[0]
        if number < self.first_new_oid:
            return raw
        return b"<new %d>" % self.oids.setdefault(number, len(self.oids))

    def row_description(self, body):
        settled, at = body[:2], 2
        for _ in range(struct.unpack("!h", body[:2])[0]):
            name_end = body.index(b"\0", at) + 1
            rest = body[name_end:name_end + 18]
            settled += body[at:name_end] + self.oid(rest[:4]) + rest[4:6] + self.oid(rest[6:10]) + rest[10:]
            at = name_end + 18
        return settled + body[at:]


def readable(note):
    client, kind, body = note
    if kind in ERROR:
        return f"{client} {kind} {fields(body)}"
    text = repr(body)
    return f"{client} {kind} {text if len(text) < 300 else text[:300] + f'... {len(body)} bytes'}"


def without_source(note):
    """An error of pgrotor's own names no file, line and routine of the server's source (proxy/README.md)."""
    client, kind, body = note
    if kind not in ERROR:
        return note
    return client, kind, b"".join(part + b"\0" for part in body.split(b"\0") if part[:1] not in (b"F", b"L", b"R")) + b"\0"


def difference(direct, proxied):
    """The first place where they differ, as text, or nothing."""
    for at in range(max(len(direct), len(proxied))):
        one = direct[at] if at < len(direct) else None
        two = proxied[at] if at < len(proxied) else None
        if one and two and two[1] in ERROR and b"\0R" not in two[2]:
            one, two = without_source(one), without_source(two)
        if one != two:
            return f"message {at + 1}\n    server:  {readable(one) if one else 'nothing'}\n    pgrotor: {readable(two) if two else 'nothing'}"
    return None


__all__ = ["Player", "difference", "message"]
