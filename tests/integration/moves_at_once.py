"""Several migrations at a time, under the ledger: two that have no shard in common are READY together, a third that shares one waits; killed and
started again both go on; both cut over at once; one is cancelled while the other goes on."""
from cluster import Scene, wait_until
from fleet import Fleet
from ledger import Ledger, report

BY_HAND = "WITH (auto_cutover = off)"


def states(fleet):
    return {int(row["migration"]): row["state"] for row in fleet.console("SHOW MIGRATIONS")}


def owned_by(fleet, shard):
    return [f"[{lower}, {'' if upper is None else upper})" for name, lower, upper, owner in fleet.ranges() if name == "ledger" and owner == shard]


def all_ready(fleet, numbers):
    wait_until(lambda: all(states(fleet)[number] == "READY" for number in numbers), f"migrations {numbers} to be READY at the same time", timeout=120)


def begin_two(ledger):
    """Each of two migrations on two shards of its own, there or back, and the clients that write past the proxy."""
    begun = [ledger.begin(f"MOVE RANGE {owned_by(ledger.fleet, source)[0]} OF ledger TO {target} {BY_HAND}") for source, target in (("s1", "s3"), ("s4", "s2"))]
    return [numbers[0] for numbers, _ in begun], [client for _, clients in begun for client in clients]


def two_and_one_that_waits(ledger):
    fleet = ledger.fleet
    two, bypassing = begin_two(ledger)
    third = int(fleet.console(f"MOVE RANGE {owned_by(fleet, 's2')[0]} OF ledger TO s3")[0]["migration"])
    all_ready(fleet, two)
    assert states(fleet)[third] == "PLANNED", states(fleet)
    fleet.pgrotor.kill()
    fleet.pgrotor.serve()
    all_ready(fleet, two)
    assert states(fleet)[third] == "PLANNED", states(fleet)
    for number in two:
        fleet.console(f"CUTOVER MIGRATION {number}")
    for number in (*two, third):
        fleet.wait_state(number, "DONE", timeout=120)
    ledger.end_bypass(bypassing)
    print(f"migrations {two} were READY together, {third} waited", flush=True)


def one_is_cancelled(ledger):
    fleet = ledger.fleet
    moves = [f"MOVE RANGE {owned_by(fleet, source)[0]} OF ledger TO {target} {BY_HAND}" for source, target in (("s3", "s1"), ("s2", "s4"))]
    first, second = (int(fleet.console(move)[0]["migration"]) for move in moves)
    all_ready(fleet, [first, second])
    fleet.console(f"CANCEL MIGRATION {first}")
    fleet.wait_state(first, "CANCELLED")
    assert states(fleet)[second] == "READY", states(fleet)
    fleet.console(f"CUTOVER MIGRATION {second}")
    fleet.wait_state(second, "DONE")
    print(f"migration {first} was cancelled beside {second}", flush=True)


def main():
    with Scene("moves_at_once") as scene:
        fleet = Fleet(scene, names=("s1", "s2", "s3", "s4"), settings={"cutover.migrations_at_once": 2})
        ledger = Ledger(fleet)
        ledger.start()
        two_and_one_that_waits(ledger)
        ledger.wait_progress()
        one_is_cancelled(ledger)
        ledger.wait_progress()
        lines = ledger.finish(allow_client_errors=True)  # the kill breaks connections
        report(lines, ledger.book)
        assert not lines, f"{len(lines)} broken promises"
        odd = [text for text in ledger.book.client_errors if "connection lost" not in text]
        assert not odd, f"clients saw more than broken connections: {odd[:5]}"


main()
