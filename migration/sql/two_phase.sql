-- Two-phase commit decided by the last participant (DESIGN 9): the verdicts on transactions over several shards, on the shard that decides them,
-- and what sessions of clients call for it, as their own role. Read and purged by the recoverer (migration/engine/recoverer.h). Run by
-- `pgrotor init` and ADD SHARD after shard_objects.sql; running it again changes nothing.
--
-- Everybody may read names of prepared transactions, and so the uuid of another's. A verdict is therefore one on the transactions of a role:
-- who decides on a uuid of another's decides nothing.
GRANT INSERT ON pgrotor.decisions TO pgrotor_guard;

-- The setting `role` is the caller's own, whatever this function runs as, and nobody can set it to a role that he is not a member of.
CREATE OR REPLACE FUNCTION pgrotor.decide(id uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting name := coalesce(nullif(current_setting('role'), 'none'), session_user);
BEGIN
  INSERT INTO pgrotor.decisions (uuid, owner, verdict) SELECT decide.id, r.oid, 'commit' FROM pg_roles r WHERE r.rolname = acting;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'role "%" does not exist any more', acting USING ERRCODE = '42704';
  END IF;
END $$;
ALTER FUNCTION pgrotor.decide(uuid) OWNER TO pgrotor_guard;
COMMENT ON FUNCTION pgrotor.decide IS 'Decides that the caller''s transaction of that uuid is committed, with the transaction that calls it; 23505 when it was aborted';

-- Only its owner and superusers may finish a prepared transaction: what nobody would finish after a crash is refused before it is prepared.
CREATE OR REPLACE FUNCTION pgrotor.may_be_finished() RETURNS name
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  finisher oid := (SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'pgrotor');
  needed text := CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
  IF current_setting('max_prepared_transactions')::integer = 0 THEN
    RAISE EXCEPTION 'a transaction over several shards needs max_prepared_transactions, which is 0 on one of them' USING ERRCODE = '55000',
      DETAIL = 'It is committed in two phases.', HINT = 'ALTER SYSTEM SET max_prepared_transactions = 100; and restart that server.';
  ELSIF NOT pg_has_role(finisher, current_user, needed) THEN
    RAISE EXCEPTION 'role "%" may not finish what role "%" leaves prepared', pg_get_userbyid(finisher), current_user USING ERRCODE = '42501',
      DETAIL = 'A transaction over several shards is committed in two phases. After a crash pgrotor must be able to finish it.',
      HINT = format('As a superuser, on every shard: GRANT %I TO %I;', current_user, pg_get_userbyid(finisher));
  END IF;
  RETURN current_user;
END $$;
COMMENT ON FUNCTION pgrotor.may_be_finished IS 'The owner of what the caller would prepare now; fails unless pgrotor could finish it';

-- Said although it is the default; the schema is open to all for pgrotor.admit. Nobody but their owners may read or write what is in it.
GRANT EXECUTE ON FUNCTION pgrotor.decide(uuid), pgrotor.may_be_finished() TO PUBLIC;
