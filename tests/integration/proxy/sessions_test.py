"""Queries, transactions, prepared statements and pipelines through a worker to real shards."""
import contextlib
import io
import struct
import unittest

import wire
from wire import Client, bind, close, describe, execute, parse, query
from world import World, in_background, psycopg2

W = None


def setUpModule():
    global W
    W = World(pool_size=2)


def tearDownModule():
    W.finish()


class Simple(unittest.TestCase):
    def setUp(self):
        self.low, self.high = W.key_on("s1"), W.key_on("s2")
        for shard in W.shards:
            W.direct(shard, "TRUNCATE orders")

    def test_keys_decide_the_shard(self):
        client = Client(W.port)
        for key in (self.low, self.high):
            self.assertEqual(client.kinds(query(f"INSERT INTO orders VALUES ({key}, 1, 'x')")), "C:INSERT 0 1 ZI")
            self.assertEqual(client.rows(f"SELECT customer_id FROM orders WHERE customer_id = {key}"), [[str(key)]])
        self.assertEqual((W.count("s1"), W.count("s2")), (1, 1))

    def test_an_unsharded_table_lives_on_the_default_shard(self):
        Client(W.port).rows("INSERT INTO scratch VALUES (1, 'a') ON CONFLICT DO NOTHING")
        self.assertEqual((W.count("s1", "scratch"), W.count("s2", "scratch")), (0, 1))

    def test_what_cannot_stay_on_one_shard_is_refused_and_the_session_goes_on(self):
        client = Client(W.port)
        self.assertEqual(client.kinds(query("SELECT sum(random()) FROM orders")), "ERT003 ZI")
        self.assertEqual(client.rows("SELECT 1"), [["1"]])

    def test_begin_is_held_until_the_first_statement_with_a_shard(self):
        client = Client(W.port)
        self.assertEqual(client.kinds(query("BEGIN ISOLATION LEVEL REPEATABLE READ")), "C:BEGIN ZT")
        self.assertEqual(client.kinds(query("SET LOCAL work_mem = '7MB'")), "C:SET ZT")
        self.assertEqual(client.kinds(query("SAVEPOINT a")), "C:SAVEPOINT ZT")
        self.assertEqual(W.command("show SERVERS"), [s for s in W.command("show SERVERS") if s["state"] == "idle"])
        self.assertEqual(client.rows(f"SELECT current_setting('transaction_isolation'), current_setting('work_mem') "
                                     f"FROM (VALUES (1)) v LEFT JOIN orders ON customer_id = {self.low} WHERE customer_id = {self.low} "
                                     "OR true LIMIT 0"), [])

    def test_held_statements_take_effect(self):
        client = Client(W.port)
        client.kinds(query("BEGIN ISOLATION LEVEL REPEATABLE READ"))
        client.kinds(query("SET LOCAL work_mem = '7MB'"))
        client.kinds(query("SAVEPOINT a"))
        self.assertEqual(client.kinds(query(f"INSERT INTO orders VALUES ({self.low}, 1, 'x')")), "C:INSERT 0 1 ZT")
        self.assertEqual(client.rows("SELECT current_setting('transaction_isolation'), current_setting('work_mem')"),
                         [["repeatable read", "7MB"]])
        self.assertEqual(client.kinds(query("ROLLBACK TO a")), "C:ROLLBACK ZT")
        self.assertEqual(client.rows(f"SELECT count(*) FROM orders WHERE customer_id = {self.low}"), [["0"]])
        self.assertEqual(client.kinds(query("COMMIT")), "C:COMMIT ZI")

    def test_transaction_control_without_a_shard_needs_none(self):
        client = Client(W.port)
        before = W.counters()["transactions"]
        for sql, answer in (("START TRANSACTION", "C:START TRANSACTION ZT"), ("COMMIT", "C:COMMIT ZI"), ("BEGIN", "C:BEGIN ZT"),
                            ("BEGIN", "C:BEGIN ZT"), ("END", "C:COMMIT ZI"), ("BEGIN; SET LOCAL work_mem='1MB'", "C:BEGIN C:SET ZT"),
                            ("ROLLBACK; BEGIN", "C:ROLLBACK C:BEGIN ZT"), ("ABORT", "C:ROLLBACK ZI"), ("", "I ZI"), ("-- no", "I ZI")):
            self.assertEqual(client.kinds(query(sql)), answer, sql)
        self.assertEqual(W.counters()["transactions"], before)

    def test_second_shard_that_cannot_join_fails_the_transaction_until_rollback(self):
        client = Client(W.port)
        client.kinds(query("BEGIN"))
        self.assertEqual(client.kinds(query(f"INSERT INTO orders VALUES ({self.low}, 1, 'x')")), "C:INSERT 0 1 ZT")
        client.kinds(query(f"DECLARE c CURSOR FOR SELECT * FROM orders WHERE customer_id = {self.low}"))
        self.assertEqual(client.kinds(query(f"INSERT INTO orders VALUES ({self.high}, 1, 'x')")), "ERT003 ZE")
        self.assertEqual(client.kinds(query(f"SELECT * FROM orders WHERE customer_id = {self.low}")), "E25P02 ZE")
        self.assertEqual(client.kinds(query("COMMIT")), "C:ROLLBACK ZI")
        self.assertEqual((W.count("s1"), W.count("s2")), (0, 0))
        self.assertEqual(client.kinds(query(f"INSERT INTO orders VALUES ({self.high}, 1, 'x')")), "C:INSERT 0 1 ZI")

    def test_second_shard_after_a_savepoint_can_be_undone(self):
        client = Client(W.port)
        client.kinds(query("BEGIN"))
        client.kinds(query(f"INSERT INTO orders VALUES ({self.low}, 1, 'x')"))
        client.kinds(query("SAVEPOINT a"))
        self.assertEqual(client.kinds(query(f"INSERT INTO orders VALUES ({self.high}, 1, 'x')")), "C:INSERT 0 1 ZT")
        self.assertEqual(client.kinds(query("ROLLBACK TO SAVEPOINT a")), "C:ROLLBACK ZT")
        self.assertEqual(client.kinds(query("SELECT nothing_of_the_kind")), "E42703 ZE")
        self.assertEqual(client.kinds(query("ROLLBACK TO SAVEPOINT a")), "C:ROLLBACK ZT")
        self.assertEqual(client.rows(f"SELECT count(*) FROM orders WHERE customer_id = {self.high}"), [["0"]])
        self.assertEqual(client.rows(f"SELECT count(*) FROM orders WHERE customer_id = {self.low}"), [["1"]])
        self.assertEqual(client.kinds(query("ROLLBACK")), "C:ROLLBACK ZI")
        self.assertEqual((W.count("s1"), W.count("s2")), (0, 0))

    def test_a_refusal_in_a_held_transaction_fails_it(self):
        client = Client(W.port)
        client.kinds(query("BEGIN"))
        client.kinds(query("SAVEPOINT a"))
        self.assertEqual(client.kinds(query("SELECT sum(random()) FROM orders")), "ERT003 ZE")
        self.assertEqual(client.kinds(query("SELECT 1")), "E25P02 ZE")
        self.assertEqual(client.kinds(query("ROLLBACK TO a")), "C:ROLLBACK ZT")
        self.assertEqual(client.kinds(query(f"INSERT INTO orders VALUES ({self.low}, 1, 'x')")), "C:INSERT 0 1 ZT")
        self.assertEqual(client.kinds(query("COMMIT")), "C:COMMIT ZI")
        self.assertEqual(W.count("s1"), 1)

    def test_texts_of_several_statements_stay_on_one_shard(self):
        client = Client(W.port)
        insert = "INSERT INTO orders VALUES ({}, {}, 'x')"
        self.assertEqual(client.kinds(query(";".join(["BEGIN", insert.format(self.low, 1), insert.format(self.low, 2), "COMMIT"]))),
                         "C:BEGIN C:INSERT 0 1 C:INSERT 0 1 C:COMMIT ZI")
        self.assertEqual(client.kinds(query(insert.format(self.low, 3) + ";" + insert.format(self.high, 3))), "ERT003 ZI")
        self.assertEqual((W.count("s1"), W.count("s2")), (2, 0))
        self.assertEqual(client.kinds(query(insert.format(self.low, 4) + "; SELECT 1/0")), "C:INSERT 0 1 E22012 ZI")
        self.assertEqual(W.count("s1"), 2)

    def test_resets(self):
        client = Client(W.port)
        self.assertEqual(client.kinds(query("DISCARD ALL")), "C:DISCARD ALL ZI")
        self.assertEqual(client.kinds(query("DEALLOCATE ALL")), "C:DEALLOCATE ALL ZI")

    def test_copy_in_and_out(self):
        with contextlib.closing(W.connect()) as c, c.cursor() as cursor:
            cursor.execute("DELETE FROM scratch")
            cursor.copy_expert("COPY scratch FROM STDIN", io.StringIO("".join(f"{i}\t{'x' * 200}\n" for i in range(50000))))
            out = io.StringIO()
            cursor.copy_expert("COPY (SELECT id FROM scratch ORDER BY id) TO STDOUT", out)
            self.assertEqual(out.getvalue(), "".join(f"{i}\n" for i in range(50000)))
            with self.assertRaises(psycopg2.DataError):
                cursor.copy_expert("COPY scratch FROM STDIN", io.StringIO("".join(f"{i}\tx\n" for i in range(60000, 160000)) + "bad\tx\n"))
            cursor.execute("SELECT count(*) FROM scratch")
            self.assertEqual(cursor.fetchone()[0], 50000)

    def test_copy_fails_on_the_server_in_the_middle(self):
        client = Client(W.port)
        client.send(query("COPY scratch FROM STDIN"))
        self.assertEqual(client.receive()[0], b"G")
        client.send(wire.message(b"d", b"nonsense\n"))
        data = wire.message(b"d", b"999999\tx\n" * 1000)
        for _ in range(300):
            client.send(data)
        client.send(wire.message(b"c"))
        self.assertEqual(client.read_kinds(), "E22P02 ZI")
        self.assertEqual(client.rows("SELECT 5"), [["5"]])

    def test_function_call_by_number(self):
        client = Client(W.port)
        oid = int(client.rows("SELECT 'pg_catalog.int4pl'::regproc::oid::int")[0][0])
        body = struct.pack("!ihhh", oid, 1, 0, 2) + struct.pack("!i", 1) + b"2" + struct.pack("!i", 1) + b"3" + struct.pack("!h", 0)
        client.send(wire.message(b"F", body))
        self.assertEqual([kind for kind, _ in client.until(b"Z")], [b"V", b"Z"])


