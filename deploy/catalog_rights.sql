-- The rights that pgrotor needs on the database of its catalog. A DBA runs this once, as superuser, in that database; where the
-- catalog lies on a shard, shard_rights.sql gives them already.
--
--   psql -v password='...' -f deploy/catalog_rights.sql 'host=c1 dbname=pgrotor'
--
-- password  what pgrotor logs in with; a SCRAM verifier (SCRAM-SHA-256$4096:...) is taken as it is
\set ON_ERROR_STOP on
\if :{?password}
\else
  \echo 'catalog_rights.sql: -v password=<password or SCRAM verifier> is missing'
  \quit
\endif
BEGIN;
SELECT 'CREATE ROLE pgrotor' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgrotor') \gexec
ALTER ROLE pgrotor LOGIN NOSUPERUSER PASSWORD :'password';
-- Schema pgrotor.
SELECT format('GRANT CONNECT, CREATE ON DATABASE %I TO pgrotor', current_database()) \gexec
COMMIT;
