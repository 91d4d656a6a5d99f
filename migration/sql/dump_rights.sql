-- Who owns a database can dump it whole with pg_dump, schema pgrotor included: reading, nothing else. No secrets are in it. Run by `pgrotor
-- init` and ADD SHARD behind the other scripts, of shards and of the catalog; what is made later gets the same.
GRANT USAGE ON SCHEMA pgrotor TO pg_database_owner;
ALTER DEFAULT PRIVILEGES IN SCHEMA pgrotor GRANT SELECT ON TABLES TO pg_database_owner;
ALTER DEFAULT PRIVILEGES IN SCHEMA pgrotor GRANT SELECT ON SEQUENCES TO pg_database_owner;
DO $$
DECLARE
  one pg_catalog.regclass;
BEGIN
  FOR one IN SELECT c.oid FROM pg_catalog.pg_class c
             WHERE c.relnamespace = 'pgrotor'::pg_catalog.regnamespace AND c.relkind IN ('r', 'S') AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
  LOOP
    EXECUTE pg_catalog.format('GRANT SELECT ON %s TO pg_database_owner', one);
  END LOOP;
END $$;
