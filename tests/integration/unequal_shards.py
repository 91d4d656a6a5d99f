"""Shards whose sessions start with other settings answer alike through pgrotor: what the default shard says holds everywhere, RESET and
DISCARD ALL return to it, what a client's own startup packet says wins, and what cannot be made equal is refused with its name."""
import os
import subprocess
from contextlib import closing

import psycopg2

from cluster import DUMP_BIN, Scene, wait_until
from fleet import DATABASE, Fleet, deploy_file

DEFAULT, OTHER = "s2", "s1"
# By key, so that the statement runs on the shard of the key; the answers are text made by that shard.
QUESTION = ("SELECT at::text, took::text, bytes::text, xmlelement(name x, bytes)::text, current_setting('TimeZone'), current_setting('search_path'),"
            " current_setting('app.tenant', true), coalesce(current_setting('app.only_there', true), ''), current_setting('statement_timeout'),"
            " current_setting('default_transaction_isolation'), current_setting('lock_timeout'), (1.0::float8 / 3)::text, to_char(1234.5, 'L9G999D9'),"
            " current_user FROM things WHERE k = %s")
MAKE = "CREATE TABLE things (k bigint PRIMARY KEY, at timestamptz, took interval, bytes bytea); GRANT ALL ON things TO app;"
OF_DEFAULT = f"""
ALTER DATABASE {DATABASE} SET timezone = 'Asia/Tokyo';
ALTER DATABASE {DATABASE} SET app.tenant = 'of the database';
ALTER ROLE app SET app.tenant = 'O''Hara';
ALTER ROLE app SET bytea_output = 'escape';
ALTER ROLE app SET extra_float_digits = 0;
ALTER ROLE app IN DATABASE {DATABASE} SET search_path = public, "$user";
ALTER SYSTEM SET xmlbinary = 'hex';
"""
OF_OTHER = f"""
ALTER DATABASE {DATABASE} SET intervalstyle = 'iso_8601';
ALTER DATABASE {DATABASE} SET datestyle = 'German';
ALTER ROLE app SET app.only_there = 'x';
ALTER ROLE app SET statement_timeout = '40s';
ALTER ROLE app SET default_transaction_isolation = 'serializable';
ALTER ROLE app SET role = 'shop_reader';
ALTER SYSTEM SET lock_timeout = '30s';
"""


def directly(fleet, **options):
    made = psycopg2.connect(**dict({"host": "127.0.0.1", "port": fleet.shards[DEFAULT].port, "user": "app", "password": fleet.app_password,
                                    "dbname": DATABASE}, **options))
    made.autocommit = True
    return made


def rows(client, sql, parameters=None):
    with client.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else None


def answer(client, key):
    row, = rows(client, QUESTION, (key,))
    return row


def refusal(client, sql, parameters=None):
    try:
        rows(client, sql, parameters)
    except psycopg2.Error as error:
        return error
    raise AssertionError("the statement was answered")


def keys(fleet):
    """A key of each shard."""
    owners = {fleet.owner(key, "things"): key for key in range(1, 50)}
    return owners[DEFAULT], owners[OTHER]


def pool(fleet, shard):
    return next(row for row in fleet.console("SHOW POOLS") if row["shard"] == shard and row["user"] == "app")


