-- The first that every `pgrotor init` and ADD SHARD runs in a database. The one table whose shape never changes: by it builds of all
-- versions know each other (migration/catalog/schema_version.h). A database may be a catalog and a shard.
CREATE SCHEMA IF NOT EXISTS pgrotor;
CREATE TABLE IF NOT EXISTS pgrotor.versions (
  part text PRIMARY KEY CHECK (part IN ('catalog', 'shard')),
  version integer NOT NULL CHECK (version > 0),
  build text NOT NULL,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE pgrotor.versions IS 'Versions of what pgrotor has made in this schema: of the catalog, of the shard';
COMMENT ON COLUMN pgrotor.versions.build IS 'The pgrotor that has made it, or has been the last to make its functions anew';
