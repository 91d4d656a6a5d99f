"""Transfers between shards, each in one transaction, while the client, pgrotor or a shard is killed at each step of the commit in
turn, and at random under load; then moves of ranges under the same load. After each: the sum is kept, what was acknowledged is there
whole, what was refused is not, what is unknown is there whole or not at all, nothing stays prepared, no verdict is left, no session is
idle in a transaction.

    transfers.py --sample 10 --storm 5 --moves 1          a few of them, picked by --seed (ctest)
    transfers.py --kills 200 --storm 40 --moves 10        every step and victim in turn until that many
"""
import argparse
import collections
import contextlib
import itertools
import os
import random
import socket
import sys
import threading
import time
from contextlib import closing

import psycopg

from cluster import Scene, TimedOut, wait_until
from fleet import DATABASE, Fleet

SHARDS = ("s1", "s2", "s3")
ACCOUNTS, AMOUNT = 4, 1000  # a shard; of each at first
VICTIMS = ("client", "pgrotor", *SHARDS)
# A transfer that comes by the step: shards that it writes to in this order, and what else it does.
SHAPES = {"ask": ("s1 s2", ""), "fix_xid": ("s1 s3", "notify"), "prepare": ("s1 s2 s3", ""), "decide": ("s2 s3", "lock"),
          "doubt": ("s1 s3 s2", "doubt"), "undo": ("s1 s2 s3", "fails"), "finish": ("s3 s1 s2", ""), "finish_locks": ("s1 s3", "lock"),
          "readers": ("s1", "reads"), "last": ("s3", "reads")}


class Outcome:
    """What a client was told about one transfer."""

    def __init__(self, number, keys):
        self.number, self.keys, self.said, self.error = number, keys, "refused", None

    def lost(self, error, committing):
        self.error = error
        unknown = committing and error.sqlstate in (None, "08007")
        self.said = "unknown" if unknown else "refused"

    def __str__(self):
        return f"transfer {self.number} of {self.keys}: {self.said} {self.reason()}".strip()

    def reason(self):
        return f"{self.error.sqlstate} {str(self.error).splitlines()[0]}" if self.error else ""


class Bank:
    def __init__(self, scene, seed):
        self.fleet = Fleet(scene, settings={"two_phase.recover_after_ms": 1500}, cluster_settings={"max_prepared_transactions": 50})
        self.fleet.everywhere("CREATE TABLE account (id bigint PRIMARY KEY, amount bigint NOT NULL);"
                              "CREATE TABLE entry (id bigint REFERENCES account DEFERRABLE INITIALLY DEFERRED, transfer bigint, amount bigint NOT NULL,"
                              " twin bigint REFERENCES account DEFERRABLE INITIALLY DEFERRED, PRIMARY KEY (id, transfer));"
                              "GRANT ALL ON account, entry TO app")
        for shard in self.fleet.shards.values():
            shard.psql("GRANT app TO pgrotor", DATABASE)
        for table in ("account", "entry"):
            self.fleet.console(f"DISTRIBUTE TABLE {table} BY id IN DISTRIBUTION shop")
        self.random, self.numbers, self.book, self.lock = random.Random(seed), itertools.count(1), [], threading.Lock()
        self.at = {shard: [] for shard in SHARDS}
        for key in itertools.count(1):
            owner = self.fleet.owner(key)
            if len(self.at[owner]) < ACCOUNTS:
                self.at[owner].append(key)
            if all(len(keys) == ACCOUNTS for keys in self.at.values()):
                break
        with closing(self.client(autocommit=True)) as client:
            for key in itertools.chain(*self.at.values()):
                client.execute("INSERT INTO account VALUES (%s, %s)", (key, AMOUNT))

    def client(self, **options):
        return psycopg.connect(host="127.0.0.1", port=self.fleet.pgrotor.port, user="app", password=self.fleet.app_password, dbname=DATABASE,
                               connect_timeout=10, **options)

    def transfer(self, client, keys, also=""):
        """Takes 1 from each account but the last, which gets it. Keys are in one order for all, for nobody finds deadlocks between shards."""
        outcome = Outcome(next(self.numbers), sorted(keys))
        with self.lock:
            self.book.append(outcome)
        committing = False
        try:
            with client.cursor() as cursor:
                if also == "lock":
                    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (outcome.number,))
                if also == "notify":
                    cursor.execute("NOTIFY news")
                if also == "reads":
                    cursor.execute("SELECT amount FROM account WHERE id = %s", (self.at["s2"][0],))
                for key in sorted(keys):
                    amount = len(keys) - 1 if key == keys[-1] else -1
                    cursor.execute("UPDATE account SET amount = amount + %s WHERE id = %s", (amount, key))
                    assert cursor.rowcount == 1, (key, cursor.rowcount)
                    twin = -1 if also == "fails" and key == keys[-1] else None
                    cursor.execute("INSERT INTO entry VALUES (%s, %s, %s, %s)", (key, outcome.number, amount, twin))
                committing = True
                client.commit()
                outcome.said = "done"
        except psycopg.Error as error:
            outcome.lost(error, committing)
        return outcome

    def nothing_prepared(self):
        def left():
            return [row for shard in SHARDS for row in self.fleet.query(shard, "SELECT %s, gid FROM pg_prepared_xacts", (shard,))]
        wait_until(lambda: not left(), "nothing to be prepared", 30)

    def nobody_idle(self):
        def idle():
            sql = "SELECT %s, pid, query FROM pg_stat_activity WHERE usename = 'app' AND state LIKE 'idle in trans%%'"
            return [row for shard in SHARDS for row in self.fleet.query(shard, sql, (shard,))]
        try:
            wait_until(lambda: not idle(), "nobody to be idle in a transaction", 15)
        except TimedOut:
            raise AssertionError(f"idle in a transaction: {idle()}") from None

    def no_verdicts(self):
        def left():
            return [shard for shard in SHARDS if self.fleet.query(shard, "SELECT uuid FROM pgrotor.decisions")]
        wait_until(lambda: not left(), "verdicts to be removed", 30)

    def check(self):
        """The book against the shards."""
        self.nothing_prepared()
        self.nobody_idle()
        accounts, entries = {}, collections.defaultdict(dict)
        for shard in SHARDS:
            accounts.update(self.fleet.query(shard, "SELECT id, amount FROM account"))
            for key, number, amount in self.fleet.query(shard, "SELECT id, transfer, amount FROM entry"):
                assert key not in entries[number], f"two entries of transfer {number} for {key}"
                entries[number][key] = amount
        assert sum(accounts.values()) == len(SHARDS) * ACCOUNTS * AMOUNT, f"the sum is {sum(accounts.values())}: {accounts}"
        for key, amount in accounts.items():
            entered = sum(entry.get(key, 0) for entry in entries.values())
            assert amount == AMOUNT + entered, f"account {key} has {amount}, its entries say {AMOUNT + entered}"
        for outcome in self.book:
            found = sorted(entries[outcome.number])
            whole = {"done": [outcome.keys], "refused": [[]], "unknown": [outcome.keys, []]}[outcome.said]
            assert found in whole, f"{outcome}: entries are there for {found}"


