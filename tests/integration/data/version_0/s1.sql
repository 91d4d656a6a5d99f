SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA pgrotor;
ALTER SCHEMA pgrotor OWNER TO pgrotor;
CREATE FUNCTION pgrotor.add_guard(moving_set integer, relation regclass, in_old text, in_new text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  prefix text := format('~~pgrotor_%s_', moving_set);
  guard text := format('EXECUTE FUNCTION pgrotor.guard_%s()', moving_set);
  part regclass;
  kind text;
BEGIN
  IF pgrotor.guard_gaps(moving_set, ARRAY[relation]) IS NULL THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE INSERT ON %s FOR EACH ROW WHEN (%s) %s', prefix || 'ins', relation, in_new, guard);
  EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE UPDATE ON %s FOR EACH ROW WHEN (%s OR %s) %s', prefix || 'upd', relation, in_old, in_new,
                 guard);
  EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE DELETE ON %s FOR EACH ROW WHEN (%s) %s', prefix || 'del', relation, in_old, guard);
  FOREACH kind IN ARRAY '{ins,upd,del}'::text[] LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', relation, prefix || kind);
  END LOOP;
  FOR part IN SELECT pgrotor.with_partitions(ARRAY[relation]) LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE TRUNCATE ON %s FOR EACH STATEMENT %s', prefix || 'trunc', part, guard);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', part, prefix || 'trunc');
  END LOOP;
END $$;
ALTER FUNCTION pgrotor.add_guard(moving_set integer, relation regclass, in_old text, in_new text) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.admit(cluster uuid, catalog text, shard integer, epoch bigint, process text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  i pgrotor.identity;
BEGIN
  IF pg_is_in_recovery() THEN
    SELECT * INTO i FROM pgrotor.identity;
  ELSE
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO i FROM pgrotor.identity FOR SHARE;
  END IF;
  PERFORM pgrotor.check_identity(i, admit.cluster, admit.catalog, admit.shard);
  PERFORM pgrotor.check_term(i, admit.epoch, admit.process);
  IF pg_is_in_recovery() THEN
    RETURN;
  END IF;
  INSERT INTO pgrotor.servers (pid, since, process)
    SELECT a.pid, a.backend_start, admit.process FROM pg_stat_get_activity(pg_backend_pid()) a
    ON CONFLICT (pid) DO UPDATE SET since = excluded.since, process = excluded.process;
  IF random() < 0.01 THEN
    DELETE FROM pgrotor.servers s WHERE NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = s.pid AND a.backend_start = s.since);
  END IF;
