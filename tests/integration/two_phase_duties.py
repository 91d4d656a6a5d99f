"""Who else has to do with transactions over several shards that are in doubt: the console, names that clients give, a pgrotor that loses its term,
a cutover, REMOVE SHARD. A branch's time is a minute here, so that nothing is finished by its age.

    two_phase_duties.py [part ...]     all parts when none is named
"""
import signal
import sys
import time
from contextlib import closing

import psycopg2

from cluster import Scene, wait_until
from fleet import DATABASE, Fleet, Pgrotor
from left_prepared import ACCOUNTS, Transfer, amounts, at_rest, log_of, moved, prepared, verdicts


def error_of(call):
    try:
        call()
    except psycopg2.Error as error:
        return error
    raise AssertionError("no error")


def purses(fleet):
    """{id: amount} on the shards that own them."""
    return {key: amount for shard in fleet.names for key, amount in fleet.query(shard, "SELECT id, amount FROM purse")}


def keys_on(fleet, *shards):
    return [next(key for key in range(1, 1000) if fleet.owner(key) == shard) for shard in shards]


def names_of_clients(fleet):
    """A client neither takes such a name nor ends what has one."""
    branch = Transfer(fleet, ["s1", "s2"]).prepare()
    with closing(fleet.app(autocommit=False)) as client, client.cursor() as cursor:
        for sql in (f"PREPARE TRANSACTION '{branch.gid('s1')}'", f"COMMIT PREPARED '{branch.gid('s1')}'", "ROLLBACK PREPARED 'pgrotor_x'"):
            cursor.execute("SELECT 1 FROM purse WHERE id = 1")
            error = error_of(lambda: cursor.execute(sql))
            assert error.pgcode == "42939" and "SHOW PREPARED" in error.diag.message_hint, error
            client.rollback()
    assert prepared(fleet) == [branch.gid("s1")]
    branch.commit().finish("s1").gone()


def what_the_console_shows(fleet):
    """A branch that pgrotor may not finish: who waits for what, and how many; it goes on as soon as it may."""
    def doubts():
        return next(int(float(line.split()[1])) for line in fleet.pgrotor.http("/metrics").splitlines() if line.startswith("pgrotor_branches_in_doubt "))
    before = amounts(fleet)
    fleet.pgrotor.kill()
    left = Transfer(fleet, ["s1", "s2"], user="alone", may=False).prepare().commit().gone()
    fleet.pgrotor.serve()
    shown = wait_until(lambda: [row for row in fleet.console("SHOW PREPARED") if "superuser" in row["waits_for"]], "the branch to be shown")
    assert [(row["shard"], row["name"], row["owner"], row["decided_by"]) for row in shown] == [("s1", left.gid("s1"), "alone", "s2")], shown
    assert shown[0]["waits_for"].endswith('as a superuser: GRANT "alone" TO "pgrotor";'), shown
    wait_until(lambda: doubts() == 1, "it to be counted")
    fleet.query("s1", 'GRANT "alone" TO "pgrotor"')
    at_rest(fleet)
    assert amounts(fleet) == moved(before, left)
    wait_until(lambda: doubts() == 0 and fleet.console("SHOW PREPARED") == [], "nothing to be shown")


def a_term_that_was_lost(fleet):
    """A second pgrotor that takes over finishes what the first one has left; the first one does nothing when it wakes up."""
    first, before = fleet.pgrotor, amounts(fleet)
    flat = {f"{section}.{key}": value for section, options in first.sections.items() for key, value in options.items()
            if section not in ("listen", "http", "auth", "tools")}
    second = Pgrotor(fleet.scene, "second", flat, first.shards, "s2", {"app": fleet.app_verifier}, first.admin_password)
    first.child.send_signal(signal.SIGSTOP)
    left = Transfer(fleet, ["s1", "s3", "s2"]).prepare().commit().gone()
    second.serve()
    at_rest(fleet, 30)
    later = Transfer(fleet, ["s1", "s2"]).prepare()
    first.child.send_signal(signal.SIGCONT)
    assert first.child.wait(30) == 1, log_of(first)[-2000:]
    assert prepared(fleet) == [later.gid("s1")], "the first one has finished it, or the second one before its time"
    later.commit().finish("s1").gone()
    assert second.terminate() == 0
    first.serve()
    assert amounts(fleet) == moved(moved(before, left), later)


