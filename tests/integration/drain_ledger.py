"""The ledger over two drains there and back: eight migrations in a row under writers, readers and clients past the proxy."""
from cluster import Scene
from fleet import Fleet
from ledger import Ledger, report, there_and_back


def main():
    with Scene("drain_ledger") as scene:
        ledger = Ledger(Fleet(scene))
        ledger.start()
        for turn in range(2):
            there_and_back(ledger, turn)
        lines = ledger.finish()
        report(lines, ledger.book)
        assert not lines, f"{len(lines)} broken promises"
        assert ledger.book.bypass_refused >= 4, "clients past the proxy were meant to meet RT001"


main()
