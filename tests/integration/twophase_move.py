"""Prepared transactions and moves: one that has written to moving keys keeps the cutover from happening, through a restart of pgrotor too,
and can be ended at any time, while gates are closed as well; nothing is lost."""
import threading
from contextlib import closing

from cluster import Scene, wait_until
from fleet import Fleet
from leftovers import unowned_rows


def ask(fleet, sql):
    with closing(fleet.app()) as client, client.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def prepare(fleet, customer, gid):
    with closing(fleet.app()) as client, client.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO customers (customer_id, name, country_code) VALUES (%s, %s, 'DE')", (customer, gid))
        cursor.execute(f"PREPARE TRANSACTION '{gid}'")


def names(fleet, customer):
    return {shard: [name for name, in fleet.query(shard, "SELECT name FROM customers WHERE customer_id = %s", (customer,))] for shard in fleet.names}


def customers_of(fleet, shard):
    return (key for key in range(1_000_000, 1_001_000) if fleet.owner(key) == shard)


def stopped_with_gates_closed(fleet, number, customer, gid):
    """Step 0 lets a transaction pass that is younger than a second, so the attempt begins while it is prepared."""
    fleet.console("TEST STOP 'cutover.1'")
    prepare(fleet, customer, gid)
    fleet.console(f"CUTOVER MIGRATION {number}")
    fleet.console("TEST WAIT 'cutover.1'")


def the_cutover_waits_for_it(fleet):
    customers = customers_of(fleet, "s1")
    customer, other = next(customers), next(customers)
    number = fleet.console("DRAIN SHARD s1 TO s3 WITH (auto_cutover = off)")[0]["migration"]
    fleet.wait_state(number, "READY")
    stopped_with_gates_closed(fleet, number, customer, "open")
    fleet.console("TEST RELEASE 'cutover.1'")
    wait_until(lambda: int(fleet.migration(number)["retries"]) > 0 and "prepared transaction 'open'" in fleet.migration(number)["blockers"],
               "the prepared transaction to be named")
    ask(fleet, f"INSERT INTO customers (customer_id, name, country_code) VALUES ({other}, 'meanwhile', 'DE')")
    assert fleet.row(number)["state"] == "READY", fleet.row(number)
    fleet.pgrotor.restart()
    fleet.wait_state(number, "READY")
    fleet.console(f"CUTOVER MIGRATION {number}")
    wait_until(lambda: "prepared transaction 'open'" in (fleet.migration(number)["blockers"] or ""), "it to be named again")
    ask(fleet, "COMMIT PREPARED 'open'")
    fleet.wait_end(number)
    assert names(fleet, customer) == {"s1": [], "s2": [], "s3": ["open"]}, names(fleet, customer)
    assert names(fleet, other) == {"s1": [], "s2": [], "s3": ["meanwhile"]}, names(fleet, other)


def it_is_ended_while_gates_are_closed(fleet):
    customer = next(customers_of(fleet, "s3"))
    number = fleet.console("DRAIN SHARD s3 TO s2 WITH (auto_cutover = off)")[0]["migration"]
    fleet.wait_state(number, "READY")
    stopped_with_gates_closed(fleet, number, customer, "late")
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(ask(fleet, f"SELECT name FROM customers WHERE customer_id = {customer}")), daemon=True)
    reader.start()
    wait_until(lambda: "pgrotor_gate_waiting 1" in fleet.pgrotor.http("/metrics"), "a statement to be held")
    ask(fleet, "COMMIT PREPARED 'late'")
    assert not seen
    fleet.console("TEST RELEASE 'cutover.1'")
    reader.join(30)
    assert seen == [("late",)], seen
    fleet.wait_end(number)
    assert names(fleet, customer) == {"s1": [], "s2": ["late"], "s3": []}, names(fleet, customer)


def main():
    with Scene("twophase_move") as scene:
        fleet = Fleet(scene)
        fleet.shop()
        for step in (the_cutover_waits_for_it, it_is_ended_while_gates_are_closed):
            print(step.__name__, flush=True)
            step(fleet)
        assert not unowned_rows(fleet)
        assert all(not fleet.query(shard, "SELECT gid FROM pg_prepared_xacts") for shard in fleet.names)
        assert fleet.pgrotor.terminate() == 0


if __name__ == "__main__":
    main()