END $$;
ALTER FUNCTION pgrotor.admit(cluster uuid, catalog text, shard integer, epoch bigint, process text) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.admit(cluster uuid, catalog text, shard integer, epoch bigint, process text) IS 'Fails unless this is that shard and no later term has begun; notes the session';
CREATE FUNCTION pgrotor.advance(mine bigint, migration bigint, from_state text, new jsonb, entry jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION pgrotor.advance(mine bigint, migration bigint, from_state text, new jsonb, entry jsonb) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.advance(mine bigint, migration bigint, from_state text, new jsonb, entry jsonb) IS 'One step of a migration with its journal entry: compare-and-set on epoch and state';
CREATE FUNCTION pgrotor.advisory_locks() RETURNS TABLE(key bigint, pid integer, virtualtransaction text, mode text, granted boolean)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT l.classid::bigint << 32 | l.objid::bigint, l.pid, l.virtualtransaction, l.mode, l.granted FROM pg_locks l
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
$$;
ALTER FUNCTION pgrotor.advisory_locks() OWNER TO pgrotor;
CREATE FUNCTION pgrotor.begin_fence(moving_set integer, relations regclass[], expected text, guarded boolean, OUT outcome text, OUT note text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  relation regclass;
BEGIN
  FOR relation IN SELECT r FROM pgrotor.with_partitions(relations) r JOIN pg_class c ON c.oid = r WHERE c.relkind = 'p' LOOP
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', relation);
  END LOOP;
  FOREACH relation IN ARRAY relations LOOP
    EXECUTE format('LOCK TABLE %s IN ROW EXCLUSIVE MODE', relation);
  END LOOP;
  outcome := 'done';
  IF guarded THEN
    note := pgrotor.guard_gaps(moving_set, relations);
    IF note IS NOT NULL THEN
      outcome := 'guard_missing';
      RETURN;
    END IF;
  END IF;
  IF pgrotor.fingerprint(relations) IS DISTINCT FROM expected THEN
    outcome := 'ddl_changed';
    note := format('a definition of %s has changed since PREPARE', array_to_string(relations, ', '));
  END IF;
END $$;
ALTER FUNCTION pgrotor.begin_fence(moving_set integer, relations regclass[], expected text, guarded boolean, OUT outcome text, OUT note text) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.begin_term(predecessor text, gone boolean, process text, holder text, duration interval) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  before pgrotor.lease;
  begun bigint;
BEGIN
  SELECT * INTO before FROM pgrotor.lease FOR UPDATE;
  IF NOT (before.process = begin_term.process OR before.until IS NULL OR before.until <= clock_timestamp()
          OR gone AND before.process = predecessor) THEN
    RETURN NULL;
  END IF;
  UPDATE pgrotor.lease l SET process = begin_term.process, holder = begin_term.holder, until = clock_timestamp() + duration;
  UPDATE pgrotor.coordinator c SET epoch = c.epoch + 1, started_at = clock_timestamp() RETURNING c.epoch INTO begun;
  RETURN begun;
END $$;
ALTER FUNCTION pgrotor.begin_term(predecessor text, gone boolean, process text, holder text, duration interval) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.begin_term(predecessor text, gone boolean, process text, holder text, duration interval) IS 'The new epoch; NULL while the lease of another process runs that is not known to be gone';
CREATE FUNCTION pgrotor.blockers(moving_set integer, relations regclass[], older_than interval, readers boolean) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  WITH held AS (
    SELECT l.pid, l.virtualtransaction FROM pg_locks l
    WHERE l.granted AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AND l.locktype = 'relation'
      AND l.relation IN (SELECT r::oid FROM pgrotor.with_partitions(relations) r) AND (readers OR l.mode <> 'AccessShareLock')
    UNION
    SELECT l.pid, l.virtualtransaction FROM pgrotor.advisory_locks() l WHERE l.granted AND l.key = pgrotor.lock_key(moving_set)
  ), named AS (
    SELECT a.xact_start AS since,
           format('pid %s (%s, %s for %s s%s)', a.pid, coalesce(nullif(a.application_name, ''), a.usename, 'unknown'), a.state,
                  greatest(0, round(extract(epoch FROM clock_timestamp() - coalesce(a.state_change, a.xact_start)))),
                  CASE WHEN a.wait_event_type = 'Lock' THEN ', waits for pid ' || array_to_string(pg_blocking_pids(a.pid), ', ') ELSE '' END) AS who
    FROM held JOIN pg_stat_activity a ON a.pid = held.pid
    WHERE a.pid <> pg_backend_pid() AND (readers OR a.usename <> session_user) AND a.xact_start <= clock_timestamp() - older_than
    UNION ALL
    SELECT p.prepared, format('prepared transaction %L of %s, prepared %s s ago', p.gid, p.owner,
                              greatest(0, round(extract(epoch FROM clock_timestamp() - p.prepared))))
    FROM held JOIN pg_locks x ON x.virtualtransaction = held.virtualtransaction AND x.pid IS NULL AND x.locktype = 'transactionid'
         JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
    WHERE held.pid IS NULL AND p.prepared <= clock_timestamp() - older_than
  )
  SELECT string_agg(who, ', ' ORDER BY since, who) FROM (SELECT DISTINCT since, who FROM named) n
$$;
ALTER FUNCTION pgrotor.blockers(moving_set integer, relations regclass[], older_than interval, readers boolean) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.check_catalog(OUT cluster uuid, OUT place text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION pgrotor.check_catalog(OUT cluster uuid, OUT place text) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.check_catalog(OUT cluster uuid, OUT place text) IS 'Which cluster this is the catalog of; fails in a copy of it that was restored elsewhere';
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE pgrotor.identity (
    only_row boolean DEFAULT true NOT NULL,
    cluster uuid NOT NULL,
    catalog text,
    shard integer NOT NULL,
    name text NOT NULL,
    place text,
    epoch bigint DEFAULT 0 NOT NULL,
    process text DEFAULT ''::text NOT NULL,
    entered_at timestamp with time zone,
    CONSTRAINT identity_only_row_check CHECK (only_row)
);
ALTER TABLE pgrotor.identity OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.identity IS 'The shard that this database is. To use it for another cluster: DELETE FROM pgrotor.identity';
COMMENT ON COLUMN pgrotor.identity.place IS 'Of this database as its shard (pgrotor.place); NULL: taken from where it is found next';
CREATE FUNCTION pgrotor.check_identity(i pgrotor.identity, cluster uuid, catalog text, shard integer) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  here text := pgrotor.place();
BEGIN
  IF i.cluster IS NULL THEN
    RAISE EXCEPTION 'this database is no shard' USING ERRCODE = 'RT020', HINT = 'Correct the dsn; a shard is made by ADD SHARD and `pgrotor init`.';
  ELSIF i.cluster <> check_identity.cluster THEN
    RAISE EXCEPTION 'this database is shard % (%) of another cluster', i.name, i.shard USING ERRCODE = 'RT020',
      DETAIL = format('It belongs to cluster %s, not to %s.', i.cluster, check_identity.cluster),
      HINT = 'Correct the dsn. If that cluster is given up, run in this database: DELETE FROM pgrotor.identity; and then pgrotor init.';
  ELSIF i.shard <> check_identity.shard THEN
    RAISE EXCEPTION 'this database is shard % (%), not shard number %', i.name, i.shard, check_identity.shard USING ERRCODE = 'RT020',
      DETAIL = 'One database cannot be two shards.', HINT = 'Correct the dsn.';
  ELSIF i.catalog <> check_identity.catalog THEN
    RAISE EXCEPTION 'shard % belongs to a catalog elsewhere', i.name USING ERRCODE = 'RT020',
      DETAIL = format('Its catalog is in database %s, not in %s (system identifier/OID).', i.catalog, check_identity.catalog),
      HINT = 'If the catalog has moved for good, run pgrotor init.';
  ELSIF i.place <> here THEN
    RAISE EXCEPTION 'this database is a copy of shard % (%)', i.name, i.shard USING ERRCODE = 'RT020',
      DETAIL = format('That shard is database %s, this is database %s (system identifier/OID).', i.place, here),
      HINT = 'If it takes the place of the shard for good, run in this database: UPDATE pgrotor.identity SET place = NULL;';
  END IF;
END $$;
ALTER FUNCTION pgrotor.check_identity(i pgrotor.identity, cluster uuid, catalog text, shard integer) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.check_term(i pgrotor.identity, epoch bigint, process text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF i.epoch > check_term.epoch AND i.process <> check_term.process THEN
    RAISE EXCEPTION 'shard % serves a later term of another pgrotor', i.name USING ERRCODE = 'RT021',
      DETAIL = format('Term %s has begun here at %s, yours is %s.', i.epoch, i.entered_at, check_term.epoch),
      HINT = 'Another pgrotor has taken over, or this one was given an older copy of the catalog.';
  END IF;
END $$;
ALTER FUNCTION pgrotor.check_term(i pgrotor.identity, epoch bigint, process text) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.claim(cluster uuid, catalog text, shard integer, name text, taken integer[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
  i pgrotor.identity;
BEGIN
  INSERT INTO pgrotor.identity (cluster, catalog, shard, name, place)
    VALUES (claim.cluster, claim.catalog, claim.shard, claim.name, pgrotor.place()) ON CONFLICT DO NOTHING;
  SELECT * INTO i FROM pgrotor.identity FOR UPDATE;
  IF i.cluster = claim.cluster THEN
    i.catalog := claim.catalog;
    IF i.shard <> ALL (taken) THEN
      i.shard := claim.shard;
    END IF;
  END IF;
  PERFORM pgrotor.check_identity(i, claim.cluster, claim.catalog, claim.shard);
  UPDATE pgrotor.identity u SET catalog = claim.catalog, shard = claim.shard, name = claim.name, place = coalesce(u.place, pgrotor.place());
END $$;
ALTER FUNCTION pgrotor.claim(cluster uuid, catalog text, shard integer, name text, taken integer[]) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.claim(cluster uuid, catalog text, shard integer, name text, taken integer[]) IS 'Makes this database that shard; fails when it is another one, or of another cluster';
CREATE FUNCTION pgrotor.commit_switch(mine bigint, migration bigint, new jsonb, entry jsonb, map jsonb, checksum text, reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM pgrotor.advance(mine, commit_switch.migration, 'CUTTING_OVER', new, entry);
  PERFORM pgrotor.refuse_unless_owned(commit_switch.migration);
  PERFORM pgrotor.write_map(map, checksum, reason);
END $$;
ALTER FUNCTION pgrotor.commit_switch(mine bigint, migration bigint, new jsonb, entry jsonb, map jsonb, checksum text, reason text) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.commit_switch(mine bigint, migration bigint, new jsonb, entry jsonb, map jsonb, checksum text, reason text) IS 'The commit point of a cutover: map N+1 and SWITCHED. Migration 0, rolled back, is a rehearsal';
CREATE FUNCTION pgrotor.end_term(process text) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  UPDATE pgrotor.lease SET until = NULL WHERE process = end_term.process
$$;
ALTER FUNCTION pgrotor.end_term(process text) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.enter(cluster uuid, catalog text, shard integer, epoch bigint, process text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  i pgrotor.identity;
  left_over text;
  ended boolean;
  until timestamptz := clock_timestamp() + interval '5 s';
BEGIN
  SELECT * INTO i FROM pgrotor.identity;
  PERFORM pgrotor.check_identity(i, enter.cluster, enter.catalog, enter.shard);
  PERFORM pgrotor.check_term(i, enter.epoch, enter.process);
  IF i.process = enter.process AND i.epoch >= enter.epoch OR pg_is_in_recovery() THEN
    RETURN;
  END IF;
  SELECT * INTO i FROM pgrotor.identity FOR UPDATE;
  PERFORM pgrotor.check_term(i, enter.epoch, enter.process);
  UPDATE pgrotor.identity u SET epoch = greatest(u.epoch, enter.epoch), process = enter.process, place = coalesce(u.place, pgrotor.place()),
                                entered_at = clock_timestamp();
  LOOP
    EXIT WHEN i.process = enter.process;
    PERFORM pg_stat_clear_snapshot();
    SELECT string_agg(format('pid %s (%s)', a.pid, a.usename), ', '), bool_and(a.asked) INTO left_over, ended
      FROM (SELECT b.pid, b.usename, pg_terminate_backend(b.pid) AS asked
            FROM pg_stat_activity b LEFT JOIN pgrotor.servers s ON s.pid = b.pid AND s.since = b.backend_start
            WHERE b.datname = current_database() AND b.pid <> pg_backend_pid()
              AND (s.process <> enter.process
                   OR b.usename = session_user AND b.application_name ~ '^pgrotor (coordinator|(apply|copy|stream|poll) [0-9]+) '
                      AND b.application_name !~ (' ' || enter.process || '$'))) a;
    EXIT WHEN left_over IS NULL;
    IF clock_timestamp() > until THEN
      RAISE EXCEPTION 'sessions of an earlier pgrotor do not end: %', left_over USING ERRCODE = 'RT021',
        HINT = 'End that pgrotor or these sessions.';
    END IF;
    PERFORM pg_sleep(0.01);
  END LOOP;
  DELETE FROM pgrotor.servers s WHERE s.process <> enter.process;
END $_$;
ALTER FUNCTION pgrotor.enter(cluster uuid, catalog text, shard integer, epoch bigint, process text) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.enter(cluster uuid, catalog text, shard integer, epoch bigint, process text) IS 'Begins a term on this shard: the epoch first, then the end of all sessions of the process before';
CREATE FUNCTION pgrotor.fence(moving_set integer, value bigint, token text, exclusive boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF exclusive THEN
    PERFORM pg_advisory_xact_lock(pgrotor.lock_key(moving_set));
  END IF;
  IF NOT pgrotor.set_register(moving_set, value) THEN
    RAISE EXCEPTION 'the register of set % already holds this value or a greater one', moving_set USING ERRCODE = '55000',
      DETAIL = format('Asked for was %s (epoch %s).', value, value >> 32);
  END IF;
  PERFORM pg_logical_emit_message(true, 'pgrotor', token);
END $$;
ALTER FUNCTION pgrotor.fence(moving_set integer, value bigint, token text, exclusive boolean) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.fingerprint(relations regclass[]) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
  RETURN (WITH moving AS (SELECT r::oid AS id FROM pgrotor.with_partitions(relations) r), facts AS (
    SELECT format('t %s %s %s %s %s %s %s %s', c.oid, c.relname, c.relnamespace, c.relkind, c.relpersistence, c.relreplident, c.relhasrules,
                  c.relforcerowsecurity) AS fact
    FROM moving JOIN pg_class c ON c.oid = moving.id
    UNION ALL
    SELECT format('a %s %s %s %s %s %s %s %s %s %s', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation, a.attnotnull,
                  a.attidentity, a.attgenerated, md5(d.adbin::text))
    FROM moving JOIN pg_attribute a ON a.attrelid = moving.id
         LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT format('c %s %s %s %s %s %s %s', k.conrelid, k.conname, k.contype, k.conkey, k.confrelid, k.confkey, md5(k.conbin::text))
    FROM moving JOIN pg_constraint k ON k.conrelid = moving.id
    UNION ALL
    SELECT format('i %s %s %s %s %s %s %s %s', i.indrelid, c.relname, i.indisunique, i.indisprimary, i.indisreplident, i.indkey, i.indclass,
                  md5(i.indexprs::text || coalesce(i.indpred::text, '')))
    FROM moving JOIN pg_index i ON i.indrelid = moving.id JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indisunique AND i.indisvalid
    UNION ALL
    SELECT format('g %s %s %s %s %s', g.tgrelid, g.tgname, g.tgtype, g.tgfoid, g.tgenabled)
    FROM moving JOIN pg_trigger g ON g.tgrelid = moving.id
    WHERE NOT g.tgisinternal AND g.tgname NOT LIKE '~~pgrotor\_%'
    UNION ALL
    SELECT format('h %s %s', h.inhparent, h.inhrelid) FROM moving JOIN pg_inherits h ON h.inhparent = moving.id
  )
  SELECT md5(string_agg(fact, E'\n' ORDER BY fact)) FROM facts);
END $$;
ALTER FUNCTION pgrotor.fingerprint(relations regclass[]) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.fingerprint(relations regclass[]) IS 'A digest of columns, defaults, constraints, unique indexes, triggers and partitions';
CREATE FUNCTION pgrotor.guard_gaps(moving_set integer, relations regclass[]) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
  RETURN (SELECT string_agg(format('%s on %s', g.name, r.relation), ', ' ORDER BY r.relation::text, g.name)
  FROM pgrotor.with_partitions(relations) AS r(relation),
       (SELECT format('~~pgrotor_%s_%s', moving_set, kind) AS name FROM unnest('{ins,upd,del,trunc}'::text[]) kind) g
  WHERE NOT EXISTS (SELECT FROM pg_trigger t
                    WHERE t.tgrelid = r.relation AND t.tgname = g.name AND t.tgenabled = 'A'
                      AND t.tgfoid = (SELECT p.oid FROM pg_proc p WHERE p.oid = to_regproc(format('pgrotor.guard_%s', moving_set))
                                        AND strpos(p.prosrc, format('(%s)', pgrotor.lock_key(moving_set))) > 0)));
END $$;
ALTER FUNCTION pgrotor.guard_gaps(moving_set integer, relations regclass[]) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.guard_gaps(moving_set integer, relations regclass[]) IS 'Guards that are missing, disabled, not ENABLE ALWAYS or of another lock; null when all stand';
CREATE FUNCTION pgrotor.hold_epoch(mine bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM FROM pgrotor.coordinator c WHERE c.epoch = mine FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the term of epoch % is over', mine USING ERRCODE = 'RT010',
      DETAIL = format('The catalog holds epoch %s.', (SELECT c.epoch FROM pgrotor.coordinator c));
  END IF;
END $$;
ALTER FUNCTION pgrotor.hold_epoch(mine bigint) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.hold_epoch(mine bigint) IS 'Fails unless the term is still this one; it cannot end before the transaction does';
CREATE FUNCTION pgrotor.insert_job(mine bigint, job bigint, new jsonb, map jsonb, checksum text, reason text, OUT place bigint, OUT id bigint) RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION pgrotor.insert_job(mine bigint, job bigint, new jsonb, map jsonb, checksum text, reason text, OUT place bigint, OUT id bigint) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.insert_job(mine bigint, job bigint, new jsonb, map jsonb, checksum text, reason text, OUT place bigint, OUT id bigint) IS 'The migrations of one job with their moving sets and the map that goes with them, all or none';
CREATE FUNCTION pgrotor.is_strided(sequence regclass, remainder bigint, stride bigint) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  SELECT q.seqincrement = stride AND mod(coalesce(pg_sequence_last_value(q.seqrelid), q.seqstart) - remainder, stride) = 0
         AND mod(q.seqstart - remainder, stride) = 0
  FROM pg_sequence q WHERE q.seqrelid = sequence
$$;
ALTER FUNCTION pgrotor.is_strided(sequence regclass, remainder bigint, stride bigint) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.leftovers() RETURNS SETOF text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
  kept text;
BEGIN
  RETURN QUERY SELECT format('slot %s', s.slot_name) FROM pg_replication_slots s WHERE s.slot_name ~ '^pgrotor_';
  RETURN QUERY SELECT format('publication %s', p.pubname) FROM pg_publication p WHERE p.pubname ~ '^pgrotor_';
  RETURN QUERY SELECT format('origin %s', o.roname) FROM pg_replication_origin o WHERE o.roname ~ '^pgrotor_';
  RETURN QUERY SELECT format('trigger %s on %s', t.tgname, t.tgrelid::regclass) FROM pg_trigger t WHERE t.tgname ~ '^~~pgrotor_[0-9]';
  RETURN QUERY SELECT format('function %s', p.oid::regprocedure) FROM pg_proc p
    WHERE p.pronamespace = to_regnamespace('pgrotor') AND p.proname ~ '^guard_[0-9]+$';
  RETURN QUERY SELECT format('register %s', c.oid::regclass) FROM pg_class c
    WHERE c.relnamespace = to_regnamespace('pgrotor') AND c.relkind = 'S' AND c.relname ~ '^register_[0-9]+$';
  FOREACH kept IN ARRAY '{chunks,progress}'::text[] LOOP
    IF to_regclass('pgrotor.' || kept) IS NOT NULL THEN
      RETURN QUERY EXECUTE format('SELECT format(''%1$s rows of migration %%s'', migration) FROM pgrotor.%1$s GROUP BY migration', kept);
    END IF;
  END LOOP;
  RETURN QUERY SELECT format('advisory lock of set %s held by pid %s', substr(c.relname, length('register_') + 1), coalesce(l.pid::text, '(prepared)'))
    FROM pg_class c JOIN pg_sequence q ON q.seqrelid = c.oid JOIN pgrotor.advisory_locks() l ON l.key IN (q.seqstart, q.seqstart + 1)
    WHERE c.relnamespace = to_regnamespace('pgrotor') AND c.relname ~ '^register_[0-9]+$';
  RETURN QUERY SELECT format('prepared transaction %s', x.gid) FROM pg_prepared_xacts x WHERE x.gid ~ '^pgrotor';
END $_$;
ALTER FUNCTION pgrotor.leftovers() OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.leftovers() IS 'Slots, publications, origins, guards, registers, progress, locks and prepared transactions of migrations';
CREATE FUNCTION pgrotor.lock_key(moving_set integer) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
  RETURN (SELECT q.seqstart FROM pg_sequence q WHERE q.seqrelid = to_regclass(format('pgrotor.register_%s', moving_set)));
END $$;
ALTER FUNCTION pgrotor.lock_key(moving_set integer) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.lock_key(moving_set integer) IS 'The advisory lock of a moving set''s guard; null when the set has no register';
CREATE FUNCTION pgrotor.make_guard_function(moving_set integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
BEGIN
  EXECUTE format($create$
CREATE OR REPLACE FUNCTION pgrotor.guard_%1$s() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $guard$
DECLARE
  value pg_catalog.int8;
BEGIN
  IF session_user OPERATOR(pg_catalog.<>) %2$L::pg_catalog.name THEN
    IF pg_catalog.pg_try_advisory_xact_lock_shared(%3$s) THEN
      SELECT r.last_value INTO value FROM pgrotor.register_%1$s r;
    END IF;
    IF value IS NULL OR value OPERATOR(pg_catalog.%%) 2 OPERATOR(pg_catalog.=) 0 THEN
      SELECT r.last_value INTO value FROM pgrotor.register_%1$s r;
      RAISE EXCEPTION 'this shard does not take writes to these rows of %%.%%', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'RT001',
              DETAIL = pg_catalog.format('set=%1$s register=%%s epoch=%%s', value, value OPERATOR(pg_catalog.>>) 32),
              HINT = 'Their placements are moving or have moved. Connect through pgrotor, which knows the owner.',
              SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
    END IF;
  END IF;
  IF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
    RETURN OLD;
  ELSIF TG_OP OPERATOR(pg_catalog.=) 'TRUNCATE' THEN  -- pgoutput tells of a root's, not of a partition's
    PERFORM pg_catalog.pg_logical_emit_message(true, 'pgrotor.truncate', pg_catalog.format('%1$s:%%s.%%s', TG_TABLE_SCHEMA, TG_TABLE_NAME));
  END IF;
  RETURN NEW;
END $guard$
$create$, moving_set, session_user, pgrotor.lock_key(moving_set));
  EXECUTE format('ALTER FUNCTION pgrotor.guard_%s() OWNER TO pgrotor_guard', moving_set);
END $_$;
ALTER FUNCTION pgrotor.make_guard_function(moving_set integer) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.make_register(moving_set integer, initial bigint) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF to_regclass(format('pgrotor.register_%s', moving_set)) IS NULL THEN
    EXECUTE format('CREATE SEQUENCE pgrotor.register_%s AS bigint MINVALUE 0 START %s', moving_set,
                   2 + 2 * ('x0' || left(replace(gen_random_uuid()::text, '-', ''), 12) || left(gen_random_uuid()::text, 3))::bit(64)::bigint);
    PERFORM setval(format('pgrotor.register_%s', moving_set)::regclass, 0, true);
    EXECUTE format('COMMENT ON SEQUENCE pgrotor.register_%s IS %L', moving_set, 'epoch * 2^32 + attempt * 2 + open; moved by pgrotor.set_register only');
    EXECUTE format('ALTER SEQUENCE pgrotor.register_%s OWNER TO pgrotor_guard', moving_set);
  END IF;
  RETURN pgrotor.set_register(moving_set, initial);
END $$;
ALTER FUNCTION pgrotor.make_register(moving_set integer, initial bigint) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.make_register(moving_set integer, initial bigint) IS 'Makes the register of a moving set where it is missing, and raises it to the value';
CREATE FUNCTION pgrotor.not_owned() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RAISE EXCEPTION 'this shard does not own the row of %.% with %', TG_TABLE_SCHEMA, TG_TABLE_NAME,
      format('%s=%s', TG_ARGV[0], coalesce(to_jsonb(NEW)->>TG_ARGV[0], 'null'))
    USING ERRCODE = 'RT001',
          DETAIL = 'No row may be stored on a shard that does not own its placement.',
          HINT = 'Write it through pgrotor, by a statement that names the key as it will be stored: a key that a function or trigger makes up on the shard'
                 ' cannot be routed.',
          SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END $$;
ALTER FUNCTION pgrotor.not_owned() OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.not_owned() IS 'Refuses a row that this shard does not own; called by the ownership guards, triggers ~~pgrotor_owner';
CREATE FUNCTION pgrotor.owner_guard(relation regclass, owned text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  RETURN (SELECT CASE WHEN count(t.oid) < count(*) THEN 'missing'
                      WHEN bool_and(t.tgenabled = 'D') THEN 'off'
                      WHEN bool_or(t.tgenabled <> 'A') THEN 'weakened'
                      WHEN bool_or(r.part = relation AND obj_description(t.oid, 'pg_trigger') IS DISTINCT FROM owned) THEN 'outdated'
                      ELSE 'on' END
          FROM pgrotor.with_partitions(ARRAY[relation]) AS r(part)
               LEFT JOIN pg_trigger t ON t.tgrelid = r.part AND t.tgname = '~~pgrotor_owner' AND t.tgfoid = 'pgrotor.not_owned'::regproc);
END $$;
ALTER FUNCTION pgrotor.owner_guard(relation regclass, owned text) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.owner_guard(relation regclass, owned text) IS 'State of the ownership guard on a table and its partitions: on, off (disabled), missing, weakened (not ENABLE ALWAYS everywhere), outdated';
CREATE FUNCTION pgrotor.place() RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  IF NOT has_function_privilege('pg_control_system()', 'EXECUTE') THEN
    RETURN NULL;
  END IF;
  RETURN (SELECT format('%s/%s', c.system_identifier, d.oid) FROM pg_control_system() c, pg_database d WHERE d.datname = current_database());
END $$;
ALTER FUNCTION pgrotor.place() OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.place() IS 'System identifier of the server and OID of this database';
CREATE FUNCTION pgrotor.raise_sequence(sequence regclass, remainder bigint, stride bigint, base bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION pgrotor.raise_sequence(sequence regclass, remainder bigint, stride bigint, base bigint) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.raise_sequence(sequence regclass, remainder bigint, stride bigint, base bigint) IS 'Lets a sequence go on above a value, with values of its own shard only';
CREATE FUNCTION pgrotor.record_fingerprint(moving_set integer, relations regclass[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  EXECUTE format('COMMENT ON FUNCTION pgrotor.guard_%s() IS %L', moving_set, pgrotor.fingerprint(relations));
END $$;
ALTER FUNCTION pgrotor.record_fingerprint(moving_set integer, relations regclass[]) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.refuse_unless_owned(migration bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION pgrotor.refuse_unless_owned(migration bigint) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.refuse_unless_owned(migration bigint) IS 'Fails unless the source owns every range of the moving set under the newest map';
CREATE FUNCTION pgrotor.renew_term(process text, duration interval) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  UPDATE pgrotor.lease l SET until = clock_timestamp() + duration WHERE l.process = renew_term.process;
  RETURN FOUND;
END $$;
ALTER FUNCTION pgrotor.renew_term(process text, duration interval) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.renew_term(process text, duration interval) IS 'False: another process has begun a term. Also after the lease has run out: nobody else has come';
CREATE FUNCTION pgrotor.save_map(mine bigint, map jsonb, checksum text, reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM pgrotor.hold_epoch(mine);
  PERFORM pgrotor.write_map(map, checksum, reason);
END $$;
ALTER FUNCTION pgrotor.save_map(mine bigint, map jsonb, checksum text, reason text) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.sequences_of(relations regclass[]) RETURNS TABLE(place bigint, column_name name, sequence regclass)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION pgrotor.sequences_of(relations regclass[]) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.set_owner_guard(relation regclass, key text, elsewhere text, owned text, wish text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION pgrotor.set_owner_guard(relation regclass, key text, elsewhere text, owned text, wish text) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.set_owner_guard(relation regclass, key text, elsewhere text, owned text, wish text) IS 'Makes or replaces the ownership guard of a table; takes no lock where it stands as wished';
CREATE FUNCTION pgrotor.set_register(moving_set integer, value bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
  name text := pg_catalog.format('pgrotor.register_%s', moving_set);
  old bigint;
BEGIN
  PERFORM pg_catalog.set_config('synchronous_commit', 'on', true);
  PERFORM pg_catalog.pg_advisory_xact_lock(q.seqstart OPERATOR(pg_catalog.+) 1) FROM pg_catalog.pg_sequence q
    WHERE q.seqrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(name)::pg_catalog.oid;
  EXECUTE pg_catalog.format('SELECT s.last_value FROM %s s', name) INTO old;
  IF value OPERATOR(pg_catalog.<=) old THEN
    RETURN false;
  END IF;
  PERFORM pg_catalog.setval(name::pg_catalog.regclass, value, true);
  RETURN true;
END $$;
ALTER FUNCTION pgrotor.set_register(moving_set integer, value bigint) OWNER TO pgrotor_guard;
COMMENT ON FUNCTION pgrotor.set_register(moving_set integer, value bigint) IS 'Moves a register upwards, alone and durably; false when it already holds this value or a greater one';
CREATE FUNCTION pgrotor.strangers(moving_set integer, relations regclass[]) RETURNS TABLE(stranger integer, who text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
DECLARE
  guard_key bigint := pgrotor.lock_key(moving_set);
  suspects integer[];
  transactions text[];
  writers integer[];
BEGIN
  SELECT array_agg(l.pid), array_agg(l.virtualtransaction) INTO suspects, transactions FROM pgrotor.advisory_locks() l WHERE l.key IN (guard_key, guard_key + 1);
  IF suspects IS NULL THEN
    RETURN;
  END IF;
  -- In this order: a writer has had the table's lock before he asked for the guard's.
  SELECT array_agg(l.pid) INTO writers FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.granted AND l.relation IN (SELECT r::oid FROM pgrotor.with_partitions(relations) r)
      AND l.mode NOT IN ('AccessShareLock', 'RowShareLock');
  RETURN QUERY SELECT DISTINCT a.pid, format('pid %s (user %s%s%s, %s for %s s)', a.pid, a.usename, ', ' || nullif(a.application_name, ''),
                                             ', from ' || host(a.client_addr), a.state,
                                             greatest(0, round(extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.state_change)))))
    FROM pgrotor.advisory_locks() l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.key IN (guard_key, guard_key + 1) AND l.pid = ANY (suspects) AND a.usename <> session_user
      AND (l.key = guard_key + 1 OR l.mode <> 'ShareLock' OR l.virtualtransaction = ANY (transactions) AND l.pid <> ALL (coalesce(writers, '{}'))
           AND (l.virtualtransaction NOT LIKE '%/0' OR a.state = 'idle' AND a.state_change < statement_timestamp()));
END $$;
ALTER FUNCTION pgrotor.strangers(moving_set integer, relations regclass[]) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.strangers(moving_set integer, relations regclass[]) IS 'Who holds an advisory lock of the moving set without a right to it';
CREATE FUNCTION pgrotor.stride_sequence(sequence regclass, remainder bigint, stride bigint, base bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION pgrotor.stride_sequence(sequence regclass, remainder bigint, stride bigint, base bigint) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.stride_sequence(sequence regclass, remainder bigint, stride bigint, base bigint) IS 'Lets a sequence give every n-th value with a remainder; changes nothing where it does so already';
CREATE FUNCTION pgrotor.strike_ledger(mine bigint, migration bigint, shard integer, kind text, name text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM pgrotor.hold_epoch(mine);
  DELETE FROM pgrotor.ledger l
    WHERE l.migration = strike_ledger.migration AND l.shard = strike_ledger.shard AND l.kind = strike_ledger.kind AND l.name = strike_ledger.name;
END $$;
ALTER FUNCTION pgrotor.strike_ledger(mine bigint, migration bigint, shard integer, kind text, name text) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.with_partitions(relations regclass[]) RETURNS SETOF regclass
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
BEGIN
  RETURN QUERY SELECT r FROM unnest(relations) r UNION SELECT p.relid FROM unnest(relations) r, pg_partition_tree(r) p;
END $$;
ALTER FUNCTION pgrotor.with_partitions(relations regclass[]) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.write_journal(migration bigint, entries jsonb) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  INSERT INTO pgrotor.journal (migration, from_state, to_state, step, attempt, elapsed_us, note)
    SELECT m.id, e.from_state, e.to_state, e.step, e.attempt, e.elapsed_us, e.note
    FROM pgrotor.migrations m,
         jsonb_to_recordset(entries) AS e(from_state text, to_state text, step text, attempt bigint, elapsed_us bigint, note text)
    WHERE m.id = write_journal.migration
$$;
ALTER FUNCTION pgrotor.write_journal(migration bigint, entries jsonb) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.write_ledger(mine bigint, migration bigint, entries jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
  PERFORM pgrotor.hold_epoch(mine);
  INSERT INTO pgrotor.ledger (migration, shard, kind, name)
    SELECT write_ledger.migration, e.shard, e.kind, e.name FROM jsonb_to_recordset(entries) AS e(shard integer, kind text, name text)
    ON CONFLICT DO NOTHING;
END $$;
ALTER FUNCTION pgrotor.write_ledger(mine bigint, migration bigint, entries jsonb) OWNER TO pgrotor;
CREATE FUNCTION pgrotor.write_map(map jsonb, checksum text, reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION pgrotor.write_map(map jsonb, checksum text, reason text) OWNER TO pgrotor;
COMMENT ON FUNCTION pgrotor.write_map(map jsonb, checksum text, reason text) IS 'Adds generation N+1; tables and distributions are written only when the schema version changed';
CREATE FUNCTION pgrotor.write_schema(map jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
ALTER FUNCTION pgrotor.write_schema(map jsonb) OWNER TO pgrotor;
CREATE TABLE pgrotor.chunks (
    migration bigint NOT NULL,
    table_no integer NOT NULL,
    chunk_no integer NOT NULL,
    lower_text text[],
    upper_text text[],
    lower_key bytea,
    upper_key bytea,
    snapshot text NOT NULL,
    high_lsn pg_lsn NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    scanned bigint NOT NULL
);
ALTER TABLE pgrotor.chunks OWNER TO pgrotor;
CREATE TABLE pgrotor.cluster (
    only_row boolean DEFAULT true NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    place text,
    CONSTRAINT cluster_only_row_check CHECK (only_row)
);
ALTER TABLE pgrotor.cluster OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.cluster IS 'What the identity of every shard names: this cluster, and the database that its catalog is in (pgrotor.place)';
CREATE TABLE pgrotor.coordinator (
    only_row boolean DEFAULT true NOT NULL,
    epoch bigint DEFAULT 0 NOT NULL,
    started_at timestamp with time zone,
    CONSTRAINT coordinator_epoch_check CHECK (((epoch >= 0) AND (epoch < '2147483648'::bigint))),
    CONSTRAINT coordinator_only_row_check CHECK (only_row)
);
ALTER TABLE pgrotor.coordinator OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.coordinator IS 'The term of the coordinator: every durable step is a compare-and-set on this epoch';
CREATE TABLE pgrotor.dependent_views (
    name text NOT NULL
);
ALTER TABLE pgrotor.dependent_views OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.dependent_views IS 'Views over sharded tables, and partitions: refused, since a shard shows only its part';
CREATE TABLE pgrotor.distributions (
    id integer NOT NULL,
    name text NOT NULL,
    key_type text NOT NULL,
    CONSTRAINT distributions_id_check CHECK ((id > 0)),
    CONSTRAINT distributions_name_check CHECK ((name <> ''::text))
);
ALTER TABLE pgrotor.distributions OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.distributions IS 'Co-location groups: tables that share one shard key type and one set of ranges';
CREATE TABLE pgrotor.hidden_access (
    how text NOT NULL,
    schema_name text NOT NULL,
    object_name text NOT NULL,
    sharded boolean NOT NULL,
    what text NOT NULL,
    CONSTRAINT hidden_access_how_check CHECK ((how = ANY (ARRAY['call'::text, 'write'::text, 'part'::text])))
);
ALTER TABLE pgrotor.hidden_access OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.hidden_access IS 'Functions and written tables that touch other tables by themselves, and parts of tables, as found on the shards';
CREATE SEQUENCE pgrotor.job_number
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER TABLE pgrotor.job_number OWNER TO pgrotor;
CREATE TABLE pgrotor.journal (
    id bigint NOT NULL,
    migration bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    step text NOT NULL,
    attempt bigint NOT NULL,
    elapsed_us bigint NOT NULL,
    note text NOT NULL
);
ALTER TABLE pgrotor.journal OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.journal IS 'Every transition and every timed step of a migration';
ALTER TABLE pgrotor.journal ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgrotor.journal_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE pgrotor.lease (
    only_row boolean DEFAULT true NOT NULL,
    process text DEFAULT ''::text NOT NULL,
    holder text DEFAULT ''::text NOT NULL,
    until timestamp with time zone,
    CONSTRAINT lease_only_row_check CHECK (only_row)
);
ALTER TABLE pgrotor.lease OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.lease IS 'Whose the term is and until when by this server''s clock; NULL: it was given back';
CREATE TABLE pgrotor.ledger (
    migration bigint NOT NULL,
    shard integer NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    written_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT ledger_kind_check CHECK ((kind = ANY (ARRAY['slot'::text, 'publication'::text, 'origin'::text, 'trigger'::text, 'function'::text, 'register'::text, 'table'::text])))
);
ALTER TABLE pgrotor.ledger OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.ledger IS 'Objects of migrations on shards: written before the object is made, struck when it is gone';
CREATE TABLE pgrotor.maps (
    generation bigint NOT NULL,
    schema_version bigint NOT NULL,
    default_shard integer NOT NULL,
    checksum text NOT NULL,
    reason text NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT maps_check CHECK ((schema_version <= generation)),
    CONSTRAINT maps_generation_check CHECK ((generation > 0))
);
ALTER TABLE pgrotor.maps OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.maps IS 'Routing maps, never edited: N is replaced by N+1. The last 16 are kept';
COMMENT ON COLUMN pgrotor.maps.checksum IS 'Of the whole map with its shards, tables and ranges; checked when the newest map is loaded';
CREATE TABLE pgrotor.migration_ranges (
    migration bigint NOT NULL,
    lower bigint NOT NULL,
    upper bigint,
    CONSTRAINT migration_ranges_check CHECK ((lower < upper))
);
ALTER TABLE pgrotor.migration_ranges OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.migration_ranges IS 'The moving set of a migration';
CREATE TABLE pgrotor.migrations (
    id bigint NOT NULL,
    job bigint NOT NULL,
    kind text NOT NULL,
    distribution integer NOT NULL,
    source integer NOT NULL,
    target integer NOT NULL,
    strategy text NOT NULL,
    transport text NOT NULL,
    max_rate bigint NOT NULL,
    max_pause_ms bigint NOT NULL,
    auto_cutover boolean NOT NULL,
    state text NOT NULL,
    resume_to text,
    epoch bigint NOT NULL,
    attempt bigint DEFAULT 0 NOT NULL,
    error text DEFAULT ''::text NOT NULL,
    rows_compared bigint,
    rows_differing bigint,
    pause_us bigint,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    sqlstate text DEFAULT ''::text NOT NULL,
    CONSTRAINT migrations_check CHECK ((target <> source)),
    CONSTRAINT migrations_id_check CHECK (((id > 0) AND (id < '2147483648'::bigint))),
    CONSTRAINT migrations_max_pause_ms_check CHECK ((max_pause_ms > 0)),
    CONSTRAINT migrations_max_rate_check CHECK ((max_rate >= 0)),
    CONSTRAINT migrations_state_check CHECK ((state = ANY (ARRAY['PLANNED'::text, 'PREPARING'::text, 'COPYING'::text, 'CATCHING_UP'::text, 'VERIFYING'::text, 'READY'::text, 'CUTTING_OVER'::text, 'SWITCHED'::text, 'CLEANING'::text, 'DONE'::text, 'PAUSED'::text, 'FAILING'::text, 'CANCELLING'::text, 'FAILED'::text, 'CANCELLED'::text, 'ROLLED_BACK'::text])))
);
ALTER TABLE pgrotor.migrations OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.migrations IS 'Moves of placements from one shard to another and the state each is in (migration/plan/state.h)';
ALTER TABLE pgrotor.migrations ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME pgrotor.migrations_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE pgrotor.progress (
    migration bigint NOT NULL,
    hold_floor pg_lsn NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
ALTER TABLE pgrotor.progress OWNER TO pgrotor;
CREATE TABLE pgrotor.proxies (
    name text NOT NULL,
    lease_until timestamp with time zone NOT NULL,
    acked_generation bigint NOT NULL
);
ALTER TABLE pgrotor.proxies OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.proxies IS 'Proxies with their lease and the generation that they have acknowledged';
CREATE TABLE pgrotor.ranges (
    generation bigint NOT NULL,
    distribution integer NOT NULL,
    lower bigint NOT NULL,
    upper bigint,
    owner integer NOT NULL,
    CONSTRAINT ranges_check CHECK ((lower < upper))
);
ALTER TABLE pgrotor.ranges OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.ranges IS 'Half-open intervals of placement values with their owner; the highest of a distribution has no upper bound';
CREATE UNLOGGED TABLE pgrotor.servers (
    pid integer NOT NULL,
    since timestamp with time zone NOT NULL,
    process text NOT NULL
);
ALTER TABLE pgrotor.servers OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.servers IS 'Sessions of clients that pgrotor has opened here, some of which may be gone';
CREATE SEQUENCE pgrotor.shard_number
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER TABLE pgrotor.shard_number OWNER TO pgrotor;
COMMENT ON SEQUENCE pgrotor.shard_number IS 'The number of the next shard: none is used twice';
CREATE TABLE pgrotor.shards (
    id integer NOT NULL,
    name text NOT NULL,
    dsn text NOT NULL,
    state text NOT NULL,
    CONSTRAINT shards_id_check CHECK ((id > 0)),
    CONSTRAINT shards_name_check CHECK ((name <> ''::text)),
    CONSTRAINT shards_state_check CHECK ((state = ANY (ARRAY['active'::text, 'draining'::text, 'drained'::text])))
);
ALTER TABLE pgrotor.shards OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.shards IS 'PostgreSQL databases that own placements, as of the newest map';
CREATE TABLE pgrotor.tables (
    schema_name text NOT NULL,
    table_name text NOT NULL,
    distribution integer,
    key_column text,
    key_type_oid bigint NOT NULL,
    columns text[] NOT NULL,
    CONSTRAINT tables_check CHECK (((distribution IS NULL) = (key_column IS NULL)))
);
ALTER TABLE pgrotor.tables OWNER TO pgrotor;
COMMENT ON TABLE pgrotor.tables IS 'Sharded tables, and reference tables (without a distribution)';
CREATE TABLE public.countries (
    code text NOT NULL
);
ALTER TABLE public.countries OWNER TO shop_owner;
CREATE TABLE public.customers (
    customer_id bigint NOT NULL,
    name text NOT NULL
);
ALTER TABLE public.customers OWNER TO shop_owner;
CREATE TABLE public.orders (
    customer_id bigint NOT NULL,
    id bigint NOT NULL,
    total numeric
);
ALTER TABLE public.orders OWNER TO shop_owner;
ALTER TABLE public.orders ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.orders_id_seq
    START WITH 1
    INCREMENT BY 64
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
COPY pgrotor.chunks (migration, table_no, chunk_no, lower_text, upper_text, lower_key, upper_key, snapshot, high_lsn, rows, bytes, scanned) FROM stdin;
\.
COPY pgrotor.cluster (only_row, id, place) FROM stdin;
t	9c6e6034-27e4-414e-823f-a6c891a60d0c	7713737475883920965/16386
\.
COPY pgrotor.coordinator (only_row, epoch, started_at) FROM stdin;
t	2	2026-11-29 23:21:07.239915+00
\.
COPY pgrotor.dependent_views (name) FROM stdin;
\.
COPY pgrotor.distributions (id, name, key_type) FROM stdin;
1	shop	int8
\.
COPY pgrotor.hidden_access (how, schema_name, object_name, sharded, what) FROM stdin;
part	public	countries_pkey	t	table "public.countries"
part	public	customers_pkey	t	table "public.customers"
part	public	orders_id_seq	t	table "public.orders"
part	public	orders_pkey	t	table "public.orders"
\.
COPY pgrotor.identity (only_row, cluster, catalog, shard, name, place, epoch, process, entered_at) FROM stdin;
t	9c6e6034-27e4-414e-823f-a6c891a60d0c	7713737475883920965/16386	1	s1	7713737475883920965/16386	2	37d5d80041685d02fb52a2a9e98b6090	2026-11-29 23:21:07.309962+00
\.
COPY pgrotor.journal (id, migration, at, from_state, to_state, step, attempt, elapsed_us, note) FROM stdin;
1	1	2026-11-29 23:21:09.717452+00	PLANNED	PREPARING		0	0	
2	1	2026-11-29 23:21:10.22654+00	PREPARING	COPYING		0	0	
3	1	2026-11-29 23:21:10.380788+00	COPYING	CATCHING_UP		0	0	26 rows copied
4	1	2026-11-29 23:21:10.39308+00	CATCHING_UP	VERIFYING		0	0	
5	1	2026-11-29 23:21:10.62797+00	VERIFYING	READY		0	0	
6	1	2026-11-29 23:21:10.828469+00	READY	CUTTING_OVER		1	0	attempt 1
7	1	2026-11-29 23:21:10.84729+00	CUTTING_OVER	SWITCHED		1	0	generation 5
8	1	2026-11-29 23:21:10.858327+00	CUTTING_OVER	CUTTING_OVER	gate_closed_at	1	1795994470834393	
9	1	2026-11-29 23:21:10.858371+00	CUTTING_OVER	CUTTING_OVER	cutover.1	1	57	
10	1	2026-11-29 23:21:10.858374+00	CUTTING_OVER	CUTTING_OVER	cutover.2	1	10246	
11	1	2026-11-29 23:21:10.858376+00	CUTTING_OVER	CUTTING_OVER	cutover.3	1	107	
12	1	2026-11-29 23:21:10.858378+00	CUTTING_OVER	CUTTING_OVER	cutover.3.sequences	1	175	
13	1	2026-11-29 23:21:10.85838+00	CUTTING_OVER	CUTTING_OVER	cutover.4	1	8844	
14	1	2026-11-29 23:21:10.858381+00	CUTTING_OVER	CUTTING_OVER	cutover.5	1	3317	
15	1	2026-11-29 23:21:10.858383+00	CUTTING_OVER	CUTTING_OVER	cutover.6	1	174	
16	1	2026-11-29 23:21:10.858385+00	CUTTING_OVER	CUTTING_OVER	gate_opened_at	1	1795994470857317	
17	1	2026-11-29 23:21:10.858387+00	CUTTING_OVER	CUTTING_OVER	statements_held	1	0	
18	1	2026-11-29 23:21:10.894484+00	SWITCHED	CLEANING		1	0	26 rows compared, 0 differ
19	1	2026-11-29 23:21:11.019413+00	CLEANING	DONE		1	0	26 rows removed from the source
\.
COPY pgrotor.lease (only_row, process, holder, until) FROM stdin;
t	37d5d80041685d02fb52a2a9e98b6090	host=h pid=1 start=1 boot=b pids=p	\N
\.
COPY pgrotor.ledger (migration, shard, kind, name, written_at) FROM stdin;
\.
COPY pgrotor.maps (generation, schema_version, default_shard, checksum, reason, created_at) FROM stdin;
1	1	1	54842f6fe0674db8	pgrotor init	2026-11-29 23:21:07.16951+00
2	2	1	3334ddb965f8831b	reference table public.countries	2026-11-29 23:21:07.785083+00
3	3	1	99dc1e505f7d5076	distribute public.customers by customer_id	2026-11-29 23:21:08.43289+00
4	4	1	8279b98e33505e71	distribute public.orders by customer_id	2026-11-29 23:21:09.069201+00
5	4	1	652615310a17aef6	migration 1 switched	2026-11-29 23:21:10.847662+00
\.
COPY pgrotor.migration_ranges (migration, lower, upper) FROM stdin;
1	0	4611686018427387904
\.
COPY pgrotor.migrations (id, job, kind, distribution, source, target, strategy, transport, max_rate, max_pause_ms, auto_cutover, state, resume_to, epoch, attempt, error, rows_compared, rows_differing, pause_us, created_at, changed_at, sqlstate) FROM stdin;
1	1	move_range	1	2	1	cdc	direct	0	1000	t	DONE	\N	2	1		26	0	22927	2026-11-29 23:21:09.710066+00	2026-11-29 23:21:11.019161+00	
\.
COPY pgrotor.progress (migration, hold_floor, updated_at) FROM stdin;
\.
COPY pgrotor.proxies (name, lease_until, acked_generation) FROM stdin;
\.
COPY pgrotor.ranges (generation, distribution, lower, upper, owner) FROM stdin;
3	1	-9223372036854775808	0	1
3	1	0	\N	2
4	1	-9223372036854775808	0	1
4	1	0	\N	2
5	1	-9223372036854775808	4611686018427387904	1
5	1	4611686018427387904	\N	2
\.
COPY pgrotor.servers (pid, since, process) FROM stdin;
3762	2026-11-29 23:21:09.092569+00	37d5d80041685d02fb52a2a9e98b6090
\.
COPY pgrotor.shards (id, name, dsn, state) FROM stdin;
1	s1	host=127.0.0.1 port=30125 dbname=shop	active
2	s2	host=127.0.0.1 port=25366 dbname=shop	active
\.
COPY pgrotor.tables (schema_name, table_name, distribution, key_column, key_type_oid, columns) FROM stdin;
public	countries	\N	\N	0	{code}
public	customers	1	customer_id	20	{customer_id,name}
public	orders	1	customer_id	20	{customer_id,id,total}
\.
COPY public.countries (code) FROM stdin;
AT
CH
\.
COPY public.customers (customer_id, name) FROM stdin;
2	customer 2
3	customer 3
4	customer 4
5	customer 5
6	customer 6
8	customer 8
10	customer 10
13	customer 13
16	customer 16
23	customer 23
24	customer 24
25	customer 25
26	customer 26
33	customer 33
34	customer 34
39	customer 39
7	customer 7
11	customer 11
14	customer 14
17	customer 17
18	customer 18
19	customer 19
27	customer 27
28	customer 28
29	customer 29
30	customer 30
37	customer 37
38	customer 38
40	customer 40
\.
COPY public.orders (customer_id, id, total) FROM stdin;
2	1	20
3	65	30
4	129	40
5	193	50
6	257	60
8	321	80
10	385	100
13	449	130
16	513	160
23	577	230
24	641	240
25	705	250
26	769	260
33	833	330
34	897	340
39	961	390
7	66	70
11	194	110
14	322	140
17	450	170
18	514	180
19	578	190
27	834	270
28	898	280
29	962	290
30	1026	300
37	1346	370
38	1410	380
40	1474	400
\.
SELECT pg_catalog.setval('pgrotor.job_number', 1, true);
SELECT pg_catalog.setval('pgrotor.journal_id_seq', 19, true);
SELECT pg_catalog.setval('pgrotor.migrations_id_seq', 1, true);
SELECT pg_catalog.setval('pgrotor.shard_number', 2, true);
SELECT pg_catalog.setval('public.orders_id_seq', 14337, true);
ALTER TABLE ONLY pgrotor.chunks
    ADD CONSTRAINT chunks_pkey PRIMARY KEY (migration, table_no, chunk_no);
ALTER TABLE ONLY pgrotor.cluster
    ADD CONSTRAINT cluster_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY pgrotor.coordinator
    ADD CONSTRAINT coordinator_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY pgrotor.dependent_views
    ADD CONSTRAINT dependent_views_pkey PRIMARY KEY (name);
ALTER TABLE ONLY pgrotor.distributions
    ADD CONSTRAINT distributions_name_key UNIQUE (name);
ALTER TABLE ONLY pgrotor.distributions
    ADD CONSTRAINT distributions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY pgrotor.hidden_access
    ADD CONSTRAINT hidden_access_pkey PRIMARY KEY (how, schema_name, object_name);
ALTER TABLE ONLY pgrotor.identity
    ADD CONSTRAINT identity_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY pgrotor.journal
    ADD CONSTRAINT journal_pkey PRIMARY KEY (id);
ALTER TABLE ONLY pgrotor.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY pgrotor.ledger
    ADD CONSTRAINT ledger_pkey PRIMARY KEY (migration, shard, kind, name);
ALTER TABLE ONLY pgrotor.maps
    ADD CONSTRAINT maps_pkey PRIMARY KEY (generation);
ALTER TABLE ONLY pgrotor.migration_ranges
    ADD CONSTRAINT migration_ranges_pkey PRIMARY KEY (migration, lower);
ALTER TABLE ONLY pgrotor.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY pgrotor.progress
    ADD CONSTRAINT progress_pkey PRIMARY KEY (migration);
ALTER TABLE ONLY pgrotor.proxies
    ADD CONSTRAINT proxies_pkey PRIMARY KEY (name);
ALTER TABLE ONLY pgrotor.ranges
    ADD CONSTRAINT ranges_pkey PRIMARY KEY (generation, distribution, lower);
ALTER TABLE ONLY pgrotor.servers
    ADD CONSTRAINT servers_pkey PRIMARY KEY (pid);
ALTER TABLE ONLY pgrotor.shards
    ADD CONSTRAINT shards_name_key UNIQUE (name);
ALTER TABLE ONLY pgrotor.shards
    ADD CONSTRAINT shards_pkey PRIMARY KEY (id);
ALTER TABLE ONLY pgrotor.tables
    ADD CONSTRAINT tables_pkey PRIMARY KEY (schema_name, table_name);
ALTER TABLE ONLY public.countries
    ADD CONSTRAINT countries_pkey PRIMARY KEY (code);
ALTER TABLE ONLY public.customers
    ADD CONSTRAINT customers_pkey PRIMARY KEY (customer_id);
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (customer_id, id);
CREATE INDEX journal_migration ON pgrotor.journal USING btree (migration, id);
CREATE TRIGGER "~~pgrotor_owner" AFTER INSERT OR UPDATE ON public.customers FOR EACH ROW WHEN (((hashint8extended(new.customer_id, '8816678312871386365'::bigint) < '4611686018427387904'::bigint) IS NOT TRUE)) EXECUTE FUNCTION pgrotor.not_owned('customer_id');
ALTER TABLE public.customers ENABLE ALWAYS TRIGGER "~~pgrotor_owner";
COMMENT ON TRIGGER "~~pgrotor_owner" ON public.customers IS 'pgrotor: this shard owns placements [-9223372036854775808, 4611686018427387904)';
CREATE TRIGGER "~~pgrotor_owner" AFTER INSERT OR UPDATE ON public.orders FOR EACH ROW WHEN (((hashint8extended(new.customer_id, '8816678312871386365'::bigint) < '4611686018427387904'::bigint) IS NOT TRUE)) EXECUTE FUNCTION pgrotor.not_owned('customer_id');
ALTER TABLE public.orders ENABLE ALWAYS TRIGGER "~~pgrotor_owner";
COMMENT ON TRIGGER "~~pgrotor_owner" ON public.orders IS 'pgrotor: this shard owns placements [-9223372036854775808, 4611686018427387904)';
ALTER TABLE ONLY pgrotor.journal
    ADD CONSTRAINT journal_migration_fkey FOREIGN KEY (migration) REFERENCES pgrotor.migrations(id) ON DELETE CASCADE;
ALTER TABLE ONLY pgrotor.ledger
    ADD CONSTRAINT ledger_migration_fkey FOREIGN KEY (migration) REFERENCES pgrotor.migrations(id) ON DELETE CASCADE;
ALTER TABLE ONLY pgrotor.migration_ranges
    ADD CONSTRAINT migration_ranges_migration_fkey FOREIGN KEY (migration) REFERENCES pgrotor.migrations(id) ON DELETE CASCADE;
ALTER TABLE ONLY pgrotor.ranges
    ADD CONSTRAINT ranges_generation_fkey FOREIGN KEY (generation) REFERENCES pgrotor.maps(generation) ON DELETE CASCADE;
ALTER TABLE ONLY pgrotor.tables
    ADD CONSTRAINT tables_distribution_fkey FOREIGN KEY (distribution) REFERENCES pgrotor.distributions(id);
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES public.customers(customer_id);
GRANT USAGE ON SCHEMA pgrotor TO pg_database_owner;
GRANT ALL ON SCHEMA pgrotor TO pgrotor_guard;
GRANT USAGE ON SCHEMA pgrotor TO PUBLIC;
GRANT ALL ON FUNCTION pg_catalog.pg_replication_origin_create(text) TO pgrotor;
GRANT ALL ON FUNCTION pg_catalog.pg_replication_origin_drop(text) TO pgrotor;
GRANT ALL ON FUNCTION pg_catalog.pg_replication_origin_oid(text) TO pgrotor;
GRANT ALL ON FUNCTION pg_catalog.pg_replication_origin_progress(text, boolean) TO pgrotor;
GRANT ALL ON FUNCTION pg_catalog.pg_replication_origin_session_progress(boolean) TO pgrotor;
GRANT ALL ON FUNCTION pg_catalog.pg_replication_origin_session_reset() TO pgrotor;
GRANT ALL ON FUNCTION pg_catalog.pg_replication_origin_session_setup(text) TO pgrotor;
GRANT ALL ON FUNCTION pg_catalog.pg_replication_origin_xact_setup(pg_lsn, timestamp with time zone) TO pgrotor;
GRANT ALL ON FUNCTION pg_catalog.pg_show_replication_origin_status(OUT local_id oid, OUT external_id text, OUT remote_lsn pg_lsn, OUT local_lsn pg_lsn) TO pgrotor;
GRANT SELECT ON TABLE pgrotor.identity TO pg_database_owner;
REVOKE ALL ON FUNCTION pgrotor.check_identity(i pgrotor.identity, cluster uuid, catalog text, shard integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION pgrotor.check_term(i pgrotor.identity, epoch bigint, process text) FROM PUBLIC;
REVOKE ALL ON FUNCTION pgrotor.claim(cluster uuid, catalog text, shard integer, name text, taken integer[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION pgrotor.enter(cluster uuid, catalog text, shard integer, epoch bigint, process text) FROM PUBLIC;
REVOKE ALL ON FUNCTION pgrotor.place() FROM PUBLIC;
REVOKE ALL ON FUNCTION pgrotor.set_register(moving_set integer, value bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgrotor.set_register(moving_set integer, value bigint) TO pgrotor;
GRANT SELECT ON TABLE pgrotor.chunks TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.cluster TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.coordinator TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.dependent_views TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.distributions TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.hidden_access TO pg_database_owner;
GRANT SELECT ON SEQUENCE pgrotor.job_number TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.journal TO pg_database_owner;
GRANT SELECT ON SEQUENCE pgrotor.journal_id_seq TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.lease TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.ledger TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.maps TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.migration_ranges TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.migrations TO pg_database_owner;
GRANT SELECT ON SEQUENCE pgrotor.migrations_id_seq TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.progress TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.proxies TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.ranges TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.servers TO pg_database_owner;
GRANT SELECT ON SEQUENCE pgrotor.shard_number TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.shards TO pg_database_owner;
GRANT SELECT ON TABLE pgrotor.tables TO pg_database_owner;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.countries TO app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.customers TO app;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.orders TO app;
ALTER DEFAULT PRIVILEGES FOR ROLE pgrotor IN SCHEMA pgrotor GRANT SELECT ON SEQUENCES  TO pg_database_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE pgrotor IN SCHEMA pgrotor GRANT SELECT ON TABLES  TO pg_database_owner;
