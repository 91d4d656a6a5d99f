"""CANCEL before the flip, in each state that comes before it, leaves nothing behind and costs no row; PAUSE and RESUME go on."""
from cluster import Scene, wait_until
from fleet import Fleet
from ledger import Ledger, report


STEPS = ["begin_fence", "close_gates", "fence", "wait_marker", "settle_sequences", "commit_switch", "open_target", "open_gates"]


def explained(fleet, number):
    """EXPLAIN CUTOVER tells the steps and does none of them."""
    rows = fleet.console(f"EXPLAIN CUTOVER MIGRATION {number}")
    assert [row["name"] for row in rows] == STEPS, rows
    assert rows[2]["when_it_fails"].startswith("the marker counts no more, the register of shard s1 opens again"), rows[2]
    row = fleet.migration(number)
    assert (row["state"], row["attempt"]) == ("READY", "0"), row


def cancelled_at(ledger, point, option=""):
    fleet = ledger.fleet
    if point:
        fleet.console(f"TEST STOP '{point}'")
    number = fleet.console(f"DRAIN SHARD s1 TO s3 WITH (auto_cutover = off{option})")[0]["migration"]
    if point:
        fleet.console(f"TEST WAIT '{point}'")
    else:
        wait_until(lambda: float(fleet.migration(number)["rows_copied"] or 0) > 0, "some rows to be copied")
    if point == "state.READY":
        explained(fleet, number)
    fleet.console(f"CANCEL MIGRATION {number}")
    if point:
        fleet.console(f"TEST RELEASE '{point}'")
    fleet.wait_state(number, "CANCELLED")
    print(f"cancelled in {point or 'the middle of COPYING'}")


def paused(ledger):
    """In COPYING; nothing is copied while paused; RESUME ends in a drained shard."""
    fleet = ledger.fleet
    number = fleet.console("DRAIN SHARD s1 TO s3 WITH (max_rate = '300kB')")[0]["migration"]
    wait_until(lambda: float(fleet.migration(number)["rows_copied"] or 0) > 0, "some rows to be copied")
    fleet.console(f"PAUSE MIGRATION {number}")
    fleet.wait_state(number, "PAUSED")
    copied = fleet.migration(number)["rows_copied"]
    ledger.wait_progress(400)
    assert fleet.migration(number)["rows_copied"] == copied, "rows were copied while paused"
    fleet.console(f"RESUME MIGRATION {number}")
    fleet.wait_state(number, "DONE")


def main():
    with Scene("drain_cancel") as scene:
        ledger = Ledger(Fleet(scene), bypass=False)
        ledger.start()
        for point in ("state.PREPARING", "state.COPYING", "state.CATCHING_UP", "state.READY"):
            cancelled_at(ledger, point)
        cancelled_at(ledger, None, ", max_rate = '300kB'")
        paused(ledger)
        lines = ledger.finish()
        report(lines, ledger.book)
        assert not lines, f"{len(lines)} broken promises"


main()
