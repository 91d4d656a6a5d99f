"""TLS with clients: psql and libpq, openssl s_client, and a client that does things in the wrong order; certificates that change while
clients are connected. The real binary with one real shard."""
import contextlib
import hashlib
import os
import signal
import ssl
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import wire  # noqa: E402
from certificates import Authority, replace  # noqa: E402
from cluster import BIN, Scene, wait_until  # noqa: E402
from fleet import Fleet  # noqa: E402
from wire import Client, query  # noqa: E402

SSL_REQUEST, GSSENC_REQUEST = struct.pack("!ii", 8, 80877103), struct.pack("!ii", 8, 80877104)
LOGIN_TIMEOUT = 3.0
F = None


class World:
    """A pgrotor that offers TLS with server.crt, signed by `ca`; `other` is an authority that nobody trusts."""

    def __init__(self):
        self.scene = Scene("tls")
        try:
            folder = self.folder = self.scene.folder
            self.ca, self.other = Authority(folder, "ca"), Authority(folder, "other")
            self.certificate, self.key = self.ca.issue("server", "DNS:localhost,IP:127.0.0.1")
            settings = {"listen.tls.mode": "allow", "listen.tls.certificate": self.certificate, "listen.tls.key": self.key,
                        "limits.login_timeout_ms": int(LOGIN_TIMEOUT * 1000), "proxy.workers": 2}
            self.fleet = Fleet(self.scene, names=("s1",), catalog="s1", settings=settings)
            self.pgrotor = self.fleet.pgrotor
            with open(self.pgrotor.config) as file:
                self.config = file.read()
        except BaseException:
            self.scene.__exit__(*sys.exc_info())
            raise

    @property
    def port(self):
        return self.pgrotor.port

    def log(self):
        with open(self.pgrotor.log, errors="replace") as file:
            return file.read()

    def restart(self, *replacements):
        """With another configuration."""
        text = self.config
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        with open(self.pgrotor.config, "w") as file:
            file.write(text)
        if self.pgrotor.child.poll() is None:
            assert self.pgrotor.terminate() == 0
        self.pgrotor.serve()

    def psql(self, sql, **options):
        options = dict({"host": "localhost", "port": self.port, "user": "app", "dbname": "shop"}, **options)
        text = " ".join(f"{key}={value}" for key, value in options.items())
        done = subprocess.run([BIN + "psql", "-X", "-A", "-t", "-d", text], input=sql, text=True, capture_output=True, cwd="/",
                              env=dict(os.environ, PGPASSWORD=self.fleet.app_password, HOME=self.folder))
        return done.stdout + done.stderr

    def raw(self):
        return Client(self.port, login=False, timeout=10)

    def context(self, verify=True, alpn=None):
        made = ssl.create_default_context(cafile=self.ca.certificate)
        made.check_hostname = verify
        if not verify:
            made.verify_mode = ssl.CERT_NONE
        if alpn:
            made.set_alpn_protocols([alpn])
        return made

    def client(self, direct=False, login=True, context=None, alpn=None, **options):
        """A logged-in client with TLS."""
        made = self.raw()
        if not direct:
            made.send(SSL_REQUEST)
            assert made.read_exactly(1) == b"S"
        made.socket = (context or self.context(alpn=alpn)).wrap_socket(made.socket, server_hostname="localhost")
        if login:
            made.login("app", self.fleet.app_password, "shop", **options)
        return made

    def metric(self, name):
        return next(float(line.split()[1]) for line in self.pgrotor.http("/metrics").splitlines() if line.startswith(name + " "))


def setUpModule():
    global F
    F = World()


def tearDownModule():
    code = F.pgrotor.terminate()
    F.scene.__exit__(None, None, None)
    assert code == 0, f"pgrotor ended with {code}"


