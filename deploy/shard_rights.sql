-- The rights that pgrotor needs on a shard, and all that it uses. A DBA runs this once per shard, as superuser, in the shard's
-- database; running it again changes nothing:
--
--   psql -v owner=shop_owner -v password='...' -f deploy/shard_rights.sql 'host=s1 dbname=shop'
--
-- owner     the role that owns the tables to be sharded; run the script once for each such role
-- clients   roles of clients, parted by commas, whose transactions may go over several shards: only a member of its owner's role can finish what
--           a crash leaves prepared; may be left out
-- password  what pgrotor logs in with; a SCRAM verifier (SCRAM-SHA-256$4096:...) is taken as it is
\set ON_ERROR_STOP on
\if :{?owner}
\else
  \echo 'shard_rights.sql: -v owner=<role that owns the tables> is missing'
  \quit
\endif
\if :{?password}
\else
  \echo 'shard_rights.sql: -v password=<password or SCRAM verifier> is missing'
  \quit
\endif
SELECT current_setting('server_version_num')::integer >= 150000 AS can_grant_parameters \gset
BEGIN;
SELECT 'CREATE ROLE pgrotor' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgrotor') \gexec
SELECT 'CREATE ROLE pgrotor_guard' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgrotor_guard') \gexec
-- REPLICATION: logical slots, and the walsender of the change stream.
ALTER ROLE pgrotor LOGIN REPLICATION NOSUPERUSER PASSWORD :'password';
-- Owner of guard functions and registers: nobody logs in as it.
ALTER ROLE pgrotor_guard NOLOGIN NOSUPERUSER;
GRANT pgrotor_guard TO pgrotor;
-- A publication and a trigger ask for the table's owner; so do the tables that are made on a new owner.
GRANT :"owner" TO pgrotor;
\if :{?clients}
SELECT format('GRANT %I TO pgrotor', btrim(role)) FROM regexp_split_to_table(:'clients', ',') role \gexec
\endif
-- Who is in the way of a cutover, with state and age, is in other roles' rows of pg_stat_activity.
GRANT pg_read_all_stats TO pgrotor;
-- A new pgrotor ends the sessions of one that was stopped or cut off, so that they cannot go on beside it; a migration ends those that hold an
-- advisory lock of its range without a right to it ([cutover] strangers).
GRANT pg_signal_backend TO pgrotor;
-- Schema pgrotor, and publications.
SELECT format('GRANT CONNECT, CREATE ON DATABASE %I TO pgrotor', current_database()) \gexec
-- Copied and cleaned rows fire no user triggers and no foreign key checks.
\if :can_grant_parameters
GRANT SET ON PARAMETER session_replication_role TO pgrotor;
\else
-- PostgreSQL 14 lets nobody but superusers set it.
CREATE SCHEMA IF NOT EXISTS pgrotor_rights;
GRANT USAGE ON SCHEMA pgrotor_rights TO pgrotor;
CREATE OR REPLACE FUNCTION pgrotor_rights.set_replication_role(role text) RETURNS text
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_catalog.set_config('session_replication_role', role, false)
$$;
REVOKE ALL ON FUNCTION pgrotor_rights.set_replication_role(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgrotor_rights.set_replication_role(text) TO pgrotor;
\endif
-- What is applied carries an origin, so that it is applied once and change data capture can tell it from business.
GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), pg_replication_origin_drop(text), pg_replication_origin_oid(text),
  pg_replication_origin_session_setup(text), pg_replication_origin_session_reset(), pg_replication_origin_session_progress(boolean),
  pg_replication_origin_xact_setup(pg_lsn, timestamptz), pg_replication_origin_progress(text, boolean),
  pg_show_replication_origin_status() TO pgrotor;
COMMIT;
