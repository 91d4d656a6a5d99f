"""The ledger checker: many clients, a drain, and proof that every acknowledged write is there exactly once, on one owner.

    ledger = Ledger(fleet); ledger.start(); ledger.drain("DRAIN SHARD s1 TO s2, s3"); lines = ledger.finish()

As a program (tests/integration/ledger): --drains N drains there and back in a row, and prints what was checked.
"""
import argparse
import re
import secrets
import sys

import ledger_book
from cluster import Scene, wait_until
from fleet import DATABASE, Fleet, SEED
from ledger_clients import Bypass, Reader, Writer
from leftovers import inventory, leftovers
from libpq import Session

MODES = ("simple", "prepared", "extended")


def parse_ranges(text):
    """[(lower, upper or None)] of "[a, b), [c, )", as the console writes a moving set."""
    found = re.findall(r"\[\s*(-?\d+)\s*,\s*(-?\d*)\s*\)", text)
    assert found, f"no ranges in {text!r}"
    return [(int(lower), int(upper) if upper else None) for lower, upper in found]


class Ledger:
    """`fleet` runs already and has no ledger tables yet. With `bypass`, each migration meets a client that writes past the proxy."""

    def __init__(self, fleet, accounts=600, writers=6, readers=3, bypass=True, padding=6000):
        self.fleet, self.bypass = fleet, bypass
        fleet.everywhere(ledger_book.SCHEMA)
        for table in ledger_book.TABLES:
            fleet.console(f"DISTRIBUTE TABLE {table} BY account_id IN DISTRIBUTION ledger")
        session, pads = self._session("prepared"), {}
        for account in range(1, accounts + 1):
            pad = secrets.token_hex(padding // 2)
            pads[account] = session.run("INSERT INTO accounts (account_id, pad) VALUES ($1, $2) RETURNING md5(pad)", account, pad)[0][0]
        session.close()
        rows = fleet.query(fleet.catalog, f"SELECT i, hashint8extended(i::bigint, {SEED}) FROM generate_series(1, {accounts}) i")
        self.placements = dict(rows)
        self.before = inventory(fleet)
        self.book = ledger_book.Book(pads)
        self.clients = [Writer(self.book, self._session, MODES[i % 3]) for i in range(writers)]
        self.clients += [Reader(self.book, self._session, MODES[i % 3]) for i in range(readers)]

    def _session(self, mode):
        return Session(mode, host="127.0.0.1", port=self.fleet.pgrotor.port, user="app", password=self.fleet.app_password, dbname=DATABASE)

    def start(self):
        for client in self.clients:
            client.start()
        self.wait_progress()

    def written(self):
        return len(self.book.inserted) + len(self.book.bumped)

    def wait_progress(self, writes=200):
        """Until the clients have written so many more times."""
        target = self.written() + writes
        wait_until(lambda: self.written() >= target, f"{writes} more writes", timeout=60)

    def accounts_in(self, ranges):
        return [account for account, value in self.placements.items()
                if any(lower <= value and (upper is None or value < upper) for lower, upper in ranges)]

    def begin(self, command):
        """Gives a command that moves placements; the numbers of its migrations, and clients that bypass the proxy, one a migration."""
        planned, bypassing = self.fleet.console(command), []
        for row in planned if self.bypass else ():
            shard, accounts = self.fleet.shards[row["source"]], self.accounts_in(parse_ranges(row["ranges"]))
            if accounts:
                bypassing.append(Bypass(self.book, lambda mode, port=shard.port: Session(
                    mode, host="127.0.0.1", port=port, user="app", password=self.fleet.app_password, dbname=DATABASE), accounts))
        for client in bypassing:
            client.start()
        return [int(row["migration"]) for row in planned], bypassing

    def drain(self, command, timeout=120):
        """Gives the command and waits until its migrations are DONE; each bypassing client must have met RT001."""
        numbers, bypassing = self.begin(command)
        for number in numbers:
            self.fleet.wait_state(number, "DONE", timeout=timeout)
        self.end_bypass(bypassing)
        self.wait_progress()
        return numbers

    def end_bypass(self, bypassing):
        for client in bypassing:
            client.join(10)
            if client.is_alive():
                self.book.violated("a client that bypasses the proxy was not refused although its keys have moved")
                client.stop()
                client.join(10)

    def owners(self):
        ranges = [each for each in self.fleet.ranges() if each[0] == "ledger"]
        return {account: next(shard for _, lower, upper, shard in ranges if lower <= value and (upper is None or value < upper))
                for account, value in self.placements.items()}

    def finish(self, allow_client_errors=False):
        """Ends the clients and gives every broken promise as a line."""
        for client in self.clients:
            client.stop()
        for client in self.clients:
            client.join(30)
            assert not client.is_alive(), f"a {type(client).__name__} hangs"
        lines = ledger_book.check(self.book, self.fleet, self.owners())
        if not allow_client_errors:
            lines += [f"a client saw: {text}" for text in self.book.client_errors]
        return lines + [f"left behind: {text}" for text in leftovers(self.fleet, self.before)]


def there_and_back(ledger, turn):
    """One drain and the way back: s1 to s2 and s3, next time s3 to s1 and s2; then the drained shard gets its ranges again."""
    fleet = ledger.fleet
    source, targets = ("s1", "s2, s3") if turn % 2 == 0 else ("s3", "s1, s2")
    owned = [(lower, upper) for name, lower, upper, shard in fleet.ranges() if name == "ledger" and shard == source]
    numbers = ledger.drain(f"DRAIN SHARD {source} TO {targets}")
    assert len(numbers) == 2, f"DRAIN SHARD {source} planned {len(numbers)} migrations"
    for lower, upper in owned:
        numbers += ledger.drain(f"MOVE RANGE [{lower}, {'' if upper is None else upper}) OF ledger TO {source}")
    return numbers


def report(lines, book):
    for line in lines[:40]:
        print("BROKEN", line)
    if len(lines) > 40:
        print(f"BROKEN and {len(lines) - 40} more")
    print(book.totals())


def main():
    parser = argparse.ArgumentParser(prog="tests/integration/ledger", description=__doc__)
    parser.add_argument("--drains", type=int, default=20, help="drains there and back in a row (20)")
    options = parser.parse_args()
    with Scene("ledger") as scene:
        ledger = Ledger(Fleet(scene))
        ledger.start()
        migrations = 0
        for turn in range(options.drains):
            migrations += len(there_and_back(ledger, turn))
            print(f"drain {turn + 1} of {options.drains}: {migrations} migrations done; {ledger.book.totals()}", flush=True)
            assert not ledger.book.violations, ledger.book.violations[:5]
        lines = ledger.finish()
        report(lines, ledger.book)
        print("the ledger holds" if not lines else "THE LEDGER IS BROKEN", f"over {options.drains} drains there and back")
        if lines:
            scene.print_logs()
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
