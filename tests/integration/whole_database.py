"""What a client believes to be global to its database is so, whatever shard its transaction runs on, or it is refused by name; what a
statement reads or writes without naming it is refused too. Usage: whole_database.py, with PGROTOR_BUILD set."""
import psycopg2

from cluster import Scene, wait_until
from fleet import Fleet

TABLES = """
CREATE TABLE accounts (tenant bigint, id bigint, note text, PRIMARY KEY (tenant, id));
CREATE TABLE conf (id int PRIMARY KEY, v int);
INSERT INTO conf VALUES (1, 1);
CREATE TABLE plain (id int PRIMARY KEY);
CREATE SEQUENCE tickets;
CREATE TABLE audited (id int);
CREATE VIEW account_notes AS SELECT note FROM accounts;
CREATE MATERIALIZED VIEW note_count AS SELECT count(*) FROM account_notes;
CREATE FUNCTION f_count(t bigint) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM accounts WHERE tenant = t';
CREATE FUNCTION f_atomic(t bigint) RETURNS bigint LANGUAGE sql STABLE BEGIN ATOMIC SELECT count(*) FROM account_notes; END;
CREATE PROCEDURE p_insert(t bigint, i bigint) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO accounts VALUES (t, i, 'pr'); END $$;
CREATE FUNCTION f_outer() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN f_count(1); END $$;
CREATE FUNCTION f_plain(i int) RETURNS void LANGUAGE plpgsql AS $$ /* not accounts */ BEGIN INSERT INTO plain VALUES (i); END $$;
CREATE FUNCTION f_ticket() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('tickets') $$;
CREATE FUNCTION f_shout(note text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN upper(note); END $$;
CREATE FUNCTION copy_over() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO accounts VALUES (NEW.id, NEW.id); RETURN NEW; END $$;
CREATE TRIGGER copy_over AFTER INSERT ON audited FOR EACH ROW EXECUTE FUNCTION copy_over();
CREATE FUNCTION f_default(n bigint DEFAULT f_count(1)) RETURNS bigint LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION f_nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TABLE whened (id int);
CREATE TRIGGER when_counted BEFORE INSERT ON whened FOR EACH ROW WHEN (f_count(1) > 0) EXECUTE FUNCTION f_nothing();
CREATE DOMAIN grade AS bigint DEFAULT f_count(1);
CREATE TABLE domained (id int, n grade);
GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
GRANT ALL ON tickets TO app;
"""

HAZARDS = """
CREATE TABLE hazards (tenant bigint, id bigint, mail text, changed timestamptz, PRIMARY KEY (tenant, id), EXCLUDE (mail WITH =));
CREATE UNIQUE INDEX by_mail ON hazards (lower(mail));
CREATE UNIQUE INDEX with_tenant ON hazards (mail) INCLUDE (tenant);
CREATE UNIQUE INDEX part_of ON hazards (mail) WHERE id > 5;
CREATE UNIQUE INDEX by_tenant ON hazards (tenant, lower(mail));
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF TG_OP = 'UPDATE' THEN NEW.changed := now(); END IF; RAISE DEBUG 'a row of accounts'; RETURN NEW; END $$;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY news; RETURN NEW; END $$;
CREATE FUNCTION built() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT 1'; RETURN NEW; END $$;
CREATE FUNCTION sums() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE accounts SET note = 'x' WHERE tenant = NEW.tenant; RETURN NEW; END $$;
CREATE FUNCTION is_plain(i bigint) RETURNS boolean LANGUAGE sql AS $$ SELECT EXISTS (SELECT FROM plain WHERE id = i) $$;
CREATE TRIGGER t_harmless BEFORE INSERT OR UPDATE ON hazards FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER t_built_in BEFORE UPDATE ON hazards FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE TRIGGER t_tells AFTER INSERT ON hazards FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER t_builds AFTER INSERT ON hazards FOR EACH ROW EXECUTE FUNCTION built();
CREATE TRIGGER t_sums AFTER INSERT ON hazards FOR EACH ROW EXECUTE FUNCTION sums();
CREATE TRIGGER t_when BEFORE INSERT ON hazards FOR EACH ROW WHEN (is_plain(NEW.id)) EXECUTE FUNCTION touch();
CREATE POLICY p_harmless ON hazards USING (tenant = current_setting('app.tenant')::bigint AND EXISTS (SELECT FROM conf));
CREATE POLICY p_plain ON hazards USING (EXISTS (SELECT FROM plain));
ALTER TABLE hazards ADD CONSTRAINT c_plain CHECK (is_plain(id));
ALTER TABLE hazards ADD COLUMN ticket bigint DEFAULT f_ticket();
CREATE RULE r_more AS ON INSERT TO hazards DO ALSO INSERT INTO plain VALUES (1);
"""


