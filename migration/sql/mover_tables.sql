-- Durable progress of the mover on the target shard, written in the same transaction as the rows it speaks of. With the progress of
-- the replication origin it is all that a new mover needs to go on. Run with shard_objects.sql, idempotent.
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
