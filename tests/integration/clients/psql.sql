-- Played by psql through pgrotor: its own commands, COPY from and to the client, variables, prompts of transactions.
\set ON_ERROR_STOP 1
\conninfo
\d accounts
\dt
\dn
\df nothing_like_this
\l
\du app
INSERT INTO accounts SELECT 1, 'one', 10 RETURNING id \gset made_
\echo made :made_id
SELECT owner FROM accounts WHERE id = :made_id;
\x on
SELECT * FROM accounts WHERE id = 1;
\x off
\copy notes (id, body) FROM STDIN
1	copied by psql
2	a \\ backslash
\.
\copy (SELECT id, body FROM notes ORDER BY id) TO STDOUT (FORMAT csv)
COPY notes (id, body) FROM STDIN;
3	a third
\.
COPY notes (id, body) TO STDOUT;
SELECT id, body FROM notes ORDER BY id \gdesc
SELECT format('INSERT INTO notes (id, body) VALUES (%s, %L);', n, 'by gexec') FROM generate_series(10, 12) n \gexec
BEGIN;
SAVEPOINT a;
UPDATE notes SET body = 'changed' WHERE id = 1;
ROLLBACK TO a;
COMMIT;
SELECT count(*) FROM notes WHERE body = 'changed';
\set AUTOCOMMIT off
INSERT INTO notes (id, body) VALUES (20, 'never');
ROLLBACK;
\set AUTOCOMMIT on
\set FETCH_COUNT 2
SELECT id FROM notes ORDER BY id;
\unset FETCH_COUNT
\set ON_ERROR_ROLLBACK on
BEGIN;
\set ON_ERROR_STOP 0
INSERT INTO notes (id) VALUES (1);
\set ON_ERROR_STOP 1
INSERT INTO notes (id) VALUES (30);
COMMIT;
\errverbose
