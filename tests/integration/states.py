"""Every connection of pgrotor ended in every state: the move still ends, in DONE or in the state that was asked for, and nothing is left. The
states are read from the table in migration/plan/state.cc, so that a new one is not forgotten.

    states.py            each state, the three sides together
    states.py --all      each state, each side by itself
"""
import os
import re
import sys
import threading
import time
from contextlib import closing

import psycopg2

from cluster import SOURCE, Scene, wait_until
from fleet import DATABASE, FINAL, Fleet
from leftovers import inventory, leftovers

# Where a migration stands in a state with its connections open; else where the state has been written down.
POINTS = {"PREPARING": "prepare.guards", "COPYING": "mover.chunk_read", "SWITCHED": "cutover.6"}
# No connection is open in the first, the second needs a reverse stream, and the third is left by RESUME only (moves_refused.py, drain_cancel.py).
APART = ("PLANNED", "ROLLED_BACK", "PAUSED")
SIDES = {"source": "s1", "target": "s3", "catalog": "s2"}


def all_states():
    with open(os.path.join(SOURCE, "migration", "plan", "state.cc")) as file:
        found = re.findall(r'\{state::\w+, "(\w+)"\}', file.read())
    assert "COPYING" in found and set(FINAL) < set(found), found
    return [state for state in found if state not in FINAL and state not in APART]


def end_connections(fleet, side):
    ended = fleet.query(SIDES[side], "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'pgrotor' AND datname = %s", (DATABASE,))
    assert ended[0][0] > 0, f"pgrotor has no connection to the {side}"


def bring_to(fleet, state, point):
    """A move that stands at the point; FAILING and CANCELLING are gone to from READY."""
    undoing = state in ("FAILING", "CANCELLING")
    fleet.console(f"TEST STOP '{point}'")
    number = fleet.console(fleet.there + (" WITH (auto_cutover = off)" if undoing else ""))[0]["migration"]
    if undoing:
        fleet.wait_state(number, "READY")
    if state == "CANCELLING":
        fleet.console(f"CANCEL MIGRATION {number}")
    if state == "FAILING":
        fleet.query("s1", "ALTER TABLE accounts ALTER note SET DEFAULT 'ours'")
        fleet.console(f"CUTOVER MIGRATION {number}")
    fleet.console(f"TEST WAIT '{point}'")
    return number


def survive(fleet, state, sides, before):
    began = time.monotonic()
    point = POINTS.get(state, f"state.{state}")
    number = bring_to(fleet, state, point)
    for side in sides:
        end_connections(fleet, side)
    fleet.console(f"TEST RELEASE '{point}'")
    wanted = {"FAILING": "FAILED", "CANCELLING": "CANCELLED"}.get(state, "DONE")
    row = fleet.wait_state(number, wanted, timeout=60)
    if state == "FAILING":
        fleet.query("s1", "ALTER TABLE accounts ALTER note DROP DEFAULT")
    if wanted == "DONE":
        assert row["rows_compared"] == str(fleet.rows) and row["rows_differing"] == "0", row
        back = fleet.console(fleet.back)[0]["migration"]
        fleet.wait_state(back, "DONE")
    left = leftovers(fleet, before)
    assert not left, f"left behind: {left}"
    print(f"{state}, {' and '.join(sides)} ended: {wanted} after {time.monotonic() - began:.1f} s", flush=True)


def killed_when_all_was_removed(fleet, before):
    """Between the last object and DONE: the cleaner that comes after it makes its origin once more."""
    fleet.console("TEST KILL 'cleaned'")
    number = fleet.console(fleet.there)[0]["migration"]
    assert fleet.pgrotor.wait_killed() == -9
    fleet.pgrotor.serve()
    fleet.wait_state(number, "DONE")
    left = leftovers(fleet, before)
    assert not left, f"left behind: {left}"


class Eager(threading.Thread):
    """Writes to all rows, from the moment on at which somebody takes it."""

    def __init__(self, fleet):
        super().__init__(daemon=True)
        self.fleet, self.written, self.over = fleet, 0, False
        self.start()

    def run(self):
        while not self.over:
            try:
                with closing(self.fleet.app()) as client, client.cursor() as cursor:
                    for tenant in range(200):
                        cursor.execute("UPDATE accounts SET note = 'since' WHERE tenant = %s", (tenant,))
                        self.written += 1
            except psycopg2.Error:
                time.sleep(0.001)

    def close(self):
        self.over = True
        self.join()


