"""The v3 protocol by hand, for what drivers never send: bytes in pieces, pipelines, errors in every position, garbage."""
import base64
import functools
import hashlib
import hmac
import os
import socket
import struct


def message(kind, body=b""):
    return kind + struct.pack("!i", len(body) + 4) + body


def cstr(text):
    return text.encode() + b"\0"


def query(sql):
    return message(b"Q", cstr(sql))


def parse(name, sql, types=()):
    return message(b"P", cstr(name) + cstr(sql) + struct.pack(f"!h{len(types)}i", len(types), *types))


def bind(statement="", values=(), portal="", binary=False):
    body = cstr(portal) + cstr(statement) + struct.pack("!hhh", 1, 1 if binary else 0, len(values))
    for value in values:
        raw = value if isinstance(value, bytes) else str(value).encode()
        body += struct.pack("!i", len(raw)) + raw
    return message(b"B", body + struct.pack("!h", 0))


def describe(kind, name=""):
    return message(b"D", kind + cstr(name))


def execute(portal="", rows=0):
    return message(b"E", cstr(portal) + struct.pack("!i", rows))


def close(kind, name=""):
    return message(b"C", kind + cstr(name))


SYNC, FLUSH, TERMINATE = message(b"S"), message(b"H"), message(b"X")


def startup(version=3 << 16, **parameters):
    body = struct.pack("!i", version) + b"".join(cstr(k) + cstr(v) for k, v in parameters.items()) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def fields(body):
    """Of an ErrorResponse or NoticeResponse."""
    return {part[:1].decode(): part[1:].decode() for part in body.rstrip(b"\0").split(b"\0") if part}


@functools.lru_cache
def salted_password(password, salt, iterations):
    return hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), iterations)


class Client:
    """One connection, of protocol 3.0 unless `version` says otherwise. With `one_by_one` it sends every byte alone. `flag` is SCRAM's word
    on channel binding: "n" for none, "y" for one that the server does not offer."""
    version, flag = 3 << 16, "n"

    def __init__(self, port, user="app", password="right horse", database="shop", login=True, one_by_one=False, timeout=20, **parameters):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.one_by_one, self.parameters, self.pid, self.key, self.secret = one_by_one, {}, None, None, None
        self.negotiated = None
        if login:
            self.login(user, password, database, **parameters)

    def login(self, user, password, database, **parameters):
        self.send(startup(self.version, user=user, database=database, **parameters))
        kind, body = self.receive()
        if kind == b"v":
            self.negotiated = struct.unpack("!ii", body[:8]) + tuple(body[8:].decode().split("\0")[:-1])
            kind, body = self.receive()
        assert kind == b"R" and struct.unpack("!i", body[:4])[0] == 10, (kind, body)
        self.scram(password)
        for kind, body in self.until(b"Z"):
            if kind == b"S":
                name, value = body.decode().split("\0")[:2]
                self.parameters[name] = value
            elif kind == b"K":
                self.pid, self.key, self.secret = *struct.unpack("!ii", body[:8]), body[4:]

    def scram(self, password):
        bare = "n=,r=" + base64.b64encode(os.urandom(18)).decode()
        first = (f"{self.flag},,{bare}").encode()
        self.send(message(b"p", cstr("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first))
        kind, body = self.receive()
        assert kind == b"R", (kind, fields(body))
        server_first = body[4:].decode()
        part = dict(item.split("=", 1) for item in server_first.split(","))
        salted = salted_password(password, part["s"], int(part["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c={base64.b64encode(self.flag.encode() + b',,').decode()},r={part['r']}"
        signature = hmac.digest(hashlib.sha256(client_key).digest(), f"{bare},{server_first},{without_proof}".encode(), "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.send(message(b"p", f"{without_proof},p={base64.b64encode(proof).decode()}".encode()))

    def send(self, raw):
        if not self.one_by_one:
            return self.socket.sendall(raw)
        for at in range(len(raw)):
            self.socket.sendall(raw[at:at + 1])

    def read_exactly(self, count):
        got = bytearray()
        while len(got) < count:
            part = self.socket.recv(min(count - len(got), 1 << 20))
            if not part:
                raise EOFError(f"closed after {len(got)} of {count} bytes")
            got += part
        return bytes(got)

    def receive(self):
        head = self.read_exactly(5)
        return head[:1], self.read_exactly(struct.unpack("!i", head[1:])[0] - 4)

    def until(self, last):
        """Messages up to and including one of the kind `last`."""
        found = []
        while True:
            found.append(self.receive())
            if found[-1][0] == last:
                return found

    def kinds(self, raw):
        """Sends, and gives the answer's kinds up to ReadyForQuery, e.g. "12CZ", with errors as their SQLSTATE: "1 E42601 Z"."""
        self.send(raw)
        return self.read_kinds()

    def read_kinds(self, last=b"Z"):
        words = []
        for kind, body in self.until(last):
            if kind == b"E":
                words.append("E" + fields(body)["C"])
            elif kind == b"Z":
                words.append("Z" + body.decode())
            elif kind == b"C":
                words.append("C:" + body[:-1].decode())
            elif kind not in (b"S", b"N"):
                words.append(kind.decode())
        return " ".join(words)

    def rows(self, sql):
        """Rows of a simple query, cells as text."""
        self.send(query(sql))
        found = []
        for kind, body in self.until(b"Z"):
            if kind == b"E":
                raise AssertionError(fields(body))
            if kind == b"D":
                found.append(cells(body))
        return found

    def closed(self):
        """Reads what is left; the last ErrorResponse's fields, or {}, once the other side has closed."""
        last = {}
        try:
            while True:
                kind, body = self.receive()
                if kind == b"E":
                    last = fields(body)
        except (EOFError, ConnectionError):
            return last

    def close(self):
        self.socket.close()


def cells(body):
    count, at, found = struct.unpack("!h", body[:2])[0], 2, []
    for _ in range(count):
        length, at = struct.unpack("!i", body[at:at + 4])[0], at + 4
        found.append(None if length < 0 else body[at:at + length].decode())
        at += max(length, 0)
    return found
