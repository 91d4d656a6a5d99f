"""No row is stored on a shard that does not own it, whoever writes it: ways through pgrotor and past it, with tables spread over three
shards by keys of each type, at rest and while a range moves. Then the shards are searched: 0 orphans, and each acknowledged row is there.

    tests/ownership             the proof
    tests/ownership --cost      what the ownership guard costs: bulk INSERT, COPY, UPDATE and pgbench on one shard, with and without it
"""
import argparse
import io
import os
import re
from collections import Counter
from contextlib import closing

import psycopg2

from cluster import Scene, wait_until
from fleet import DATABASE, Fleet, SEED
from leftovers import PLACEMENT, owned, unowned_rows
from ownership_cost import cost
from ownership_paths import CUSTOM, DIRECT, KINDS, LATE, PATHS, SCHEMA, SOMETIMES, TEXT_PATHS

BAD_ENDS = ("57", "58", "XX", "08")  # classes of errors that no way of writing may end in


def tell(error):
    return f"{error.pgcode}: {str(error).splitlines()[0] if str(error) else error!r}"


class World:
    def __init__(self, fleet):
        self.fleet, self.number, self.written = fleet, 0, {}
        self.seen = Counter()
        fleet.everywhere(CUSTOM)
        for kind, (column, keys) in KINDS.items():
            fleet.everywhere(SCHEMA.format(kind=kind, type=column, other=keys[6]))
            fleet.console(f"DISTRIBUTE TABLE t_{kind} BY k IN DISTRIBUTION d_{kind}")
            fleet.console(f"DISTRIBUTE TABLE changed_{kind} BY k IN DISTRIBUTION c_{kind}")  # a trigger that sorts so late keeps it from moving
            fleet.everywhere(LATE.format(kind=kind))

    def next(self):
        self.number += 1
        return self.number

    def owner(self, kind, key, distribution="d"):
        column = KINDS[kind][0]
        placement = PLACEMENT[re.sub(r"\(.*", "", column)].format(f"({key}::{column})", SEED)
        ranges = [each for each in self.fleet.ranges() if each[0] == f"{distribution}_{kind}"]
        for shard in self.fleet.names:
            if self.fleet.query(self.fleet.catalog, f"SELECT {owned(ranges, shard, placement)}")[0][0]:
                return shard
        raise AssertionError(f"nobody owns {key}")

    def through_pgrotor(self, kind, name, statements, keys):
        """One way with each key; what was refused wrote nothing, what was acknowledged is looked for at the end."""
        column, all_keys = KINDS[kind]
        with closing(self.fleet.app()) as connection, connection.cursor() as cursor:
            for place, key in enumerate(keys):
                number = self.next()
                words = {"kind": kind, "type": column, "named": {"int8": "int8", "uuid": "uuid"}.get(kind, "text"), "k": key, "n": number,
                         "other": all_keys[(place + 1) % len(all_keys)]}
                try:
                    for statement in statements:
                        cursor.execute(statement.format(**words))
                    self.seen["taken"] += 1
                    if name not in SOMETIMES:
                        self.written[number] = f"{name} of {key} into {kind}"
                except psycopg2.Error as error:
                    assert error.pgcode and not error.pgcode.startswith(BAD_ENDS), f"{name} of {key} into {kind}: {tell(error)}"
                    self.seen[error.pgcode] += 1
                    cursor.execute("ROLLBACK")
                if len(statements) > 1 or "SET" in statements[0] or "set_config" in statements[0]:
                    cursor.execute("DISCARD ALL")

    def copy(self, kind):
        keys = KINDS[kind][1]
        text = "".join(f"{key.strip(chr(39))}\t{self.next()}\n" for key in keys)
        with closing(self.fleet.app()) as connection, connection.cursor() as cursor:
            try:
                cursor.copy_expert(f"COPY t_{kind} (k, n) FROM STDIN", io.StringIO(text))
                raise AssertionError(f"COPY of rows for all shards into {kind} was acknowledged")
            except psycopg2.Error as error:
                self.seen[error.pgcode] += 1

    def all_paths(self, keys, kinds=tuple(KINDS)):
        for kind in kinds:
            for name, statements in PATHS.items():
                self.through_pgrotor(kind, name, statements, KINDS[kind][1][:keys])
            self.copy(kind)
        for name, statements in TEXT_PATHS.items() if "text" in kinds else ():
            self.through_pgrotor("text", name, statements, ["''"])

    def refused(self, shard, sql, what, code="RT001"):
        with closing(self.fleet.shards[shard].connect(DATABASE)) as connection, connection.cursor() as cursor:
            try:
                cursor.execute(sql)
            except psycopg2.Error as error:
                assert error.pgcode == code, f"{what} on {shard}: {tell(error)}"
                return
        raise AssertionError(f"{what} on {shard} was not refused")

    def wrong_shard(self, kinds=tuple(KINDS)):
        """As superuser, past pgrotor, each way with a key that the shard does not own."""
        for kind in kinds:
            column, keys = KINDS[kind]
            owners, changed = {key: self.owner(kind, key) for key in keys}, self.owner(kind, keys[6], "c")
            for shard in self.fleet.names:
                wrong = next((key for key in keys[5:] + keys if owners[key] != shard), None)
                here = next((key for key in keys if owners[key] == shard), None)
                for name, sql in DIRECT.items():
                    unknown = name == "MERGE" and self.fleet.shards[shard].version() < 15
                    if ("{here}" in sql and not here) or (name == "trigger that sorts later" and changed == shard) or not wrong or unknown:
                        continue
                    self.refused(shard, sql.format(kind=kind, type=column, k=wrong, here=here, n=900_000 + self.next()), f"{name} of {wrong} into {kind}")
                with closing(self.fleet.shards[shard].connect(DATABASE)) as connection, connection.cursor() as cursor:
                    try:
                        cursor.copy_expert(f"COPY t_{kind} (k, n) FROM STDIN", io.StringIO(f"{wrong.strip(chr(39))}\t{self.next()}\n"))
                        raise AssertionError(f"COPY of {wrong} into {kind} on {shard} was not refused")
                    except psycopg2.Error as error:
                        assert error.pgcode == "RT001", tell(error)

    def search(self):
        """The shards, read directly, and the console's own answer."""
        wait_until(lambda: all(row["state"] in ("DONE", "CANCELLED") for row in self.fleet.console("SHOW MIGRATIONS")), "migrations to end")
        found = unowned_rows(self.fleet)
        assert not found, f"orphans: {found}"
        shown = self.fleet.console("SHOW ORPHANS")
        assert len(shown) >= 3 * 2 * len(KINDS) and all(row["orphans"] == "0" and not row["note"] for row in shown), shown
        times = Counter()
        for shard in self.fleet.names:
            for kind in KINDS:
                times.update(row[0] for row in self.fleet.query(shard, f"SELECT n FROM t_{kind} UNION ALL SELECT n FROM changed_{kind}"))
        lost = [(number, what, times[number]) for number, what in self.written.items() if times[number] == 0]
        assert not lost, f"acknowledged and not there: {lost[:5]}"


