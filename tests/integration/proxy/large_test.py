"""Messages that are passed on as they come: large Binds and function calls. The harness gathers at most 8 MiB of anything."""
import select
import struct
import unittest

import wire
from wire import Client, bind, execute, parse, query
from world import World, in_background, wait_until

MEGABYTE = 1 << 20
LIMIT = 8 * MEGABYTE
W = None


def setUpModule():
    global W
    W = World(pool_size=2)


def tearDownModule():
    W.finish()


class Large:
    """A Bind of values, of which an int stands for so many bytes, in pieces that are never all in memory. `lie`: added to the length that
    the last value is said to have."""

    def __init__(self, *values, statement="", kind=b"B", front=None, lie=0):
        self.parts = [struct.pack("!h", len(values))]
        for at, value in enumerate(values):
            size = value if isinstance(value, int) else len(value)
            self.parts += [struct.pack("!i", size + (lie if at + 1 == len(values) else 0)), value]
        self.parts.append(struct.pack("!h", 0))
        front = (b"\0" + wire.cstr(statement) if front is None else front) + struct.pack("!hh", 1, 0)
        size = len(front) + sum(part if isinstance(part, int) else len(part) for part in self.parts)
        self.head = kind + struct.pack("!i", size + 4) + front

    def pieces(self):
        yield self.head
        for part in self.parts:
            if isinstance(part, bytes):
                yield part
                continue
            for at in range(0, part, MEGABYTE):
                yield b"x" * min(MEGABYTE, part - at)

    def send(self, client):
        for piece in self.pieces():
            client.send(piece)

    def halves(self):
        pieces = list(self.pieces())
        return b"".join(pieces[:len(pieces) // 2]), b"".join(pieces[len(pieces) // 2:])


def memory(name):
    with open(f"/proc/{W.child.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) / 1024


def sanitized():
    """A sanitizer's shadow memory is not the program's."""
    with open(f"/proc/{W.child.pid}/maps") as maps:
        return any("libasan" in line or "libtsan" in line for line in maps)


class Growth:
    """How far the resident set of the harness has grown at most, in MiB."""

    def __enter__(self):
        with open(f"/proc/{W.child.pid}/clear_refs", "w") as peak:
            peak.write("5")
        self.before = memory("VmRSS")
        return self

    def __exit__(self, *_):
        self.most = 0 if sanitized() else memory("VmHWM") - self.before


def backends(condition):
    return W.shards["s1"].query(f"SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND {condition}")


INSERT = parse("", "INSERT INTO orders VALUES ($1, $2, $3)")
SLEEP_AND_FAIL = parse("", "SELECT 1 / (CASE WHEN pg_sleep(0.3) IS NULL THEN 1 ELSE 0 END)") + bind() + execute()


class LargeMessages(unittest.TestCase):
    def setUp(self):
        self.low = W.key_on("s1")
        self.key = str(self.low).encode()
        W.direct("s1", "TRUNCATE orders")
        self.client = Client(W.port)
        self.addCleanup(self.client.close)

    def answer(self, before, large, after=execute() + wire.SYNC):
        self.client.send(before)
        large.send(self.client)
        self.client.send(after)
        return self.client.read_kinds()

    def stays_in_step(self, status="ZI"):
        self.assertEqual(self.client.kinds(parse("", "SELECT 1") + bind() + execute() + wire.SYNC),
                         "1 2 D C:SELECT 1 ZI" if status == "ZI" else "E25P02 " + status)

    def insert(self, number, size):
        return Large(self.key, str(number).encode(), size)

    def lengths(self):
        return W.direct("s1", "SELECT id, length(note) FROM orders ORDER BY id")

    def test_a_value_of_300_mb_takes_no_memory(self):
        size = 300 * MEGABYTE
        with Growth() as growth:
            self.assertEqual(self.answer(parse("", "SELECT octet_length($1::bytea)"), Large(size), wire.describe(b"P") + execute() + wire.SYNC),
                             "1 2 T D C:SELECT 1 ZI")
        self.assertLess(growth.most, 8)
        with Growth() as growth:
            self.assertEqual(self.answer(b"", Large(size, statement="missing")), "E26000 ZI")
        self.assertLess(growth.most, 8)
        self.stays_in_step()

    def test_a_shard_that_does_not_read_slows_the_client_down(self):
        lock = parse("", "SELECT pg_advisory_xact_lock(77)") + bind() + execute() + parse("", "SELECT length($1::text)")
        with W.shards["s2"].connect("shop", autocommit=False) as holder:
            holder.cursor().execute("SELECT pg_advisory_xact_lock(77)")
            pieces, sent = Large(100 * MEGABYTE).pieces(), 0
            with Growth() as growth:
                self.client.send(lock)
                for piece in pieces:
                    piece = memoryview(piece)
                    while piece and select.select([], [self.client.socket], [], 1.0)[1]:
                        count = self.client.socket.send(piece)
                        piece, sent = piece[count:], sent + count
                    if piece:
                        break
            self.assertLess(sent, 90 * MEGABYTE, "bytes taken while the shard takes none")
            self.assertLess(growth.most, 4)
        self.client.send(bytes(piece) + b"".join(pieces) + execute() + wire.SYNC)
        self.assertEqual(self.client.read_kinds(), "1 2 D C:SELECT 1 1 2 D C:SELECT 1 ZI")

    def test_a_key_in_front_of_the_large_value(self):
        self.assertEqual(self.answer(INSERT, self.insert(1, 20 * MEGABYTE)), "1 2 C:INSERT 0 1 ZI")
        self.client.kinds(parse("ins", "INSERT INTO orders VALUES ($1, $2, $3)") + wire.SYNC)
        self.assertEqual(self.answer(b"", Large(self.key, b"2", 3 * MEGABYTE, statement="ins")), "2 C:INSERT 0 1 ZI")
        self.assertEqual(self.lengths(), [(1, 20 * MEGABYTE), (2, 3 * MEGABYTE)])

    def test_a_key_behind_a_large_value(self):
        update = parse("", "UPDATE orders SET note = $1 WHERE customer_id = $2 AND length($3) > 0")
        W.direct("s1", "INSERT INTO orders VALUES (%s, 1, '')", (self.low,))
        self.assertEqual(self.answer(update, Large(4 * MEGABYTE, self.key, 16 * MEGABYTE)), "1 2 C:UPDATE 1 ZI")
        self.assertEqual(self.lengths(), [(1, 4 * MEGABYTE)])
        self.assertEqual(self.answer(update, Large(LIMIT, self.key, 1)), "1 E54000 ZI")
        self.stays_in_step()
        self.client.kinds(query("BEGIN"))
        self.client.kinds(query(f"SELECT FROM orders WHERE customer_id = {self.low}"))
        self.assertEqual(self.answer(update, Large(LIMIT, self.key, 1)), "1 E54000 ZE")
        self.stays_in_step("ZE")
        self.client.kinds(query("ROLLBACK"))

    def test_several_in_one_pipeline(self):
        for number in range(1, 8):
            self.client.send(INSERT)
            self.insert(number, 2 * MEGABYTE).send(self.client)
            self.client.send(execute() + parse("", "SELECT 1") + bind() + execute())
        self.client.send(wire.SYNC)
        self.assertEqual(self.client.read_kinds(), "1 2 C:INSERT 0 1 1 2 D C:SELECT 1 " * 7 + "ZI")
        self.assertEqual(self.lengths(), [(number, 2 * MEGABYTE) for number in range(1, 8)])

    def test_many_small_values_and_the_key_behind_them(self):
        count = 30_000
        names = ", ".join(f"${n}" for n in range(1, count))
        W.direct("s1", "INSERT INTO orders VALUES (%s, 1, %s)", (self.low, "v" * 99))
        statement = parse("", f"SELECT id FROM orders WHERE customer_id = ${count} AND note = ANY (ARRAY[{names}])")
        self.assertEqual(self.answer(statement, Large(*[b"v" * 99] * (count - 1), self.key)), "1 2 D C:SELECT 1 ZI")

    def test_a_key_whose_type_has_to_be_asked_for(self):
        W.direct("s1", "INSERT INTO orders VALUES (%s, 1, '')", (self.low,))
        update = parse("", "UPDATE orders SET note = $2 || $1 WHERE customer_id = $1")
        self.assertEqual(self.answer(update, Large(self.key, 9 * MEGABYTE)), "1 2 C:UPDATE 1 ZI")
        self.assertEqual(self.lengths(), [(1, 9 * MEGABYTE + len(self.key))])

    def test_a_held_begin_goes_in_front(self):
        self.client.kinds(query("BEGIN"))
        self.assertEqual(self.answer(INSERT, self.insert(1, 9 * MEGABYTE)), "1 2 C:INSERT 0 1 ZT")
        self.assertEqual(self.client.kinds(query("ROLLBACK")), "C:ROLLBACK ZI")
        self.assertEqual(self.lengths(), [])

    def test_what_is_refused_is_skipped_up_to_sync(self):
        other = W.key_on("s2")
        self.client.kinds(query("BEGIN"))
        self.client.kinds(query(f"DECLARE c CURSOR FOR SELECT FROM orders WHERE customer_id = {other}"))  # so it stays there
        self.assertEqual(self.answer(INSERT, self.insert(1, 9 * MEGABYTE), execute() + query("SELECT 1") + wire.SYNC), "1 ERT003 ZE")
        self.assertEqual(self.answer(INSERT, self.insert(1, 9 * MEGABYTE)), "E25P02 ZE")
        self.client.kinds(query("ROLLBACK"))
        W.shards["s1"].stop("immediate")
        try:
            self.assertEqual(self.answer(INSERT, self.insert(1, 9 * MEGABYTE)), "E08006 ZI")
        finally:
            W.shards["s1"].start()
        self.stays_in_step()
        wait_until(lambda: self.client.kinds(query(f"SELECT FROM orders WHERE customer_id = {self.low}")) == "T C:SELECT 0 ZI",
                   "the shard to be found again", timeout=10)

    def test_an_error_in_front_of_it(self):
        self.assertEqual(self.answer(SLEEP_AND_FAIL + INSERT, self.insert(1, 9 * MEGABYTE)), "1 2 E22012 ZI")
        self.assertEqual(self.answer(SLEEP_AND_FAIL + wire.FLUSH + INSERT, self.insert(1, 9 * MEGABYTE)), "1 2 E22012 ZI")
        self.stays_in_step()
        self.assertEqual(self.lengths(), [])

    def test_an_error_while_the_next_pipeline_is_half_here(self):
        self.client.send(SLEEP_AND_FAIL + wire.FLUSH + (parse("", "SELECT 2") + bind()) * 100)
        self.assertEqual(self.client.read_kinds(last=b"E"), "1 2 E22012")
        self.client.send(execute() + wire.SYNC)
        self.assertEqual(self.client.read_kinds(), "ZI")
        self.stays_in_step()

    def test_malformed_inside(self):
        for lie, code in ((1, "22021"), (3, "08P01"), (4 * MEGABYTE, "08P01")):  # one byte more is a zero, which no text has
            self.assertEqual(self.answer(INSERT, Large(self.key, b"1", 9 * MEGABYTE, lie=lie)), f"1 E{code} ZI")
        self.assertEqual(self.answer(INSERT, Large(9 * MEGABYTE, lie=1 << 30)), "1 E08P01 ZI")
        self.assertEqual(self.answer(INSERT, Large(self.key, 9 * MEGABYTE)), "1 E08P01 ZI")  # a value too few
        self.assertEqual(self.answer(parse("", "SELECT 1"), Large(9 * MEGABYTE)), "1 E08P01 ZI")
        self.assertEqual(self.answer(parse("", "SELECT $1::text"), Large(9 * MEGABYTE, lie=3)), "1 E08P01 ZI")
        self.stays_in_step()

    def half(self, before=INSERT):
        """Sends half of an INSERT, and gives the rest when it has come to the server."""
        first, rest = self.insert(1, 9 * MEGABYTE).halves()
        self.client.send(before + first)
        wait_until(lambda: backends("backend_xid IS NULL AND query_start > now() - interval '5 s' AND query = 'INSERT INTO orders VALUES ($1, $2, $3)'"),
                   "its Parse to be there", timeout=5)
        return rest + execute() + wire.SYNC

    def test_a_server_lost_in_the_middle(self):
        for begin in ("", "BEGIN"):
            self.client = Client(W.port)
            if begin:
                self.client.kinds(query(begin))
            self.half()
            W.shards["s1"].query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
            self.assertEqual([wire.fields(body)["C"] for kind, body in self.client.until(b"E") if kind == b"E"], ["57P01"])
            self.assertEqual(self.client.closed(), {})

    def test_a_client_that_vanishes_in_the_middle(self):
        self.half()
        pids = backends("true")
        self.client.close()
        wait_until(lambda: not set(pids) & set(backends("true")), "its server connection to be closed", timeout=5)
        other = Client(W.port, timeout=5)
        self.assertEqual(other.kinds(query(f"SELECT FROM orders WHERE customer_id = {self.low}")), "T C:SELECT 0 ZI")
        other.close()

    def test_a_cancel_in_the_middle_hits_nothing(self):
        rest = self.half()
        canceller = Client(W.port, login=False)
        canceller.send(struct.pack("!iiii", 16, 80877102, self.client.pid, self.client.key))
        canceller.closed()
        self.assertEqual(self.client.kinds(rest), "1 2 C:INSERT 0 1 ZI")
        self.assertEqual(self.lengths(), [(1, 9 * MEGABYTE)])

    def test_a_large_function_call(self):
        call = dict(kind=b"F", front=struct.pack("!i", 1317))  # length(text), formats text
        self.assertEqual(self.answer(b"", Large(20 * MEGABYTE, **call), b""), "V ZI")
        self.client.kinds(query("BEGIN"))
        self.client.kinds(query("SELECT sum(random()) FROM orders"))
        self.assertEqual(self.answer(b"", Large(20 * MEGABYTE, **call), b""), "E25P02 ZE")
        self.assertEqual(self.client.kinds(query("ROLLBACK")), "C:ROLLBACK ZI")
        self.stays_in_step()


if __name__ == "__main__":
    unittest.main(verbosity=2)
