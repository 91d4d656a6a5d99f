"""Commands that move rows: what is refused is refused before anything has moved, an error has no effect, rows are never taken from a shard
that does not own them nor deleted without the word of a DBA. One fleet; each part leaves it as it found it."""
import threading
import time
from contextlib import closing

import psycopg2

from cluster import Scene, wait_until
from fleet import DATABASE, Fleet
from leftovers import inventory, leftovers

KEYS = 120


def refused(fleet, command):
    """The error of a console command: SQLSTATE, message, DETAIL and HINT."""
    try:
        fleet.console(command)
    except psycopg2.Error as error:
        parts = (error.pgcode, error.diag.message_primary, error.diag.message_detail, error.diag.message_hint)
        return "\n".join(part for part in parts if part)
    raise AssertionError(f"the console took {command}")


def numbers(fleet):
    return [int(row["migration"]) for row in fleet.console("SHOW MIGRATIONS")]


def moved(fleet, command):
    number = fleet.console(command)[0]["migration"]
    return fleet.wait_state(number, "DONE")


def home(fleet):
    """Everything of s1 back where the first part found it."""
    lower, upper = fleet.home
    if fleet.owner_of_home() != "s1":
        moved(fleet, f"MOVE RANGE [MINVALUE, {upper}) OF shop TO s1")


def journal(row):
    return [value for name, value in row.items() if name.startswith("at ")]


def rows_seen(fleet):
    with closing(fleet.app()) as client, client.cursor() as cursor:
        found = 0
        for tenant in range(KEYS):
            cursor.execute("SELECT note FROM accounts WHERE tenant = %s", (tenant,))
            found += cursor.fetchall() == [("ours",)]
        return found


def started(fleet, command, point):
    fleet.console(f"TEST STOP '{point}'")
    number = fleet.console(command)[0]["migration"]
    fleet.console(f"TEST WAIT '{point}'")
    return number


def retry_after_the_range_went_elsewhere(fleet):
    stray = fleet.query("s1", "SELECT max(tenant) FROM accounts")[0][0]
    number = started(fleet, "DRAIN SHARD s1 TO s3", "state.PREPARING")
    fleet.stray("s3", "accounts", "INSERT INTO accounts VALUES (%s, 'stray')", (stray,))
    fleet.console("TEST RELEASE 'state.PREPARING'")
    row = fleet.wait_state(number, "FAILED")
    error = row["error"]
    assert row["sqlstate"] == "55000" and row["finished"], row
    fleet.query("s3", "DELETE FROM accounts WHERE tenant = %s", (stray,))
    owns, deletes = error.find("shard s1 owns them"), error.find("DELETE FROM")
    assert 0 < owns < deletes, f"told to delete before told who owns the rows: {error}"
    assert error.endswith(f"; then run: RETRY MIGRATION {number};"), error
    moved(fleet, "DRAIN SHARD s1 TO s2")
    said = refused(fleet, f"RETRY MIGRATION {number}")
    assert rows_seen(fleet) == KEYS, "rows vanished"
    assert said.startswith(f'55000\nshard "s1" does not own all of what migration {number} moves\n'), said
    assert refused(fleet, f"EXPLAIN RETRY MIGRATION {number}") == said
    hint = said.splitlines()[-1]
    moved(fleet, hint.removeprefix("Run: "))
    assert rows_seen(fleet) == KEYS
    home(fleet)
    again = fleet.console(f"RETRY MIGRATION {number}")[0]["migration"]  # s1 owns it again, so it may be moved again
    fleet.wait_state(again, "DONE")
    assert rows_seen(fleet) == KEYS


