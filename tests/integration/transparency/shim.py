"""A TCP relay that hands every byte on alone, in both directions, as slow networks and middle boxes may. Long runs (values of many
megabytes) go on in pieces of random sizes after their first bytes, so that a run ends within minutes. Threads, one a direction."""
import random
import socket
import threading

ALONE = 20000  # bytes of one read that are sent one by one


class Shim:
    def __init__(self, target, seed=1):
        self.target, self.random = target, random.Random(seed)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.bytes = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            for one, other in ((client, server), (server, client)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.relay, args=(one, other), daemon=True).start()

    def relay(self, source, target):
        try:
            while True:
                got = source.recv(65536)
                if not got:
                    target.shutdown(socket.SHUT_WR)
                    return
                self.pieces(got, target)
        except OSError:
            for one in (source, target):
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def pieces(self, got, target):
        self.bytes += len(got)
        alone = ALONE if len(got) < 65536 else 100
        for at in range(min(len(got), alone)):
            target.sendall(got[at:at + 1])
        at = alone
        while at < len(got):
            size = self.random.randrange(1, 8000)
            target.sendall(got[at:at + size])
            at += size

    def close(self):
        self.listener.close()
