#!/usr/bin/env python3
"""Captures golden/traffic.txt: what psql and pgbench (libpq) and PostgreSQL 15 really say to each other.

    ./capture_traffic.py         (writes beside this folder; run it again only when a conversation below changes)

A relay stands between client and server and records each frame as `F hex` (frontend) or `B hex` (backend), the message's
type in a comment above. The line `verifier ...` is the user's pg_authid.rolpassword, so that the tests can play both roles
of the SCRAM exchange and must arrive at the same bytes.
"""
import os
import pathlib
import socket
import struct
import subprocess
import tempfile
import threading

from cluster import Connection, cluster

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
PASSWORD = "pencil"

SETUP = [
    f"create role app login password '{PASSWORD}'",
    "create schema app authorization app",
    "create table app.t (id int primary key, name text not null)",
    "alter table app.t owner to app",
]
QUERIES = """
select 1 as one, null as nothing, '' as empty, 'tête-à-tête' as text;
do $$ begin raise notice 'take care' using detail = 'a detail', hint = 'a hint'; end $$;
insert into app.t values (1, null);
begin;
insert into app.t values (1, 'a'), (1, 'b');
rollback;
selec 1;
set application_name = 'golden';
copy app.t from stdin;
2	two
\\.
copy app.t to stdout;
delete from app.t;
"""


class Relay:
    """Passes connections on, one after the other, and keeps both directions of all of them."""

    def __init__(self, port):
        self.target, self.log = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            with client, socket.create_connection(("127.0.0.1", self.target)) as server:
                if not client.recv(1, socket.MSG_PEEK):
                    return  # finish() called
                back = threading.Thread(target=self.pump, args=(server, client, "B"))
                back.start()
                self.pump(client, server, "F")
                back.join()

    def finish(self):
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.thread.join()
        self.listener.close()

    def pump(self, source, sink, side):
        """One direction; whole frames, so that the log has them in the order in which they passed."""
        buffer, typed = b"", side == "B"
        while piece := source.recv(65536):
            sink.sendall(piece)
            buffer += piece
            while len(buffer) >= 5:
                size = struct.unpack("!I", buffer[typed:typed + 4])[0] + typed
                if len(buffer) < size:
                    break
                self.log.append((side, typed, buffer[:size]))
                buffer, typed = buffer[size:], True
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other side has closed already

    def lines(self):
        for side, typed, frame in self.log:
            yield f"# {chr(frame[0]) if typed else 'first packet'}"
            yield f"{side} {frame.hex()}"


def converse(port, *command, stdin=""):
    relay = Relay(port)
    settings = f"host=127.0.0.1 port={relay.port} user=app dbname=postgres sslmode=disable gssencmode=disable"
    environment = dict(os.environ, PGPASSWORD=PASSWORD, PGCLIENTENCODING="UTF8")
    try:
        subprocess.run([*command, settings], input=stdin.encode(), env=environment, cwd="/", stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True, timeout=30)
    finally:
        relay.finish()
    return relay.lines()


def main():
    with cluster() as port:
        control = Connection(port)
        for statement in SETUP:
            control.query(statement)
        verifier = control.query("select rolpassword from pg_authid where rolname = 'app'")[0][0]
        out = ["# traffic.txt: captured from PostgreSQL 15 by capture/capture_traffic.py, which explains the format.",
               f"\nverifier {verifier}", "\n## psql, simple protocol", *converse(port, "psql", "-X", "-q", stdin=QUERIES)]
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write("\\set id 42\nselect name from app.t where id = :id;\ninsert into app.t values (:id, 'it''s') on conflict do nothing;\n")
            script.flush()
            os.chmod(script.name, 0o644)
            out += ["\n## pgbench, prepared statements", *converse(port, "pgbench", "-n", "-t", "2", "-M", "prepared", "-f", script.name)]
        (GOLDEN / "traffic.txt").write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