def prepare_and_mover_ask_who_owns(fleet):
    """Rows of the catalog that nothing but a fault could have made: a source that owns none of it, before PREPARING and before the mover."""
    ids = {name: number for number, name in fleet.query("s2", "SELECT id, name FROM pgrotor.shards")}
    made = {}
    assert fleet.pgrotor.terminate() == 0
    for state in ("PREPARING", "COPYING"):
        made[state] = fleet.query("s2", "INSERT INTO pgrotor.migrations (job, kind, distribution, source, target, strategy, transport, max_rate, max_pause_ms,"
                                  " auto_cutover, state, epoch) VALUES (nextval('pgrotor.job_number'), 'move_range', 1, %s, %s, 'cdc', 'direct', 0, 1000,"
                                  " true, %s, 0) RETURNING id", (ids["s3"], ids["s1"], state))[0][0]
        fleet.query("s2", "INSERT INTO pgrotor.migration_ranges VALUES (%s, %s, %s)", (made[state], 0, 1000))
    fleet.pgrotor.serve()
    for state, number in made.items():
        row = fleet.wait_state(number, "FAILED")
        assert 'shard "s3" does not own all of what migration' in row["error"], row["error"]
        assert any(f"{state} -> FAILING" in line for line in journal(row)), journal(row)
    assert rows_seen(fleet) == KEYS


def all_of_a_job_is_checked_first(fleet):
    """Two problems on two targets, one on the source: all three are told, by EXPLAIN and by the command, and nothing is queued."""
    before, ranges = numbers(fleet), fleet.ranges()
    fleet.query("s1", "ALTER TABLE accounts REPLICA IDENTITY NOTHING")
    fleet.query("s2", "ALTER TABLE accounts ADD more int")
    fleet.query("s3", "ALTER TABLE accounts SET UNLOGGED")
    said = refused(fleet, "EXPLAIN DRAIN SHARD s1 TO s2, s3")
    for part in ("REPLICA IDENTITY is NOTHING", "shard s2: table public.accounts is defined differently than on shard s1", "shard s3: table public.accounts is UNLOGGED"):
        assert part in said, f"{part} is not in {said}"
    assert refused(fleet, "DRAIN SHARD s1 TO s2, s3") == said
    assert numbers(fleet) == before
    assert {row["state"] for row in fleet.console("SHOW SHARDS")} == {"active"} and fleet.ranges() == ranges
    fleet.query("s1", "ALTER TABLE accounts REPLICA IDENTITY DEFAULT")
    fleet.query("s2", "ALTER TABLE accounts DROP more")
    fleet.query("s3", "ALTER TABLE accounts SET LOGGED")
    fleet.shards["s3"].stop()
    assert refused(fleet, "DRAIN SHARD s1 TO s3").startswith("08006"), "a shard that cannot be reached"
    assert numbers(fleet) == before, "refused, but queued"
    fleet.shards["s3"].start()
    assert {row["state"] for row in fleet.console("SHOW SHARDS")} == {"active"}


def triggers_that_fire_for_copied_rows(fleet):
    fleet.everywhere("CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note = ''spoiled''; RETURN NEW; END';")
    for shard, kind in (("s3", "ALWAYS"), ("s1", "REPLICA")):
        fleet.everywhere("CREATE TRIGGER spoil BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION spoil();")
        fleet.query(shard, f"ALTER TABLE accounts ENABLE {kind} TRIGGER spoil")
        said = refused(fleet, "EXPLAIN DRAIN SHARD s1 TO s3")
        assert f"table public.accounts: trigger spoil is ENABLE {kind}" in said, said
        assert refused(fleet, "DRAIN SHARD s1 TO s3") == said
        fleet.query(shard, "ALTER TABLE accounts ENABLE TRIGGER spoil")
        assert "ALTER TABLE public.accounts ENABLE TRIGGER spoil;" in said and fleet.console("EXPLAIN DRAIN SHARD s1 TO s3")
        fleet.everywhere("DROP TRIGGER spoil ON accounts;")
    number = started(fleet, "DRAIN SHARD s1 TO s3", "state.PREPARING")
    fleet.query("s3", "CREATE TRIGGER spoil BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION spoil(); ALTER TABLE accounts ENABLE ALWAYS TRIGGER spoil")
    fleet.console("TEST RELEASE 'state.PREPARING'")
    assert "trigger spoil is ENABLE ALWAYS" in fleet.wait_state(number, "FAILED")["error"]
    fleet.query("s3", "DROP TRIGGER spoil ON accounts")
    number = started(fleet, "DRAIN SHARD s1 TO s3", "state.READY")
    fleet.query("s3", "CREATE TRIGGER spoil BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION spoil(); ALTER TABLE accounts ENABLE ALWAYS TRIGGER spoil")
    fleet.console("TEST RELEASE 'state.READY'")
    assert "trigger spoil is ENABLE ALWAYS" in fleet.wait_state(number, "FAILED")["error"]
    fleet.query("s3", "DROP TRIGGER spoil ON accounts")
    fleet.everywhere("DROP FUNCTION spoil();")
    assert rows_seen(fleet) == KEYS