def settings(fleet, here, there):
    """The same row on both shards: one answer, that of the default shard."""
    with closing(directly(fleet)) as truth, closing(fleet.app()) as client:
        for name in ("TimeZone", "DateStyle", "IntervalStyle"):
            assert client.get_parameter_status(name) == truth.get_parameter_status(name), name
        right = answer(truth, here)
        assert right[4] == "Asia/Tokyo" and right[6] == "O'Hara" and right[13] == "app", right
        for undo in ("SELECT 1", "SET timezone = 'UTC'; SET bytea_output = 'hex'; RESET ALL", "SET datestyle = 'SQL'; DISCARD ALL", "RESET app.tenant",
                     "SET role = 'none'; RESET role"):
            for one in undo.split("; "):
                rows(client, one)
            for key in (here, there):
                assert answer(client, key) == right, (undo, key, answer(client, key), right)
        for name in ("TimeZone", "DateStyle", "IntervalStyle"):
            assert client.get_parameter_status(name) == truth.get_parameter_status(name), name
    made = pool(fleet, OTHER)["made_equal"]
    assert "TimeZone = 'Asia/Tokyo'" in made and "app.only_there = ''" in made and "app.tenant = 'O''Hara'" in made, made
    assert "array_nulls" not in made and pool(fleet, DEFAULT)["made_equal"] is None, made


def own_parameters(fleet, here, there):
    """What the client's startup packet says wins on every shard, the rest is the default shard's."""
    own = {"options": "-c timezone=America/New_York -c app.tenant=mine"}
    with closing(directly(fleet, **own)) as truth, closing(fleet.app(**own)) as client:
        right = answer(truth, here)
        assert right[4] == "America/New_York" and right[6] == "mine", right
        assert answer(client, here) == answer(client, there) == right


def changes(fleet, here, there):
    """Later changes count for new connections after RECONNECT, and for a shard's postgresql.conf after the next look at it."""
    with closing(fleet.app()) as client:
        fleet.shards[DEFAULT].query("ALTER ROLE app SET timezone = 'Europe/Berlin'")
        fleet.console("RECONNECT")
        assert answer(client, here)[4] == answer(client, there)[4] == "Europe/Berlin"
        fleet.shards[OTHER].query("ALTER SYSTEM SET array_nulls = off")
        fleet.shards[OTHER].query("SELECT pg_reload_conf()")
        wait_until(lambda: fleet.shards[OTHER].value("SHOW array_nulls") == "off", "the configuration to be read again")
        fleet.console("RELOAD")  # it is looked at again at once, not within half a minute
        array = "SELECT '{NULL}'::text[] IS NOT DISTINCT FROM ARRAY[NULL]::text[] FROM things WHERE k = %s"
        wait_until(lambda: rows(client, array, (there,)) == rows(client, array, (here,)) == [(True,)], "arrays to be read alike")
        fleet.shards[DEFAULT].query("ALTER ROLE app SET timezone = 'Asia/Tokyo'")
        fleet.console("RELOAD")
        wait_until(lambda: answer(client, there)[4] == answer(client, here)[4] == "Asia/Tokyo", "the new zone to hold on both shards")


def not_to_be_made_equal(fleet, here, there):
    fleet.shards[OTHER].query("ALTER ROLE app SET session_replication_role = 'replica'")
    fleet.shards[OTHER].query("ALTER ROLE app SET lc_messages = 'POSIX'")
    fleet.console("RECONNECT")
    with closing(fleet.app()) as client:
        assert len(answer(client, here)) == 14
        error = refusal(client, QUESTION, (there,))
        assert error.pgcode == "55000" and error.diag.message_primary == "shard s1 would answer differently than the default shard", error
        assert error.diag.message_detail == "For user app: session_replication_role is 'replica', 'origin' on the default shard.", error.diag.message_detail
        assert "ALTER ROLE" in error.diag.message_hint
        fleet.shards[OTHER].query("ALTER ROLE app RESET session_replication_role")
        wait_until(lambda: refusal_gone(client, there), "shard s1 to be used again")
        assert pool(fleet, OTHER)["unequal"] == "lc_messages is 'POSIX', 'C.UTF-8' on the default shard", pool(fleet, OTHER)
        fleet.shards[DEFAULT].psql("CREATE TEXT SEARCH CONFIGURATION public.house (COPY = simple)", DATABASE)
        fleet.shards[DEFAULT].query("ALTER ROLE app SET default_text_search_config = 'public.house'")
        fleet.console("RECONNECT")
        assert len(answer(client, here)) == 14
        error = refusal(client, QUESTION, (there,))
        assert error.pgcode == "22023" and "public.house" in str(error) and "given to every shard" in error.diag.message_hint, error
        fleet.shards[OTHER].psql("CREATE TEXT SEARCH CONFIGURATION public.house (COPY = simple)", DATABASE)
        wait_until(lambda: refusal_gone(client, there), "shard s1 to be used again")