class Kill:
    """One transfer that stands at a step of its commit while somebody is killed."""

    def __init__(self, bank, step, victim):
        self.bank, self.step, self.victim, self.point = bank, step, victim, f"two_phase.{step}"
        self.fleet, self.pgrotor = bank.fleet, bank.fleet.pgrotor

    def run(self):
        shards, also = SHAPES[self.step]
        keys = [self.bank.random.choice(self.bank.at[shard]) for shard in shards.split()]
        if also == "reads":
            keys = self.bank.random.sample(self.bank.at[shards], 2)
        client, result = self.bank.client(), []
        before = "two_phase.decide" if also == "doubt" else self.point
        for point in {before, self.point}:
            self.pgrotor.console(f"TEST STOP '{point}'")
        thread = threading.Thread(target=lambda: result.append(self.bank.transfer(client, keys, also)), daemon=True)
        thread.start()
        self.pgrotor.console(f"TEST WAIT '{before}'")
        if also == "doubt":
            self.lose_decider(before)
        back = self.kill(client)
        if self.victim != "pgrotor":
            self.pgrotor.console(f"TEST RELEASE '{self.point}'")
        thread.join(40)
        assert not thread.is_alive(), "the client still waits"
        back()
        client.close()
        self.judge(result[0])
        return result[0]

    def judge(self, outcome):
        """Where nobody was told, the step says it: a client that is gone has its commit carried out, pgrotor decides in front of `finish`. A
        shard that is gone is not asked to decide; only whether it has decided may be unknown."""
        decided = self.step in ("finish", "finish_locks")
        if self.victim == "client":
            outcome.said = "refused" if self.step in ("undo", "doubt") else "done"
        elif self.victim == "pgrotor":
            outcome.said = "done" if decided else "refused"
        else:
            assert outcome.said == "done" or (not decided and outcome.said == "refused") or self.step == "doubt", outcome

    def lose_decider(self, before):
        """The connection to the shard that decides breaks in the middle of the decision: it is asked for, and stands there."""
        deciding = "SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND query LIKE '%%pgrotor.decide%%' AND wait_event_type = 'Lock'"
        with contextlib.ExitStack() as open_ones:
            for shard in SHARDS:
                lock = open_ones.enter_context(closing(self.fleet.shards[shard].connect(DATABASE, autocommit=False)))
                lock.cursor().execute("LOCK pgrotor.decisions IN EXCLUSIVE MODE")
            self.pgrotor.console(f"TEST RELEASE '{before}'")
            shard, pid = wait_until(lambda: next(((shard, pid) for shard in SHARDS for pid, in self.fleet.query(shard, deciding)), None), "it to decide")
            self.fleet.query(shard, "SELECT pg_terminate_backend(%s)", (pid,))
            self.pgrotor.console(f"TEST WAIT '{self.point}'")

    def kill(self, client):
        """Returns what brings the victim back, behind the client's answer."""
        if self.victim == "client":
            client.pgconn.finish()
        elif self.victim == "pgrotor":
            self.pgrotor.kill()
            return self.pgrotor.serve
        else:
            self.fleet.shards[self.victim].stop("immediate")
            if self.bank.random.random() < 0.5:
                return self.fleet.shards[self.victim].start
            self.fleet.shards[self.victim].start()
        return lambda: None


