"""What a target lacks is found before anything of a job moves: a drain of three distributions to a shard that has nothing of what their tables
need. EXPLAIN and the command tell the same, all of it at once; what they say that helps is run as typed, and the drain goes through. Then the way
back, where both shards have the tables and one of them does something beside. No refusal moves, makes or queues anything."""
import re
import time
from contextlib import closing

import psycopg2

from cluster import Scene
from fleet import DATABASE, Fleet, deploy_file

KEYS = 60
# One thing of each kind that a definition can need, and that pg_dump of a table does not bring.
NEEDED = """
CREATE ROLE auditor NOLOGIN; CREATE ROLE keeper NOLOGIN; GRANT keeper TO pgrotor;
CREATE SCHEMA kinds AUTHORIZATION shop_owner; CREATE SCHEMA hr AUTHORIZATION shop_owner; CREATE SCHEMA parts AUTHORIZATION shop_owner;
GRANT USAGE ON SCHEMA hr, kinds TO app;
CREATE EXTENSION hstore; CREATE EXTENSION btree_gist SCHEMA kinds;
CREATE OPERATOR CLASS kinds.backwards_ops FOR TYPE int4 USING btree AS OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <,
  FUNCTION 1 btint4cmp(int4, int4);
SET ROLE shop_owner;
CREATE TYPE mood AS ENUM ('ok', 'sad'); CREATE TYPE pair AS (a mood, b text); CREATE TYPE kinds.span AS RANGE (subtype = float8);
CREATE FUNCTION is_nice(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$BEGIN
  -- Run: nothing of this;

  RETURN $1 <> 'bad';
END$$;
CREATE DOMAIN nice AS text CHECK (is_nice(VALUE));
CREATE FUNCTION kinds.norm(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
CREATE FUNCTION kinds.norm(int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1::text';
CREATE FUNCTION kinds.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION kinds.alike(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT lower($1) = lower($2)';
CREATE OPERATOR kinds.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = kinds.alike);
CREATE COLLATION kinds.swiss (provider = icu, locale = 'de-CH');
CREATE TEXT SEARCH CONFIGURATION kinds.house (COPY = simple);
CREATE SEQUENCE kinds.shared;
"""
TABLES = """
SET ROLE shop_owner;
CREATE TABLE accounts (tenant bigint PRIMARY KEY, note text, country char(2) REFERENCES countries);
CREATE INDEX accounts_note ON accounts (note);
CREATE TABLE things (k bigint PRIMARY KEY, m mood, p pair[], n nice, s text COLLATE kinds.swiss, h hstore, r kinds.span, doc text CHECK (doc OPERATOR(kinds.===) doc),
  num int DEFAULT nextval('kinds.shared'), own bigserial, EXCLUDE USING gist (k WITH =, r WITH &&));
CREATE INDEX ON things (kinds.norm(doc)); CREATE INDEX ON things (num kinds.backwards_ops); CREATE INDEX ON things USING gin (to_tsvector('kinds.house', doc));
CREATE TRIGGER touch BEFORE UPDATE ON things FOR EACH ROW EXECUTE FUNCTION kinds.touch();
ALTER TABLE things ENABLE ROW LEVEL SECURITY;
CREATE POLICY see ON things TO app USING (kinds.norm(doc) <> 'hidden');
GRANT SELECT ON things TO auditor;
CREATE TABLE hr.staff (id bigint, year int, name text, PRIMARY KEY (id, year)) PARTITION BY RANGE (year);
CREATE TABLE parts.staff_2026 PARTITION OF hr.staff FOR VALUES FROM (2026) TO (2027);
GRANT ALL ON accounts, things, hr.staff TO app; GRANT USAGE ON SEQUENCE things_own_seq, kinds.shared TO app;
RESET ROLE;
ALTER TABLE hr.staff OWNER TO keeper; ALTER TABLE parts.staff_2026 OWNER TO keeper;
"""
REFERENCE = "CREATE TABLE countries (code char(2) PRIMARY KEY, name text); INSERT INTO countries VALUES ('CH', 'Switzerland'); GRANT SELECT ON countries TO app;"
MISSING = ("role auditor", "role keeper", "schema kinds", "schema hr", "schema parts", "extension hstore", "extension btree_gist", "type public.mood",
           "type public.pair", "type public.nice", "type kinds.span", "function public.is_nice(pg_catalog.text)", "function kinds.norm(pg_catalog.text)",
           "function kinds.touch()", "function kinds.alike(pg_catalog.text,pg_catalog.text)", "operator kinds.===(pg_catalog.text,pg_catalog.text)",
           "operator class kinds.backwards_ops USING btree", "operator family kinds.backwards_ops USING btree", "collation kinds.swiss",
           "text search configuration kinds.house", "sequence kinds.shared")