class World:
    def __init__(self, scene):
        self.fleet = Fleet(scene)
        self.fleet.everywhere(TABLES)
        self.fleet.console("REFERENCE TABLE conf")
        self.told = [row["note"] for row in self.fleet.console("DISTRIBUTE TABLE accounts BY tenant IN DISTRIBUTION shop")]
        self.home = next(key for key in range(1000) if self.fleet.owner(key) == self.fleet.catalog)
        self.away = next(key for key in range(1000) if self.fleet.owner(key) != self.fleet.catalog)

    def session(self):
        return self.fleet.app().cursor()

    def transaction(self, key):
        """A session in a transaction on the key's shard."""
        cursor = self.session()
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM accounts WHERE tenant = %s", (key,))
        return cursor


def answer(cursor, sql, parameters=None):
    cursor.execute(sql, parameters)
    return cursor.fetchall() if cursor.description else cursor.statusmessage


def refused(cursor, sql, *names):
    """RT003, and its text has the names."""
    try:
        cursor.execute(sql)
    except psycopg2.Error as error:
        text = "\n".join(filter(None, (error.diag.message_primary, error.diag.message_detail, error.diag.message_hint)))
        assert error.pgcode == "RT003", (sql, error.pgcode, text)
        for name in names:
            assert name in text, (sql, name, text)
        return
    raise AssertionError(f"not refused: {sql}")


def check_home_joins(world):
    """In a transaction on another shard than the default one that one joins; beside a key of another shard in one message they are refused, each by
    its name."""
    for sql, name in (("SELECT pg_advisory_xact_lock(7)", "pg_advisory_xact_lock()"), ("SELECT pg_try_advisory_lock(8)", "pg_try_advisory_lock()"),
                      ("SELECT pg_advisory_unlock(8)", "pg_advisory_unlock()"), ("NOTIFY news", "NOTIFY"), ("LISTEN news", "LISTEN"),
                      ("SELECT pg_notify('news', 'x')", "pg_notify()"), ("SELECT lo_from_bytea(0, 'x')", "lo_from_bytea()"),
                      ("SELECT nextval('tickets')", "nextval()"), ("SELECT setval('tickets', 5)", "setval()"),
                      ("SELECT pg_export_snapshot()", "pg_export_snapshot()"), ("SELECT v FROM conf WHERE id = 1 FOR UPDATE", '"conf"')):
        key = "SELECT count(*) FROM accounts WHERE tenant = %d" % world.away
        refused(world.session(), f"{key}; {sql}", name, "default shard")
        joined = world.transaction(world.away)
        answer(joined, sql)
        assert answer(joined, key) == [(0,)]
        answer(joined, "ROLLBACK")
    for sql, name in (("SELECT a.id FROM accounts a, conf WHERE a.tenant = %d FOR SHARE" % world.away, '"conf"'),
                      ("INSERT INTO accounts (tenant, id) VALUES (%d, nextval('tickets'))" % world.away, "nextval()")):
        refused(world.transaction(world.away), sql, name, "default shard")
    refused(world.session(), "INSERT INTO accounts (tenant, id) VALUES (%d, nextval('tickets'))" % world.away, "nextval()")
    connection = world.fleet.app(autocommit=False)
    connection.cursor().execute("SELECT count(*) FROM accounts WHERE tenant = %s", (world.away,))
    assert connection.lobject(0, "w").oid > 0
    connection.rollback()


def check_advisory_locks(world):
    first, second = world.transaction(world.home), world.session()
    assert answer(first, "SELECT pg_try_advisory_xact_lock(7)") == [(True,)]
    assert answer(second, "SELECT pg_try_advisory_xact_lock(7)") == [(False,)]
    assert answer(second, "SELECT pg_try_advisory_lock(8)") == [(True,)]
    assert answer(first, "SELECT pg_try_advisory_lock(8)") == [(False,)]
    assert answer(second, "SELECT count(*) FROM accounts WHERE tenant = %s", (world.away,)) == [(0,)]
    assert answer(second, "SELECT pg_advisory_unlock(8)") == [(True,)]
    first.execute("ROLLBACK")


def check_notifications(world):
    listener, teller = world.session(), world.transaction(world.home)
    answer(listener, "LISTEN news")
    answer(teller, "NOTIFY news, 'in a transaction'")
    answer(teller, "COMMIT")
    answer(world.session(), "SELECT pg_notify('news', 'alone')")

    def heard():
        listener.connection.poll()
        return len(listener.connection.notifies) == 2
    wait_until(heard, "both notifications", 20)
    assert [n.payload for n in listener.connection.notifies] == ["in a transaction", "alone"]
    answer(listener, "UNLISTEN *")