def rows_that_differ_wait_for_a_word(fleet):
    """ACCEPT TARGET and KEEP SOURCE; what clients write on the new owner meanwhile stays in both cases, and a restart holds nobody."""
    for word in ("KEEP SOURCE", "ACCEPT TARGET"):
        count = fleet.query("s1", "SELECT count(*) FROM accounts")[0][0]
        altered, other = (row[0] for row in fleet.query("s1", "SELECT tenant FROM accounts ORDER BY tenant LIMIT 2"))
        number = fleet.console("DRAIN SHARD s1 TO s3 WITH (auto_cutover = off)")[0]["migration"]
        fleet.wait_state(number, "READY")
        assert "its rows have not been compared" not in refused(fleet, f"RESUME MIGRATION {number} {word}")
        with closing(fleet.shards["s3"].connect(DATABASE, user="pgrotor", password=fleet.pgrotor_password)) as inside:
            inside.cursor().execute("UPDATE accounts SET note = 'wrong' WHERE tenant = %s", (altered,))
        fleet.console(f"CUTOVER MIGRATION {number}")
        row = fleet.wait_end(number)
        assert (row["state"], row["rows_differing"], row["rows_compared"]) == ("SWITCHED", "1", str(count)), row
        said = refused(fleet, f"RESUME MIGRATION {number}")
        assert f"Going on deletes {count} rows from shard s1" in said and str(altered) in said, said
        assert f"RESUME MIGRATION {number} ACCEPT TARGET" in said and f"RESUME MIGRATION {number} KEEP SOURCE" in said, said
        assert fleet.query("s1", "SELECT count(*) FROM accounts")[0][0] == count, "the source was cleaned"
        if word == "KEEP SOURCE":
            fleet.pgrotor.restart()
        with closing(fleet.app()) as client, client.cursor() as cursor:
            cursor.execute("UPDATE accounts SET note = 'since' WHERE tenant = %s", (other,))
            assert cursor.rowcount == 1
        answer = fleet.console(f"RESUME MIGRATION {number} {word}")
        fleet.wait_state(number, "DONE")
        assert fleet.query("s3", "SELECT note FROM accounts WHERE tenant IN (%s, %s) ORDER BY note", (altered, other)) == [("since",), ("wrong",)]
        assert fleet.query("s1", "SELECT count(*) FROM accounts") == [(0,)]
        if word == "KEEP SOURCE":
            kept = answer[0]["kept_in"]
            assert answer == [{"table": "public.accounts", "kept_in": f"pgrotor.kept_{number}_1"}], answer
            assert fleet.query("s1", f"SELECT count(*), count(*) FILTER (WHERE note = 'ours') FROM {kept}") == [(count, count)]
            fleet.query("s1", f"DROP TABLE {kept}")
        else:
            assert fleet.query("s1", "SELECT count(*) FROM pg_class WHERE relname LIKE 'kept%%'") == [(0,)]
        fleet.query("s3", "UPDATE accounts SET note = 'ours'")
        home(fleet)
    assert rows_seen(fleet) == KEYS