def cascade(world):
    """A foreign key writes where its parent is: the parent stays on one shard, its children are spread."""
    fleet = world.fleet
    fleet.everywhere("CREATE TABLE parent (k bigint PRIMARY KEY); CREATE TABLE child (k bigint NOT NULL PRIMARY KEY REFERENCES parent ON UPDATE CASCADE)")
    fleet.console("DISTRIBUTE TABLE child BY k IN DISTRIBUTION d_int8")
    keys = range(1, 40)
    here = next(key for key in keys if world.owner("int8", str(key)) == "s1")
    wrong = next(key for key in keys if world.owner("int8", str(key)) != "s1")
    fleet.query("s1", f"INSERT INTO parent VALUES ({here}); INSERT INTO child VALUES ({here})")
    world.refused("s1", f"UPDATE parent SET k = {wrong}", "ON UPDATE CASCADE")


def partitions(world):
    """Also of a partition that comes later, by its own name, and of a row that wanders between partitions."""
    fleet = world.fleet
    fleet.everywhere("CREATE TABLE events (k bigint NOT NULL, part integer NOT NULL, PRIMARY KEY (k, part)) PARTITION BY LIST (part);"
                     "CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1)")
    fleet.console("DISTRIBUTE TABLE events BY k IN DISTRIBUTION d_int8")
    fleet.everywhere("CREATE TABLE events_2 (part integer NOT NULL, k bigint NOT NULL); ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES IN (2);"
                     "CREATE TABLE events_3 PARTITION OF events FOR VALUES IN (3)")
    here = next(key for key in range(1, 40) if world.owner("int8", str(key)) == "s1")
    wrong = next(key for key in range(1, 40) if world.owner("int8", str(key)) != "s1")
    for sql in (f"INSERT INTO events VALUES ({wrong}, 1)", f"INSERT INTO events VALUES ({wrong}, 2)", f"INSERT INTO events_2 VALUES (2, {wrong})",
                f"INSERT INTO events_3 VALUES ({wrong}, 3)", f"SET session_replication_role = replica; INSERT INTO events_2 VALUES (2, {wrong})",
                f"INSERT INTO events VALUES ({here}, 1); UPDATE events SET part = 2, k = {wrong} WHERE k = {here}"):
        world.refused("s1", sql, sql)
    states = {row["table"]: row["ownership_guard"] for row in fleet.console("SHOW TABLES")}
    assert states["events"] == "on", states


