"""TLS with shards: every sslmode against real servers with right, wrong and expired certificates, cancels, and servers that lie."""
import contextlib
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import wire  # noqa: E402
from certificates import Authority  # noqa: E402
from cluster import binary  # noqa: E402
from wire import Client, query  # noqa: E402
from world import World, in_background, wait_until  # noqa: E402

W = CA = OTHER = None


def setUpModule():
    global W, CA, OTHER
    W = World(shards=("s1", "s2"))
    folder = W.scene.folder
    os.chmod(folder, 0o755)
    CA, OTHER = Authority(folder, "ca"), Authority(folder, "other")
    CA.issue("right", "DNS:shard.test,IP:127.0.0.1", for_postgres=True)
    CA.issue("elsewhere", "DNS:elsewhere.test", for_postgres=True)
    CA.issue("expired", "DNS:shard.test,IP:127.0.0.1", days=-1, for_postgres=True)
    OTHER.issue("foreign", "DNS:shard.test,IP:127.0.0.1", for_postgres=True)
    present("right")


def tearDownModule():
    W.finish()


def present(name, ssl_on=True):
    """The default shard shows this certificate to whoever connects from now on."""
    shard = W.shards["s2"]
    shard.settings.update({"ssl": "on" if ssl_on else "off", "ssl_cert_file": CA.path("crt", name), "ssl_key_file": CA.path("key", name),
                           "ssl_ca_file": CA.certificate})
    shard.restart("immediate")


def restart(dsn):
    assert W.end() == 0
    W.start(dsn=dsn)


def harness_log():
    with open(os.path.join(W.scene.folder, "harness.log"), errors="replace") as file:
        return file.read()


def encryption():
    """How the client's server connection is encrypted, by the server's own word."""
    return Client(W.port).rows("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")[0]


def refusal():
    """What a client reads whose login cannot be finished because of the shard."""
    client = Client(W.port, login=False)
    client.send(wire.startup(user="app", database="shop"))
    client.receive()
    client.scram(W.PASSWORD)
    return client.closed()