class RealClients(unittest.TestCase):
    def test_every_sslmode_of_libpq(self):
        for mode, expected in (("disable", ""), ("allow", ""), ("prefer", "TLSv1.3"), ("require", "TLSv1.3"),
                               ("verify-ca", "TLSv1.3"), ("verify-full", "TLSv1.3")):
            with self.subTest(mode=mode):
                said = F.psql("SELECT 6 * 7;\n\\conninfo", sslmode=mode, sslrootcert=F.ca.certificate)
                self.assertTrue(said.startswith("42\n"), said)
                self.assertEqual("SSL connection" in said, bool(expected), said)
                self.assertIn(expected, said)

    def test_the_console_shows_who_is_encrypted(self):
        with contextlib.closing(F.client(application_name="dark")), contextlib.closing(F.raw()) as bare:
            bare.login("app", F.fleet.app_password, "shop", application_name="bare")
            shown = {row["application_name"]: row["tls"] for row in F.fleet.console("SHOW CLIENTS")}
            self.assertEqual((shown["dark"], shown["bare"]), ("TLSv1.3", None))

    def test_clients_find_out_a_wrong_certificate(self):
        self.assertIn("certificate verify failed", F.psql("SELECT 1", sslmode="verify-full", sslrootcert=F.other.certificate))
        wrong_name = F.psql("SELECT 1", sslmode="verify-full", sslrootcert=F.ca.certificate, host="elsewhere", hostaddr="127.0.0.1")
        self.assertIn('does not match host name "elsewhere"', wrong_name)

    def test_the_login_is_bound_to_the_connection(self):
        self.assertEqual(F.psql("SELECT 1", sslmode="verify-full", sslrootcert=F.ca.certificate, channel_binding="require"), "1\n")
        self.assertIn("channel binding required", F.psql("SELECT 1", sslmode="disable", channel_binding="require"))

    def test_a_client_that_was_robbed_of_the_binding_is_refused(self):
        for flag, accepted in (("n", True), ("y", False)):
            client = F.client(login=False)
            client.flag = flag
            if accepted:
                client.login("app", F.fleet.app_password, "shop")
                continue
            client.send(wire.startup(user="app", database="shop"))
            kind, body = client.receive()
            self.assertIn(b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0", body)
            with self.assertRaises(AssertionError) as refused:
                client.scram(F.fleet.app_password)
            self.assertIn("28P01", str(refused.exception))

    def test_the_console_and_copy_in_both_directions(self):
        self.assertIn("pgrotor", F.psql("SHOW VERSION", sslmode="require", dbname="pgrotor", user="admin", password=F.pgrotor.admin_password))
        rows = "".join(f"{i}\t{'x' * (i % 977)}\n" for i in range(60_000))
        F.fleet.shards["s1"].psql("CREATE TABLE IF NOT EXISTS big (id int, note text); GRANT ALL ON big TO app", "shop")
        script = f"DELETE FROM big; COPY big FROM STDIN;\n{rows}\\.\nCOPY (SELECT * FROM big ORDER BY id) TO STDOUT;"
        said = F.psql(script, sslmode="require")
        self.assertEqual(said, f"DELETE 0\nCOPY 60000\n{rows}", said[:200])
        one = F.psql("SELECT length(repeat('x', 30000000)), md5(repeat('y', 30000000)), repeat('z', 20000000);", sslmode="require")
        self.assertEqual(one, f"30000000|{hashlib.md5(b'y' * 30000000).hexdigest()}|{'z' * 20000000}\n")

    def test_openssl_s_client_asks_for_both_kinds(self):
        for way in (("-starttls", "postgres"), ("-alpn", "postgresql")):
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{F.port}", "-CAfile", F.ca.certificate, "-verify_hostname",
                                   "localhost", *way], input="", text=True, capture_output=True, timeout=20)
            self.assertIn("Verify return code: 0 (ok)", done.stdout, done.stderr)
            self.assertIn("New, TLSv1.3", done.stdout)
        old = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{F.port}", "-starttls", "postgres", "-tls1_1", "-cipher",
                              "DEFAULT@SECLEVEL=0"], input="", text=True, capture_output=True, timeout=20)
        self.assertIn("alert protocol version", old.stderr)


