"""What transactions over several shards leave prepared when a process dies in the middle of their commit: branches are prepared and verdicts
written as a session does it, by connections of the application's own to the shards, and pgrotor finishes them.

    two_phase_recoverer.py [part ...]     all parts when none is named
"""
import sys
import time
from contextlib import closing

import psycopg2

from cluster import Scene, wait_until
from fleet import DATABASE, Fleet
from left_prepared import ACCOUNTS, Transfer, accounts, amounts, at_rest, log_of, moved, prepared, verdicts

PATIENCE_MS = 1500  # [two_phase] recover_after_ms


def error_of(call):
    try:
        call()
    except psycopg2.Error as error:
        return error
    raise AssertionError("no error")


def a_process_that_died(fleet):
    """At each point of a commit: the next pgrotor rolls it back, or finishes it, without waiting."""
    points = [("none is prepared", lambda t: t, False),
              ("the first is prepared", lambda t: t.prepare("s1"), False),
              ("all are prepared", lambda t: t.prepare(), False),
              ("the verdict is not committed", lambda t: t.prepare().decide(), False),
              ("the verdict is committed", lambda t: t.prepare().commit(), True),
              ("one is finished", lambda t: t.prepare().commit().finish("s3"), True),
              ("all are finished", lambda t: t.prepare().commit().finish("s1", "s3"), True)]
    for what, reach, committed in points:
        fleet.pgrotor.kill()
        before = amounts(fleet)
        transfer = reach(Transfer(fleet, ["s1", "s3", "s2"])).gone()
        fleet.pgrotor.serve()
        at_rest(fleet)
        assert amounts(fleet) == (moved(before, transfer) if committed else before), what


def a_process_that_lives(fleet):
    """What has been prepared for longer than its time is rolled back; a step 2 that comes late meets the verdict, which stays until then."""
    before = amounts(fleet)
    began = time.monotonic()
    late = Transfer(fleet, ["s1", "s3", "s2"]).prepare()
    wait_until(lambda: not prepared(fleet), "branches without a verdict to be rolled back", 15)
    assert time.monotonic() - began > PATIENCE_MS / 1e3 - 0.5, "rolled back too soon"
    time.sleep(3)  # nothing to wait for: the verdict must not be removed
    assert verdicts(fleet) == [(late.uuid, "app", "abort")]
    error = error_of(late.commit)
    assert error.pgcode == "23505", error
    late.gone()
    at_rest(fleet)
    assert amounts(fleet) == before


def verdicts_of_others(fleet):
    """Who reads a name cannot decide about it, whatever role he takes; nor can he write verdicts by himself."""
    before = amounts(fleet)
    for committed in (True, False):
        victim = Transfer(fleet, ["s1", "s2"]).prepare()
        with closing(fleet.shards["s2"].connect(DATABASE, user="mallory", password=fleet.app_password)) as hostile, hostile.cursor() as cursor:
            for attack, code in [("INSERT INTO pgrotor.decisions (uuid, owner, verdict) VALUES (%s, 'app'::regrole, 'commit')", "42501"),
                                 ("SELECT 1 FROM pgrotor.decisions WHERE uuid = %s", "42501"), ("SET ROLE app; SELECT pgrotor.decide(%s)", "42501"),
                                 ("SET SESSION AUTHORIZATION app; SELECT pgrotor.decide(%s)", "42501")]:
                error = error_of(lambda: cursor.execute(attack, (victim.uuid,)))
                assert error.pgcode == code, (attack, error)
            cursor.execute("SELECT pgrotor.decide(%s)", (victim.uuid,))
            cursor.execute("SET ROLE mallory_too; SELECT pgrotor.decide(%s)", (victim.uuid,))
        assert sorted(verdicts(fleet)) == [(victim.uuid, "mallory", "commit"), (victim.uuid, "mallory_too", "commit")]
        if committed:
            victim.commit()
        victim.gone()
        at_rest(fleet)
        after = moved(before, victim) if committed else before
        assert amounts(fleet) == after
        before = after