def refusal_gone(client, key):
    try:
        return answer(client, key)
    except psycopg2.Error:
        return None


def told(fleet, command):
    """What the console warns of, and the error if it refuses."""
    pgrotor = fleet.pgrotor
    with closing(psycopg2.connect(host="127.0.0.1", port=pgrotor.port, user="admin", password=pgrotor.admin_password, dbname="pgrotor")) as console:
        console.autocommit = True
        try:
            rows(console, command)
            return "".join(console.notices), None
        except psycopg2.Error as error:
            return "".join(console.notices), str(error)


def types(fleet):
    """Types whose OIDs differ are told by name, types that are defined differently are refused."""
    fleet.shards[OTHER].psql("CREATE TYPE public.ahead AS ENUM ('x')", DATABASE)
    fleet.everywhere("CREATE TYPE mood AS ENUM ('ok', 'sad'); CREATE TYPE pair AS (a mood, b text); CREATE DOMAIN moods AS mood[];"
                     "CREATE TABLE people (k bigint PRIMARY KEY, m mood, p pair, all_of_them moods, plain text, at date);")
    warned, error = told(fleet, "EXPLAIN DISTRIBUTE TABLE people BY k IN DISTRIBUTION things")
    oids = {shard: fleet.shards[shard].value("SELECT 'mood'::regtype::oid", DATABASE) for shard in (OTHER, DEFAULT)}
    assert error is None and f"public.mood {oids[OTHER]} instead of {oids[DEFAULT]}; public.moods" in warned and "public.pair" in warned, warned
    warned, error = told(fleet, "DISTRIBUTE TABLE people BY k IN DISTRIBUTION things")
    assert error is None and warned.startswith("WARNING:  shard s1 has other "), warned
    with open(fleet.pgrotor.log) as log:
        lines = [line.split(" info ")[1].strip() for line in log if "console: user" in line]
    done = [line for line in lines if line.startswith("console: user admin from 127.0.0.1 port ") and line.endswith(": DISTRIBUTE TABLE")]
    assert len(done) == 3 and done[-1].endswith(": DISTRIBUTE TABLE people BY k IN DISTRIBUTION things: DISTRIBUTE TABLE"), lines
    assert any(": 55000 shard s9 has another " in line for line in lines) and not any("SHOW POOLS" in line for line in lines), lines
    fleet.shards[OTHER].psql("ALTER TYPE mood ADD VALUE 'more'", DATABASE)
    fleet.everywhere("CREATE TABLE others (k bigint PRIMARY KEY, m mood);")
    warned, error = told(fleet, "DISTRIBUTE TABLE others BY k")
    assert "public.mood enum ('ok', 'sad', 'more') instead of enum ('ok', 'sad')" in error, error
    done = fleet.pgrotor.command("check", check=False)
    assert done.returncode == 1 and "shard s1 has other types than shard s2: public.mood enum" in done.stderr, done
    assert "other OIDs of types" in done.stdout and "sessions" not in done.stderr, done
    assert "TimeZone of role app none instead of 'Asia/Tokyo'" in done.stdout and "app.only_there of role app 'x' instead of none" in done.stdout, done.stdout
    _, error = told(fleet, "DRAIN SHARD s1 TO s2")
    assert "shard s2 has other types than shard s1: public.mood" in error, error


