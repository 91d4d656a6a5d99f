"""COMMIT PREPARED and ROLLBACK PREPARED on two shards: the one that has the transaction is found, a shard that does not answer is never
taken for one that has not, and an outcome that is not known is told as such."""
import os
import signal
import time
import unittest

import wire
from wire import Client, bind, execute, parse, query
from world import World, wait_until

W = None


def setUpModule():
    global W
    W = World(pool_size=2, workers=2)


def tearDownModule():
    W.finish()


def extended(*texts):
    return b"".join(parse("", sql) + bind() + execute() for sql in texts) + wire.SYNC


def prepared(shard):
    return [gid for gid, in W.direct(shard, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY gid")]


class Stopped:
    """A backend that stands still: the connection is there and nothing comes."""

    def __init__(self, *pids):
        self.pids = pids

    def __enter__(self):
        for pid in self.pids:
            os.kill(pid, signal.SIGSTOP)

    def __exit__(self, *failure):
        for pid in self.pids:
            os.kill(pid, signal.SIGCONT)


class TwoPhase(unittest.TestCase):
    def setUp(self):
        self.keys = {name: W.key_on(name) for name in ("s1", "s2")}
        for shard in W.shards:
            for gid in prepared(shard):
                W.direct(shard, f"ROLLBACK PREPARED '{gid}'")
            W.direct(shard, "TRUNCATE orders")
        self.client = Client(W.port)

    def error(self, client, raw):
        client.send(raw)
        return next(wire.fields(body) for kind, body in client.until(b"Z") if kind == b"E")

    def prepare(self, shard, gid="two", number=1):
        self.assertEqual(self.client.kinds(query("BEGIN")), "C:BEGIN ZT")
        self.assertEqual(self.client.kinds(query(f"INSERT INTO orders VALUES ({self.keys[shard]}, {number}, 'x')")), "C:INSERT 0 1 ZT")
        self.assertEqual(self.client.kinds(query(f"PREPARE TRANSACTION '{gid}'")), "C:PREPARE TRANSACTION ZI")

    def test_the_shard_that_has_it_is_found(self):
        for shard in W.shards:
            for raw, what in ((query, "C:"), (extended, "1 2 C:")):
                self.prepare(shard)
                self.assertEqual([prepared("s1"), prepared("s2")], [["two"], []] if shard == "s1" else [[], ["two"]])
                self.client.close()  # another client, of the other worker, ends it
                self.client = Client(W.port)
                self.assertEqual(self.client.kinds(raw("ROLLBACK PREPARED 'two'")), what + "ROLLBACK PREPARED ZI")
                self.prepare(shard)
                self.assertEqual(self.client.kinds(raw("COMMIT PREPARED 'two'")), what + "COMMIT PREPARED ZI")
                self.assertEqual(W.count(shard), 1)
                W.direct(shard, "TRUNCATE orders")
        self.assertEqual(self.client.rows("SELECT 1"), [["1"]])

    def test_a_begin_that_is_still_held_is_prepared_on_the_default_shard(self):
        self.client.kinds(query("BEGIN"))
        self.assertEqual(self.client.kinds(query("PREPARE TRANSACTION 'two'")), "C:PREPARE TRANSACTION ZI")
        self.assertEqual(prepared("s2"), ["two"])
        self.assertEqual(self.client.kinds(query("COMMIT PREPARED 'two'")), "C:COMMIT PREPARED ZI")

    def test_nobody_has_it(self):
        error = self.error(self.client, query("COMMIT PREPARED 'missing'"))
        self.assertEqual((error["C"], error["M"], error["R"]), ("42704", 'prepared transaction with identifier "missing" does not exist', "LockGXact"))
        self.assertEqual(self.client.kinds(extended("ROLLBACK PREPARED 'missing'")), "1 2 E42704 ZI")

    def test_a_name_with_quotes_and_backslashes(self):
        self.prepare("s1", "it''s \\ ")
        self.assertEqual(self.client.kinds(query("COMMIT PREPARED E'it\\'s \\\\ '")), "C:COMMIT PREPARED ZI")

    def test_both_shards_have_one_of_that_name(self):
        self.prepare("s1")
        W.direct("s2", "BEGIN; SELECT 1; PREPARE TRANSACTION 'two'")  # past pgrotor
        error = self.error(self.client, query("COMMIT PREPARED 'two'"))
        self.assertEqual((error["C"], error["M"]), ("RT003", 'shards s1 and s2 both have a prepared transaction "two"'))
        self.assertEqual(self.client.kinds(extended("COMMIT PREPARED 'two'")), "ERT003 ZI")
        self.assertEqual([prepared("s1"), prepared("s2")], [["two"], ["two"]])

    def begin(self, shard, client=None):
        client = client or self.client
        self.assertEqual(client.kinds(query("BEGIN")), "C:BEGIN ZT")
        self.assertEqual(client.kinds(query(f"INSERT INTO orders VALUES ({self.keys[shard]}, 7, 'x')")), "C:INSERT 0 1 ZT")

    def test_a_name_that_is_in_use_on_another_shard(self):
        """As PostgreSQL: 42710, and the transaction is rolled back and over."""
        insert = f"INSERT INTO orders VALUES ({self.keys['s2']}, 7, 'x')"
        self.prepare("s1")
        for raw, what in ((query, ""), (extended, "1 2 ")):
            self.begin("s2")
            error = self.error(self.client, raw("PREPARE TRANSACTION 'two'"))
            self.assertEqual((error["C"], error["M"]), ("42710", 'transaction identifier "two" is already in use'))
            self.begin("s2")
            self.assertEqual(self.client.kinds(raw("PREPARE TRANSACTION 'two'")), what + "E42710 ZI")
            self.begin("s1")  # the shard itself says so
            error = self.error(self.client, raw("PREPARE TRANSACTION 'two'"))
            self.assertEqual((error["C"], error["M"], error["R"]), ("42710", 'transaction identifier "two" is already in use', "MarkAsPreparing"))
        self.assertEqual(self.client.kinds(extended("BEGIN", insert, "PREPARE TRANSACTION 'two'")), "1 2 C:BEGIN 1 2 C:INSERT 0 1 1 2 E42710 ZI")
        self.assertEqual(self.client.kinds(query(f"BEGIN; {insert}; PREPARE TRANSACTION 'two'")), "E42710 ZI")
        self.client.kinds(query("BEGIN"))  # still held
        self.assertEqual(self.client.kinds(query("PREPARE TRANSACTION 'two'")), "E42710 ZI")
        self.assertEqual([prepared("s1"), prepared("s2"), W.count("s2")], [["two"], [], 0])
        # What is not prepared needs no name.
        self.assertIn("C:ROLLBACK ZI", self.client.kinds(query("PREPARE TRANSACTION 'two'")))
        self.begin("s2")
        self.assertEqual(self.client.kinds(query("SELECT 1/0")), "E22012 ZE")
        self.assertEqual(self.client.kinds(query("PREPARE TRANSACTION 'two'")), "C:ROLLBACK ZI")
        # Free again.
        self.assertEqual(self.client.kinds(query("COMMIT PREPARED 'two'")), "C:COMMIT PREPARED ZI")
        self.prepare("s2")
        self.assertEqual(self.client.kinds(extended("ROLLBACK PREPARED 'two'")), "1 2 C:ROLLBACK PREPARED ZI")

    def test_a_name_of_another_database_of_a_cluster_is_in_use(self):
        W.shards["s1"].query("BEGIN; SELECT 1; PREPARE TRANSACTION 'two'", "postgres")
        try:
            self.begin("s2")
            self.assertEqual(self.client.kinds(query("PREPARE TRANSACTION 'two'")), "E42710 ZI")
        finally:
            W.shards["s1"].query("ROLLBACK PREPARED 'two'", "postgres")

    def test_two_clients_prepare_one_name_at_the_same_time(self):
        others = {shard: Client(W.port) for shard in ("s1", "s2", "s1 again")}
        for turn in range(40):
            raw = (query, extended)[turn % 2]
            for shard, client in others.items():
                self.assertEqual(client.kinds(query("BEGIN")), "C:BEGIN ZT")
                key = W.key_on(shard[:2], 1 if "again" in shard else 0)
                self.assertEqual(client.kinds(query(f"INSERT INTO orders VALUES ({key}, {turn}, 'x')")), "C:INSERT 0 1 ZT")
            for client in others.values():
                client.send(raw("PREPARE TRANSACTION 'race'"))
            ends = sorted(client.kinds(b"").removeprefix("1 2 ") for client in others.values())
            self.assertEqual(ends, ["C:PREPARE TRANSACTION ZI", "E42710 ZI", "E42710 ZI"])
            self.assertEqual(sorted(prepared("s1") + prepared("s2")), ["race"])
            self.assertEqual(self.client.kinds(query("COMMIT PREPARED 'race'")), "C:COMMIT PREPARED ZI")
        self.assertEqual(W.count("s1") + W.count("s2"), 40)
        for client in others.values():
            client.close()

    def test_no_name_is_taken_while_a_shard_cannot_say(self):
        self.prepare("s2", "warm")  # the connection that asks is there
        W.shards["s1"].stop("immediate")
        try:
            for raw in (query, extended):
                self.begin("s2")
                error = self.error(self.client, raw("PREPARE TRANSACTION 'two'"))
                self.assertEqual((error["S"], error["C"], error["M"]), ("ERROR", "08006", 'cannot tell whether shard s1 has prepared transaction "two"'))
            self.assertEqual(self.client.kinds(query("SELECT 1")), "T D C:SELECT 1 ZI")
            self.assertEqual(prepared("s2"), ["warm"])
        finally:
            W.shards["s1"].start()
        self.prepare("s2", number=2)
        self.assertEqual(W.count("s2"), 0)

    def test_another_database_of_the_cluster_does_not_count(self):
        self.prepare("s1")
        W.shards["s2"].query("BEGIN; SELECT 1; PREPARE TRANSACTION 'two'", "postgres")
        self.assertEqual(self.client.kinds(query("COMMIT PREPARED 'two'")), "C:COMMIT PREPARED ZI")
        error = self.error(self.client, query("COMMIT PREPARED 'two'"))
        self.assertEqual((error["C"], error["R"]), ("42501", "LockGXact"))  # PostgreSQL looks at the owner first
        W.shards["s2"].query("ROLLBACK PREPARED 'two'", "postgres")

    def test_in_a_transaction_it_is_refused_by_the_server(self):
        self.prepare("s1")
        for shard in W.shards:
            self.client.kinds(query("BEGIN"))
            self.client.kinds(query(f"SELECT FROM orders WHERE customer_id = {self.keys[shard]}"))
            self.assertEqual(self.client.kinds(query("COMMIT PREPARED 'two'")), "E25001 ZE")
            self.assertEqual(self.client.kinds(query("COMMIT PREPARED 'two'")), "E25P02 ZE")
            self.client.kinds(query("ROLLBACK"))
        self.client.kinds(query("BEGIN"))
        self.assertEqual(self.client.kinds(extended("COMMIT PREPARED 'two'")), "1 2 E25001 ZE")

    def test_pipelines_stay_on_one_shard(self):
        touch = f"SELECT FROM orders WHERE customer_id = {self.keys['s2']}"
        self.prepare("s1")
        self.prepare("s2", "other")
        self.assertEqual(self.client.kinds(extended(touch, "COMMIT PREPARED 'two'")), "1 2 C:SELECT 0 1 ERT003 ZI")
        self.assertEqual(self.client.kinds(extended("COMMIT PREPARED 'two'", touch)), "1 2 C:COMMIT PREPARED 1 ERT003 ZI")
        self.prepare("s1", number=2)
        self.assertEqual(self.client.kinds(extended("COMMIT PREPARED 'other'", "COMMIT PREPARED 'two'")), "1 2 C:COMMIT PREPARED 1 ERT003 ZI")
        self.prepare("s1", "third", number=3)
        self.assertEqual(self.client.kinds(extended("COMMIT PREPARED 'two'", "ROLLBACK PREPARED 'third'")), "1 2 C:COMMIT PREPARED 1 2 C:ROLLBACK PREPARED ZI")

    def test_behind_the_end_of_a_transaction_in_a_pipeline(self):
        """The server of that transaction would say that there is none of that name, if another shard has it."""
        touch = f"SELECT FROM orders WHERE customer_id = {self.keys['s2']}"
        self.prepare("s1")
        for sql in ("BEGIN", touch):
            self.client.kinds(query(sql))
        self.assertEqual(self.client.kinds(extended("COMMIT", "COMMIT PREPARED 'two'")), "1 2 C:COMMIT 1 ERT003 ZI")
        for sql in ("BEGIN", touch):
            self.client.kinds(query(sql))
        self.client.send(parse("", "COMMIT") + bind() + execute() + wire.FLUSH)
        self.client.until(b"C")
        self.assertEqual(self.client.kinds(extended("COMMIT PREPARED 'two'")), "1 ERT003 ZI")
        self.client.kinds(query("BEGIN"))  # still held: it goes where the prepared one is
        self.assertEqual(self.client.kinds(extended("COMMIT", "COMMIT PREPARED 'two'")), "1 2 C:COMMIT 1 2 C:COMMIT PREPARED ZI")

    def test_a_server_that_holds_state_of_the_client_is_asked_too(self):
        # Each shard's pool has two connections; the client keeps one, another transaction the second.
        self.client.kinds(query(f"SELECT pg_advisory_lock(1) FROM (VALUES (1)) v LEFT JOIN orders ON customer_id = {self.keys['s1']}"))
        self.prepare("s2")
        busy = Client(W.port)
        for sql in ("BEGIN", f"SELECT FROM orders WHERE customer_id = {self.keys['s1']}"):
            busy.kinds(query(sql))
        self.assertEqual(self.client.kinds(query("COMMIT PREPARED 'two'")), "C:COMMIT PREPARED ZI")
        busy.close()
        self.client.close()

    def test_a_shard_that_is_down_is_never_taken_for_one_that_has_none(self):
        self.prepare("s1")
        self.prepare("s2", "other")
        W.shards["s1"].stop("immediate")
        try:
            for raw in (query, extended):
                error = self.error(self.client, raw("COMMIT PREPARED 'two'"))
                self.assertEqual((error["S"], error["C"], error["M"]), ("ERROR", "08006", 'cannot tell whether shard s1 has prepared transaction "two"'))
            # What another shard has can be ended.
            self.assertEqual(self.client.kinds(query("COMMIT PREPARED 'other'")), "C:COMMIT PREPARED ZI")
        finally:
            W.shards["s1"].start()
        wait_until(lambda: self.client.kinds(query("COMMIT PREPARED 'two'")) == "C:COMMIT PREPARED ZI", "the shard to be found again", timeout=10)
        self.assertEqual(W.count("s1"), 1)

    def test_a_shard_that_does_not_answer_in_time(self):
        self.prepare("s1")
        pids = [pid for pid, in W.shards["s1"].query("SELECT pid FROM pg_stat_activity WHERE usename = 'app'")]
        self.assertTrue(pids)
        with Stopped(*pids):
            began = time.monotonic()
            error = self.error(self.client, query("ROLLBACK PREPARED 'two'"))
            self.assertEqual((error["C"], error["M"]), ("08006", 'cannot tell whether shard s1 has prepared transaction "two"'))
            self.assertIn("did not answer", error["D"])
            self.assertLess(time.monotonic() - began, 6)
        self.assertEqual(prepared("s1"), ["two"])
        wait_until(lambda: self.client.kinds(query("ROLLBACK PREPARED 'two'")) == "C:ROLLBACK PREPARED ZI", "it to be ended", timeout=10)

    def test_an_outcome_that_is_not_known(self):
        """The server is ended while it waits for a synchronous standby that is not there: what it was told to do it has done."""
        for end, left in (("PREPARE TRANSACTION 'two'", (["two"], 0)), ("COMMIT PREPARED 'two'", ([], 1)), ("ROLLBACK PREPARED 'two'", ([], 0))):
            for raw in (query, extended):
                with self.subTest(end=end, protocol=raw.__name__):
                    self.setUp()
                    self.prepare("s1")
                    if end.startswith("PREPARE"):
                        self.client.kinds(query("ROLLBACK PREPARED 'two'"))
                        self.client.kinds(query("BEGIN"))
                        self.client.kinds(query(f"INSERT INTO orders VALUES ({self.keys['s1']}, 1, 'x')"))
                    before = W.counters()["commits_unknown"]
                    self.wait_for_nobody(True)
                    try:
                        self.client.send(raw(end))
                        waits = "FROM pg_stat_activity WHERE usename = 'app' AND wait_event = 'SyncRep'"
                        wait_until(lambda: W.shards["s1"].query("SELECT pid " + waits), f"{end} to wait", timeout=10)
                        W.shards["s1"].query("SELECT pg_terminate_backend(pid) " + waits)
                        error = self.client.closed()
                    finally:
                        self.wait_for_nobody(False)
                    self.assertEqual((error["S"], error["C"]), ("FATAL", "08007"))
                    self.assertNotIn("retry", error["H"])
                    self.assertEqual(W.counters()["commits_unknown"], before + 1)
                    self.assertEqual((prepared("s1"), W.count("s1")), left)

    def wait_for_nobody(self, on):
        for sql in (f"ALTER SYSTEM SET synchronous_standby_names = '{'nobody' if on else ''}'", "SELECT pg_reload_conf()"):
            W.shards["s1"].query(sql)
        wait_until(lambda: (W.shards["s1"].query("SHOW synchronous_standby_names") == [("nobody",)]) == on, "the setting", timeout=10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
