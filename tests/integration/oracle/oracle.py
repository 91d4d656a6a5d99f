"""The differential oracle: random SELECTs in one PostgreSQL and behind pgrotor on three shards, and every difference between the answers.

    tests/oracle --statements 10000 --seed 7      the hand-written ones, then so many of that seed; prints what was equal, refused and WRONG
    tests/oracle --only 4711 --seed 7             one of them, with both answers; F12 is the twelfth hand-written one
    tests/oracle --moving                         while ranges move from shard to shard
    tests/oracle --unequal                        types of the schema have other oids on each shard
    tests/oracle --twin                           beside a second PostgreSQL with other plans instead of pgrotor: what differs there is not said well

An answer is the columns with their types, typmods and names, rows, their order as far as the statement says it, command tags and SQLSTATEs. A refusal is told
apart and wrong is what pgrotor answers otherwise than PostgreSQL: the exit code is then 1. Rows with floats that differ in their last digits count as alike; open is
what PostgreSQL answers otherwise, too, where it plans otherwise: a statement that should not have been made.
"""
import argparse
import contextlib
import io
import os
import sys
import time
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "proxy"), os.path.join(HERE, "..", "transparency")]
from cluster import Scene  # noqa: E402

from compare import compare, shown  # noqa: E402
from fixed import FIXED  # noqa: E402
from sides import Mover, Sides, Twins  # noqa: E402
from statements import Statement, generated  # noqa: E402


class Run:
    def __init__(self, sides, seed, moving):
        self.sides, self.seed, self.moving = sides, seed, moving
        self.direct, self.proxied = sides.direct(), sides.proxied()
        self.twin = None if isinstance(sides, Twins) else sides.twin()
        self.types = self.direct.types, self.proxied.types
        self.verdicts, self.refusals, self.examples, self.failing = Counter(), Counter(), {}, Counter()

    def answers(self, statement):
        """Of both sides; None instead of an answer of pgrotor's that never came."""
        self.direct.begin(statement)
        try:
            self.proxied.begin(statement)
            proxied = self.proxied.finish(statement)
        except (OSError, EOFError) as failure:
            self.proxied = self.sides.proxied()
            proxied = failure
        return self.direct.finish(statement), proxied

    def check(self, statement):
        direct, proxied = self.answers(statement)
        verdict = ("WRONG", f"no answer: {proxied!r}") if isinstance(proxied, Exception) else compare(statement, direct, proxied, self.types, self.moving)
        if verdict[0] == "WRONG" and self.twin and self.left_open(statement, direct):
            verdict = "open", verdict[1]
        self.verdicts[verdict[0]] += 1
        if direct.error and not statement.fails:
            self.failing[direct.error["C"]] += 1
        if verdict[0] == "refused":
            self.refusals[verdict[1]] += 1
            self.examples.setdefault(verdict[1], statement)
        if verdict[0] in ("WRONG", "open"):
            print(f"{verdict[0]} {statement.number}: {verdict[1]}\n{statement.told()}\n    tests/oracle --seed {self.seed} --only {statement.number}\n", flush=True)
        return verdict, direct, proxied

    def left_open(self, statement, direct):
        """Whether PostgreSQL itself answers otherwise where it plans otherwise."""
        self.twin.begin(statement)
        return compare(statement, direct, self.twin.finish(statement), (self.types[0], self.twin.types))[0] == "WRONG"

    def summary(self, asked, seconds):
        count = sum(self.verdicts.values())
        answered = count - self.verdicts["slow"] - self.verdicts["refused"]
        told = ", ".join(f"{word} {self.verdicts[word]}" for word in ("equal", "alike", "refused", "slow", "open", "WRONG"))
        print(f"seed {asked.seed}: {count} statements in {seconds:.0f} s: {told}")
        print(f"PostgreSQL's own errors, of statements that were not to fail: {dict(self.failing.most_common())}")
        print(f"answered: {100 * answered / max(1, count - self.verdicts['slow']):.1f} %")
        for why, times in self.refusals.most_common(asked.reasons):
            print(f"  {times:6} {why}\n         {self.examples[why].number}: {self.examples[why].text[:160]}")


def print_answer(side, answer):
    print(f"--- {side}")
    if isinstance(answer, Exception):
        return print(repr(answer))
    if answer.parameters is not None:
        print(f"parameters {answer.parameters}")
    for result in answer.results:
        print(f"{result.tag} {result.columns}")
        print("".join(f"    {shown(body)}\n" for body in result.rows[:50]), end="")
    if answer.error:
        print(f"error {answer.error}")


def only(run, asked):
    statement = FIXED[int(asked.only[1:]) - 1] if asked.only.startswith("F") else generated(asked.seed, int(asked.only))
    print(statement.told())
    verdict, direct, proxied = run.check(statement)
    print_answer("PostgreSQL", direct)
    print_answer("pgrotor", proxied)
    print(*verdict)


def everything(run, asked):
    began = time.monotonic()
    for statement in FIXED:
        run.check(statement)
    for number in range(1, asked.statements + 1):
        run.check(generated(asked.seed, number))
        if asked.seconds and time.monotonic() - began > asked.seconds:
            break
    run.summary(asked, time.monotonic() - began)


def sees_damage(sides):
    """One value of another kind in PostgreSQL has to be seen as a difference."""
    sides.damage()
    with contextlib.redirect_stdout(io.StringIO()):
        verdict = Run(sides, "", False).check(Statement("damaged", "SELECT * FROM customers WHERE customer_id = 7"))[0][0]
    assert verdict == "WRONG", f"a damaged row is {verdict}"


def options():
    parser = argparse.ArgumentParser(prog="tests/oracle", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--statements", type=int, default=10000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", help="the number of one statement")
    parser.add_argument("--moving", action="store_true")
    parser.add_argument("--unequal", action="store_true")
    parser.add_argument("--twin", action="store_true")
    parser.add_argument("--scale", type=int, default=1, help="so many times the rows")
    parser.add_argument("--seconds", type=float, help="stop after these")
    parser.add_argument("--reasons", type=int, default=20, help="how many reasons of refusals are printed")
    return parser.parse_args()


def main():
    asked = options()
    with Scene("oracle") as scene:
        sides = Twins(scene, asked.scale) if asked.twin else Sides(scene, asked.scale, asked.unequal)
        print(f"rows on each shard: {sides.spread_counts()}", flush=True)
        mover = Mover(sides.fleet) if asked.moving else None
        if mover:
            mover.start()
        run = Run(sides, asked.seed, asked.moving)
        (only if asked.only else everything)(run, asked)
        if not asked.twin:
            sees_damage(sides)
        if mover:
            print(f"ranges moved meanwhile: {mover.stop()}")
    return run.verdicts["WRONG"] > 0


if __name__ == "__main__":
    sys.exit(main())