class RealServers(unittest.TestCase):
    def test_1_the_right_certificate(self):
        for mode, root, encrypted in (("disable", "", "f"), ("allow", "", "f"), ("prefer", "", "t"), ("require", "", "t"),
                                      ("require", CA.certificate, "t"), ("verify-ca", CA.certificate, "t"),
                                      ("verify-full", CA.certificate, "t")):
            with self.subTest(mode=mode, root=root):
                restart(f"sslmode={mode}" + (f" sslrootcert={root}" if root else ""))
                self.assertEqual(encryption()[0], encrypted)

    def test_2_names(self):
        restart(f"sslmode=verify-full sslrootcert={CA.certificate} host=shard.test hostaddr=127.0.0.1")
        self.assertEqual(encryption(), ["t", "TLSv1.3"])
        self.assertEqual({row["tls"] for row in W.command("show SERVERS") if row["shard"] == "s2"}, {"TLSv1.3"})
        restart(f"sslmode=verify-full sslrootcert={CA.certificate} host=another.test hostaddr=127.0.0.1")
        error = refusal()
        self.assertEqual((error["C"], error["S"]), ("08006", "FATAL"))
        self.assertEqual(error["M"], "cannot log in to shard s2 as app")
        self.assertEqual(error["D"], "TLS: the server's certificate is not for another.test.")

    def test_3_outside_of_this_machine_it_is_verify_full(self):
        address = next((info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
                        if not info[4][0].startswith("127.")), None)
        if address is None:
            with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
                probe.connect(("192.0.2.1", 9))
                address = probe.getsockname()[0]
        W.fakes = {"s2": f"host={address} port={W.shards['s2'].port} dbname=shop sslrootcert=/nowhere/root.crt"}
        try:
            restart("")
            self.assertIn("/nowhere/root.crt: No such file or directory", refusal()["D"])
        finally:
            W.fakes = {}

    def check(self, mode):
        """What `pgrotor check` finds, the default shard being the catalog too."""
        path = os.path.join(W.scene.folder, "pgrotor.toml")
        dsn = f"host=127.0.0.1 port={W.shards['s2'].port} dbname=shop sslmode={mode} sslrootcert={CA.certificate}"
        with open(path, "w") as file:
            file.write(f'default_shard = "s2"\n[auth]\nusers_file = "{W.users}"\n[catalog]\ndsn = "{dsn} user=app"\n'
                       f'[[shard]]\nname = "s2"\ndsn = "{dsn}"\n')
        done = subprocess.run([binary(), "check", "-c", path], capture_output=True, text=True, cwd="/")
        self.assertEqual(done.returncode, 1, done.stdout)
        return done.stderr

    def test_4_wrong_certificates(self):
        for name, mode, reason in (("elsewhere", "verify-full", "the server's certificate is not for 127.0.0.1"),
                                   ("expired", "verify-ca", "the server's certificate was refused: certificate has expired"),
                                   ("foreign", "verify-ca", "the server's certificate was refused: self-signed certificate in certificate chain|"
                                                            "the server's certificate was refused: unable to get local issuer certificate")):
            with self.subTest(name=name):
                present(name)
                restart(f"sslmode={mode} sslrootcert={CA.certificate}")
                checked = self.check(mode)
                for what in ("catalog.dsn: catalog", "shard.dsn: shard s2"):
                    self.assertTrue(any(f"{what}: sslrootcert={CA.certificate}: TLS: {one}" in checked for one in reason.split("|")), checked)
                self.assertIn(refusal()["D"].removeprefix("TLS: ").removesuffix("."), reason.split("|"))
                restart("sslmode=require")
                self.assertEqual(encryption()[0], "t")  # as libpq: nothing is verified
        present("elsewhere")
        restart(f"sslmode=verify-ca sslrootcert={CA.certificate}")
        self.assertEqual(encryption()[0], "t")
        present("right")

    def test_5_no_tls_at_all(self):
        present("right", ssl_on=False)
        self.assertIn("shard s2: the server speaks no TLS, and sslmode demands it", self.check("verify-full"))
        restart("sslmode=prefer")
        self.assertEqual(encryption()[0], "f")
        restart("sslmode=require")
        self.assertEqual(refusal()["D"], "The shard speaks no TLS, and its sslmode demands it.")
        present("right")

    def test_6_what_pg_hba_demands(self):
        shard = W.shards["s2"]
        path = os.path.join(shard.data, "pg_hba.conf")
        with open(path) as file:
            before = file.read()
        try:
            for line, mode, encrypted in (("hostssl", "allow", "t"), ("hostnossl", "prefer", "f")):
                with open(path, "w") as file:
                    file.write(f"local all all trust\n{line} all all 127.0.0.1/32 scram-sha-256\n")
                shard.query("SELECT pg_reload_conf()")
                wait_until(lambda: shard.query("SELECT 1 FROM pg_hba_file_rules WHERE type = %s", parameters=(line,)), "the rule")
                restart(f"sslmode={mode}")
                self.assertEqual(encryption()[0], encrypted)
            restart("sslmode=require")
            error = refusal()  # the shard's own words
            self.assertEqual((error["C"], error["S"], error["V"], error["R"]), ("28000", "FATAL", "FATAL", "ClientAuthentication"))
            self.assertIn("no pg_hba.conf entry for host", error["M"])
        finally:
            with open(path, "w") as file:
                file.write(before)
            shard.query("SELECT pg_reload_conf()")

    def test_7_client_certificates_and_channel_binding(self):
        certificate, key = CA.issue("pgrotor")
        restart(f"sslmode=verify-full sslrootcert={CA.certificate} sslcert={certificate} sslkey={key} channel_binding=require")
        shown = Client(W.port).rows("SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        self.assertEqual(shown, [["/CN=pgrotor"]])
        restart("sslmode=disable channel_binding=require")
        self.assertEqual(refusal()["D"], "channel_binding=require, and the shard offers no SCRAM-SHA-256-PLUS.")
        restart(f"sslmode=require sslcert={certificate} sslkey=/nowhere.key")
        self.assertEqual(refusal()["D"], "/nowhere.key: No such file or directory")

    def test_8_renewed_files_are_seen_and_broken_ones_are_not(self):
        root = os.path.join(W.scene.folder, "root.crt")
        def trust(text):
            with open(root + ".new", "w") as file:
                file.write(text)
            os.replace(root + ".new", root)
        ours, theirs = (open(authority.certificate).read() for authority in (CA, OTHER))
        trust(ours)
        restart(f"sslmode=verify-ca sslrootcert={root}")
        self.assertEqual(encryption()[0], "t")

        def fresh(parameter):  # other startup parameters: a pool of its own, so a new connection
            return Client(W.port, TimeZone=parameter).rows("SELECT 1")
        trust("garbage")
        self.assertEqual(fresh("UTC"), [["1"]])
        self.assertIn("connections to shards go on with what was read before", harness_log())
        trust(theirs)
        self.assertEqual(Client(W.port).rows("SELECT 1"), [["1"]])  # on a connection that stands
        with self.assertRaises(Exception):
            fresh("Asia/Tokyo")
        trust(ours + theirs)
        self.assertEqual(fresh("Asia/Tokyo"), [["1"]])

    def test_9_cancel_goes_encrypted_too(self):
        shard, heard = W.shards["s2"], []

        def listen_in(peer):  # passes bytes on, and keeps what the proxy said
            said = bytearray()
            heard.append(said)
            server = socket.create_connection(("127.0.0.1", shard.port))
            threading.Thread(target=copy, args=(server, peer, bytearray()), daemon=True).start()
            copy(peer, server, said)

        def copy(source, target, kept):
            with contextlib.suppress(OSError):
                while part := source.recv(65536):
                    kept += part
                    target.sendall(part)
                target.shutdown(socket.SHUT_WR)
        between = Liar(listen_in)
        W.fakes = {"s2": f"host=127.0.0.1 port={between.port} dbname=shop sslmode=verify-full sslrootcert={CA.certificate}"}
        try:
            restart("")
            client = Client(W.port)
            waiting = in_background(lambda: client.kinds(query("SELECT pg_sleep(30)")))
            wait_until(lambda: shard.query("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)' AND state = 'active'"), "it to run")
            self.assertEqual(len(heard), 1)
            killer = Client(W.port, login=False)
            killer.send(struct.pack("!iii", 16, 80877102, client.pid) + client.secret)
            self.assertEqual(waiting.get().split()[-2:], ["E57014", "ZI"])
            self.assertEqual(len(heard), 2)
            for said in heard:
                self.assertEqual(said[:9], struct.pack("!iiB", 8, 80877103, 0x16))  # SSLRequest, then a TLS handshake
                self.assertNotIn(struct.pack("!i", 80877102), said)
        finally:
            W.fakes = {}
            between.close()

    def test_large_data_both_ways(self):
        restart(f"sslmode=verify-full sslrootcert={CA.certificate}")
        client = Client(W.port)
        text = "x" * 7_000_000
        self.assertEqual(client.rows(f"SELECT length('{text}'), repeat('ab', 15000000)"), [["7000000", "ab" * 15_000_000]])


class Liar:
    """A server that speaks by script: `script` gets each connection's socket in a thread of its own."""

    def __init__(self, script):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.script, self.open = script, []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.listening.accept()
                self.open.append(peer)
                threading.Thread(target=self.play, args=(peer,), daemon=True).start()

    def play(self, peer):
        with contextlib.suppress(OSError, ssl.SSLError):
            self.script(peer)

    def close(self):
        for one in (self.listening, *self.open):
            one.close()


class Liars(unittest.TestCase):
    def told(self, script, dsn="sslmode=require"):
        liar = Liar(script)
        W.fakes = {"s2": f"host=127.0.0.1 port={liar.port} dbname=shop {dsn}"}
        try:
            restart("")
            return refusal()
        finally:
            W.fakes = {}
            liar.close()

    def test_answers_to_ssl_request(self):
        def answer(raw, then_close=False):
            def script(peer):
                assert peer.recv(8) == struct.pack("!ii", 8, 80877103)
                peer.sendall(raw)
                if then_close:
                    return peer.close()
                peer.recv(100_000)
                threading.Event().wait(20)
            return script
        cases = ((answer(b"S" + b"R\0\0\0\x08\0\0\0\0"), "Unencrypted bytes followed the answer to SSLRequest."),
                 (answer(b"NR\0\0\0\x08\0\0\0\0"), "Unencrypted bytes followed the answer to SSLRequest."),
                 (answer(b"HTTP/1.1 400 Bad Request"), "The answer to SSLRequest is not that of a PostgreSQL server."),
                 (answer(b"", True), "The shard closed the connection."),
                 (answer(b"S", True), "TLS: the peer closed the connection during the TLS handshake."),
                 (answer(b"S"), "The TLS handshake took too long."))
        for script, detail in cases:
            with self.subTest(detail=detail):
                started = time.monotonic()
                error = self.told(script)
                self.assertEqual((error["C"], error["M"]), ("08006", "cannot log in to shard s2 as app"))
                if "closed" in detail:
                    self.assertIn(error["D"], (detail, "TLS: Connection reset by peer."))
                else:
                    self.assertEqual(error["D"], detail)
                self.assertLess(time.monotonic() - started, 10)
        self.assertIn("wrong version number", self.told(lambda peer: (peer.recv(8), peer.sendall(b"S"), peer.recv(9000), peer.sendall(b"x" * 50)))["D"])

    def test_prefer_goes_on_without_tls_after_a_failed_handshake(self):
        seen = []

        def script(peer):
            first = peer.recv(8)
            if first == struct.pack("!ii", 8, 80877103):
                peer.sendall(b"S")
                peer.recv(9000)
                return peer.sendall(b"not TLS at all, nor will it ever be")
            seen.append(first)
            text = b"SFATAL\0VFATAL\0C57P03\0Mplain text it is\0\0"
            peer.sendall(b"E" + struct.pack("!i", len(text) + 4) + text)
        error = self.told(script, "sslmode=prefer")
        self.assertEqual((error["C"], error["M"], len(seen)), ("57P03", "plain text it is", 1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