class Extended(unittest.TestCase):
    def setUp(self):
        self.low, self.high = W.key_on("s1"), W.key_on("s2")
        for shard in W.shards:
            W.direct(shard, "TRUNCATE orders")

    INSERT = "INSERT INTO orders VALUES ($1, $2, 'x')"

    def test_named_statements_work_on_every_server(self):
        client = Client(W.port)
        self.assertEqual(client.kinds(parse("ins", self.INSERT) + wire.SYNC), "1 ZI")
        for number in range(6):
            for key in (self.low, self.high):
                self.assertEqual(client.kinds(bind("ins", (key, number)) + execute() + wire.SYNC), "2 C:INSERT 0 1 ZI")
        self.assertEqual((W.count("s1"), W.count("s2")), (6, 6))
        self.assertEqual(client.kinds(parse("ins", self.INSERT) + wire.SYNC), "E42P05 ZI")
        self.assertEqual(client.kinds(close(b"S", "ins") + parse("ins", "SELECT 1") + wire.SYNC), "3 1 ZI")
        self.assertEqual(client.kinds(bind("ins") + execute() + wire.SYNC), "2 D C:SELECT 1 ZI")
        self.assertEqual(client.kinds(bind("none") + execute() + wire.SYNC), "E26000 ZI")

    def test_clients_share_statements_and_one_parse_a_server(self):
        clients = [Client(W.port) for _ in range(3)]
        sql = "SELECT note FROM orders WHERE customer_id = $1 AND id = 77"
        for number, client in enumerate(clients):
            self.assertEqual(client.kinds(parse(f"n{number}", sql) + wire.SYNC), "1 ZI")
        before = W.counters()["parses_injected"]
        for _ in range(4):
            for number, client in enumerate(clients):
                self.assertEqual(client.kinds(bind(f"n{number}", (self.low,)) + execute() + wire.SYNC), "2 C:SELECT 0 ZI")
        self.assertLessEqual(W.counters()["parses_injected"] - before, 2)

    def test_binary_parameters_find_the_shard(self):
        client = Client(W.port)
        client.kinds(parse("ins", self.INSERT, (20, 20)) + wire.SYNC)
        for key in (self.low, self.high):
            answer = client.kinds(bind("ins", (struct.pack("!q", key), struct.pack("!q", 1)), binary=True) + execute() + wire.SYNC)
            self.assertEqual(answer, "2 C:INSERT 0 1 ZI")
        self.assertEqual((W.count("s1"), W.count("s2")), (1, 1))

    def test_the_unnamed_statement_survives_a_change_of_server(self):
        client = Client(W.port)
        self.assertEqual(client.kinds(parse("", self.INSERT) + wire.SYNC), "1 ZI")
        for number in range(4):
            for key in (self.low, self.high):
                self.assertEqual(client.kinds(bind("", (key, number)) + execute() + wire.SYNC), "2 C:INSERT 0 1 ZI")
        client.kinds(query("SELECT 1"))
        self.assertEqual(client.kinds(bind("", (self.low, 9)) + execute() + wire.SYNC), "E26000 ZI")

    def test_describe(self):
        client = Client(W.port)
        self.assertEqual(client.kinds(parse("s", "SELECT note FROM orders WHERE customer_id = $1") + describe(b"S", "s") + wire.SYNC),
                         "1 t T ZI")
        self.assertEqual(client.kinds(describe(b"S", "s") + wire.SYNC), "t T ZI")
        self.assertEqual(client.kinds(bind("s", (self.low,)) + describe(b"P") + execute() + wire.SYNC), "2 T C:SELECT 0 ZI")
        self.assertEqual(client.kinds(parse("bad", "SELEC") + describe(b"S", "bad") + wire.SYNC), "E42601 ZI")
        self.assertEqual(client.kinds(describe(b"S", "bad") + wire.SYNC), "E26000 ZI")

    def test_transaction_control_is_held(self):
        client = Client(W.port)
        for name, sql in (("b", "BEGIN"), ("c", "COMMIT")):
            self.assertEqual(client.kinds(parse(name, sql) + describe(b"S", name) + wire.SYNC), "1 t n ZI")
        for key in (self.low, self.high):
            self.assertEqual(client.kinds(bind("b") + execute() + wire.SYNC), "2 C:BEGIN ZT")
            self.assertEqual(client.kinds(parse("", self.INSERT) + describe(b"S") + wire.SYNC), "1 t n ZT")
            self.assertEqual(client.kinds(bind("", (key, 1)) + execute() + wire.SYNC), "2 C:INSERT 0 1 ZT")
            self.assertEqual(client.kinds(bind("c") + describe(b"P") + execute() + wire.SYNC), "2 n C:COMMIT ZI")
        self.assertEqual((W.count("s1"), W.count("s2")), (1, 1))

    def test_begin_and_the_first_statement_in_one_pipeline(self):
        client = Client(W.port)
        begin = parse("", "BEGIN") + bind() + execute()
        insert = parse("", self.INSERT) + bind("", (self.low, 1)) + describe(b"P") + execute()
        self.assertEqual(client.kinds(begin + insert + wire.SYNC), "1 2 C:BEGIN 1 2 n C:INSERT 0 1 ZT")
        self.assertEqual(client.kinds(parse("", "ROLLBACK") + bind() + execute() + wire.SYNC), "1 2 C:ROLLBACK ZI")
        self.assertEqual(W.count("s1"), 0)

    def pipeline(self, failing, position):
        """Three inserts in one pipeline, the one at `position` replaced."""
        parts = [bind("ins", (self.low, number)) + execute() for number in range(3)]
        parts[position] = failing
        return b"".join(parts) + wire.SYNC

    def test_an_error_of_the_server_at_each_position(self):
        client = Client(W.port)
        client.kinds(parse("ins", self.INSERT) + wire.SYNC)
        ok = "2 C:INSERT 0 1 "
        for position in range(3):
            answer = client.kinds(self.pipeline(parse("", "SELEC"), position))
            self.assertEqual(answer, ok * position + "E42601 ZI")
            answer = client.kinds(self.pipeline(bind("ins", ("x", 1)) + execute(), position))
            self.assertEqual(answer, ok * position + "E22P02 ZI")
            self.assertEqual(W.count("s1"), 0)

    def test_an_error_of_the_proxy_at_each_position(self):
        client = Client(W.port)
        client.kinds(parse("ins", self.INSERT) + wire.SYNC)
        ok = "2 C:INSERT 0 1 "
        failing = {"RT003": [bind("ins", (self.high, 1)) + execute(), parse("", "SELECT sum(random()) FROM orders")], "26000": [bind("none")],
                   "42P05": [parse("ins", "SELECT 1")]}
        for code, messages in failing.items():
            for raw in messages:
                for position in range(3):
                    if raw == failing["RT003"][0] and position == 0:
                        continue  # the first key decides, so the second one is the other shard
                    with self.subTest(code=code, position=position):
                        self.assertEqual(client.kinds(self.pipeline(raw, position)), ok * position + f"E{code} ZI")
                        self.assertEqual((W.count("s1"), W.count("s2")), (0, 0))

    def test_an_error_of_the_proxy_in_a_transaction_fails_it(self):
        client = Client(W.port)
        client.kinds(parse("ins", self.INSERT) + wire.SYNC)
        client.kinds(query("BEGIN"))
        self.assertEqual(client.kinds(bind("ins", (self.low, 1)) + execute() + wire.SYNC), "2 C:INSERT 0 1 ZT")
        other = bind("ins", (self.high, 1)) + execute()
        self.assertEqual(client.kinds(bind("ins", (self.low, 3)) + execute() + other + wire.SYNC), "2 C:INSERT 0 1 ERT003 ZE")
        self.assertEqual(client.kinds(bind("ins", (self.low, 2)) + execute() + wire.SYNC), "E25P02 ZE")
        self.assertEqual(client.kinds(query("ROLLBACK")), "C:ROLLBACK ZI")
        self.assertEqual(W.count("s1"), 0)

    def test_a_failed_parse_leaves_no_name(self):
        client = Client(W.port)
        self.assertEqual(client.kinds(parse("a", "SELECT 1") + parse("b", "SELEC") + parse("c", "SELECT 2") + wire.SYNC), "1 E42601 ZI")
        self.assertEqual(client.kinds(bind("a") + execute() + wire.SYNC), "2 D C:SELECT 1 ZI")
        self.assertEqual(client.kinds(bind("c") + execute() + wire.SYNC), "E26000 ZI")
        self.assertEqual(client.kinds(parse("b", "SELECT 3") + wire.SYNC), "1 ZI")

    def test_flush_gives_answers_before_sync(self):
        client = Client(W.port)
        client.send(parse("", self.INSERT) + describe(b"S") + wire.FLUSH)
        self.assertEqual([client.receive()[0] for _ in range(3)], [b"1", b"t", b"n"])
        client.send(bind("", (self.low, 1)) + execute() + wire.FLUSH)
        self.assertEqual([client.receive()[0] for _ in range(2)], [b"2", b"C"])
        client.send(bind("", (self.low, 2)) + execute() + wire.FLUSH)
        self.assertEqual([client.receive()[0] for _ in range(2)], [b"2", b"C"])
        self.assertEqual(W.count("s1"), 0)
        self.assertEqual(client.kinds(wire.SYNC), "ZI")
        self.assertEqual(W.count("s1"), 2)

    def test_after_an_error_everything_is_skipped_until_sync(self):
        client = Client(W.port)
        client.send(parse("", "SELEC") + wire.FLUSH)
        self.assertEqual(client.receive()[0], b"E")
        client.send(parse("", "SELECT 1") + bind() + execute() + wire.FLUSH)
        self.assertEqual(client.kinds(bind() + execute() + wire.SYNC), "ZI")
        client.send(bind("none") + wire.FLUSH)
        self.assertEqual(client.receive()[0], b"E")
        self.assertEqual(client.kinds(bind() + execute() + wire.SYNC), "ZI")
        self.assertEqual(client.rows("SELECT 1"), [["1"]])

    def test_portals_with_row_limits(self):
        client = Client(W.port)
        client.kinds(query("BEGIN"))
        client.kinds(query(f"INSERT INTO orders SELECT {self.low}, g, 'x' FROM generate_series(1, 10) g"))
        client.kinds(parse("all", f"SELECT id FROM orders WHERE customer_id = {self.low}") + bind("all", (), "cursor") + wire.SYNC)
        self.assertEqual(client.kinds(execute("cursor", 4) + wire.SYNC), "D D D D s ZT")
        self.assertEqual(client.kinds(execute("cursor", 4) + wire.SYNC), "D D D D s ZT")
        self.assertEqual(client.kinds(execute("cursor", 4) + close(b"P", "cursor") + wire.SYNC), "D D C:SELECT 2 3 ZT")
        client.kinds(query("ROLLBACK"))

    def test_many_statements_stay_bounded_on_the_server(self):
        client = Client(W.port)
        for number in range(450):
            self.assertEqual(client.kinds(parse(f"s{number}", f"SELECT {number}::int8") + bind(f"s{number}") + execute() + wire.SYNC),
                             "1 2 D C:SELECT 1 ZI")
        for number in (0, 100, 449):
            self.assertEqual(client.kinds(bind(f"s{number}") + execute() + wire.SYNC), "2 D C:SELECT 1 ZI")
        self.assertLessEqual(max(int(s["prepared"]) for s in W.command("show SERVERS")), 200)

    def test_copy_in_the_extended_protocol(self):
        client = Client(W.port)
        client.kinds(query("DELETE FROM scratch"))
        client.send(parse("", "COPY scratch FROM STDIN") + bind() + execute() + wire.SYNC)
        self.assertEqual([client.receive()[0] for _ in range(3)], [b"1", b"2", b"G"])
        client.send(wire.message(b"d", b"1\tx\n") + wire.message(b"c") + wire.SYNC)
        self.assertEqual(client.read_kinds(), "C:COPY 1 ZI")
        self.assertEqual(client.rows("SELECT count(*) FROM scratch"), [["1"]])

    def test_an_oversized_pipeline_ends_the_connection_with_a_reason(self):
        client = Client(W.port)
        client.send(parse("", "SELECT $1::text") + (bind("", ("x" * 900_000,)) + execute()) * 10 + wire.SYNC)
        self.assertEqual(client.closed()["C"], "54000")

    def test_a_long_pipeline_does_not_deadlock(self):
        client = Client(W.port)
        client.kinds(parse("big", "SELECT repeat('x', 20000)") + wire.SYNC)
        raw = (bind("big") + execute()) * 2000 + wire.SYNC
        sender = in_background(lambda: client.send(raw))
        answer = client.read_kinds()
        sender.get()
        self.assertEqual(answer.count("C:SELECT 1"), 2000)

    def test_discard_all_drops_prepared_statements(self):
        client = Client(W.port)
        client.kinds(parse("a", "SELECT 1") + wire.SYNC)
        self.assertEqual(client.kinds(parse("", "DISCARD ALL") + bind() + execute() + wire.SYNC), "1 2 C:DISCARD ALL ZI")
        self.assertEqual(client.kinds(bind("a") + execute() + wire.SYNC), "E26000 ZI")