class Load:
    """Clients that transfer without a pause, and connect again where they must."""

    def __init__(self, bank, clients=6):
        self.bank, self.stopping, self.problems, self.clients = bank, False, [], set()
        self.errors, self.done = collections.Counter(), 0
        # Of a test that is stopped or fails they would go on connecting to what is not there any more, and keep it from its end.
        self.threads = [threading.Thread(target=self.work, args=(bank.random.randrange(1 << 30),), daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def work(self, seed):
        choose = random.Random(seed)
        try:
            while not self.stopping:
                try:
                    client = self.bank.client()
                except psycopg.Error as error:
                    self.errors[f"connecting: {error.sqlstate}"] += 1
                    time.sleep(0.05)
                    continue
                self.clients.add(client)
                with closing(client):
                    self.work_with(client, choose)
                self.clients.discard(client)
        except Exception as problem:  # pylint: disable=broad-except
            self.problems.append(problem)

    def work_with(self, client, choose):
        everything = list(itertools.chain(*self.bank.at.values()))
        while not self.stopping:
            keys = choose.sample(everything, choose.choice((2, 2, 2, 3)))
            outcome = self.bank.transfer(client, keys, choose.choice(("", "", "", "lock", "fails")))
            if outcome.said == "done":
                self.done += 1
            elif not (outcome.error.sqlstate == "23503" and outcome.said == "refused"):  # what was meant to fail
                self.errors[f"{outcome.said}: {outcome.reason()}"] += 1
            try:
                client.rollback()
            except psycopg.Error as error:  # its shard breaks just now
                self.errors[f"rolling back: {error.sqlstate}"] += 1
                return

    def cut(self, which):
        """One client's connection."""
        client = which.choice(sorted(self.clients, key=id))
        with contextlib.suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(client.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a client still waits"
        if self.problems:
            raise self.problems[0]


def kills(bank, how_many, sample):
    cases = list(itertools.product(SHAPES, VICTIMS))
    if sample:
        cases = bank.random.sample(cases, sample)
    told = collections.Counter()
    for number, (step, victim) in zip(range(sample or how_many), itertools.cycle(cases)):
        began = time.monotonic()
        outcome = Kill(bank, step, victim).run()
        bank.check()
        told[outcome.said] += 1
        print(f"{number + 1}. {victim} killed at {step}: {outcome}, {time.monotonic() - began:.1f} s", flush=True)
    bank.no_verdicts()
    print(f"kills: {dict(told)}", flush=True)


def storm(bank, events):
    load = Load(bank)
    for number in range(events):
        victim = bank.random.choice(VICTIMS)
        wait = bank.random.random() * 1.5
        time.sleep(wait)  # the load itself, not a wait for something
        if victim == "client":
            load.cut(bank.random)
        elif victim == "pgrotor":
            bank.fleet.pgrotor.kill()
            bank.fleet.pgrotor.serve()
        else:
            bank.fleet.shards[victim].stop("immediate")
            bank.fleet.shards[victim].start()
        print(f"storm {number + 1}: {victim} after {wait:.1f} s, {load.done} transfers so far", flush=True)
    time.sleep(1)
    load.stop()
    bank.check()
    bank.no_verdicts()
    print(f"storm: {load.done} transfers, {dict(load.errors)}", flush=True)


def moves(bank, how_many):
    load = Load(bank)
    for number in range(how_many):
        ranges = [each for each in bank.fleet.ranges() if each[0] == "shop"]
        _, lower, upper, source = bank.random.choice(ranges)
        target = bank.random.choice([shard for shard in SHARDS if shard != source])
        migration = bank.fleet.console(f"MOVE RANGE [{lower}, {'' if upper is None else upper}) OF shop TO {target}")[0]["migration"]
        bank.fleet.wait_done(migration)
        print(f"move {number + 1}: {source} to {target}, {load.done} transfers so far, {dict(load.errors)}", flush=True)
    load.stop()
    bank.check()
    bank.no_verdicts()
    print(f"moves: {load.done} transfers, {dict(load.errors)}", flush=True)
    assert not load.errors, load.errors


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--storm", type=int, default=0)
    parser.add_argument("--moves", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with Scene("transfers") as scene:
        bank = Bank(scene, options.seed)
        if options.kills or options.sample:
            kills(bank, options.kills, options.sample)
        if options.storm:
            storm(bank, options.storm)
        if options.moves:
            moves(bank, options.moves)
        assert bank.fleet.pgrotor.terminate() == 0
    print("ok")


if __name__ == "__main__":
    sys.exit(main())