def check_large_objects(world):
    connection = world.fleet.app(autocommit=False)
    made = answer(connection.cursor(), "SELECT lo_from_bytea(0, 'x')")[0][0]
    by_call = connection.lobject(0, "w")
    by_call.write("y")
    by_call.close()
    connection.commit()
    reader = world.session()
    assert answer(reader, "SELECT convert_from(lo_get(%s), 'UTF8')", (made,)) == [("x",)]
    assert answer(reader, "SELECT convert_from(lo_get(%s), 'UTF8')", (by_call.oid,)) == [("y",)]


def check_reference_rows(world):
    holder = world.transaction(world.home)
    answer(holder, "SELECT v FROM conf WHERE id = 1 FOR UPDATE")
    try:
        answer(world.session(), "SELECT v FROM conf WHERE id = 1 FOR UPDATE NOWAIT")
    except psycopg2.Error as error:
        assert error.pgcode == "55P03", error
    else:
        raise AssertionError("a reference row was locked twice")
    assert answer(world.transaction(world.away), "SELECT a.id FROM accounts a, conf WHERE a.tenant = %s FOR UPDATE OF a", (world.away,)) == []
    holder.execute("ROLLBACK")


def check_sequences(world):
    """As ORMs do: the value is drawn alone, and the row goes where its key lives. No value comes twice."""
    drawn = []
    for key in (world.away, world.home, world.away):
        cursor = world.session()
        drawn.append(answer(cursor, "SELECT nextval('tickets')")[0][0])
        answer(cursor, "INSERT INTO accounts (tenant, id) VALUES (%s, %s)", (key, drawn[-1]))
    assert answer(world.session(), "INSERT INTO accounts (tenant, id) VALUES (%s, nextval('tickets')) RETURNING id", (world.home,))[0][0] not in drawn
    assert len(set(drawn)) == 3, drawn


def check_distribute_refuses(world):
    """All at once, each by its name; what only looks at its own row stays."""
    fleet, command = world.fleet, "DISTRIBUTE TABLE hazards BY tenant IN DISTRIBUTION shop"
    fleet.everywhere(HAZARDS)
    text = console_refusal(world, command)
    for name in ("by_mail", "with_tenant", "part_of", "hazards_mail_excl", "t_tells", "t_builds", "t_sums", "t_when", "p_plain", "c_plain", "column ticket", "r_more"):
        assert name in text, (name, text)
    for name in ("by_tenant", "t_harmless", "t_built_in", "p_harmless"):
        assert name not in text, (name, text)
    fleet.everywhere("DROP INDEX by_mail, with_tenant, part_of; ALTER TABLE hazards DROP CONSTRAINT hazards_mail_excl, DROP CONSTRAINT c_plain, DROP COLUMN ticket;"
                     "DROP TRIGGER t_tells ON hazards; DROP TRIGGER t_builds ON hazards; DROP TRIGGER t_when ON hazards; DROP POLICY p_plain ON hazards; DROP RULE r_more ON hazards;")
    text = console_refusal(world, command)
    assert "t_sums" in text and "WITH (trust = 't_sums')" in text, text
    fleet.console(command + " WITH (trust = 't_sums')")


def console_refusal(world, command):
    try:
        world.fleet.console(command)
    except psycopg2.Error as error:
        return str(error)
    raise AssertionError(f"not refused: {command}")


HIDDEN = (("SELECT f_count(1)", "f_count"), ("SELECT public.f_count(tenant) FROM accounts WHERE tenant = 1", "f_count"), ("SELECT f_atomic(1)", "f_atomic"),
          ("SELECT f_outer()", "f_outer"), ("CALL p_insert(1, 1)", "p_insert"), ("SELECT * FROM account_notes", "account_notes"),
          ("SELECT f_default()", "f_default"), ("INSERT INTO whened VALUES (1)", "whened"), ("INSERT INTO domained VALUES (1)", "domained"),
          ("SELECT * FROM note_count", "note_count"), ("REFRESH MATERIALIZED VIEW note_count", "note_count"), ("INSERT INTO audited VALUES (1)", "audited"),
          ("DO $$ BEGIN INSERT INTO accounts VALUES (1, 52); END $$", "accounts"), ("SELECT query_to_xml('SELECT * FROM accounts', true, true, '')", "accounts"),
          ("SELECT * FROM ts_stat('SELECT to_tsvector(note) FROM accounts')", "accounts"), ("DROP INDEX accounts_pkey", "accounts"),
          ("CREATE TEMP TABLE accounts (a int)", "accounts"), ("CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM accounts'", "accounts"))