class Unbound(unittest.TestCase):
    """Settings in front of a transaction's first key, or first table, run somewhere, and hold everywhere."""

    def setUp(self):
        self.low, self.high = W.key_on("s1"), W.key_on("s2")
        for shard in W.shards:
            W.direct(shard, "TRUNCATE orders")
        self.client = Client(W.port)

    def tearDown(self):
        self.client.close()

    def insert(self, key):
        return self.client.kinds(query(f"INSERT INTO orders VALUES ({key}, 1, 'x')"))

    def test_settings_hold_on_the_shard_of_the_key(self):
        call = parse("", "SELECT set_config($1, $2, true), set_config('app.two', 'it''s', true)") + bind("", ("app.one", "a\\b")) + execute() + wire.SYNC
        for key in (self.low, self.high):
            self.assertEqual(self.client.kinds(query("BEGIN ISOLATION LEVEL REPEATABLE READ")), "C:BEGIN ZT")
            self.assertEqual(self.client.kinds(call), "1 2 D C:SELECT 1 ZT")
            self.assertEqual(self.client.rows("SELECT set_config('app.three', '3', true)"), [["3"]])
            self.assertEqual(self.client.rows("SELECT version() IS NOT NULL"), [["t"]])
            self.assertEqual(self.client.kinds(query("SET work_mem = '7MB'; SELECT 1")), "C:SET T D C:SELECT 1 ZT")
            self.assertEqual(self.client.rows("SHOW work_mem"), [["7MB"]])
            self.assertEqual(self.insert(key), "C:INSERT 0 1 ZT")
            self.assertEqual(self.client.rows("SELECT current_setting('app.one'), current_setting('app.two'), current_setting('app.three'), "
                                              "current_setting('work_mem'), current_setting('transaction_isolation')"),
                             [["a\\b", "it's", "3", "7MB", "repeatable read"]])
            self.assertEqual(self.client.kinds(query("COMMIT")), "C:COMMIT ZI")
            self.assertEqual(self.client.rows("SHOW work_mem"), [["7MB"]])
            self.client.kinds(query("RESET work_mem"))
        self.assertEqual((W.count("s1"), W.count("s2")), (1, 1))

    def test_rolled_back_with_it(self):
        self.client.kinds(query("BEGIN"))
        self.client.kinds(query("SET work_mem = '7MB'"))
        self.client.rows("SHOW work_mem")
        self.assertEqual(self.insert(self.low), "C:INSERT 0 1 ZT")
        self.client.kinds(query("ROLLBACK"))
        self.assertEqual(self.client.rows("SHOW work_mem"), [["4MB"]])

    def test_savepoints_among_them(self):
        self.client.kinds(query("BEGIN"))
        self.client.rows("SELECT set_config('app.one', 'before', true)")
        self.client.kinds(query("SAVEPOINT a"))
        self.client.rows("SELECT set_config('app.one', 'after', true)")
        self.assertEqual(self.insert(self.low), "C:INSERT 0 1 ZT")
        self.assertEqual(self.client.kinds(query("ROLLBACK TO a")), "C:ROLLBACK ZT")
        self.assertEqual(self.client.rows("SELECT current_setting('app.one')"), [["before"]])
        self.assertEqual(self.insert(self.low), "C:INSERT 0 1 ZT")
        self.assertEqual(self.client.kinds(query("COMMIT")), "C:COMMIT ZI")
        self.assertEqual((W.count("s1"), W.count("s2")), (1, 0))

    def test_the_key_is_in_the_same_pipeline_or_text(self):
        self.client.kinds(query("BEGIN"))
        self.client.rows("SELECT set_config('app.one', '1', true)")
        sets = parse("", "SELECT set_config('app.two', $1, true)") + bind("", ("2",)) + execute()
        keyed = parse("", "INSERT INTO orders VALUES ($1, 1, 'x')") + bind("", (self.low,)) + execute()
        self.assertEqual(self.client.kinds(sets + keyed + wire.SYNC), "1 2 D C:SELECT 1 1 2 C:INSERT 0 1 ZT")
        self.assertEqual(self.client.rows("SELECT current_setting('app.one'), current_setting('app.two')"), [["1", "2"]])
        self.assertEqual(self.client.kinds(query("COMMIT")), "C:COMMIT ZI")
        self.client.kinds(query("BEGIN"))
        self.client.kinds(query("SET LOCAL app.one = '1'; SELECT set_config('app.two', '2', true)"))
        self.assertEqual(self.client.kinds(query(f"SAVEPOINT a; UPDATE orders SET note = 'y' WHERE customer_id = {self.low}; COMMIT")),
                         "C:SAVEPOINT C:UPDATE 1 C:COMMIT ZI")

    def test_what_asks_the_shard_or_the_clock_binds(self):
        stays = "ERT003 ZE"
        for first, then in (("SELECT now()", "C:INSERT 0 1 ZT"), ("SELECT count(*) FROM pg_class", "C:INSERT 0 1 ZT"),
                            ("SELECT txid_current() > 0", "C:INSERT 0 1 ZT"), ("SELECT nothing()", stays), ("DECLARE c CURSOR FOR SELECT 1", stays),
                            ("SELECT CASE WHEN false THEN set_config('a.b', 'c', true) END", stays)):
            for shard in W.shards.values():
                shard.psql("CREATE OR REPLACE FUNCTION nothing() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$", "shop")
            with self.subTest(first):
                self.client.kinds(query("BEGIN"))
                self.client.kinds(query(first))
                self.assertEqual(self.insert(self.low), then)
                self.client.kinds(query("ROLLBACK"))

    def test_an_error_binds(self):
        self.client.kinds(query("BEGIN"))
        self.assertEqual(self.client.kinds(query("SELECT set_config('no_such_setting', 'x', true)")), "T E42704 ZE")
        self.assertEqual(self.insert(self.high), "E25P02 ZE")
        self.assertEqual(self.client.kinds(query("ROLLBACK")), "C:ROLLBACK ZI")