def refusal(fleet, command):
    try:
        fleet.console(command)
    except psycopg2.Error as error:
        return error.pgcode, error.diag.message_primary, error.diag.message_detail or "", error.diag.message_hint or ""
    raise AssertionError(f"the console took {command}")


def footprint(fleet):
    """What no refusal may change: the queue, the map, and what there is on every shard."""
    catalogs = ("SELECT string_agg(c.oid::text || c.relname, ' ' ORDER BY c.oid) FROM pg_class c WHERE c.oid >= 16384 AND c.relnamespace <> 'pg_toast'::regnamespace",
                "SELECT string_agg(t.tgname || t.tgrelid, ' ' ORDER BY t.oid) FROM pg_trigger t", "SELECT count(*) FROM pg_locks WHERE mode LIKE '%%Exclusive%%' AND locktype = 'relation'")
    return (fleet.console("SHOW MIGRATIONS"), fleet.console("SHOW SHARDS"), fleet.ranges(),
            {name: [fleet.query(name, sql) for sql in catalogs] for name in fleet.shards})


def refused_alike(fleet, command):
    """The refusal of a command, which is that of its EXPLAIN and leaves everything as it is."""
    before = footprint(fleet)
    said = refusal(fleet, f"EXPLAIN {command}")
    assert refusal(fleet, command) == said
    after = footprint(fleet)
    assert after == before, (before, after)
    return said


def remedies(hint):
    """The statements of a HINT, as a DBA would take them from the screen."""
    runs = re.split(r"^Run: ", hint, flags=re.MULTILINE)
    assert not runs[0], f"no statement helps: {runs[0]}"
    return [re.split(r" Or on shard s\d+: ", one)[0] for one in runs[1:]]


def helped(fleet, shard, said):
    for statement in remedies(said[3]):
        fleet.shards[shard].psql(statement, DATABASE)


def drained(fleet, command, migrations):
    rows = fleet.console(command)
    assert len(rows) == migrations, rows
    for row in rows:
        fleet.wait_state(row["migration"], "DONE")


def rows_seen(fleet):
    with closing(fleet.app()) as client, client.cursor() as cursor:
        found = 0
        for key in range(KEYS):
            cursor.execute("SELECT (SELECT note FROM accounts WHERE tenant = %s)", (key,))
            notes = cursor.fetchall()
            cursor.execute("SELECT m, h -> 'a', r::text FROM things WHERE k = %s", (key,))
            things = cursor.fetchall()
            cursor.execute("SELECT name FROM hr.staff WHERE id = %s AND year = 2026", (key,))
            found += (notes, things, cursor.fetchall()) == ([("ours",)], [("ok", "1", "[1,2)")], [("somebody",)])
        return found


def everything_that_is_lacking_is_told(fleet):
    said = refused_alike(fleet, "DRAIN SHARD s1 TO s4")
    lines = said[2].splitlines()
    for thing in MISSING:
        told = [line for line in lines if line.startswith(f"shard s4: {thing} does not exist")]
        assert len(told) == 1, f"{thing} is told {len(told)} times in {said}"
    assert "function kinds.norm(pg_catalog.int4)" not in said[2] and "norm(integer)" not in said[3], said
    assert "cannot be made" not in said[2] and said[0] == "42704", f"told as well what only follows: {said}"
    for _ in range(3):  # rights of a role can be looked at once there is the role
        helped(fleet, "s4", said)
        try:
            fleet.console("EXPLAIN DRAIN SHARD s1 TO s4")
            break
        except psycopg2.Error:
            said = refused_alike(fleet, "DRAIN SHARD s1 TO s4")
    assert len(fleet.console("EXPLAIN DRAIN SHARD s1 TO s4")) == 3