def a_lost_answer_is_asked_for(fleet):
    """The catalog's connection breaks at the commit of a command: what was written is answered as done, what was not as an error."""
    fleet.console("TEST BREAK 'lose_answer'")
    before = numbers(fleet)
    number = fleet.console("DRAIN SHARD s1 TO s3 WITH (auto_cutover = off)")[0]["migration"]
    assert numbers(fleet) == before + [int(number)]
    fleet.console("TEST MEND 'lose_answer'")
    fleet.wait_state(number, "READY")
    fleet.console(f"PAUSE MIGRATION {number}")
    fleet.wait_state(number, "PAUSED")
    fleet.console("TEST BREAK 'lose_answer'")
    fleet.console(f"CANCEL MIGRATION {number}")
    fleet.console("TEST MEND 'lose_answer'")
    fleet.wait_state(number, "CANCELLED")
    before, locker = numbers(fleet), fleet.shards["s2"].connect(DATABASE, autocommit=False)
    locker.cursor().execute("LOCK TABLE pgrotor.migrations IN EXCLUSIVE MODE")
    answer = []
    asking = threading.Thread(target=lambda: answer.append(refused(fleet, "DRAIN SHARD s1 TO s3")))
    asking.start()
    waiting = ("SELECT pid FROM pg_stat_activity WHERE application_name ~ '^pgrotor catalog' AND wait_event_type = 'Lock'",)
    pid = wait_until(lambda: fleet.query("s2", *waiting), "the insertion to wait for the lock")[0][0]
    fleet.query("s2", "SELECT pg_terminate_backend(%s)", (pid,))
    asking.join(60)
    locker.rollback()
    assert answer and answer[0].startswith("08006") and "Nothing has been done." in answer[0], answer
    assert numbers(fleet) == before
    assert {row["state"] for row in fleet.console("SHOW SHARDS")} == {"active"}


def distribute_refuses_all_at_once(fleet):
    fleet.everywhere("CREATE UNLOGGED TABLE odd (tenant bigint, id int UNIQUE, PRIMARY KEY (tenant, id)); CREATE RULE away AS ON DELETE TO odd DO INSTEAD NOTHING;"
                     "ALTER TABLE odd REPLICA IDENTITY NOTHING;")
    fleet.query("s3", "ALTER TABLE odd ADD more int")
    said = refused(fleet, "DISTRIBUTE TABLE odd BY tenant IN DISTRIBUTION shop")
    assert refused(fleet, "EXPLAIN DISTRIBUTE TABLE odd BY tenant IN DISTRIBUTION shop") == said
    for part in ("table public.odd is UNLOGGED", "table public.odd has rewrite rules", "REPLICA IDENTITY is NOTHING", "unique index public.odd_id_key does not contain",
                 "shard s3: table public.odd is defined differently", "ALTER TABLE public.odd SET LOGGED;", "DROP RULE away ON public.odd;",
                 "ALTER TABLE public.odd DROP CONSTRAINT odd_id_key;"):
        assert said.count(part) == 1, f"{part} is not once in {said}"
    assert {row["table"] for row in fleet.console("SHOW TABLES")} == {"accounts"}
    fleet.everywhere("DROP TABLE odd;")


def settings_of_a_database_do_not_matter(fleet):
    settings = {"default_transaction_read_only": "on", "default_transaction_isolation": "serializable", "statement_timeout": "'1ms'", "datestyle": "'SQL, DMY'",
                "bytea_output": "'escape'", "search_path": "nowhere", "idle_session_timeout": "'1s'", "idle_in_transaction_session_timeout": "'1ms'",
                "quote_all_identifiers": "on"}
    for name, value in settings.items():
        fleet.shards["s3"].psql(f"ALTER DATABASE {DATABASE} SET {name} = {value}")
    number = fleet.console("DRAIN SHARD s1 TO s3 WITH (auto_cutover = off)")[0]["migration"]
    fleet.wait_state(number, "READY")
    fleet.shards["s3"].psql("".join(f"ALTER DATABASE {DATABASE} RESET {name};" for name in settings))
    fleet.console(f"CUTOVER MIGRATION {number}")
    fleet.wait_state(number, "DONE")
    home(fleet)
    assert rows_seen(fleet) == KEYS


