-- Sequences of distributed tables: each shard gives out every n-th value, those that leave its own remainder, so that no two shards give the
-- same one (migration/shard/sequences.cc). Run by `pgrotor init` and ADD SHARD after shard_objects.sql; running it again changes nothing.

-- What columns of the tables and of their partitions take values from: owned by them, their identity, or named in their default.
CREATE OR REPLACE FUNCTION pgrotor.sequences_of(relations regclass[]) RETURNS TABLE (place bigint, column_name name, sequence regclass)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH tree AS (SELECT r.place, p.part FROM unnest(relations) WITH ORDINALITY r(relation, place), pgrotor.with_partitions(ARRAY[r.relation]) p(part)),
  used AS (
    SELECT t.place, d.refobjid AS relation, d.refobjsubid AS attnum, d.objid AS sequence
    FROM tree t JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.part AND d.classid = 'pg_class'::regclass
    WHERE d.deptype IN ('a', 'i')
    UNION
    SELECT t.place, f.adrelid, f.adnum, d.refobjid
    FROM tree t JOIN pg_attrdef f ON f.adrelid = t.part
         JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass
  )
  SELECT DISTINCT u.place, a.attname, q.seqrelid::regclass
  FROM used u JOIN pg_sequence q ON q.seqrelid = u.sequence JOIN pg_attribute a ON a.attrelid = u.relation AND a.attnum = u.attnum
$$;

CREATE OR REPLACE FUNCTION pgrotor.is_strided(sequence regclass, remainder bigint, stride bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT q.seqincrement = stride AND mod(coalesce(pg_sequence_last_value(q.seqrelid), q.seqstart) - remainder, stride) = 0
         AND mod(q.seqstart - remainder, stride) = 0
  FROM pg_sequence q WHERE q.seqrelid = sequence
$$;

-- From above `base` and above all that the sequence has given. START too, so that TRUNCATE ... RESTART IDENTITY keeps the remainder. Returns how
-- many values are left.
CREATE OR REPLACE FUNCTION pgrotor.stride_sequence(sequence regclass, remainder bigint, stride bigint, base bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s pg_sequence;
  last bigint;
  first bigint;
  room bigint;
BEGIN
  SELECT q.* INTO s FROM pg_sequence q WHERE q.seqrelid = sequence;
  last := coalesce(pg_sequence_last_value(sequence), s.seqstart - s.seqincrement);
  IF s.seqincrement < 0 OR s.seqcycle THEN
    RAISE EXCEPTION 'sequence % counts down or is CYCLE', sequence USING ERRCODE = '0A000',
      DETAIL = 'Shards would give out the same values.', HINT = format('Run on every shard: ALTER SEQUENCE %s INCREMENT BY 1 NO CYCLE;', sequence);
  END IF;
  first := greatest(greatest(last, base) + 1, s.seqmin);
  first := first + mod(mod(remainder - first, stride) + stride, stride);
  room := s.seqmax / stride - first / stride;  -- not their difference: it may be out of range
  IF room < 10000 THEN
    RAISE EXCEPTION 'sequence % has room for % values only', sequence, greatest(0, room) USING ERRCODE = '0A000',
      DETAIL = format('Each shard gives out every %s-th value, so that no two give the same one; it ends at %s.', stride, s.seqmax),
      HINT = format('Make column and sequence bigint on every shard: ALTER SEQUENCE %s AS bigint;', sequence);
  END IF;
  IF NOT pgrotor.is_strided(sequence, remainder, stride) THEN
    EXECUTE format('ALTER SEQUENCE %s INCREMENT BY %s START WITH %s RESTART', sequence, stride, first);
  END IF;
  RETURN room;
END $$;
COMMENT ON FUNCTION pgrotor.stride_sequence IS 'Lets a sequence give every n-th value with a remainder; changes nothing where it does so already';

-- The same, and its next value is above `base` in any case. Only forward, and nobody draws meanwhile: ALTER SEQUENCE locks it, even without a change.
CREATE OR REPLACE FUNCTION pgrotor.raise_sequence(sequence regclass, remainder bigint, stride bigint, base bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s pg_sequence;
  first bigint;
BEGIN
  EXECUTE format('ALTER SEQUENCE %s INCREMENT BY %s', sequence, (SELECT q.seqincrement FROM pg_sequence q WHERE q.seqrelid = sequence));
  PERFORM pgrotor.stride_sequence(sequence, remainder, stride, base);
  SELECT q.* INTO s FROM pg_sequence q WHERE q.seqrelid = sequence;
  IF coalesce(pg_sequence_last_value(sequence), s.seqstart - stride) >= base THEN
    RETURN;
  END IF;
  first := base + 1 + mod(mod(remainder - base - 1, stride) + stride, stride);
  EXECUTE format('ALTER SEQUENCE %s START WITH %s RESTART', sequence, first);
END $$;
COMMENT ON FUNCTION pgrotor.raise_sequence IS 'Lets a sequence go on above a value, with values of its own shard only';