def locales(fleet):
    """A shard with another encoding or locale."""
    cluster = fleet.shards[OTHER]
    cluster.psql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0; CREATE DATABASE plain LOCALE 'C' TEMPLATE template0;")
    dsn = {name: f"host=127.0.0.1 port={cluster.port} dbname={name}" for name in ("latin", "plain")}
    configured = dict(fleet.pgrotor.shards)
    fleet.pgrotor.shards.update(dsn)
    fleet.pgrotor.set()
    for name in dsn:
        cluster.psql(deploy_file("shard_rights.sql"), name, password=fleet.pgrotor_password, owner="shop_owner")
    fleet.pgrotor.command("init")
    fleet.pgrotor.shards = configured
    fleet.pgrotor.set()
    _, error = told(fleet, f"ADD SHARD s9 '{dsn['latin']}'")
    assert error and "shard s9 has another encoding than shard s2: LATIN1 instead of UTF8" in error, error
    fleet.everywhere("CREATE TABLE by_name (k bigint PRIMARY KEY, name text)")
    warned, error = told(fleet, f"EXPLAIN ADD SHARD s9 '{dsn['plain']}'")
    assert error is None and "shard s9 has another locale of the database than shard s2: C C instead of" in warned, (warned, error)
    fleet.console("DISTRIBUTE TABLE by_name BY k")
    _, error = told(fleet, f"ADD SHARD s9 '{dsn['plain']}'")
    assert error and "shard s9 has another locale of the database than shard s2: C C instead of" in error, error


def references(fleet):
    """A reference table holds the same rows everywhere: else it is refused, and the command in the hint makes it so."""
    fleet.everywhere("CREATE TABLE zones (code int PRIMARY KEY, name text); INSERT INTO zones VALUES (1, 'a'), (2, 'b');")
    fleet.query(OTHER, "UPDATE zones SET name = 'c' WHERE code = 2")
    for command in ("EXPLAIN REFERENCE TABLE zones", "REFERENCE TABLE zones"):
        _, error = told(fleet, command)
        assert error and "shard s1 has other rows of reference table \"public\".\"zones\" than shard s2" in error, error
    hint = error.partition("Copy it, in a shell: ")[2].splitlines()[0]
    subprocess.run(hint, shell=True, check=True, stdout=subprocess.DEVNULL,
                   env=dict(os.environ, PATH=DUMP_BIN + ":" + os.environ["PATH"], PGUSER="pgrotor", PGPASSWORD=fleet.pgrotor_password))
    assert told(fleet, "REFERENCE TABLE zones")[1] is None
    cluster = fleet.shards[OTHER]
    cluster.psql("CREATE DATABASE tenth TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'")
    cluster.psql(deploy_file("shard_rights.sql"), "tenth", password=fleet.pgrotor_password, owner="shop_owner")
    _, error = told(fleet, f"EXPLAIN ADD SHARD s10 'host=127.0.0.1 port={cluster.port} dbname=tenth'")
    assert error and "shard s10 lacks reference table \"public\".\"zones\"" in error, error


def main():
    with Scene("unequal") as scene:
        fleet = Fleet(scene, names=(OTHER, DEFAULT), catalog=DEFAULT, cluster_settings={"lc_messages": "C.UTF-8"})
        fleet.everywhere(MAKE)
        fleet.console("DISTRIBUTE TABLE things BY k")
        here, there = keys(fleet)
        for shard, key, script in ((DEFAULT, here, OF_DEFAULT), (OTHER, there, "CREATE ROLE shop_reader; GRANT shop_reader TO app;" + OF_OTHER)):
            fleet.shards[shard].psql(script)
            fleet.shards[shard].query("SELECT pg_reload_conf()")
            fleet.shards[shard].psql(f"INSERT INTO things VALUES ({key}, '2026-03-01 12:00+00', '1 day 2 hours', '\\x6162ff')", DATABASE)
        settings(fleet, here, there)
        own_parameters(fleet, here, there)
        changes(fleet, here, there)
        not_to_be_made_equal(fleet, here, there)
        locales(fleet)
        types(fleet)
        references(fleet)


if __name__ == "__main__":
    main()