def a_lock_is_not_waited_for_when_cancelled(fleet):
    tenant = fleet.query("s1", "SELECT max(tenant) FROM accounts")[0][0]
    client = fleet.app(autocommit=False)
    client.cursor().execute("UPDATE accounts SET note = 'ours' WHERE tenant = %s", (tenant,))
    number = fleet.console("DRAIN SHARD s1 TO s3")[0]["migration"]

    def named():
        began = time.monotonic()
        row = fleet.migration(number)
        assert time.monotonic() - began < 10, "SHOW MIGRATION waits for PREPARING"
        return row["state"] == "PREPARING" and "pid " in row["blockers"]
    wait_until(named, "PREPARING to name who is in its way")
    assert fleet.row(number)["state"] == "PREPARING"
    began = time.monotonic()
    fleet.console(f"CANCEL MIGRATION {number}")
    fleet.wait_state(number, "CANCELLED")
    assert time.monotonic() - began < 20, "cancelled only when PREPARING had given up"
    said = refused(fleet, f"CANCEL MIGRATION {number}")
    assert said == f"55000\nmigration {number} is CANCELLED and cannot be cancelled", said
    client.rollback()
    client.close()


def one_that_cannot_be_undone_lets_others_pass(fleet):
    number = fleet.console("DRAIN SHARD s1 TO s3 WITH (auto_cutover = off)")[0]["migration"]
    fleet.wait_state(number, "READY")
    fleet.shards["s3"].stop("immediate")
    fleet.console(f"CANCEL MIGRATION {number}")
    row = wait_until(lambda: next((row for row in [fleet.row(number)] if row["state"] == "CANCELLING" and "s3" in row["blockers"]), None),
                     "CANCELLING to say what it waits for")
    assert "shard s3" in row["blockers"], row
    wait_until(lambda: not fleet.query("s1", "SELECT FROM pg_replication_slots"), "the source to be rid of its slot although the target is gone")
    said = refused(fleet, "DRAIN SHARD s1 TO s2")
    assert f"migration {number} is moving a part of these placements" in said and "Wait for it" in said, said
    upper = fleet.home[1]
    other = fleet.console(f"MOVE RANGE [{upper}, {upper + 10}) OF shop TO s1")[0]["migration"]
    fleet.wait_state(other, "DONE")
    assert fleet.row(number)["state"] == "CANCELLING"
    fleet.shards["s3"].start()
    fleet.wait_state(number, "CANCELLED")
    moved(fleet, f"MOVE RANGE [{upper}, {upper + 10}) OF shop TO s2")
    assert rows_seen(fleet) == KEYS


PARTS = (all_of_a_job_is_checked_first, triggers_that_fire_for_copied_rows, rows_that_differ_wait_for_a_word, a_lost_answer_is_asked_for,
         distribute_refuses_all_at_once, settings_of_a_database_do_not_matter, a_lock_is_not_waited_for_when_cancelled,
         one_that_cannot_be_undone_lets_others_pass, retry_after_the_range_went_elsewhere, prepare_and_mover_ask_who_owns)


def main():
    with Scene("moves_refused") as scene:
        fleet = Fleet(scene)
        fleet.everywhere("CREATE TABLE accounts (tenant bigint PRIMARY KEY, note text); GRANT ALL ON accounts TO app;")
        fleet.console("DISTRIBUTE TABLE accounts BY tenant IN DISTRIBUTION shop")
        fleet.home = next((lower, upper) for _, lower, upper, owner in fleet.ranges() if owner == "s1")
        fleet.owner_of_home = lambda: next(owner for _, lower, _, owner in fleet.ranges() if lower == fleet.home[0])
        with closing(fleet.app()) as client, client.cursor() as cursor:
            for tenant in range(KEYS):
                cursor.execute("INSERT INTO accounts VALUES (%s, 'ours')", (tenant,))
        before = inventory(fleet)
        for part in PARTS:
            began = time.monotonic()
            part(fleet)
            left = leftovers(fleet, before)
            assert not left, f"left behind by {part.__name__}: {left}"
            print(f"{part.__name__}: {time.monotonic() - began:.1f} s", flush=True)


main()
