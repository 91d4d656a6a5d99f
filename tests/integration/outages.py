"""Each part in turn restarted, stopped (SIGSTOP) and killed under the ledger's load, with and without a move: the catalog's server, each
shard, pgrotor. Everything comes back by itself, the move ends, and the ledger holds.

    tests/integration/outages.py --rounds 1                 all of it, some ten minutes
    tests/integration/outages.py --sample 4 --stop 3        a few of them, picked by --seed (ctest)
"""
import argparse
import itertools
import os
import random
import secrets
import signal
import sys
import time

import libpq
from cluster import Scene, wait_until
from fleet import Fleet
from ledger import Ledger, report
from term import catalog_database

SHARDS = ("s1", "s2", "s3")
PARTS, HOWS, MOVES = ("catalog", *SHARDS, "pgrotor"), ("restart", "stop", "kill"), (False, True)


def family(pid):
    """A process and all that descend from it."""
    found, parents = [pid], {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                parents[int(name)] = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def stop_for(pid, seconds):
    stopped = family(pid)
    for one in stopped:
        os.kill(one, signal.SIGSTOP)
    time.sleep(seconds)  # the outage itself, not a wait for something
    for one in reversed(stopped):
        os.kill(one, signal.SIGCONT)


def hurt_cluster(cluster, how, seconds):
    if how == "restart":
        cluster.restart()
    elif how == "stop":
        stop_for(cluster.postmaster(), seconds)
    else:
        children = family(cluster.postmaster())
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children), "the cluster's processes to be gone")
        cluster.start()


def hurt_pgrotor(pgrotor, how, seconds):
    if how == "restart":
        pgrotor.restart()
    elif how == "stop":
        stop_for(pgrotor.child.pid, seconds)
    else:
        pgrotor.kill()
        pgrotor.serve()


class Outages:
    def __init__(self, scene, seconds):
        self.seconds, self.scene = seconds, scene
        self.catalog = scene.cluster("catalog")
        dsn = catalog_database(self.catalog, "book", secrets.token_hex(12))
        self.fleet = Fleet(scene, names=SHARDS, settings={"catalog.dsn": dsn})
        self.ledger = Ledger(self.fleet, accounts=300, writers=4, readers=2, bypass=False, padding=2000)
        self.ledger.start()
        self.at, self.longest = "s1", {}

    def account_on(self, shard):
        return next(account for account, owner in self.ledger.owners().items() if owner == shard)

    def answers(self, account):
        """A client of its own gets at the row and may change it."""
        try:
            session = self.ledger._session("simple")
        except libpq.Lost:
            return False
        try:
            return session.run("UPDATE accounts SET touched = touched + 1 WHERE account_id = $1", account) == 1
        except (libpq.Lost, libpq.Refused):
            return False
        finally:
            session.close()

    def term_held(self):
        status = {row["name"]: row["value"] for row in self.fleet.console("SHOW CATALOG")}
        return status["term"] == "held" and status["connection"] == "up"

    def case(self, part, how, move):
        accounts = [self.account_on(shard) for shard in sorted({shard for name, _, _, shard in self.fleet.ranges() if name == "ledger"})]
        numbers = []
        if move:
            source, self.at = self.at, "s3" if self.at == "s1" else "s1"
            numbers, _ = self.ledger.begin(f"DRAIN SHARD {source} TO {self.at} WITH (max_rate = '400kB')")
            self.fleet.wait_state(numbers[0], "COPYING", "CATCHING_UP", "VERIFYING", "READY", "CUTTING_OVER", "SWITCHED", "CLEANING", "DONE")
        (hurt_pgrotor if part == "pgrotor" else hurt_cluster)(
            self.fleet.pgrotor if part == "pgrotor" else self.catalog if part == "catalog" else self.fleet.shards[part], how, self.seconds)
        ended = time.monotonic()
        for account in accounts:
            wait_until(lambda: self.answers(account), f"account {account} to be writable again", timeout=60)
        back = time.monotonic() - ended
        wait_until(self.term_held, "the term to be held", timeout=60)
        held = time.monotonic() - ended
        for number in numbers:
            self.fleet.wait_done(number)
        self.ledger.wait_progress(50)
        assert not self.ledger.book.violations, self.ledger.book.violations[:5]
        took = time.monotonic() - ended
        print(f"{part:8} {how:8} {'with a move' if move else '':12} writable after {back:5.2f} s, term held after {held:5.2f} s, all done after {took:5.1f} s",
              flush=True)
        self.longest[how] = max(self.longest.get(how, 0), back, held)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--sample", type=int, default=0, help="so many cases of each round, instead of all")
    parser.add_argument("--stop", type=float, default=20, help="seconds of a SIGSTOP (20)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="for example catalog,stop")
    options = parser.parse_args()
    picker = random.Random(options.seed)
    with Scene("outages") as scene:
        world = Outages(scene, options.stop)
        for _ in range(options.rounds):
            cases = [case for case in itertools.product(PARTS, HOWS, MOVES) if all(word in case for word in filter(None, options.only.split(",")))]
            for case in picker.sample(cases, options.sample) if options.sample else cases:
                world.case(*case)
        lines = world.ledger.finish(allow_client_errors=True)
        report(lines, world.ledger.book)
        print("back after at most: " + ", ".join(f"{how} {seconds:.1f} s" for how, seconds in world.longest.items()))
        assert not lines, f"{len(lines)} broken promises"
    return 0


if __name__ == "__main__":
    sys.exit(main())