def subscription(world):
    """Logical replication's apply worker is nobody's client."""
    fleet = world.fleet
    wrong = next(key for key in range(1, 40) if world.owner("int8", str(key)) == "s1")
    there, here = fleet.shards["s1"], fleet.shards["s2"]
    filtered = " WHERE (n = 777777)" if there.version() >= 15 else ""  # 14 sends all, of which none is owned by s2
    fleet.query("s1", f"INSERT INTO t_int8 VALUES ({wrong}, 777777); CREATE PUBLICATION mirror FOR TABLE t_int8{filtered}")
    with open(here.log) as log:
        log.seek(0, os.SEEK_END)
        before = log.tell()
    fleet.query("s2", f"CREATE SUBSCRIPTION mirror CONNECTION 'host={there.folder} port={there.port} dbname={DATABASE} user=postgres' PUBLICATION mirror")

    def is_refused():
        with open(here.log, errors="replace") as log:
            log.seek(before)
            return "this shard does not own the row of public.t_int8" in log.read()
    wait_until(is_refused, "the subscription to be refused")
    assert not fleet.query("s2", "SELECT FROM t_int8 WHERE n = 777777")
    fleet.query("s2", "DROP SUBSCRIPTION mirror")
    fleet.query("s1", "DROP PUBLICATION mirror; DELETE FROM t_int8 WHERE n = 777777")