def check_hidden_access(world):
    cursor = world.session()
    for sql, name in HIDDEN:
        refused(cursor, sql, name)
    for name in ("f_count", "f_atomic", "f_outer", "p_insert", "account_notes", "note_count", "audited"):
        assert any(name in line for line in world.told), (name, world.told)
    assert not any("f_plain" in line or "f_shout" in line for line in world.told), world.told
    assert answer(cursor, "SELECT f_shout(note) FROM accounts WHERE tenant = %s LIMIT 1", (world.away,)) in ([("X",)], [(None,)])
    refused(cursor, "SELECT f_plain(1) FROM accounts WHERE tenant = %d" % world.away, "f_plain()")
    refused(cursor, "SELECT f_ticket(), count(*) FROM accounts WHERE tenant = %d" % world.away, "f_ticket()")
    answer(cursor, "SELECT f_plain(1)")
    assert answer(cursor, "SELECT count(*) FROM plain") == [(1,)]
    assert answer(cursor, "SELECT id FROM audited") == []


def is_refused(cursor, sql):
    try:
        cursor.execute(sql)
    except psycopg2.Error as error:
        return error.pgcode == "RT003"
    return False


def check_later_changes(world):
    """Made by psql behind pgrotor's back, and taken away again."""
    cursor, fleet = world.session(), world.fleet
    fleet.everywhere("CREATE FUNCTION f_late() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM accounts); END $$;"
                     "CREATE VIEW late AS SELECT * FROM accounts; GRANT SELECT ON late TO app;")
    wait_until(lambda: is_refused(cursor, "SELECT f_late()") and is_refused(cursor, "SELECT * FROM late"), "function and view to be seen", 20)
    fleet.everywhere("CREATE OR REPLACE FUNCTION f_late() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$; DROP VIEW late;")
    wait_until(lambda: not is_refused(cursor, "SELECT f_late()") and not is_refused(cursor, "SELECT * FROM late"), "both to be forgotten", 20)


def attached_to(world, table):
    return next(row["attached"] for row in world.fleet.console("SHOW TABLES") if row["table"] == table) or ""


def check_late_triggers(world):
    """Put on a sharded table behind pgrotor's back: told by name in SHOW TABLES and in the log, as one that was trusted is."""
    fleet = world.fleet
    wait_until(lambda: 'trigger t_sums touches table "public.accounts"' in attached_to(world, "hazards"), "the trusted trigger to be shown", 20)
    assert attached_to(world, "accounts") == "", attached_to(world, "accounts")
    fleet.everywhere("CREATE FUNCTION note_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO plain VALUES (NEW.id); RETURN NEW; END $$;"
                     "CREATE TRIGGER late_audit AFTER INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION note_it();"
                     "CREATE TRIGGER late_harmless BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();")
    said = "trigger late_audit touches a table that is not sharded"
    wait_until(lambda: attached_to(world, "accounts") == said, "the trigger to be shown", 20)
    with open(fleet.pgrotor.log) as log:
        assert f"warning table public.accounts: {said}: it does so on the shard of the row" in log.read()
    fleet.everywhere("DROP TRIGGER late_audit ON accounts")
    wait_until(lambda: attached_to(world, "accounts") == "", "it to be forgotten", 20)


def check_own_objects(world):
    """What pgrotor makes on the shards is no news to clients, and makes no generation while a move goes on."""
    fleet, cursor = world.fleet, world.session()
    own = "SELECT object_name FROM pgrotor.hidden_access WHERE schema_name = 'pgrotor'"
    known = fleet.query(fleet.catalog, own)
    source = fleet.owner(world.away)
    number = fleet.console(f"DRAIN SHARD {source} TO {fleet.catalog} WITH (auto_cutover = off)")[0]["migration"]
    fleet.wait_state(number, "READY")
    # A look has been had since, which says so by what it finds besides.
    fleet.everywhere("CREATE OR REPLACE FUNCTION f_late() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM accounts); END $$")
    wait_until(lambda: is_refused(cursor, "SELECT f_late()"), "the function to be seen", 20)
    known += fleet.query(fleet.catalog, own)
    assert not known, known
    fleet.console(f"CANCEL MIGRATION {number}")


if __name__ == "__main__":
    with Scene("whole_database") as scene:
        everything = World(scene)
        for check in (check_home_joins, check_advisory_locks, check_notifications, check_large_objects, check_reference_rows, check_sequences,
                      check_distribute_refuses, check_hidden_access, check_later_changes, check_late_triggers, check_own_objects):
            check(everything)
            print("ok", check.__name__)
