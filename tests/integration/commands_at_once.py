"""Commands that change what there is, given while another one is under way or while clients write: what a command has looked at is so when it
takes effect, or it is refused and has no effect. DISTRIBUTE TABLE is stopped between its look and its guards."""
import threading
from contextlib import closing

import psycopg2

from cluster import Scene, wait_until
from fleet import Fleet, deploy_file
from leftovers import inventory, unowned_rows


class Command(threading.Thread):
    """A console command beside others; its outcome is rows or an error."""

    def __init__(self, fleet, text):
        super().__init__()
        self.fleet, self.text, self.outcome = fleet, text, None
        self.start()

    def run(self):
        try:
            self.outcome = self.fleet.console(self.text)
        except psycopg2.Error as error:
            self.outcome = error

    def refusal(self):
        self.join(60)
        assert isinstance(self.outcome, psycopg2.Error), f"{self.text} was taken: {self.outcome}"
        return f"{self.outcome.pgcode} {self.outcome.diag.message_primary}"

    def done(self):
        self.join(60)
        assert isinstance(self.outcome, list), f"{self.text}: {self.outcome}"
        return self.outcome


def stopped_distribute(fleet, table, distribution=""):
    fleet.console("TEST STOP 'distribute.inspected'")
    command = Command(fleet, f"DISTRIBUTE TABLE {table} BY k" + (f" IN DISTRIBUTION {distribution}" if distribution else ""))
    fleet.console("TEST WAIT 'distribute.inspected'")
    return command


def release(fleet):
    fleet.console("TEST RELEASE 'distribute.inspected'")


def is_waiting(fleet, command):
    """The command does not end although the console answers others."""
    fleet.console("SHOW SHARDS")
    return command.is_alive()


def guards_of(fleet, table):
    return [fleet.query(shard, "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", (table,))[0][0] for shard in fleet.shards]


def increments_of(fleet, table):
    return {fleet.query(shard, "SELECT seqincrement FROM pg_sequence WHERE seqrelid = pg_get_serial_sequence(%s, 'n')::regclass", (table,))[0][0] for shard in fleet.shards}


def a_row_written_behind_the_look_is_found(fleet):
    before = inventory(fleet)
    command = stopped_distribute(fleet, "written")
    with closing(fleet.app()) as client, client.cursor() as cursor:
        cursor.execute("INSERT INTO written (k) SELECT generate_series(1, 50)")
        release(fleet)
        assert "has rows" in command.refusal(), command.outcome
        cursor.execute("SELECT count(*) FROM written")
        assert cursor.fetchone() == (50,)
        cursor.execute("INSERT INTO written (k) SELECT generate_series(51, 99)")
    assert inventory(fleet) == before, "guards of a table that was not distributed"
    assert guards_of(fleet, "written") == [0, 0, 0] and increments_of(fleet, "written") == {1}


def whoever_writes_at_the_same_time_finds_all_of_his_rows(fleet):
    stop, acknowledged = threading.Event(), []

    def write():
        with closing(fleet.app()) as client, client.cursor() as cursor:
            for key in range(1, 1_000_000):
                if stop.is_set():
                    return
                try:
                    cursor.execute("INSERT INTO busy (k) VALUES (%s)", (key,))
                    acknowledged.append(key)
                except psycopg2.Error as error:
                    assert error.pgcode == "RT001", error  # between the guards and the map

    command = stopped_distribute(fleet, "busy")
    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: len(acknowledged) > 20, "some rows to be written")
        release(fleet)
        assert "has rows" in command.refusal(), command.outcome
    finally:
        stop.set()
        writer.join()
    with closing(fleet.app()) as client, client.cursor() as cursor:
        cursor.execute("SELECT k FROM busy ORDER BY k")
        assert [row[0] for row in cursor.fetchall()] == acknowledged
    assert not unowned_rows(fleet)


def others_wait_and_look_at_what_there_is_then(fleet):
    command = stopped_distribute(fleet, "twice")
    reference = Command(fleet, "REFERENCE TABLE twice")
    cluster = fleet.shards["s3"]
    cluster.psql("CREATE DATABASE fourth OWNER shop_owner")
    cluster.psql(deploy_file("shard_rights.sql"), "fourth", password=fleet.pgrotor_password, owner="shop_owner")
    cluster.psql("SET ROLE shop_owner; CREATE TABLE twice (k bigint, n serial, x text); INSERT INTO twice VALUES (1, 1, 'stray')", "fourth")
    added = Command(fleet, f"ADD SHARD s4 'host=127.0.0.1 port={cluster.port} dbname=fourth'")
    assert is_waiting(fleet, reference) and is_waiting(fleet, added)
    release(fleet)
    command.done()
    assert reference.refusal().startswith("42710"), reference.outcome
    assert "has rows" in added.refusal(), added.outcome
    assert all(row["shard"] != "s4" for row in fleet.console("SHOW SHARDS"))
    assert {owner for name, _, _, owner in fleet.ranges() if name == "twice"} == {"s1", "s2", "s3"}


def a_move_takes_the_table_that_joins_along(fleet):
    fleet.console("DISTRIBUTE TABLE first BY k IN DISTRIBUTION pair")
    upper = next(upper for name, _, upper, owner in fleet.ranges() if name == "pair" and owner == "s1")
    command = stopped_distribute(fleet, "second", "pair")
    move = Command(fleet, f"MOVE RANGE [MINVALUE, {upper}) OF pair TO s3")
    assert is_waiting(fleet, move)
    release(fleet)
    command.done()
    fleet.wait_done(move.done()[0]["migration"])
    with closing(fleet.app()) as client, client.cursor() as cursor:
        for key in range(200):
            cursor.execute("INSERT INTO second (k) VALUES (%s)", (key,))
    assert not unowned_rows(fleet)


def main():
    with Scene("commands") as scene:
        fleet = Fleet(scene)
        for table in ("written", "busy", "twice", "first", "second"):
            fleet.everywhere(f"CREATE TABLE {table} (k bigint PRIMARY KEY, n serial); GRANT ALL ON {table} TO app; GRANT ALL ON SEQUENCE {table}_n_seq TO app")
        for part in (a_row_written_behind_the_look_is_found, whoever_writes_at_the_same_time_finds_all_of_his_rows,
                     others_wait_and_look_at_what_there_is_then, a_move_takes_the_table_that_joins_along):
            part(fleet)
            print(part.__name__.replace("_", " "), flush=True)


if __name__ == "__main__":
    main()