def what_no_dependency_tells_is_tried(fleet):
    """Names that are taken, and a server that does not want it: all of it, of two distributions, at once."""
    fleet.shards["s4"].psql("CREATE TABLE accounts_note (); CREATE FUNCTION no_staff() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN"
                            " IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE 'hr.staff%') THEN"
                            " RAISE 'no staff here' USING HINT = 'Run: DROP EVENT TRIGGER no_staff;'; END IF; END$$;"
                            "CREATE EVENT TRIGGER no_staff ON ddl_command_end EXECUTE FUNCTION no_staff();", DATABASE)
    said = refused_alike(fleet, "DRAIN SHARD s1 TO s4")
    lines = [line for line in said[2].splitlines() if line.startswith("shard s4: ")]
    assert len(lines) == 2, said
    assert 'shard s4: INDEX accounts_note of schema public cannot be made there: relation "accounts_note" already exists' in said[2], said
    assert "shard s4: TABLE staff of schema hr cannot be made there: no staff here" in said[2], said
    fleet.shards["s4"].psql("DROP EVENT TRIGGER no_staff; DROP TABLE accounts_note; DROP FUNCTION no_staff();", DATABASE)


def a_lock_is_no_refusal(fleet):
    """The foreign key needs a lock on the reference table: the checks do without it, and stop nobody for long."""
    with closing(fleet.shards["s4"].connect(DATABASE, autocommit=False)) as client, client.cursor() as cursor:
        cursor.execute("LOCK TABLE countries IN ROW EXCLUSIVE MODE")
        began = time.monotonic()
        assert len(fleet.console("EXPLAIN DRAIN SHARD s1 TO s4")) == 3
        assert time.monotonic() - began < 30, "EXPLAIN waits for a lock"
        cursor.execute("UPDATE countries SET name = name")  # as any other writer could have meanwhile
    assert fleet.query("s4", "SELECT to_regclass('accounts') IS NULL") == [(True,)]


def one_side_does_something_beside(fleet):
    """The tables are on both: s4 has the rows, s1 is to get them back."""
    fleet.shards["s4"].psql(
        "CREATE TRIGGER only_here BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION kinds.touch(); ALTER TABLE accounts DISABLE TRIGGER only_here;"
        "CREATE TRIGGER differs BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION kinds.touch();"
        "ALTER TABLE accounts ADD CONSTRAINT short CHECK (length(note) < 1000); ALTER TABLE accounts ALTER note SET DEFAULT 'none';"
        "CREATE UNIQUE INDEX only_one ON accounts (tenant, note) WHERE note IS NOT NULL;"
        "ALTER TABLE accounts ENABLE ROW LEVEL SECURITY; CREATE POLICY all_of_it ON accounts TO app USING (note <> 'x') WITH CHECK (true);"
        "GRANT UPDATE (note) ON accounts TO auditor; GRANT USAGE ON SCHEMA hr TO auditor; ALTER ROLE auditor LOGIN BYPASSRLS;"
        "CREATE TABLE parts.staff_2027 PARTITION OF hr.staff FOR VALUES FROM (2027) TO (2028); ALTER TABLE parts.staff_2027 OWNER TO keeper;", DATABASE)
    fleet.shards["s1"].psql("CREATE TRIGGER only_there BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION kinds.touch();"
                            "CREATE TRIGGER differs BEFORE UPDATE ON things FOR EACH ROW EXECUTE FUNCTION kinds.touch();", DATABASE)
    said = refused_alike(fleet, "DRAIN SHARD s4 TO s1")
    expected = ["table public.accounts lacks " + what + " that it has on shard s4" for what in
                ("trigger only_here", "check constraint short", "default of column note", "unique index only_one", "row level security", "policy all_of_it")]
    expected += ["table hr.staff lacks partition parts.staff_2027 that it has on shard s4", "table public.things has another trigger differs than on shard s4",
                 "table public.things has trigger only_there that it lacks on shard s4", "role auditor has no right to UPDATE (note) on table public.accounts",
                 "role auditor has no right to USAGE on schema hr", "role auditor cannot log in", "role auditor is subject to row security"]
    lines = [line for line in said[2].splitlines() if line.startswith("shard s1: ")]
    for what in expected:
        assert sum(line.startswith(f"shard s1: {what}:") for line in lines) == 1, f"{what} is not once in {said}"
    assert len(lines) == len(expected), said
    helped(fleet, "s1", said)
    drained(fleet, "DRAIN SHARD s4 TO s1", 3)
    assert rows_seen(fleet) == KEYS