class Orders(unittest.TestCase):
    def test_each_request_once_in_either_order(self):
        client = F.raw()
        client.send(GSSENC_REQUEST)
        self.assertEqual(client.read_exactly(1), b"N")
        client.send(SSL_REQUEST)
        self.assertEqual(client.read_exactly(1), b"S")
        client.socket = F.context().wrap_socket(client.socket, server_hostname="localhost")
        client.login("app", F.fleet.app_password, "shop")
        self.assertEqual(client.rows("SELECT 1"), [["1"]])
        for again in (SSL_REQUEST, GSSENC_REQUEST):
            client = F.client(login=False)
            client.send(again)
            self.assertEqual(client.closed()["C"], "0A000")
        client = F.raw()
        client.send(GSSENC_REQUEST)
        self.assertEqual(client.read_exactly(1), b"N")
        client.send(GSSENC_REQUEST)
        self.assertEqual(client.closed()["C"], "0A000")

    def test_plain_text_behind_a_request_is_refused(self):
        for behind in (b"x", wire.startup(user="app", database="shop"), GSSENC_REQUEST):
            client = F.raw()
            client.send(SSL_REQUEST + behind)
            self.assertEqual(client.closed()["C"], "08P01")
        client = F.raw()
        client.send(GSSENC_REQUEST + SSL_REQUEST)
        self.assertEqual(client.read_exactly(1), b"N")
        self.assertEqual(client.closed()["C"], "08P01")

    def test_plain_text_in_the_place_of_the_handshake_is_refused(self):
        client = F.raw()
        client.send(SSL_REQUEST)
        self.assertEqual(client.read_exactly(1), b"S")
        client.send(wire.startup(user="app", database="shop"))
        self.assertNotIn(b"SCRAM", client.socket.recv(1000))

    def test_startup_in_one_byte_pieces_and_longer_than_a_buffer(self):
        client = F.raw()
        client.one_by_one = True
        client.send(SSL_REQUEST)
        self.assertEqual(client.read_exactly(1), b"S")
        client.socket = F.context().wrap_socket(client.socket, server_hostname="localhost")
        client.login("app", F.fleet.app_password, "shop")  # a record for each byte
        self.assertEqual(client.rows("SELECT 1"), [["1"]])
        client = F.client(options="-c search_path=" + ",".join(["public"] * 1200))
        self.assertEqual(client.rows("SELECT length(current_setting('search_path'))"), [["8399"]])

    def test_direct_tls_needs_alpn(self):
        client = F.client(direct=True, alpn="postgresql")
        self.assertEqual(client.rows("SELECT 1"), [["1"]])
        self.assertEqual(F.client(alpn="postgresql").rows("SELECT 2"), [["2"]])
        client = F.client(direct=True, login=False)
        client.send(wire.startup(user="app", database="shop"))
        self.assertEqual(client.closed(), {})
        with self.assertRaises(ssl.SSLError):
            F.client(direct=True, alpn="http/1.1")
        with self.assertRaises(ssl.SSLError):
            F.client(alpn="http/1.1")

    def test_cancel_over_tls_and_plain(self):
        for encrypted in (True, False):
            client = F.client()
            client.send(query("SELECT pg_sleep(30)"))
            wait_until(lambda: F.fleet.query("s1", "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)' AND state = 'active'"
                                             " AND pid <> pg_backend_pid()"), "the statement to run")
            for key in (bytes(4), client.secret):
                killer = F.client(login=False) if encrypted else F.raw()
                killer.send(struct.pack("!iii", 16, 80877102, client.pid) + key)
                self.assertEqual(killer.closed(), {})
            self.assertEqual(client.read_kinds().split()[-2:], ["E57014", "ZI"])


