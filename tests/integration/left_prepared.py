"""Transactions over several shards as sessions of pgrotor prepare and decide them, by connections of the application's own to the shards: so that
they can be left at any point. And what they leave behind, by query."""
import uuid

from cluster import wait_until
from fleet import DATABASE

NUMBER = {"s1": 1, "s2": 2, "s3": 3}  # of the shards of a Fleet
SUM = 300  # of all accounts
ACCOUNTS = "CREATE TABLE account (id int PRIMARY KEY, amount int); INSERT INTO account VALUES (1, 100); GRANT ALL ON account TO PUBLIC;"  # on each shard


class Transfer:
    """Takes from the account of each shard but the last, which gets all of it and decides. `locks`: on these shards it holds an advisory lock and
    has written nothing. `may`: asks first whether pgrotor may finish it, as a session does."""

    def __init__(self, fleet, shards, locks=(), user="app", may=True):
        self.fleet, self.uuid, self.user = fleet, str(uuid.uuid4()), user
        self.branches, self.decider, self.locks = shards[:-1], shards[-1], locks
        self.sessions = {shard: fleet.shards[shard].connect(DATABASE, user=user, password=fleet.app_password) for shard in shards}
        for shard in shards:
            self.run(shard, "BEGIN")
            if may:
                self.run(shard, "SELECT pgrotor.may_be_finished()")
            if shard in locks:
                self.run(shard, "SELECT pg_advisory_xact_lock(7)")
            else:
                amount = len([each for each in self.branches if each not in locks]) if shard == self.decider else -1
                self.run(shard, f"UPDATE account SET amount = amount + {amount}")

    def gid(self, shard):
        return f"pgrotor_{self.uuid}_{NUMBER[self.decider]}_{self.branches.index(shard) + 1}{'l' if shard in self.locks else ''}"

    def run(self, shard, sql):
        with self.sessions[shard].cursor() as cursor:
            cursor.execute(sql)

    def prepare(self, *shards):
        for shard in shards or self.branches:
            self.run(shard, f"PREPARE TRANSACTION '{self.gid(shard)}'")
        return self

    def decide(self):
        self.run(self.decider, f"SELECT pgrotor.decide('{self.uuid}')")
        return self

    def commit(self):
        """The commit point."""
        self.decide()
        self.run(self.decider, "COMMIT")
        return self

    def finish(self, *shards):
        for shard in shards:
            self.run(shard, f"COMMIT PREPARED '{self.gid(shard)}'")
        return self

    def gone(self):
        """The process that did it dies."""
        for session in self.sessions.values():
            session.close()
        return self


def prepared(fleet, *shards):
    return [gid for shard in shards or fleet.names for gid, in fleet.query(shard, "SELECT gid FROM pg_prepared_xacts")]


def verdicts(fleet, *shards):
    return [row for shard in shards or fleet.names for row in fleet.query(shard, "SELECT uuid::text, owner::text, verdict FROM pgrotor.decisions")]


def accounts(fleet):
    return {shard: fleet.query(shard, "SELECT amount FROM account")[0][0] for shard in fleet.names}


def amounts(fleet):
    found = accounts(fleet)
    assert sum(found.values()) == SUM, found
    return found


def moved(before, transfer):
    """The amounts after it."""
    taken = [shard for shard in transfer.branches if shard not in transfer.locks]
    return {shard: amount + (len(taken) if shard == transfer.decider else -1 if shard in taken else 0) for shard, amount in before.items()}


def at_rest(fleet, timeout=15):
    wait_until(lambda: not prepared(fleet) and not verdicts(fleet), "nothing to be prepared and no verdict to be left", timeout)


def log_of(pgrotor):
    with open(pgrotor.log, errors="replace") as log:
        return log.read()