def rows_that_were_never_compared(fleet, before):
    """The target's snapshot is lost; of two rows that differ from a later one a client has changed the first, and the other is one that the move
    has lost. Nobody can tell the two apart, so nothing is removed before a DBA has said so."""
    fleet.console("TEST STOP 'cutover.6'")
    number = fleet.console(fleet.back)[0]["migration"]
    fleet.console("TEST WAIT 'cutover.6'")
    changed, lost = (row[0] for row in fleet.query("s1", "SELECT tenant FROM accounts ORDER BY tenant LIMIT 2"))
    with closing(fleet.app()) as client:
        client.cursor().execute("UPDATE accounts SET note = 'since' WHERE tenant = %s", (changed,))
    fleet.query("s1", "DELETE FROM accounts WHERE tenant = %s", (lost,))
    fleet.query("s1", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pgrotor' AND datname = %s", (DATABASE,))
    fleet.console("TEST RELEASE 'cutover.6'")
    row = fleet.wait_end(number)
    assert row["state"] == "SWITCHED" and row["rows_differing"] == "2", row
    assert f"2 of {fleet.rows} rows differ" in row["error"] and "its snapshot from before it opened was lost" in row["error"], row["error"]
    kept = fleet.query("s3", "SELECT note FROM accounts WHERE tenant IN (%s, %s)", (changed, lost))
    assert kept == [("ours",), ("ours",)], f"rows of the source were removed: {kept} are left"
    try:
        fleet.console(f"RESUME MIGRATION {number}")
        raise AssertionError("RESUME went on without a word")
    except psycopg2.Error as error:
        assert "its snapshot from before it opened was lost" in str(error) and "KEEP SOURCE" in str(error), error
    fleet.console(f"RESUME MIGRATION {number} KEEP SOURCE")
    fleet.wait_state(number, "DONE")
    assert fleet.query("s1", "SELECT note FROM accounts WHERE tenant = %s", (changed,)) == [("since",)]
    assert fleet.query("s3", f"SELECT note FROM pgrotor.kept_{number}_1 WHERE tenant = %s", (lost,)) == [("ours",)]
    fleet.query("s3", f"DROP TABLE pgrotor.kept_{number}_1")
    left = leftovers(fleet, before)
    assert not left, f"left behind: {left}"


def nobody_wrote_meanwhile(fleet, before):
    """A process killed with its gates closed has lost the snapshot too; the next one takes another before it opens them, and nothing differs."""
    fleet.console("TEST KILL 'cutover.5'")
    number = fleet.console(fleet.there)[0]["migration"]
    assert fleet.pgrotor.wait_killed() == -9
    with closing(Eager(fleet)) as client:
        fleet.pgrotor.serve()
        row = fleet.wait_end(number)
        assert row["state"] == "DONE" and row["rows_differing"] == "0" and "from a snapshot taken later" in str(row), row
        wait_until(lambda: client.written, "the client to write")
    fleet.query("s3", "UPDATE accounts SET note = 'ours'")
    back = fleet.console(fleet.back)[0]["migration"]
    fleet.wait_state(back, "DONE")
    left = leftovers(fleet, before)
    assert not left, f"left behind: {left}"


def maps_change_while_tables_are_described(fleet, before):
    """What is asked of the shard table by table is asked of one map, however many take its place meanwhile."""
    many = [f"many_{number}" for number in range(8)]
    fleet.everywhere("".join(f"CREATE TABLE {table} (k bigint PRIMARY KEY, v text); GRANT ALL ON {table} TO app;" for table in many))
    fleet.everywhere("".join(f"CREATE TABLE other_{number} (k bigint PRIMARY KEY);" for number in range(12)))
    for table in many:
        fleet.console(f"DISTRIBUTE TABLE {table} BY k IN DISTRIBUTION many")
    with closing(fleet.app()) as client, client.cursor() as cursor:
        for table in many:
            for key in range(20):
                cursor.execute(f"INSERT INTO {table} VALUES ({key}, 'v')")
    held = {table: fleet.query("s1", f"SELECT k FROM {table} ORDER BY k") for table in many}
    lower, upper = next((lower, upper) for name, lower, upper, owner in fleet.ranges() if name == "many" and owner == "s1")
    fleet.console("TEST STOP 'table.described'")
    number = fleet.console(f"MOVE RANGE [{lower}, {'' if upper is None else upper}) OF many TO s3")[0]["migration"]
    fleet.console("TEST WAIT 'table.described'")
    for other in range(12):
        fleet.console(f"DISTRIBUTE TABLE other_{other} BY k IN DISTRIBUTION d{other}")
    fleet.console("TEST RELEASE 'table.described'")
    fleet.wait_state(number, "DONE")
    for table in many:
        there = fleet.query("s3", f"SELECT k FROM {table} ORDER BY k")
        assert held[table] and set(held[table]) <= set(there), f"rows of {table} are lost: {held[table]} were on s1, {there} are on s3"
        assert not fleet.query("s1", f"SELECT FROM {table}")


def main():
    sets = [(side,) for side in SIDES] if "--all" in sys.argv else [tuple(SIDES)]
    with Scene("states") as scene:
        fleet = Fleet(scene)
        fleet.everywhere("CREATE TABLE accounts (tenant bigint PRIMARY KEY, note text); GRANT ALL ON accounts TO app;")
        fleet.console("DISTRIBUTE TABLE accounts BY tenant IN DISTRIBUTION shop")
        client = fleet.app()
        for tenant in range(200):
            client.cursor().execute("INSERT INTO accounts VALUES (%s, 'ours')", (tenant,))
        client.close()
        fleet.rows = fleet.query("s1", "SELECT count(*) FROM accounts")[0][0]
        upper = next(upper for _, lower, upper, owner in fleet.ranges() if owner == "s1")
        fleet.there, fleet.back = (f"MOVE RANGE [MINVALUE, {upper}) OF shop TO {shard}" for shard in ("s3", "s1"))
        before = inventory(fleet)
        for state in all_states():
            for sides in sets:
                survive(fleet, state, sides, before)
        nobody_wrote_meanwhile(fleet, before)
        killed_when_all_was_removed(fleet, before)
        rows_that_were_never_compared(fleet, before)
        maps_change_while_tables_are_described(fleet, before)


main()