class Abuse(unittest.TestCase):
    def clients(self):
        return F.metric("pgrotor_clients")

    def memory(self):
        with open(f"/proc/{F.pgrotor.child.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024

    def test_a_handshake_that_stops_half_way_ends_with_the_login_time(self):
        before, failures = self.clients(), F.metric("pgrotor_tls_failures_total")
        silent, half, gone = F.raw(), F.raw(), F.raw()
        for client in (silent, half, gone):
            client.send(SSL_REQUEST)
            self.assertEqual(client.read_exactly(1), b"S")
        half.send(struct.pack("!BHHB", 0x16, 0x0301, 512, 1) + bytes(100))
        direct = F.raw()
        direct.send(b"\x16")
        gone.close()
        for client in (silent, half, direct):
            self.assertEqual(client.socket.recv(100), b"")
        wait_until(lambda: self.clients() == before, "the sessions to end", timeout=LOGIN_TIMEOUT)
        self.assertEqual(F.metric("pgrotor_tls_failures_total"), failures + 4)
        self.assertIn("no TLS: it took too long", F.log())

    def test_many_that_stop_half_way_cost_bounded_memory(self):
        before = self.memory()
        flood = [F.raw() for _ in range(400)]
        for client in flood:
            client.send(SSL_REQUEST)
        for client in flood:
            client.read_exactly(1)
            client.send(struct.pack("!BHHB", 0x16, 0x0301, 16000, 1) + bytes(15000))
        self.assertEqual(F.client().rows("SELECT 1"), [["1"]])
        self.assertLess(self.memory() - before, 60)
        for client in flood:
            client.close()

    def test_a_client_that_never_reads_holds_its_shard_back(self):
        before = self.memory()
        client = F.client()
        client.send(query("SELECT repeat('x', 1000000) FROM generate_series(1, 200)"))
        waits = "SELECT 1 FROM pg_stat_activity WHERE usename = 'app' AND wait_event = 'ClientWrite'"
        wait_until(lambda: F.fleet.query("s1", waits), "the shard to be held back", timeout=10)
        self.assertLess(self.memory() - before, 20)
        client.close()
        wait_until(lambda: not F.fleet.query("s1", waits), "the shard to be let go", timeout=10)

    def test_a_client_that_reads_late_gets_everything(self):
        client = F.client()
        client.send(query("SELECT repeat('x', 1000000) FROM generate_series(1, 50)"))
        waits = "SELECT 1 FROM pg_stat_activity WHERE usename = 'app' AND wait_event = 'ClientWrite'"
        wait_until(lambda: F.fleet.query("s1", waits), "the shard to be held back", timeout=10)
        got = [body for kind, body in client.until(b"Z") if kind == b"D"]
        self.assertEqual([len(body) for body in got], [1000006] * 50)
        self.assertEqual(set(b"".join(body[6:] for body in got)), {ord("x")})


class Zconfigurations(unittest.TestCase):
    """Other configurations, last: each restarts pgrotor."""

    def test_reload_drops_nobody_and_a_broken_file_changes_nothing(self):
        F.restart()
        def serial():
            client = F.client(login=False)
            found = client.socket.getpeercert()["serialNumber"]
            client.close()
            return found
        def reload(expected):
            count = F.log().count("SIGHUP:")
            F.pgrotor.child.send_signal(signal.SIGHUP)
            wait_until(lambda: F.log().count("SIGHUP:") >= count + expected, "SIGHUP to be logged")
        first, old = serial(), F.client()
        old.kinds(query("BEGIN"))
        for side in ("crt", "key"):
            replace(F.certificate[:-3] + side, os.path.join(F.folder, "saved." + side))
        certificate, key = F.ca.issue("renewed", "DNS:localhost")
        replace(key, F.key)
        replace(certificate, F.certificate)
        self.assertEqual(serial(), first)  # not before it is asked to
        reload(1)
        second = wait_until(lambda: serial() if serial() != first else None, "the new certificate")
        self.assertEqual(old.rows("SELECT 1"), [["1"]])
        self.assertEqual(old.kinds(query("COMMIT")), "C:COMMIT ZI")
        for content, reason in (("not PEM", "not a certificate in PEM"), (open(F.ca.certificate).read(), "fits")):
            with open(F.certificate, "w") as file:
                file.write(content)
            reload(2)
            self.assertEqual(serial(), second)
            last = [line for line in F.log().splitlines() if "new clients go on with what was read before" in line][-1]
            self.assertIn(F.certificate, last)
            self.assertIn(reason, last)
        os.unlink(F.certificate)
        reload(2)
        self.assertIn(f"{F.certificate}: No such file or directory; new clients go on", F.log())
        self.assertEqual(serial(), second)
        self.assertEqual(old.rows("SELECT 1"), [["1"]])
        for side in ("crt", "key"):
            replace(os.path.join(F.folder, "saved." + side), F.certificate[:-3] + side)

    def test_require(self):
        F.restart(('tls.mode = "allow"', 'tls.mode = "require"'))
        client = F.raw()
        client.send(wire.startup(user="app", database="shop"))
        error = client.closed()
        self.assertEqual((error["C"], error["M"]), ("28000", "connections without TLS are not accepted"))
        self.assertTrue(F.psql("SELECT 1", sslmode="disable").startswith("psql: error"))
        self.assertEqual(F.psql("SELECT 1", sslmode="allow"), "1\n")
        client = F.client()
        client.send(query("SELECT pg_sleep(30)"))
        wait_until(lambda: F.fleet.query("s1", "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)' AND state = 'active'"
                                         " AND pid <> pg_backend_pid()"), "the statement to run")
        killer = F.raw()  # as libpq up to 16 does, and as PostgreSQL accepts it
        killer.send(struct.pack("!iii", 16, 80877102, client.pid) + client.secret)
        self.assertEqual(client.read_kinds().split()[-2:], ["E57014", "ZI"])

    def test_client_certificates(self):
        F.restart(('tls.mode = "allow"', f'tls.mode = "require"\ntls.client_ca = "{F.ca.certificate}"'))
        good, bad = F.ca.issue("alice"), F.other.issue("mallory")
        options = {"sslmode": "verify-full", "sslrootcert": F.ca.certificate}
        self.assertEqual(F.psql("SELECT 1", sslcert=good[0], sslkey=good[1], **options), "1\n")
        self.assertIn("alert unknown ca", F.psql("SELECT 1", sslcert=bad[0], sslkey=bad[1], **options))
        self.assertIn("certificate required", F.psql("SELECT 1", **options))
        self.assertIn("no TLS: the client's certificate was refused", F.log())

    def test_disable(self):
        F.restart(('tls.mode = "allow"', 'tls.mode = "disable"'))
        client = F.raw()
        for request in (SSL_REQUEST, GSSENC_REQUEST):
            client.send(request)
            self.assertEqual(client.read_exactly(1), b"N")
        client.login("app", F.fleet.app_password, "shop")
        self.assertEqual(client.rows("SELECT 1"), [["1"]])
        client = F.raw()
        client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01")
        self.assertEqual(client.closed(), {})

    def test_check_names_file_and_reason(self):
        stale, weak = F.ca.issue("stale", days=-1), F.ca.issue("weak")
        os.chmod(weak[1], 0o644)
        def check(certificate, key):
            text = F.config.replace(F.certificate, certificate).replace(F.key, key)
            path = F.pgrotor.config + ".checked"
            with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(text)
            done = subprocess.run([F.pgrotor.child.args[0], "check", "-c", path], capture_output=True, text=True, cwd="/")
            return done.returncode, done.stderr
        self.assertEqual(check(F.certificate, F.key)[0], 0)
        for files, said in ((("/nowhere.crt", F.key), "/nowhere.crt: No such file or directory"),
                            ((F.certificate, stale[1]), f"{stale[1]}: not a private key without passphrase in PEM that fits {F.certificate}"),
                            (stale, f"{stale[0]}: the certificate expired on "), (weak, f"{weak[1]}: the private key can be read by others")):
            code, text = check(*files)
            self.assertEqual(code, 1)
            self.assertIn("listen.tls", text)
            self.assertIn(said, text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
