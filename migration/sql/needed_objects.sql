-- What must be there before tables can be made from their definitions, by PostgreSQL's own dependencies: kind, identity, name, schema, owner,
-- extension, and the statement that makes it where pg_dump does not (checks_needed.cc). The tables are put in; asked of a shard that has them.
-- Code in quotes is not seen: what the body of a PL/pgSQL function calls.
WITH RECURSIVE members (classid, objid) AS (  -- the tables and all that is made with them
  SELECT 'pg_class'::regclass::oid, r::oid FROM pgrotor.with_partitions($tables) r
  UNION
  SELECT d.classid, d.objid FROM members m JOIN pg_depend d ON d.refclassid = m.classid AND d.refobjid = m.objid
   WHERE d.deptype IN ('a', 'i', 'P', 'S') AND d.classid IN ('pg_class'::regclass, 'pg_type'::regclass, 'pg_attrdef'::regclass,
         'pg_constraint'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_statistic_ext'::regclass)
), needed (classid, objid) AS (
  SELECT d.refclassid, d.refobjid FROM members m JOIN pg_depend d ON d.classid = m.classid AND d.objid = m.objid
   WHERE d.deptype = 'n' AND (d.refclassid, d.refobjid) NOT IN (SELECT classid, objid FROM members)
  UNION
  SELECT more.classid, more.objid FROM needed n
    CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pg_depend e WHERE e.classid = n.classid AND e.objid = n.objid AND e.deptype = 'e')) own (by_extension)
    CROSS JOIN LATERAL (
      SELECT d.refclassid, d.refobjid FROM pg_depend d WHERE d.classid = n.classid AND d.objid = n.objid
         AND CASE WHEN own.by_extension THEN d.deptype = 'e' ELSE d.deptype IN ('n', 'a', 'i') END
      UNION ALL  -- constraints of domains, operators and functions of operator classes
      SELECT d.classid, d.objid FROM pg_depend d WHERE NOT own.by_extension AND d.refclassid = n.classid AND d.refobjid = n.objid
         AND d.deptype IN ('a', 'i') AND d.classid IN ('pg_constraint'::regclass, 'pg_amop'::regclass, 'pg_amproc'::regclass)
    ) more (classid, objid)
   WHERE NOT (n.classid = 'pg_class'::regclass AND (SELECT c.relkind FROM pg_class c WHERE c.oid = n.objid) NOT IN ('c', 'S'))
), objects AS (
  $objects
)
SELECT i.type, i.identity, o.name, coalesce(s.nspname, ''), coalesce(r.rolname, ''), coalesce(x.extname, ''),
       CASE WHEN o.classid = 'pg_extension'::regclass THEN
              (SELECT format('CREATE EXTENSION %I SCHEMA %I CASCADE;', e.extname, n.nspname)
                 FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.oid = o.oid)
            WHEN o.classid = 'pg_class'::regclass THEN
              (SELECT format('CREATE SEQUENCE %1$s AS %2$s INCREMENT BY %3$s MINVALUE %4$s MAXVALUE %5$s START WITH %6$s CACHE %7$s; ALTER SEQUENCE %1$s OWNER TO %8$I;',
                             i.identity, format_type(q.seqtypid, NULL), q.seqincrement, q.seqmin, q.seqmax, q.seqstart, q.seqcache, r.rolname)
                 FROM pg_sequence q WHERE q.seqrelid = o.oid)
       END
  FROM (SELECT DISTINCT classid, objid FROM needed) n JOIN objects o ON o.classid = n.classid AND o.oid = n.objid
       LEFT JOIN pg_namespace s ON s.oid = o.namespace LEFT JOIN pg_roles r ON r.oid = o.owner
       LEFT JOIN pg_depend e ON e.classid = o.classid AND e.objid = o.oid AND e.deptype = 'e' LEFT JOIN pg_extension x ON x.oid = e.refobjid
       CROSS JOIN LATERAL pg_identify_object(o.classid, o.oid, 0) i
UNION ALL
SELECT DISTINCT 'role', quote_ident(r.rolname), r.rolname, '', '', '', ''
  FROM members m JOIN pg_shdepend d ON d.classid = m.classid AND d.objid = m.objid JOIN pg_roles r ON r.oid = d.refobjid
 WHERE d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND d.refclassid = 'pg_authid'::regclass
