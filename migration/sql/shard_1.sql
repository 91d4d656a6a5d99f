-- Step 1 of a shard (migration/catalog/schema_version.h): its tables, from nothing or from what builds without versions have made. Never
-- edited again: what comes later is a step of its own.

-- Which shard it is (identity.sql).
CREATE TABLE IF NOT EXISTS pgrotor.identity (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  cluster uuid NOT NULL,
  catalog text,
  shard integer NOT NULL,
  name text NOT NULL,
  place text,
  epoch bigint NOT NULL DEFAULT 0,
  process text NOT NULL DEFAULT '',
  entered_at timestamptz
);
COMMENT ON TABLE pgrotor.identity IS 'The shard that this database is. To use it for another cluster: DELETE FROM pgrotor.identity';
COMMENT ON COLUMN pgrotor.identity.place IS 'Of this database as its shard (pgrotor.place); NULL: taken from where it is found next';

-- As unlogged as what it lists: after a crash there are no sessions.
CREATE UNLOGGED TABLE IF NOT EXISTS pgrotor.servers (pid integer PRIMARY KEY, since timestamptz NOT NULL, process text NOT NULL);
COMMENT ON TABLE pgrotor.servers IS 'Sessions of clients that pgrotor has opened here, some of which may be gone';

-- Durable progress of the mover on the target shard, written in the same transaction as the rows it speaks of. With the progress of
-- the replication origin it is all that a new mover needs to go on.
CREATE TABLE IF NOT EXISTS pgrotor.chunks (
  migration  pg_catalog.int8   NOT NULL,
  table_no   pg_catalog.int4   NOT NULL,  -- place in the migration's list of tables
  chunk_no   pg_catalog.int4   NOT NULL,
  lower_text pg_catalog.text[],           -- the slice (lower, upper] of the primary key's leading columns; NULL is unbounded
  upper_text pg_catalog.text[],
  lower_key  pg_catalog.bytea,            -- the same in the mover's byte order (migration/mover/key_order.h)
  upper_key  pg_catalog.bytea,
  snapshot   pg_catalog.text   NOT NULL,  -- pg_snapshot on the source under which the rows were read
  high_lsn   pg_catalog.pg_lsn NOT NULL,  -- WAL insert position of the source after the read
  rows       pg_catalog.int8   NOT NULL,
  bytes      pg_catalog.int8   NOT NULL,
  scanned    pg_catalog.int8   NOT NULL,  -- rows of the slice, moving or not, as far as known
  PRIMARY KEY (migration, table_no, chunk_no)
);

CREATE TABLE IF NOT EXISTS pgrotor.progress (
  migration  pg_catalog.int8   PRIMARY KEY,
  hold_floor pg_catalog.pg_lsn NOT NULL,  -- as of the last loaded chunk: a restart needs the stream from here on
  updated_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

-- Two-phase commit decided by the last participant (two_phase.sql).
CREATE TABLE IF NOT EXISTS pgrotor.decisions (
  uuid uuid NOT NULL,
  owner regrole NOT NULL,
  verdict text NOT NULL CHECK (verdict IN ('commit', 'abort')),
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  decided timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (uuid, owner)  -- where a publication is of all tables, the purge's DELETE needs one
);
COMMENT ON TABLE pgrotor.decisions IS 'Verdicts on transactions over several shards which this one decides, until no shard has them prepared any more';
COMMENT ON COLUMN pgrotor.decisions.owner IS 'Of the prepared transactions (pg_prepared_xacts.owner); by number, which a renamed role keeps';