def what_public_may_run(fleet):
    """Nothing in the schema runs with its owner's rights for everybody but what is meant to."""
    for shard in fleet.names:
        open_to_all = fleet.query(shard, "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'pgrotor'::regnamespace AND p.prosecdef"
                                         " AND p.prorettype <> 'trigger'::regtype AND has_function_privilege('mallory', p.oid, 'EXECUTE')")
        assert {name for name, in open_to_all} == {"pgrotor.decide(uuid)", "pgrotor.admit(uuid,text,integer,bigint,text)"}, open_to_all
        tables = fleet.query(shard, "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'pgrotor'::regnamespace AND c.relkind = 'r'"
                                    " AND has_table_privilege('mallory', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')")
        assert not tables, tables


def who_may_be_finished(fleet):
    """Refused before anything is prepared: what pgrotor could not finish."""
    error = error_of(lambda: Transfer(fleet, ["s1", "s2"], user="alone"))
    assert error.pgcode == "42501" and "GRANT alone TO pgrotor;" in error.diag.message_hint, error
    assert 'role "pgrotor" may not finish what role "alone" leaves prepared' in str(error), error
    with closing(fleet.shards["s1"].connect(DATABASE, user="mallory", password=fleet.app_password)) as session, session.cursor() as cursor:
        cursor.execute("SELECT pgrotor.may_be_finished()")
        assert cursor.fetchone() == ("mallory",)
        cursor.execute("SET ROLE mallory_too; SELECT pgrotor.may_be_finished()")
        assert cursor.fetchone() == ("mallory_too",)


def a_role_that_took_another_name(fleet):
    """A verdict is found by the number of the role: a name that changes in between would make an abort of it."""
    before = amounts(fleet)
    fleet.pgrotor.kill()
    transfer = Transfer(fleet, ["s1", "s3", "s2"]).prepare().commit().gone()
    for shard in fleet.names:
        fleet.query(shard, "ALTER ROLE app RENAME TO renamed")
    fleet.pgrotor.serve()
    at_rest(fleet)
    for shard in fleet.names:
        fleet.query(shard, "ALTER ROLE renamed RENAME TO app")
    assert amounts(fleet) == moved(before, transfer)


def the_decider_is_down(fleet):
    """Nothing is guessed: both wait, told once, until it can be asked."""
    before = amounts(fleet)
    committed, open_one = Transfer(fleet, ["s1", "s3"]).prepare().commit().gone(), Transfer(fleet, ["s2", "s3"]).prepare()
    fleet.shards["s3"].stop("immediate")
    open_one.gone()
    wait_until(lambda: all(f"{gid} of app waits: shard s3, which decides, does not answer" in log_of(fleet.pgrotor)
                           for gid in (committed.gid("s1"), open_one.gid("s2"))), "the log to say that they wait", 20)
    time.sleep(2 * PATIENCE_MS / 1e3)
    assert sorted(prepared(fleet, "s1", "s2")) == sorted([committed.gid("s1"), open_one.gid("s2")])
    assert log_of(fleet.pgrotor).count(f"{committed.gid('s1')} of app waits: ") == 1
    fleet.shards["s3"].start()
    at_rest(fleet, 30)
    assert amounts(fleet) == moved(before, committed)


def a_publication_of_all_tables(fleet):
    """Deletes are published too: the table of verdicts has what that asks for."""
    for shard in fleet.shards.values():
        shard.psql("CREATE PUBLICATION everything FOR ALL TABLES", DATABASE)
    Transfer(fleet, ["s1", "s2"]).prepare().commit().finish("s1").gone()
    at_rest(fleet)
    for shard in fleet.shards.values():
        shard.psql("DROP PUBLICATION everything", DATABASE)


def a_branch_is_down(fleet):
    """Its verdict stays, the others are finished, and what only holds locks comes last."""
    before = amounts(fleet)
    fleet.pgrotor.kill()
    transfer = Transfer(fleet, ["s1", "s3", "s2"], locks=["s3"]).prepare().commit().gone()
    fleet.shards["s1"].stop("immediate")
    fleet.pgrotor.serve()
    time.sleep(3 * PATIENCE_MS / 1e3)
    assert prepared(fleet, "s2", "s3") == [transfer.gid("s3")], "the lock was let go before the work that it guards was to be seen"
    assert verdicts(fleet, "s2", "s3") == [(transfer.uuid, "app", "commit")]
    fleet.shards["s1"].start()
    at_rest(fleet, 30)
    assert amounts(fleet) == moved(before, transfer)


