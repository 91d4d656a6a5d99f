#!/usr/bin/env -S /usr/bin/python3 -B
"""Compares pgrotor with PostgreSQL message by message: plays every row of cases_*.py against a server directly and against pgrotor in front
of one alike (transaction pooling, eight server connections, noise.py in between), and prints what differs.

    transparency.py                     all rows, then a sample of them with the stream cut into single bytes
    transparency.py --split             all rows with the stream cut, between client and pgrotor and between pgrotor and the shard
    transparency.py --only 'copy: '     the rows whose name matches

A row in the file known_differences ("name | reason") must differ; one that has become equal is an error like any other difference, so
that the list can only shrink. "~ name | reason" may do either: it depends on which server connection the row happens to get. Deliberate differences are in the table of proxy/README.md and have rows here only where they are equal.
"""
import argparse
import collections
import importlib
import random
import re
import sys

from noise import Noise
from player import Player, difference
from shim import Shim
from twins import PASSWORD, Scene, Twins, script

SECTIONS = ("simple", "extended", "transactions", "twophase", "copy", "messages", "session", "types", "sharded", "large")


def all_rows():
    rows = [row for section in SECTIONS for row in importlib.import_module(f"cases_{section}").ROWS]
    doubled = [name for name, count in collections.Counter(name for name, _ in rows).items() if count > 1]
    assert not doubled, f"names used twice: {doubled}"
    return rows


def known_differences():
    known = {}
    for line in script("known_differences").splitlines():
        if line and not line.startswith("#"):
            name, _, reason = line.rpartition(" | ")
            known[name.removeprefix("~ ")] = reason, name.startswith("~ ")
    return known


class Runner:
    def __init__(self, twins, port, shard_noise, cut=False):
        self.known, self.failures = known_differences(), []
        self.direct = Player(twins.direct.port, twins.direct, PASSWORD)
        self.proxied = Player(port, twins.shard, PASSWORD, shard_noise)
        self.reset_script, self.cut = script("reset.sql"), cut
        self.equal, self.differ = 0, collections.Counter()

    def row(self, name, steps):
        for player in (self.direct, self.proxied):
            player.reset(self.reset_script)
        direct, proxied = self.direct.play(steps), self.proxied.play(steps)
        found = difference(direct, proxied)
        reason, by_chance = self.known.get(name, (None, False))
        if found is None and (reason is None or by_chance):
            self.equal += 1
        elif found is None:
            self.fail(f"{name}: is equal now; take it out of known_differences ({reason})")
        elif reason:
            self.differ[reason] += 1
        else:
            self.fail(f"{name}: {found}")
        assert not (proxied and proxied[-1][1].startswith("no login")), f"pgrotor takes no clients any more since {name}"

    def fail(self, why):
        self.failures.append(why)
        print("DIFFERS " + why, flush=True)

    def report(self, rows, title):
        print(f"{title}: {len(rows)} cases, {self.equal} equal, {sum(self.differ.values())} known to differ, {len(self.failures)} unexpected")
        for reason, count in sorted(self.differ.items()):
            print(f"    {count:3d} {reason}")
        return not self.failures


def check_known(rows):
    unknown = set(known_differences()) - {name for name, _ in rows}
    assert not unknown, f"known_differences names rows that are not there: {sorted(unknown)}"


def compare(twins, port, rows, seed, title, cut=False):
    noise = Noise(port, PASSWORD, seed)
    runner = Runner(twins, port, noise, cut)
    for name, steps in rows:
        runner.row(name, steps)
    noise.close()
    return runner.report(rows, f"{title} (seed {seed}, {noise.statements} statements of noise)")


def compare_cut(twins, rows, seed):
    """The same behind two relays that hand on single bytes: client to pgrotor, and pgrotor to the shard."""
    inner = Shim(twins.shard.port, seed)
    outer = Shim(twins.pgrotor("cut", inner.port).port, seed)
    fine = compare(twins, outer.port, [row for row in rows if not row[0].startswith("large: ")], seed, "cut into single bytes", cut=True)
    print(f"    {outer.bytes} bytes handed on to and from clients, {inner.bytes} to and from the shard")
    return fine


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--split", action="store_true", help="every row, cut; nothing else")
    arguments.add_argument("--sample", type=int, default=40, help="how many rows are also played cut")
    arguments.add_argument("--seed", type=int, default=0, help="0: a new one")
    arguments.add_argument("--only", default="", help="a regular expression for names")
    given = arguments.parse_args()
    seed = given.seed or random.SystemRandom().randrange(1, 1 << 30)
    rows = all_rows()
    check_known(rows)
    rows = [row for row in rows if re.search(given.only, row[0])]
    with Scene("transparency") as scene:
        twins = Twins(scene)
        if given.split:
            fine = compare_cut(twins, rows, seed)
        else:
            fine = compare(twins, twins.pgrotor("plain").port, rows, seed, "transparency")
            some = random.Random(seed).sample(rows, min(given.sample, len(rows)))
            fine = compare_cut(twins, some, seed) and fine
        if not fine:
            sys.exit(f"not equal; again with --seed {seed}")


if __name__ == "__main__":
    main()