def a_cutover(fleet):
    """A branch in doubt holds the guard's lock on the source: named while it must be waited for, and finished long before its time when it can be."""
    fleet.console("DRAIN SHARD s1 TO s3 WITH (auto_cutover = off)")
    fleet.wait_state(1, "READY")
    one, other = keys_on(fleet, "s1", "s3")
    before = purses(fleet)
    sessions = {shard: fleet.shards[shard].connect(DATABASE, user="app", password=fleet.app_password, autocommit=False) for shard in ("s1", "s3")}
    gid = "pgrotor_00000000-0000-4000-8000-000000000001_3_1"
    for shard, key, amount in (("s1", one, -7), ("s3", other, 7)):
        with sessions[shard].cursor() as cursor:
            cursor.execute("UPDATE purse SET amount = amount + %s WHERE id = %s", (amount, key))
    with sessions["s1"].cursor() as cursor, sessions["s3"].cursor() as decider:
        decider.execute("SELECT pg_current_xact_id()")
        cursor.execute(f"PREPARE TRANSACTION '{gid}'")
        fleet.console("CUTOVER MIGRATION 1")
        fleet.wait_state(1, "CLEANING", timeout=40)  # where it waits for the table, which the decider has touched
        assert f"prepared transaction '{gid}' of app" in log_of(fleet.pgrotor)
        error = error_of(lambda: decider.execute("SELECT pgrotor.decide('00000000-0000-4000-8000-000000000001')"))
        assert error.pgcode == "23505", error
    for session in sessions.values():
        session.close()
    fleet.wait_state(1, "DONE", timeout=40)
    at_rest(fleet)
    assert purses(fleet) == before


def a_shard_that_is_removed(fleet):
    """Not while it decides what is prepared elsewhere, has a branch or a verdict, or another shard cannot tell."""
    def refusal():
        error = error_of(lambda: fleet.console("REMOVE SHARD s1"))
        assert error.pgcode == "55000", error
        return f"{error.diag.message_primary} {error.diag.message_detail}"
    decided = Transfer(fleet, ["s2", "s1"]).prepare()
    assert refusal() == f'shard "s1" decides transactions over several shards that are not finished Prepared is {decided.gid("s2")} on shard s2.', refusal()
    assert "decides transactions" in str(error_of(lambda: fleet.console("EXPLAIN REMOVE SHARD s1")))
    old = fleet.shards["s1"].connect(DATABASE, autocommit=False)
    old.cursor().execute("SELECT pg_current_xact_id()")  # keeps the verdict
    decided.commit().finish("s2").gone()
    assert refusal().startswith('shard "s1" has 1 verdicts on transactions over several shards'), refusal()
    old.close()
    at_rest(fleet)
    branch = Transfer(fleet, ["s1", "s2"]).prepare()
    assert refusal() == f'shard "s1" has branches of transactions over several shards that are not finished Prepared is {branch.gid("s1")} on shard s1.', refusal()
    branch.commit().finish("s1").gone()
    at_rest(fleet)
    fleet.shards["s3"].stop("immediate")
    assert refusal() == 'cannot tell whether shard "s1" decides transactions over several shards Shard s3 does not answer.', refusal()
    fleet.shards["s3"].start()
    wait_until(lambda: "prepared transactions of shard s3 are looked at again" in log_of(fleet.pgrotor), "s3 to be looked at again", 20)
    fleet.console("REMOVE SHARD s1")


PARTS = [names_of_clients, what_the_console_shows, a_term_that_was_lost, a_cutover, a_shard_that_is_removed]


def main():
    wanted = sys.argv[1:]
    with Scene("two_phase_duties") as scene:
        fleet = Fleet(scene, settings={"two_phase.recover_after_ms": 60_000, "catalog.lease_ms": 2000}, cluster_settings={"max_prepared_transactions": 20})
        for shard in fleet.shards.values():
            shard.psql(f"GRANT app TO pgrotor; CREATE ROLE alone LOGIN PASSWORD '{fleet.app_verifier}';" + ACCOUNTS, DATABASE)
            shard.psql("SET ROLE shop_owner; CREATE TABLE purse (id bigint PRIMARY KEY, amount bigint); GRANT ALL ON purse TO app;", DATABASE)
        fleet.console("DISTRIBUTE TABLE purse BY id IN DISTRIBUTION shop")
        with closing(fleet.app()) as client, client.cursor() as cursor:
            for key in range(1, 100):
                cursor.execute("INSERT INTO purse VALUES (%s, 1000)", (key,))
        for part in PARTS:
            if not wanted or part.__name__ in wanted:
                began = time.monotonic()
                part(fleet)
                print(f"{part.__name__}: {time.monotonic() - began:.1f} s", flush=True)
        assert fleet.pgrotor.terminate() == 0
    print("ok")


main()