def repair(fleet):
    """After a rule was broken on purpose."""
    for shard in fleet.names:
        for gid, owner in fleet.query(shard, "SELECT gid, owner FROM pg_prepared_xacts"):
            fleet.query(shard, f"ROLLBACK PREPARED '{gid}'")
        fleet.query(shard, "DELETE FROM pgrotor.decisions; UPDATE account SET amount = 100")


def by_age(fleet):
    """Prepared for long is no verdict."""
    Transfer(fleet, ["s1", "s3", "s2"]).prepare().commit().gone()
    at_rest(fleet)
    return sum(accounts(fleet).values()) != 300


def while_it_may_be_written(fleet):
    """A verdict stays as long as the transaction that it is on may still commit."""
    late = Transfer(fleet, ["s1", "s2"]).prepare()
    wait_until(lambda: not prepared(fleet), "the branch to be rolled back", 15)
    time.sleep(3)  # it may be removed now, or must not be
    try:
        late.commit()
    except psycopg2.errors.UniqueViolation:
        pass
    late.gone()
    return sum(accounts(fleet).values()) != 300


def while_it_is_prepared(fleet):
    """A verdict stays as long as somebody may ask for it; this one asks when pgrotor may finish it."""
    waiting = Transfer(fleet, ["s1", "s2"], user="alone", may=False).prepare().commit().gone()
    wait_until(lambda: any('GRANT "alone" TO "pgrotor";' in row["waits_for"] for row in fleet.console("SHOW PREPARED")), "what helps to be said", 15)
    time.sleep(3)
    fleet.query("s1", "GRANT alone TO pgrotor")
    wait_until(lambda: not prepared(fleet), "the branch to be finished", 15)
    fleet.query("s1", "REVOKE alone FROM pgrotor")
    return accounts(fleet) != moved({name: 100 for name in fleet.names}, waiting)


def locks_at_last(fleet):
    """What only holds locks is let go after all that it may guard; here one of these cannot be finished."""
    transfer = Transfer(fleet, ["s1", "s3", "s2"], locks=["s3"], user="alone", may=False)
    fleet.query("s3", "GRANT alone TO pgrotor")
    transfer.prepare().commit().gone()
    time.sleep(4)
    left = prepared(fleet)
    fleet.query("s1", "GRANT alone TO pgrotor")
    at_rest(fleet)
    for shard in ("s1", "s3"):
        fleet.query(shard, "REVOKE alone FROM pgrotor")
    return left != [transfer.gid("s1"), transfer.gid("s3")]


def broken_rules(fleet):
    """Each rule left out does damage that it prevents when it is in force."""
    for rule, damaged in [("recover_by_age", by_age), ("purge_early", while_it_may_be_written), ("purge_prepared", while_it_is_prepared), ("locks_first", locks_at_last)]:
        for broken in (True, False):
            repair(fleet)
            fleet.pgrotor.kill()
            fleet.pgrotor.serve(f"break:{rule}" if broken else "")
            assert damaged(fleet) == broken, f"{rule}: " + ("broken, and nothing happened" if broken else "in force, and yet")
    at_rest(fleet)


PARTS = [a_process_that_died, a_process_that_lives, verdicts_of_others, what_public_may_run, who_may_be_finished, a_role_that_took_another_name,
         the_decider_is_down, a_publication_of_all_tables, a_branch_is_down, broken_rules]


def main():
    wanted = sys.argv[1:]
    with Scene("two_phase_recoverer") as scene:
        fleet = Fleet(scene, settings={"two_phase.recover_after_ms": PATIENCE_MS})
        for name, shard in fleet.shards.items():
            shard.psql(f"GRANT app TO pgrotor; CREATE ROLE alone LOGIN PASSWORD '{fleet.app_verifier}';"
                       f"CREATE ROLE mallory LOGIN PASSWORD '{fleet.app_verifier}'; CREATE ROLE mallory_too; GRANT mallory_too TO mallory;"
                       "GRANT mallory, mallory_too TO pgrotor;" + ACCOUNTS, DATABASE)
        for part in PARTS:
            if not wanted or part.__name__ in wanted:
                began = time.monotonic()
                part(fleet)
                print(f"{part.__name__}: {time.monotonic() - began:.1f} s", flush=True)
        assert fleet.pgrotor.terminate() == 0
    print("ok")


main()
