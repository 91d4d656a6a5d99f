"""SIGKILL of pgrotor in COPYING, in CATCHING_UP and after each step of the cutover; after a restart the same migration ends, and the
ledger holds. Clients see their connections break; writes whose COMMIT was not answered may or may not be there, never twice."""
import sys

from cluster import Scene, wait_until
from fleet import Fleet
from ledger import Ledger, report

POINTS = ["state.COPYING", "mover.chunk_read", "state.CATCHING_UP", "mover.batch", "state.READY",
          *[f"cutover.{step}" for step in range(1, 7)], "state.CLEANING"]


def move_killed_at(ledger, point, source, target):
    fleet = ledger.fleet
    fleet.console(f"TEST KILL '{point}'")
    numbers, bypassing = ledger.begin(f"DRAIN SHARD {source} TO {target}")
    assert fleet.pgrotor.wait_killed() == -9, f"pgrotor ended otherwise than by the stop point {point}"
    fleet.pgrotor.serve()
    assert len(numbers) == 1
    row = fleet.wait_done(numbers[0])
    ledger.end_bypass(bypassing)
    ledger.wait_progress()
    everyone = [int(each["migration"]) for each in fleet.console("SHOW MIGRATIONS")]
    assert max(everyone) == numbers[0], f"after {point} another migration was made: {everyone}"
    print(f"killed at {point}: migration {numbers[0]} ended DONE at attempt {row['attempt']}", flush=True)


def move_killed_while_preparing(ledger, source, target):
    """From outside: reaching a point that kills at once, it would be gone before the console has its answer."""
    fleet = ledger.fleet
    fleet.console("TEST STOP 'state.PREPARING'")
    numbers, bypassing = ledger.begin(f"DRAIN SHARD {source} TO {target}")
    fleet.console("TEST WAIT 'state.PREPARING'")
    fleet.pgrotor.kill()
    fleet.pgrotor.serve()
    fleet.wait_state(numbers[0], "DONE")
    ledger.end_bypass(bypassing)
    print(f"killed while preparing: migration {numbers[0]} ended DONE", flush=True)


def move_killed_while_copying(ledger, source, target):
    """From outside, in the middle of the copy, twice."""
    fleet = ledger.fleet
    numbers, bypassing = ledger.begin(f"DRAIN SHARD {source} TO {target} WITH (max_rate = '300kB')")
    for _ in range(2):
        def midway():
            row = fleet.migration(numbers[0])
            return row["state"] == "COPYING" and float(row["rows_copied"] or 0) > 0
        wait_until(midway, "some rows to be copied")
        fleet.pgrotor.kill()
        fleet.pgrotor.serve()
    fleet.wait_state(numbers[0], "DONE")
    ledger.end_bypass(bypassing)
    print(f"killed twice while copying: migration {numbers[0]} ended DONE", flush=True)


def main():
    points = sys.argv[1:] or POINTS
    with Scene("drain_killed") as scene:
        ledger = Ledger(Fleet(scene))
        ledger.start()
        source, target = "s1", "s3"
        if len(points) == len(POINTS):
            move_killed_while_copying(ledger, source, target)
            move_killed_while_preparing(ledger, target, source)
        for point in points:
            move_killed_at(ledger, point, source, target)
            source, target = target, source
        lines = ledger.finish(allow_client_errors=True)
        report(lines, ledger.book)
        assert not lines, f"{len(lines)} broken promises"
        odd = [text for text in ledger.book.client_errors if "connection lost" not in text]
        assert not odd, f"clients saw more than broken connections: {odd[:5]}"


main()
