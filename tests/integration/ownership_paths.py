"""Ways to write a row, for ownership.py: through pgrotor, where each either works or is refused, and directly on a shard."""

# Per key type: the column's type and keys as literals. Blanks at the end, case and bytes above 127 are where hashes differ.
KINDS = {
    "int8": ("bigint", ["1", "2", "3", "-4", "9223372036854775807", "60", "7", "8"]),
    "text": ("text", ["'a'", "'a '", "'A'", "'\u00e4'", "''", "'b'", "'c'", "'d'"]),
    "bpchar": ("character(6)", ["'a'", "'b '", "'\u00e4'", "'B'", "'c'", "'d'", "'e'", "'f'"]),
    "uuid": ("uuid", [f"'{digit * 8}-0000-4000-8000-00000000000{digit}'" for digit in "12345678"]),
}

# For each kind: the table, one with a trigger that changes the key when pgrotor has placed the row, and code that writes on its own.
# `custom` has domains and functions named like built-in ones, for whoever puts it first in search_path.
SCHEMA = """
CREATE TABLE t_{kind} (k {type} NOT NULL, n integer NOT NULL, note text, PRIMARY KEY (k, n));
CREATE TABLE changed_{kind} (k {type} NOT NULL, n integer NOT NULL, note text, PRIMARY KEY (k, n));
CREATE FUNCTION change_{kind}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.k := {other}; RETURN NEW; END $$;
CREATE FUNCTION put_{kind}(key {type}, number integer) RETURNS integer LANGUAGE sql AS $$ INSERT INTO t_{kind} VALUES (key, number) RETURNING n $$;
CREATE PROCEDURE call_{kind}(key {type}, number integer) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t_{kind} VALUES (key, number); END $$;
CREATE TABLE inbox_{kind} (k {type}, n integer);
CREATE FUNCTION forward_{kind}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t_{kind} VALUES (NEW.k, NEW.n); RETURN NEW; END $$;
CREATE TRIGGER forward AFTER INSERT ON inbox_{kind} FOR EACH ROW EXECUTE FUNCTION forward_{kind}();
CREATE VIEW v_{kind} AS SELECT k, n FROM t_{kind};
GRANT SELECT, INSERT, UPDATE, DELETE ON t_{kind}, changed_{kind}, inbox_{kind}, v_{kind} TO app;
"""
# DISTRIBUTE TABLE refuses it; nothing keeps it from coming later.
LATE = 'CREATE TRIGGER "~~zz_last" BEFORE INSERT OR UPDATE ON changed_{kind} FOR EACH ROW EXECUTE FUNCTION change_{kind}();'
CUSTOM = """
CREATE SCHEMA custom;
CREATE DOMAIN custom.int8 AS pg_catalog.text;
CREATE DOMAIN custom.text AS pg_catalog.bpchar;
CREATE DOMAIN custom.uuid AS pg_catalog.text;
CREATE FUNCTION custom.abs(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT $1 + 1';
GRANT USAGE ON SCHEMA custom TO app;
"""

