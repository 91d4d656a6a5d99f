"""What a client may say before it is logged in, and what it is told."""
import contextlib
import struct
import time
import unittest

import wire
from wire import Client
from world import World

W = None


def setUpModule():
    global W
    W = World(pool_size=2)


def tearDownModule():
    W.finish()


class Login(unittest.TestCase):
    def test_in_pieces_of_one_byte(self):
        client = Client(W.port, one_by_one=True)
        self.assertEqual(client.rows("SELECT 1"), [["1"]])

    def test_parameters_are_those_of_a_real_server(self):
        direct = W.shards["s2"].connect("shop")
        with contextlib.closing(W.connect()) as c:
            for name in ("server_version", "server_encoding", "client_encoding", "integer_datetimes", "TimeZone", "DateStyle"):
                self.assertEqual(c.get_parameter_status(name), direct.get_parameter_status(name), name)
        client = Client(W.port, application_name="mine")
        self.assertEqual(client.parameters["application_name"], "mine")
        self.assertEqual(client.parameters["pgrotor.generation"], str(int(client.parameters["pgrotor.generation"])))

    def test_requests_for_encryption_are_refused_with_n(self):
        client = Client(W.port, login=False)
        for code in (80877103, 80877104):
            client.send(struct.pack("!ii", 8, code))
            self.assertEqual(client.read_exactly(1), b"N")
        client.login("app", "right horse", "shop")
        self.assertEqual(client.rows("SELECT 2"), [["2"]])

    def test_wrong_password_and_unknown_user_look_alike(self):
        seen = []
        for user, password in (("app", "wrong"), ("nobody", "right horse")):
            client = Client(W.port, login=False)
            client.send(wire.startup(user=user, database="shop"))
            client.receive()
            client.scram(password)
            error = client.closed()
            seen.append((error["C"], error["S"], error["M"].replace(user, "?")))
        self.assertEqual(seen[0], ("28P01", "FATAL", 'password authentication failed for user "?"'))
        self.assertEqual(seen[0], seen[1])

    def test_keys_learnt_at_login_open_the_shard(self):
        # app has a verifier in the users file; the password is known to the client only.
        client = Client(W.port, user="app")
        self.assertEqual(client.rows("SELECT current_user"), [["app"]])

    def test_a_password_of_the_users_file_opens_the_shard(self):
        self.assertEqual(Client(W.port, user="other").rows("SELECT session_user"), [["other"]])

    def test_a_database_that_the_shards_are_not(self):
        self.assertEqual(Client(W.port).rows("SELECT current_database()"), [["shop"]])
        for parameters in ({"database": "whatever"}, {"database": "Shop"}, {}):
            with self.subTest(parameters=parameters):
                told, direct = (self.refused(port, **parameters) for port in (W.port, W.shards["s2"].port))
                self.assertEqual([told[field] for field in "SVCM"], [direct[field] for field in "SVCM"])
                self.assertEqual(told["H"], 'pgrotor serves database "shop".')

    def refused(self, port, **parameters):
        client = Client(port, login=False)
        client.send(wire.startup(user="app", **parameters))
        client.receive()
        client.scram("right horse")
        return client.closed()

    def test_startup_parameters_reach_the_server(self):
        client = Client(W.port, TimeZone="Asia/Tokyo", options="-c work_mem=5MB")
        self.assertEqual(client.rows("SHOW TimeZone"), [["Asia/Tokyo"]])
        self.assertEqual(client.rows("SHOW work_mem"), [["5MB"]])
        self.assertNotEqual(Client(W.port).rows("SHOW TimeZone"), [["Asia/Tokyo"]])

    def test_an_encoding_that_has_quotes_inside_its_characters_is_refused(self):
        self.assertEqual(self.refused(W.port, database="shop", client_encoding="Shift_JIS")["C"], "0A000")
        for name, known in (("utf-8", "UTF8"), ("Unicode", "UTF8"), ("UTF 8", "UTF8"), ("latin1", "LATIN1"), ("windows-1252", "WIN1252"), ("EUC_JP", "EUC_JP")):
            self.assertEqual(Client(W.port, client_encoding=name).parameters["client_encoding"], known, name)
        self.assertEqual(self.refused(W.port, database="shop", client_encoding="utf16")["C"], "22023")

    def test_garbage_and_oversized_lengths_cost_nothing(self):
        # Nobody knows that there is a client before it has said a version: without one, not a byte.
        silent = [b"GET / HTTP/1.0\r\n\r\n", struct.pack("!ii", 7, 196608), struct.pack("!ii", 0x7fffffff, 196608), wire.TERMINATE,
                  struct.pack("!ii", -1, 196608), b"\x16\x03\x01\x02\x00\x01\x00\x01", struct.pack("!iii", 12, 80877102, 1)]
        for raw in silent:
            with self.subTest(raw=raw), self.assertRaisesRegex(EOFError, "after 0 of 1 bytes"):
                client = Client(W.port, login=False)
                client.send(raw)
                client.read_exactly(1)
        client = Client(W.port, login=False)
        client.send(struct.pack("!ii", 12, 2 << 16) + b"\0" * 4)
        self.assertEqual(client.closed()["C"], "0A000")
        client = Client(W.port)
        client.send(b"Q" + struct.pack("!i", 0x7ffffff0))
        self.assertEqual(client.closed()["C"], "54000")
        client = Client(W.port)
        client.send(b"Q" + struct.pack("!i", 3))
        self.assertEqual(client.closed()["C"], "08P01")
        client = Client(W.port)
        client.send(b"!" + struct.pack("!i", 4))
        self.assertEqual(client.closed()["C"], "08P01")
        self.assertEqual(Client(W.port).rows("SELECT 3"), [["3"]])

    def test_a_client_that_says_nothing_is_sent_away(self):
        client = Client(W.port, login=False)
        started = time.monotonic()
        self.assertEqual(client.closed()["C"], "57014")
        self.assertLess(time.monotonic() - started, 6)


if __name__ == "__main__":
    unittest.main(verbosity=2)
