-- Schema pgrotor of every shard: register, guard and the source transaction of the cutover (migration/shard/guard.h, DESIGN 5). Run by
-- `pgrotor init` and ADD SHARD as role pgrotor (deploy/shard_rights.sql); running it again changes nothing. The database may hold
-- the catalog as well (catalog.sql).
-- Advisory locks: lock_key(set) of the guard, lock_key(set) + 1 of the register. The key is random and even, made with the register and
-- kept as the START value of its sequence: whoever locks by a number of his own is not in the way. It is not a secret (pg_locks shows
-- what is held): who takes it on purpose is found by pgrotor.strangers.
GRANT USAGE, CREATE ON SCHEMA pgrotor TO pgrotor_guard;

-- Runs as pgrotor_guard, who owns the sequences: nothing else moves a register. No SET clause, so every name is qualified.
CREATE OR REPLACE FUNCTION pgrotor.set_register(moving_set integer, value bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
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
ALTER FUNCTION pgrotor.set_register(integer, bigint) OWNER TO pgrotor_guard;
REVOKE ALL ON FUNCTION pgrotor.set_register(integer, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgrotor.set_register(integer, bigint) TO CURRENT_USER;
COMMENT ON FUNCTION pgrotor.set_register IS 'Moves a register upwards, alone and durably; false when it already holds this value or a greater one';

CREATE OR REPLACE FUNCTION pgrotor.lock_key(moving_set integer) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN (SELECT q.seqstart FROM pg_sequence q WHERE q.seqrelid = to_regclass(format('pgrotor.register_%s', moving_set)));
END $$;
COMMENT ON FUNCTION pgrotor.lock_key IS 'The advisory lock of a moving set''s guard; null when the set has no register';

-- The keys of advisory locks as pg_locks shows them.
CREATE OR REPLACE FUNCTION pgrotor.advisory_locks() RETURNS TABLE (key bigint, pid integer, virtualtransaction text, mode text, granted boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT l.classid::bigint << 32 | l.objid::bigint, l.pid, l.virtualtransaction, l.mode, l.granted FROM pg_locks l
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
$$;

CREATE OR REPLACE FUNCTION pgrotor.make_register(moving_set integer, initial bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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
COMMENT ON FUNCTION pgrotor.make_register IS 'Makes the register of a moving set where it is missing, and raises it to the value';

-- The function behind every guard trigger of a moving set. The mover and the cleaner log in as the role that makes it.
CREATE OR REPLACE FUNCTION pgrotor.make_guard_function(moving_set integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $make$
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
END $make$;

CREATE OR REPLACE FUNCTION pgrotor.with_partitions(relations regclass[]) RETURNS SETOF regclass
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN QUERY SELECT r FROM unnest(relations) r UNION SELECT p.relid FROM unnest(relations) r, pg_partition_tree(r) p;
END $$;

CREATE OR REPLACE FUNCTION pgrotor.guard_gaps(moving_set integer, relations regclass[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN (SELECT string_agg(format('%s on %s', g.name, r.relation), ', ' ORDER BY r.relation::text, g.name)
  FROM pgrotor.with_partitions(relations) AS r(relation),
       (SELECT format('~~pgrotor_%s_%s', moving_set, kind) AS name FROM unnest('{ins,upd,del,trunc}'::text[]) kind) g
  WHERE NOT EXISTS (SELECT FROM pg_trigger t
                    WHERE t.tgrelid = r.relation AND t.tgname = g.name AND t.tgenabled = 'A'
                      AND t.tgfoid = (SELECT p.oid FROM pg_proc p WHERE p.oid = to_regproc(format('pgrotor.guard_%s', moving_set))
                                        AND strpos(p.prosrc, format('(%s)', pgrotor.lock_key(moving_set))) > 0)));
END $$;
COMMENT ON FUNCTION pgrotor.guard_gaps IS 'Guards that are missing, disabled, not ENABLE ALWAYS or of another lock; null when all stand';

-- `in_old` and `in_new` are the placement filter over OLD and NEW. Row triggers of a partitioned table reach its partitions by
-- themselves, TRUNCATE triggers do not.
CREATE OR REPLACE FUNCTION pgrotor.add_guard(moving_set integer, relation regclass, in_old text, in_new text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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

-- In PL/pgSQL, as what else the fence calls: a session keeps the plans, while a function in SQL is planned anew at each call, which is
-- most of the time that the fence takes. Only what changes the meaning or the shape of rows: maintenance (VACUUM FULL, REINDEX, ANALYZE)
-- leaves it as it is.
CREATE OR REPLACE FUNCTION pgrotor.fingerprint(relations regclass[]) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
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
COMMENT ON FUNCTION pgrotor.fingerprint IS 'A digest of columns, defaults, constraints, unique indexes, triggers and partitions';

-- Cutover step 2, the part that need not be inside the pause: the transaction's table locks keep guards and definitions as they are found
-- until it ends, and stop no writer. ATTACH PARTITION passes ROW EXCLUSIVE, so partitioned tables get what stops it (no vacuum wants it there).
CREATE OR REPLACE FUNCTION pgrotor.begin_fence(moving_set integer, relations regclass[], expected text, guarded boolean,
                                               OUT outcome text, OUT note text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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

-- The fingerprint as of PREPARE, kept where the guard is: what comes after a restart of the coordinator is compared with it too.
CREATE OR REPLACE FUNCTION pgrotor.record_fingerprint(moving_set integer, relations regclass[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('COMMENT ON FUNCTION pgrotor.guard_%s() IS %L', moving_set, pgrotor.fingerprint(relations));
END $$;

-- The part inside the pause, in the transaction of begin_fence. A lock_timeout (55P03) and everything else that fails leaves the register alone.
CREATE OR REPLACE FUNCTION pgrotor.fence(moving_set integer, value bigint, token text, exclusive boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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

-- Transactions older than `older_than` that hold the guard's shared lock or write to the tables; with `readers`, whoever has a lock on
-- them, pgrotor's own sessions too.
CREATE OR REPLACE FUNCTION pgrotor.blockers(moving_set integer, relations regclass[], older_than interval, readers boolean) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
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

-- Sessions that have, or wait for, a lock of the set which they have no business with. By right the guard's is held shared by who writes to
-- the tables, exclusively by pgrotor, and the register's by pgrotor. A writer may begin another transaction between the reads, so the same one is looked for; at
-- its end a transaction has given up its number (n/0), and the table's lock before the guard's: such a lock is one of the session's only where
-- the session has been idle since before. One look may meet a writer between two savepoints: two tell.
CREATE OR REPLACE FUNCTION pgrotor.strangers(moving_set integer, relations regclass[]) RETURNS TABLE (stranger integer, who text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
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
COMMENT ON FUNCTION pgrotor.strangers IS 'Who holds an advisory lock of the moving set without a right to it';

-- What is left of any migration in this database, one line each (I6 asks for none). The catalog's own objects are not meant.
CREATE OR REPLACE FUNCTION pgrotor.leftovers() RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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
END $$;
COMMENT ON FUNCTION pgrotor.leftovers IS 'Slots, publications, origins, guards, registers, progress, locks and prepared transactions of migrations';