# Each writes the row ({k}, {n}); a list is one session's statements, of which the last one decides.
PATHS = {
    "INSERT": ["INSERT INTO t_{kind} VALUES ({k}, {n})"],
    "INSERT SELECT": ["INSERT INTO t_{kind} SELECT {k}, {n}"],
    "WITH": ["WITH w AS (INSERT INTO t_{kind} VALUES ({k}, {n}) RETURNING n) SELECT count(*) FROM w"],
    "WITH in a join": ["WITH w AS (INSERT INTO t_{kind} VALUES ({k}, {n}) RETURNING k) SELECT * FROM t_{kind} t JOIN w ON t.k = w.k WHERE t.k = {other}"],
    "ON CONFLICT": ["INSERT INTO t_{kind} VALUES ({k}, {n}) ON CONFLICT (k, n) DO UPDATE SET k = {other}"],
    "MERGE": ["MERGE INTO t_{kind} t USING (VALUES ({k}::{type}, {n})) v(k, n) ON t.k = v.k AND t.n = v.n WHEN NOT MATCHED THEN INSERT VALUES (v.k, v.n)"],
    "function": ["SELECT put_{kind}({k}, {n})"],
    "function beside a key": ["SELECT put_{kind}({k}, {n}) FROM t_{kind} WHERE k = {other} UNION ALL SELECT 0"],
    "function in VALUES": ["INSERT INTO t_{kind} VALUES ({other}, put_{kind}({k}, {n}) + 500000)"],
    "DO": ["DO $$ BEGIN INSERT INTO t_{kind} VALUES ({k}, {n}); END $$"],
    "CALL": ["CALL call_{kind}({k}, {n})"],
    "trigger of a local table": ["INSERT INTO inbox_{kind} VALUES ({k}, {n})"],
    "trigger that changes the key": ["INSERT INTO changed_{kind} VALUES ({k}, {n})"],
    "view": ["INSERT INTO v_{kind} VALUES ({k}, {n})"],
    "EXECUTE": ["PREPARE p({type}, integer) AS INSERT INTO t_{kind} VALUES ($1, $2)", "EXECUTE p({k}, {n})"],
    "EXECUTE with a bpchar": ["PREPARE p(bpchar, integer) AS INSERT INTO t_{kind} VALUES ($1::text::{type}, $2)", "EXECUTE p({k}, {n})"],
    "EXECUTE, bpchar by assignment": ["PREPARE p(bpchar, integer) AS INSERT INTO t_{kind} VALUES ($1, $2)", "EXECUTE p({k}, {n})"],
    "cast": ["INSERT INTO t_{kind} VALUES (CAST({k} AS {type}), {n})"],
    "cast by way of char": ["INSERT INTO t_{kind} VALUES ({k}::char(9)::{type}, {n})"],
    "UPDATE of the key": ["UPDATE t_{kind} SET k = {k} WHERE k = {other}"],
    "UPDATE of the key, from a query": ["UPDATE t_{kind} SET k = (SELECT {k}::{type}) WHERE k = {other}"],
    "search_path": ["SET search_path = custom, pg_catalog, public", "INSERT INTO t_{kind} VALUES ({k}::{named}, {n})"],
    "search_path in the same query": ["SET search_path = custom, pg_catalog, public; INSERT INTO t_{kind} VALUES ({k}::{named}, {n}); RESET search_path"],
    "SET LOCAL": ["BEGIN; SET LOCAL search_path = custom, pg_catalog, public; INSERT INTO t_{kind} VALUES ({k}::{named}, {n}); COMMIT"],
    "set_config": ["SELECT set_config('search_path', 'custom, pg_catalog, public', false); INSERT INTO t_{kind} VALUES ({k}::{named}, {n})"],
    "replica": ["SET session_replication_role = replica", "INSERT INTO t_{kind} VALUES ({k}, {n})"],
    "several rows": ["INSERT INTO t_{kind} VALUES ({k}, {n}), ({other}, {n})"],
    "several statements": ["INSERT INTO t_{kind} VALUES ({k}, {n}); INSERT INTO t_{kind} VALUES ({other}, {n} + 500000)"],
}
SOMETIMES = {"function beside a key", "UPDATE of the key", "UPDATE of the key, from a query"}  # only where there is a row with {other}
# Backslashes mean something else when the setting changes between two statements of one query.
TEXT_PATHS = {
    "strings": ["SET standard_conforming_strings = off; INSERT INTO t_text VALUES ('x\\141', {n}); RESET standard_conforming_strings"],
    "strings kept": ["SET standard_conforming_strings = off", "INSERT INTO t_text VALUES ('x\\142', {n})"],
    "E string": ["INSERT INTO t_text VALUES (E'x\\143', {n})"],
    "U& string": ["INSERT INTO t_text VALUES (U&'x\\0064', {n})"],
    "DateStyle": ["SET DateStyle = 'SQL, DMY'; INSERT INTO t_text VALUES (date '2026-02-01'::text, {n})"],
    "encoding": ["SET client_encoding = LATIN1; INSERT INTO t_text VALUES (convert_from('\\xe4', 'LATIN1'), {n})"],
}

# On a shard that owns {here} and not {k}. Every one must be refused with RT001 by the guard.
DIRECT = {
    "INSERT": "INSERT INTO t_{kind} VALUES ({k}, {n})",
    "INSERT SELECT": "INSERT INTO t_{kind} SELECT {k}, i FROM generate_series({n}, {n} + 9) i",
    "ON CONFLICT": "INSERT INTO t_{kind} VALUES ({here}, {n}); INSERT INTO t_{kind} VALUES ({here}, {n}) ON CONFLICT (k, n) DO UPDATE SET k = {k}",
    "MERGE": "MERGE INTO t_{kind} t USING (VALUES ({k}::{type}, {n})) v(k, n) ON t.k = v.k AND t.n = v.n WHEN NOT MATCHED THEN INSERT VALUES (v.k, v.n)",
    "UPDATE of the key": "INSERT INTO t_{kind} VALUES ({here}, {n}); UPDATE t_{kind} SET k = {k} WHERE n = {n}",
    "function": "SELECT put_{kind}({k}, {n})",
    "DO that goes on": "DO $$ BEGIN BEGIN INSERT INTO t_{kind} VALUES ({k}, {n}); EXCEPTION WHEN division_by_zero THEN NULL; END; END $$",
    "trigger that sorts later": "INSERT INTO changed_{kind} VALUES ({here}, {n})",
    "view": "INSERT INTO v_{kind} VALUES ({k}, {n})",
    "replica": "SET session_replication_role = replica; INSERT INTO t_{kind} VALUES ({k}, {n})",
    "deferred": "BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO t_{kind} VALUES ({k}, {n}); COMMIT",
}