def distribute_asks_the_same(fleet):
    fleet.everywhere("CREATE TABLE visits (k bigint PRIMARY KEY, n int)")
    fleet.shards["s1"].psql("CREATE TRIGGER only_here BEFORE INSERT ON visits FOR EACH ROW EXECUTE FUNCTION kinds.touch()", DATABASE)
    said = refused_alike(fleet, "DISTRIBUTE TABLE visits BY k")
    assert said[1] == "shard s1: table public.visits has trigger only_here that it lacks on shard s2", said
    helped(fleet, "s1", said)
    fleet.console("DISTRIBUTE TABLE visits BY k")


def another_source_has_another_table(fleet):
    """Two sources bring rows to one shard, the first of them its table: the second must have the same one."""
    fleet.shards["s4"].psql("DROP TABLE visits", DATABASE)
    fleet.shards["s2"].psql("ALTER TABLE visits ALTER n SET DEFAULT 1", DATABASE)
    said = refused_alike(fleet, "MOVE RANGE [MINVALUE, MAXVALUE) OF visits TO s4")
    assert "table public.visits" in said[1] and "default of column n" in said[1], said
    fleet.shards["s2"].psql("ALTER TABLE visits ALTER n DROP DEFAULT", DATABASE)
    drained(fleet, "MOVE RANGE [MINVALUE, MAXVALUE) OF visits TO s4", 2)


PARTS = (everything_that_is_lacking_is_told, what_no_dependency_tells_is_tried, a_lock_is_no_refusal)


def main():
    with Scene("target_lacks") as scene:
        fleet = Fleet(scene, names=("s1", "s2"))
        fleet.everywhere(REFERENCE)
        for shard in fleet.shards.values():
            shard.psql(NEEDED, DATABASE)
            shard.psql(TABLES, DATABASE)
        fleet.console("REFERENCE TABLE countries")
        for table, column, distribution in (("accounts", "tenant", "shop"), ("things", "k", "things"), ("hr.staff", "id", "hr")):
            fleet.console(f"DISTRIBUTE TABLE {table} BY {column} IN DISTRIBUTION {distribution}")
        with closing(fleet.app()) as client, client.cursor() as cursor:
            for key in range(KEYS):
                cursor.execute("INSERT INTO accounts VALUES (%s, 'ours', 'CH')", (key,))
                cursor.execute("INSERT INTO things (k, m, p, n, s, h, r, doc) VALUES (%s, 'ok', ARRAY[ROW('sad', 'b')]::pair[], 'nice', 'a', 'a=>1', '[1,2)', 'Doc')", (key,))
                cursor.execute("INSERT INTO hr.staff VALUES (%s, 2026, 'somebody')", (key,))
        assert rows_seen(fleet) == KEYS
        new = fleet.shards["s4"] = scene.cluster("s4")
        new.psql(f"CREATE ROLE app LOGIN PASSWORD '{fleet.app_verifier}'; CREATE ROLE shop_owner NOLOGIN; CREATE DATABASE {DATABASE} OWNER shop_owner;")
        new.psql(deploy_file("shard_rights.sql"), DATABASE, password=fleet.pgrotor_password, owner="shop_owner")
        new.psql("SET ROLE shop_owner;\n" + REFERENCE, DATABASE)
        fleet.console(f"ADD SHARD s4 'host=127.0.0.1 port={new.port} dbname={DATABASE}'")
        for part in PARTS:
            part(fleet)
            print(part.__name__, flush=True)
        drained(fleet, "DRAIN SHARD s1 TO s4", 3)
        assert rows_seen(fleet) == KEYS and not fleet.query("s1", "SELECT tenant FROM accounts")
        for part in (one_side_does_something_beside, distribute_asks_the_same, another_source_has_another_table):
            part(fleet)
            print(part.__name__, flush=True)


main()
