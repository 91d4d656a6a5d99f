-- Functions of the catalog: the truth about maps and migrations (migration/catalog/catalog.h). Run by `pgrotor init` behind the steps that
-- make its tables (catalog_1.sql), as the role that deploy/catalog_rights.sql made; running it again changes nothing. The database may be
-- a shard as well (shard_objects.sql).

-- NULL where pgrotor's role may not know. A promoted standby keeps both numbers, a copy that was restored has others.
CREATE OR REPLACE FUNCTION pgrotor.place() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT has_function_privilege('pg_control_system()', 'EXECUTE') THEN
    RETURN NULL;
  END IF;
  RETURN (SELECT format('%s/%s', c.system_identifier, d.oid) FROM pg_control_system() c, pg_database d WHERE d.datname = current_database());
END $$;
COMMENT ON FUNCTION pgrotor.place IS 'System identifier of the server and OID of this database';

CREATE OR REPLACE FUNCTION pgrotor.check_catalog(OUT cluster uuid, OUT place text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  here text := pgrotor.place();
BEGIN
  UPDATE pgrotor.cluster c SET place = here WHERE c.place IS NULL;
  SELECT c.id, c.place INTO cluster, place FROM pgrotor.cluster c;
  IF place <> here THEN
    RAISE EXCEPTION 'this database is a copy of the catalog of cluster %', cluster USING ERRCODE = 'RT020',
      DETAIL = format('That catalog is in database %s, this is database %s (system identifier/OID).', place, here),
      HINT = 'If the catalog has moved here for good, run in this database: UPDATE pgrotor.cluster SET place = NULL; and then pgrotor init.';
  END IF;
END $$;
COMMENT ON FUNCTION pgrotor.check_catalog IS 'Which cluster this is the catalog of; fails in a copy of it that was restored elsewhere';

-- `version`: that the caller works with. Under the lock: an upgrade is a term of its own, so that either of the two comes first.
CREATE OR REPLACE FUNCTION pgrotor.begin_term(predecessor text, gone boolean, process text, holder text, duration interval,
                                              version integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  before pgrotor.lease;
  begun bigint;
BEGIN
  SELECT * INTO before FROM pgrotor.lease FOR UPDATE;
  IF NOT EXISTS (SELECT FROM pgrotor.versions v WHERE v.part = 'catalog' AND v.version = begin_term.version) THEN
    RAISE EXCEPTION 'schema pgrotor has got another version meanwhile' USING ERRCODE = 'RT022', HINT = 'Try again.';
  END IF;
  IF NOT (before.process = begin_term.process OR before.until IS NULL OR before.until <= clock_timestamp()
          OR gone AND before.process = predecessor) THEN
    RETURN NULL;
  END IF;
  UPDATE pgrotor.lease l SET process = begin_term.process, holder = begin_term.holder, until = clock_timestamp() + duration;
  UPDATE pgrotor.coordinator c SET epoch = c.epoch + 1, started_at = clock_timestamp() RETURNING c.epoch INTO begun;
  RETURN begun;
END $$;
COMMENT ON FUNCTION pgrotor.begin_term(text, boolean, text, text, interval, integer) IS
  'The new epoch; NULL while the lease of another process runs that is not known to be gone';

CREATE OR REPLACE FUNCTION pgrotor.renew_term(process text, duration interval) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE pgrotor.lease l SET until = clock_timestamp() + duration WHERE l.process = renew_term.process;
  RETURN FOUND;
END $$;
COMMENT ON FUNCTION pgrotor.renew_term IS 'False: another process has begun a term. Also after the lease has run out: nobody else has come';

CREATE OR REPLACE FUNCTION pgrotor.end_term(process text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE pgrotor.lease SET until = NULL WHERE process = end_term.process
$$;

-- Errors between these functions and migration/catalog/catalog.cc: RT010 another term has begun, RT011 the row is not in the expected state,
-- RT012 the source does not own what it gives away.
CREATE OR REPLACE FUNCTION pgrotor.hold_epoch(mine bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM pgrotor.coordinator c WHERE c.epoch = mine FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the term of epoch % is over', mine USING ERRCODE = 'RT010',
      DETAIL = format('The catalog holds epoch %s.', (SELECT c.epoch FROM pgrotor.coordinator c));
  END IF;
END $$;
COMMENT ON FUNCTION pgrotor.hold_epoch IS 'Fails unless the term is still this one; it cannot end before the transaction does';

CREATE OR REPLACE FUNCTION pgrotor.write_map(map jsonb, checksum text, reason text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  newest bigint := 0;
  newest_schema bigint := -1;
BEGIN
  SELECT m.generation, m.schema_version INTO newest, newest_schema FROM pgrotor.maps m ORDER BY m.generation DESC LIMIT 1;
  IF (map->>'generation')::bigint <> coalesce(newest, 0) + 1 THEN
    RAISE EXCEPTION 'generation % does not follow the newest one, %', map->>'generation', coalesce(newest, 0) USING ERRCODE = 'RT011';
  END IF;
  INSERT INTO pgrotor.maps (generation, schema_version, default_shard, checksum, reason)
    VALUES ((map->>'generation')::bigint, (map->>'schema_version')::bigint, (map->>'default_shard')::integer, write_map.checksum,
            write_map.reason);
  INSERT INTO pgrotor.ranges (generation, distribution, lower, upper, owner)
    SELECT (map->>'generation')::bigint, r.distribution, r.lower, r.upper, r.owner
    FROM jsonb_to_recordset(map->'ranges') AS r(distribution integer, lower bigint, upper bigint, owner integer);
  PERFORM setval('pgrotor.shard_number', n.highest)
    FROM (SELECT max(id) AS highest FROM jsonb_to_recordset(map->'shards') AS n(id integer)) n, pgrotor.shard_number AS given
    WHERE n.highest > CASE WHEN given.is_called THEN given.last_value ELSE 0 END;
  DELETE FROM pgrotor.shards s WHERE s.id NOT IN (SELECT n.id FROM jsonb_to_recordset(map->'shards') AS n(id integer));
  INSERT INTO pgrotor.shards AS s (id, name, dsn, state)
    SELECT n.id, n.name, n.dsn, n.state FROM jsonb_to_recordset(map->'shards') AS n(id integer, name text, dsn text, state text)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, dsn = excluded.dsn, state = excluded.state
    WHERE (s.name, s.dsn, s.state) IS DISTINCT FROM (excluded.name, excluded.dsn, excluded.state);
  IF (map->>'schema_version')::bigint IS DISTINCT FROM newest_schema THEN
    PERFORM pgrotor.write_schema(map);
  END IF;
END $$;
COMMENT ON FUNCTION pgrotor.write_map IS 'Adds generation N+1; tables and distributions are written only when the schema version changed';

CREATE OR REPLACE FUNCTION pgrotor.write_schema(map jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM pgrotor.tables;
  DELETE FROM pgrotor.distributions;
  DELETE FROM pgrotor.dependent_views;
  DELETE FROM pgrotor.hidden_access;
  INSERT INTO pgrotor.distributions (id, name, key_type)
    SELECT d.id, d.name, d.key_type FROM jsonb_to_recordset(map->'distributions') AS d(id integer, name text, key_type text);
  INSERT INTO pgrotor.tables (schema_name, table_name, distribution, key_column, key_type_oid, columns)
    SELECT t.schema_name, t.table_name, t.distribution, t.key_column, t.key_type_oid,
           ARRAY(SELECT c.name FROM jsonb_array_elements_text(t.columns) WITH ORDINALITY AS c(name, place) ORDER BY c.place)
    FROM jsonb_to_recordset(map->'tables')
      AS t(schema_name text, table_name text, distribution integer, key_column text, key_type_oid bigint, columns jsonb);
  INSERT INTO pgrotor.dependent_views (name) SELECT v.name FROM jsonb_array_elements_text(map->'dependent_views') AS v(name);
  INSERT INTO pgrotor.hidden_access (how, schema_name, object_name, sharded, what)
    SELECT h.how, h.schema_name, h.object_name, h.sharded, h.what
    FROM jsonb_to_recordset(coalesce(map->'hidden', '[]')) AS h(how text, schema_name text, object_name text, sharded boolean, what text);
END $$;

CREATE OR REPLACE FUNCTION pgrotor.advance(mine bigint, migration bigint, from_state text, new jsonb, entry jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM pgrotor.hold_epoch(mine);
  UPDATE pgrotor.migrations m
    SET state = new->>'state', resume_to = new->>'resume_to', epoch = mine, attempt = (new->>'attempt')::bigint, error = new->>'error',
        sqlstate = coalesce(new->>'sqlstate', ''), rows_compared = (new->>'rows_compared')::bigint, rows_differing = (new->>'rows_differing')::bigint,
        pause_us = (new->>'pause_us')::bigint, changed_at = clock_timestamp()
    WHERE m.id = advance.migration AND m.state = from_state AND m.epoch <= mine;
  IF NOT FOUND AND advance.migration > 0 THEN  -- number 0 is a rehearsal (pgrotor.commit_switch)
    RAISE EXCEPTION 'migration % is not in state %', advance.migration, from_state USING ERRCODE = 'RT011';
  END IF;
  PERFORM pgrotor.write_journal(advance.migration, jsonb_build_array(entry));
END $$;
COMMENT ON FUNCTION pgrotor.advance IS 'One step of a migration with its journal entry: compare-and-set on epoch and state';

CREATE OR REPLACE FUNCTION pgrotor.write_journal(migration bigint, entries jsonb) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO pgrotor.journal (migration, from_state, to_state, step, attempt, elapsed_us, note)
    SELECT m.id, e.from_state, e.to_state, e.step, e.attempt, e.elapsed_us, e.note
    FROM pgrotor.migrations m,
         jsonb_to_recordset(entries) AS e(from_state text, to_state text, step text, attempt bigint, elapsed_us bigint, note text)
    WHERE m.id = write_journal.migration
$$;

CREATE OR REPLACE FUNCTION pgrotor.refuse_unless_owned(migration bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  space_end CONSTANT numeric := 9223372036854775808;
  newest bigint := (SELECT max(m.generation) FROM pgrotor.maps m);
  strange text;
BEGIN
  SELECT format('[%s, %s)', r.lower, r.upper) INTO strange
    FROM pgrotor.migrations m JOIN pgrotor.migration_ranges r ON r.migration = m.id
    WHERE m.id = refuse_unless_owned.migration AND coalesce(r.upper, space_end) - r.lower IS DISTINCT FROM (
      SELECT sum(least(coalesce(o.upper, space_end), coalesce(r.upper, space_end)) - greatest(o.lower, r.lower))
      FROM pgrotor.ranges o
      WHERE o.generation = newest AND o.distribution = m.distribution AND o.owner = m.source
        AND o.lower < coalesce(r.upper, space_end) AND r.lower < coalesce(o.upper, space_end))
    LIMIT 1;
  IF strange IS NOT NULL THEN
    RAISE EXCEPTION 'the source of migration % does not own all of %', refuse_unless_owned.migration, strange USING ERRCODE = 'RT012',
      DETAIL = format('Generation %s is the newest.', newest);
  END IF;
END $$;
COMMENT ON FUNCTION pgrotor.refuse_unless_owned IS 'Fails unless the source owns every range of the moving set under the newest map';

CREATE OR REPLACE FUNCTION pgrotor.commit_switch(mine bigint, migration bigint, new jsonb, entry jsonb, map jsonb, checksum text, reason text)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM pgrotor.advance(mine, commit_switch.migration, 'CUTTING_OVER', new, entry);
  PERFORM pgrotor.refuse_unless_owned(commit_switch.migration);
  PERFORM pgrotor.write_map(map, checksum, reason);
END $$;
COMMENT ON FUNCTION pgrotor.commit_switch IS 'The commit point of a cutover: map N+1 and SWITCHED. Migration 0, rolled back, is a rehearsal';

CREATE OR REPLACE FUNCTION pgrotor.insert_job(mine bigint, job bigint, new jsonb, map jsonb, checksum text, reason text,
                                              OUT place bigint, OUT id bigint)
RETURNS SETOF record
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  migration jsonb;
BEGIN
  PERFORM pgrotor.hold_epoch(mine);
  IF map IS NOT NULL THEN
    PERFORM pgrotor.write_map(map, checksum, reason);
  END IF;
  FOR migration, place IN SELECT e.value, e.ordinality FROM jsonb_array_elements(new) WITH ORDINALITY e ORDER BY e.ordinality LOOP
    INSERT INTO pgrotor.migrations AS m (job, kind, distribution, source, target, strategy, transport, max_rate, max_pause_ms, auto_cutover,
                                         state, epoch)
      SELECT insert_job.job, n.kind, n.distribution, n.source, n.target, n.strategy, n.transport, n.max_rate, n.max_pause_ms,
             n.auto_cutover, n.state, mine
      FROM jsonb_to_record(migration) AS n(kind text, distribution integer, source integer, target integer, strategy text, transport text,
                                           max_rate bigint, max_pause_ms bigint, auto_cutover boolean, state text)
      RETURNING m.id INTO insert_job.id;
    INSERT INTO pgrotor.migration_ranges (migration, lower, upper)
      SELECT insert_job.id, r.lower, r.upper FROM jsonb_to_recordset(migration->'ranges') AS r(lower bigint, upper bigint);
    RETURN NEXT;
  END LOOP;
END $$;
COMMENT ON FUNCTION pgrotor.insert_job IS 'The migrations of one job with their moving sets and the map that goes with them, all or none';

CREATE OR REPLACE FUNCTION pgrotor.write_ledger(mine bigint, migration bigint, entries jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM pgrotor.hold_epoch(mine);
  INSERT INTO pgrotor.ledger (migration, shard, kind, name)
    SELECT write_ledger.migration, e.shard, e.kind, e.name FROM jsonb_to_recordset(entries) AS e(shard integer, kind text, name text)
    ON CONFLICT DO NOTHING;
END $$;

CREATE OR REPLACE FUNCTION pgrotor.strike_ledger(mine bigint, migration bigint, shard integer, kind text, name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM pgrotor.hold_epoch(mine);
  DELETE FROM pgrotor.ledger l
    WHERE l.migration = strike_ledger.migration AND l.shard = strike_ledger.shard AND l.kind = strike_ledger.kind AND l.name = strike_ledger.name;
END $$;

CREATE OR REPLACE FUNCTION pgrotor.save_map(mine bigint, map jsonb, checksum text, reason text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM pgrotor.hold_epoch(mine);
  PERFORM pgrotor.write_map(map, checksum, reason);
END $$;
