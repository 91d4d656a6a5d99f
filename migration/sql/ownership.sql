-- The permanent ownership guard of every shard (migration/shard/ownership.h): one AFTER row trigger on each distributed table. Run by `pgrotor init`
-- and ADD SHARD after shard_objects.sql; running it again changes nothing.

-- Called for a row that must not be stored, by the trigger's WHEN; the trigger's argument is the shard key.
CREATE OR REPLACE FUNCTION pgrotor.not_owned() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'this shard does not own the row of %.% with %', TG_TABLE_SCHEMA, TG_TABLE_NAME,
      format('%s=%s', TG_ARGV[0], coalesce(to_jsonb(NEW)->>TG_ARGV[0], 'null'))
    USING ERRCODE = 'RT001',
          DETAIL = 'No row may be stored on a shard that does not own its placement.',
          HINT = 'Write it through pgrotor, by a statement that names the key as it will be stored: a key that a function or trigger makes up on the shard'
                 ' cannot be routed.',
          SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END $$;
COMMENT ON FUNCTION pgrotor.not_owned IS 'Refuses a row that this shard does not own; called by the ownership guards, triggers ~~pgrotor_owner';

-- `owned` is what the guard's comment says when it is up to date.
CREATE OR REPLACE FUNCTION pgrotor.owner_guard(relation regclass, owned text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT CASE WHEN count(t.oid) < count(*) THEN 'missing'
                      WHEN bool_and(t.tgenabled = 'D') THEN 'off'
                      WHEN bool_or(t.tgenabled <> 'A') THEN 'weakened'
                      WHEN bool_or(r.part = relation AND obj_description(t.oid, 'pg_trigger') IS DISTINCT FROM owned) THEN 'outdated'
                      ELSE 'on' END
          FROM pgrotor.with_partitions(ARRAY[relation]) AS r(part)
               LEFT JOIN pg_trigger t ON t.tgrelid = r.part AND t.tgname = '~~pgrotor_owner' AND t.tgfoid = 'pgrotor.not_owned'::regproc);
END $$;
COMMENT ON FUNCTION pgrotor.owner_guard IS 'State of the ownership guard on a table and its partitions: on, off (disabled), missing, weakened (not ENABLE ALWAYS everywhere), outdated';

-- AFTER, so that it sees the row as all BEFORE triggers leave it and costs neither a row lock nor COPY its batches. `elsewhere` is true over NEW
-- for a row that this shard does not own. `wish`: on, off, or keep, by which a guard that was switched off stays so.
CREATE OR REPLACE FUNCTION pgrotor.set_owner_guard(relation regclass, key text, elsewhere text, owned text, wish text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found text := pgrotor.owner_guard(relation, owned);
BEGIN
  IF found = wish OR wish = 'keep' AND found IN ('on', 'off') THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE OR REPLACE TRIGGER "~~pgrotor_owner" AFTER INSERT OR UPDATE ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION pgrotor.not_owned(%L)',
                 relation, elsewhere, key);
  EXECUTE format('COMMENT ON TRIGGER "~~pgrotor_owner" ON %s IS %L', relation, owned);
  EXECUTE format('ALTER TABLE %s %s TRIGGER "~~pgrotor_owner"', relation, CASE wish WHEN 'off' THEN 'DISABLE' ELSE 'ENABLE ALWAYS' END);
END $$;
COMMENT ON FUNCTION pgrotor.set_owner_guard IS 'Makes or replaces the ownership guard of a table; takes no lock where it stands as wished';
