-- Which shard a database is, which term it has seen last, and the sessions that the process of that term has opened (migration/term.h).
-- Run by `pgrotor init` and ADD SHARD after shard_objects.sql; running it again changes nothing.
--
-- A new process writes its epoch here before it changes anything, and ends the sessions of the one before: whoever was stopped, or cut
-- off from the catalog, can neither go on here nor log in again.

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

CREATE OR REPLACE FUNCTION pgrotor.check_identity(i pgrotor.identity, cluster uuid, catalog text, shard integer) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
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

-- `taken`: the numbers of the map. A shard that was removed from it may come back under another number.
CREATE OR REPLACE FUNCTION pgrotor.claim(cluster uuid, catalog text, shard integer, name text, taken integer[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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
COMMENT ON FUNCTION pgrotor.claim IS 'Makes this database that shard; fails when it is another one, or of another cluster';

CREATE OR REPLACE FUNCTION pgrotor.check_term(i pgrotor.identity, epoch bigint, process text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF i.epoch > check_term.epoch AND i.process <> check_term.process THEN
    RAISE EXCEPTION 'shard % serves a later term of another pgrotor', i.name USING ERRCODE = 'RT021',
      DETAIL = format('Term %s has begun here at %s, yours is %s.', i.epoch, i.entered_at, check_term.epoch),
      HINT = 'Another pgrotor has taken over, or this one was given an older copy of the catalog.';
  END IF;
END $$;

-- Of every login of a pool, by the client's own role. The row's lock: while a new term ends the sessions of the one before, nobody comes in.
CREATE OR REPLACE FUNCTION pgrotor.admit(cluster uuid, catalog text, shard integer, epoch bigint, process text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
COMMENT ON FUNCTION pgrotor.admit IS 'Fails unless this is that shard and no later term has begun; notes the session';

-- Of every connection of the coordinator. Its own sessions of earlier processes, a mover's too, are known by their application_name.
CREATE OR REPLACE FUNCTION pgrotor.enter(cluster uuid, catalog text, shard integer, epoch bigint, process text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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
END $$;
COMMENT ON FUNCTION pgrotor.enter IS 'Begins a term on this shard: the epoch first, then the end of all sessions of the process before';

REVOKE EXECUTE ON FUNCTION pgrotor.place(), pgrotor.check_identity(pgrotor.identity, uuid, text, integer), pgrotor.claim(uuid, text, integer, text, integer[]),
  pgrotor.check_term(pgrotor.identity, bigint, text), pgrotor.enter(uuid, text, integer, bigint, text) FROM PUBLIC;
GRANT USAGE ON SCHEMA pgrotor TO PUBLIC;
GRANT EXECUTE ON FUNCTION pgrotor.admit(uuid, text, integer, bigint, text) TO PUBLIC;