class LocalTables(unittest.TestCase):
    """Tables that are there on the default shard only, named by Parse before anything is placed."""

    @classmethod
    def setUpClass(cls):
        W.shards["s2"].psql("CREATE TABLE IF NOT EXISTS only_there (a int); GRANT ALL ON only_there TO app", "shop")

    def setUp(self):
        self.client, self.low = Client(W.port), W.key_on("s1")

    def tearDown(self):
        self.client.close()

    def test_in_a_transaction_on_another_shard_the_default_one_joins(self):
        named = parse("local", "SELECT * FROM only_there")
        self.assertEqual(self.client.kinds(named + wire.SYNC), "1 ZI")
        unnamed = parse("", "SELECT * FROM only_there")
        for raw, answer in ((unnamed, "1 "), (unnamed + describe(b"S"), "1 t T "), (unnamed + bind() + execute(), "1 2 C:SELECT 0 "),
                            (describe(b"S", "local"), "t T "), (bind("local") + execute(), "2 C:SELECT 0 "),
                            (parse("again", "SELECT * FROM only_there"), "1 ")):
            self.client.kinds(query("BEGIN"))
            read = f"SELECT note FROM orders WHERE customer_id = {self.low}"
            self.client.rows(read)
            self.assertEqual(self.client.kinds(raw + wire.SYNC), answer + "ZT")
            self.client.kinds(query("ROLLBACK"))
        self.client.kinds(query("BEGIN"))
        self.client.rows(read)
        self.assertEqual(self.client.kinds(parse("", read) + bind() + execute() + unnamed + wire.SYNC), "1 2 D C:SELECT 1 ERT003 ZE")
        self.client.kinds(query("ROLLBACK"))
        self.assertEqual(self.client.kinds(bind("local") + execute() + wire.SYNC), "2 C:SELECT 0 ZI")

    def test_a_client_whose_state_is_on_another_shard_can_prepare(self):
        self.client.kinds(query("BEGIN"))
        self.client.rows(f"SELECT note FROM orders WHERE customer_id = {self.low}")
        self.client.kinds(query(f"DECLARE c CURSOR WITH HOLD FOR SELECT 1 FROM orders WHERE customer_id = {self.low}"))
        self.assertEqual(self.client.kinds(query("COMMIT")), "C:COMMIT ZI")
        self.assertEqual(self.client.kinds(parse("", "SELECT * FROM only_there") + describe(b"S") + wire.SYNC), "1 t T ZI")


if __name__ == "__main__":
    unittest.main(verbosity=2)