def sequences(world):
    """Each shard gives out values of its own, also after a move and where a table is new on its shard."""
    fleet = world.fleet
    fleet.everywhere("CREATE SEQUENCE numbers; CREATE TABLE ids (k bigint NOT NULL, a bigserial, b integer GENERATED ALWAYS AS IDENTITY,"
                     " c bigint NOT NULL DEFAULT nextval('numbers'), PRIMARY KEY (k, a)); GRANT SELECT, INSERT ON ids TO app; GRANT USAGE ON"
                     " SEQUENCE numbers, ids_a_seq TO app; CREATE TABLE small (k bigint NOT NULL, a smallserial, PRIMARY KEY (k, a))")
    fleet.query("s2", "SELECT setval('numbers', 1000)")
    told = [row["note"] for row in fleet.console("DISTRIBUTE TABLE ids BY k IN DISTRIBUTION numbered")]
    assert [note.split(":")[0] for note in told] == ["column a", "column b", "column c"], told
    try:
        fleet.console("DISTRIBUTE TABLE small BY k IN DISTRIBUTION numbered")
        raise AssertionError("a smallint sequence was taken")
    except psycopg2.Error as error:
        assert error.pgcode == "0A000" and "ALTER SEQUENCE public.small_a_seq AS bigint" in str(error), error

    def write():
        with closing(fleet.app()) as connection, connection.cursor() as cursor:
            for key in range(60):
                cursor.execute(f"INSERT INTO ids (k) VALUES ({key})")

    def given_twice():
        rows = [row for shard in fleet.names for row in fleet.query(shard, "SELECT a, b, c FROM ids")]
        return [column for column in range(3) if len({row[column] for row in rows}) < len(rows)], len(rows)

    write()
    assert given_twice() == ([], 60), given_twice()
    assert min(row[0] for shard in fleet.names for row in fleet.query(shard, "SELECT c FROM ids")) > 1000
    fleet.query("s3", "DROP TABLE ids")  # as on a shard that is new: nothing moves there but what s1 and s2 have
    lower, upper = next((lower, upper) for name, lower, upper, shard in fleet.ranges() if name == "numbered" and shard == "s1")
    fleet.wait_state(fleet.console(f"MOVE RANGE [{lower}, {upper}) OF numbered TO s3")[0]["migration"], "DONE")
    write()
    twice, rows = given_twice()
    assert not twice and rows > 60, (twice, rows)
    shown = [row for row in fleet.console("SHOW SEQUENCES") if row["table"] == "ids"]
    assert len(shown) == 9 and all(row["increment"] == "64" and not row["note"] for row in shown), shown
    fleet.query("s2", "SELECT setval('numbers', 1000000)")
    wrong = [row for row in fleet.console("SHOW SEQUENCES") if row["note"]]
    assert [(row["shard"], row["sequence"]) for row in wrong] == [("s2", "public.numbers")], wrong
    # It may have given out what the others have still to come to: all go on above it.
    said = fleet.console(wrong[0]["note"].partition("put right by: ")[2])
    write()
    assert [row["note"].split(":")[0] for row in said] == ["column a", "column b", "column c"] and "above 1000000," in said[2]["note"], said
    rows = [row["last_value"] for row in fleet.console("SHOW SEQUENCES") if row["sequence"] == "public.numbers"]
    assert not [row for row in fleet.console("SHOW SEQUENCES") if row["note"]] and all(value is None or int(value) > 1000000 for value in rows), rows
    assert not given_twice()[0], given_twice()
    # Through pgrotor: refused, with the command that does it on all shards.
    with closing(fleet.app()) as connection, connection.cursor() as cursor:
        for sql in ("SELECT setval('numbers', 5)", "SELECT pg_catalog.setval('public.numbers', 5, true)", "SELECT setval('public.ids_a_seq'::regclass, 5)",
                    "SELECT setval(pg_get_serial_sequence('public.ids', 'a'), 5)", "ALTER SEQUENCE numbers RESTART WITH 5", "SELECT setval('num' || 'bers', 5)"):
            try:
                cursor.execute(sql)
                raise AssertionError(f"not refused: {sql}")
            except psycopg2.Error as error:
                assert error.pgcode == "RT003" and "ALIGN SEQUENCES OF" in error.diag.message_hint, (sql, error, error.diag.message_hint)
    assert fleet.console("EXPLAIN ALIGN SEQUENCES OF ids ABOVE 5000000")[0]["plan"].startswith("column a: each shard would go on above 5000000,")
    fleet.console("ALIGN SEQUENCES OF ids ABOVE 5000000")
    highest = max(value for shard in fleet.names for row in fleet.query(shard, "SELECT a, b, c FROM ids") for value in row)
    write()
    rows = [row for shard in fleet.names for row in fleet.query(shard, f"SELECT a, b, c FROM ids WHERE greatest(a, b, c) > {highest}")]
    assert len(rows) == 60 and all(5000000 < value < 5000000 + 64 * 70 for row in rows for value in row), rows[:3]
    assert not given_twice()[0], given_twice()
    try:
        fleet.console("ALIGN SEQUENCES OF ids ABOVE 2147000000")
        raise AssertionError("an integer sequence was raised to its end")
    except psycopg2.Error as error:
        assert error.pgcode == "0A000" and "AS bigint" in str(error), error
    assert not [row for row in fleet.console("SHOW SEQUENCES") if row["last_value"] and int(row["last_value"]) > 2147000000]  # none of them was


def switched(world):
    """Off, a row is stored where it does not belong, and SHOW ORPHANS finds it; on again, it can be deleted and not changed."""
    fleet = world.fleet
    wrong = next(key for key in range(1, 40) if world.owner("int8", str(key)) != "s1")
    state = lambda: next(row["ownership_guard"] for row in fleet.console("SHOW TABLES") if row["table"] == "t_int8")  # noqa: E731
    fleet.console("UNGUARD TABLE t_int8")
    assert state() == "s1 off, s2 off, s3 off", state()
    fleet.pgrotor.restart()
    assert state() == "s1 off, s2 off, s3 off", state()
    fleet.query("s1", f"INSERT INTO t_int8 VALUES ({wrong}, 888888)")
    fleet.console("GUARD TABLE t_int8")
    assert state() == "on", state()
    found = [(row["shard"], row["table"], row["orphans"], row["keys"]) for row in fleet.console("SHOW ORPHANS") if row["orphans"] != "0"]
    assert found == [("s1", "t_int8", "1", str(wrong))], found
    world.refused("s1", "UPDATE t_int8 SET note = 'x' WHERE n = 888888", "a change of an orphan")
    fleet.query("s1", "DELETE FROM t_int8 WHERE n = 888888")
    fleet.query("s3", 'DROP TRIGGER "~~pgrotor_owner" ON t_int8')
    assert state() == "s3 missing", state()
    fleet.pgrotor.restart()
    wait_until(lambda: state() == "on", "the guard that was dropped to come back")


def moves(world):
    """Everything again while a half of s1's int8 keys is on its way to s3, at each stop, then given up, then switched."""
    fleet = world.fleet
    lower, upper = next((lower, upper) for name, lower, upper, shard in fleet.ranges() if name == "d_int8" and shard == "s1")
    middle = (lower + upper) // 2
    for last, points in (("CANCELLED", ("state.READY",)), ("DONE", ("state.COPYING", "cutover.6", "state.CLEANING"))):
        for point in points:
            fleet.console(f"TEST STOP '{point}'")
        number = fleet.console(f"MOVE RANGE [{lower}, {middle}) OF d_int8 TO s3")[0]["migration"]
        for point in points:
            fleet.console(f"TEST WAIT '{point}'")
            world.wrong_shard(("int8",))
            world.all_paths(3, ("int8",))
            if last == "CANCELLED":
                fleet.console(f"CANCEL MIGRATION {number}")
            fleet.console(f"TEST RELEASE '{point}'")
        fleet.wait_state(number, last)
        world.search()
        world.wrong_shard(("int8",))


def proof():
    with Scene("ownership") as scene:
        fleet = Fleet(scene)
        world = World(fleet)
        world.all_paths(5)
        world.wrong_shard()
        cascade(world)
        partitions(world)
        subscription(world)
        world.search()
        moves(world)
        sequences(world)
        switched(world)
        world.search()
        tried = sum(world.seen.values())
        assert world.seen["taken"] and world.seen["RT001"], world.seen
        print(f"{tried} writes through pgrotor, by {len(PATHS) + len(TEXT_PATHS) + 1} ways: " +
              ", ".join(f"{count} {code}" for code, count in world.seen.most_common()))
        print(f"{len(DIRECT) + 1} ways past it, foreign keys, partitions, a subscription and a move: all refused")
        print("orphans: 0")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cost", action="store_true", help="measure the guard instead")
    options.add_argument("--rows", type=int, default=200_000, help="of the measured table (default %(default)s)")
    options.add_argument("--rounds", type=int, default=5, help="with and without, each (default %(default)s)")
    options.add_argument("--seconds", type=int, default=5, help="of each pgbench (default %(default)s)")
    wanted = options.parse_args()
    cost(wanted.rows, wanted.rounds, wanted.seconds) if wanted.cost else proof()


main()
