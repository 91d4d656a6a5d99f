-- What touches tables that a statement does not name: views, partitions, functions, and triggers, rules, policies, defaults and checks of
-- tables. One statement, run on each shard (migration/shard/hidden_access.h); reads catalogs only, as any role.
--   $1  {"sharded": [["schema", "table"], …], "reference": […]}: the tables of the map
--   $2, $3  schema and name of a table about to join it, whose own triggers and the like are asked for too; '' for those of all sharded tables
-- Rows: kind ('relation', 'write', 'function', 'attached', 'part'), schema, name, effect ('sharded', 'home', 'dynamic'), what it touches or is of.
-- Of an attachment the schema is its table, "schema.name". What is pgrotor's own is left out.
-- A function is judged by its text: comments and messages of RAISE are left out, sharded tables count wherever their name stands as a word,
-- other tables where a table can stand. SQL that a function builds at run time is not seen, only that it does.
WITH RECURSIVE listed AS MATERIALIZED (
  SELECT of.kind, t->>0 AS nspname, t->>1 AS relname
  FROM (VALUES ('sharded'), ('reference')) of(kind), jsonb_array_elements($1::jsonb->of.kind) t
), tables AS MATERIALIZED (
  SELECT c.oid, n.nspname, c.relname, lower(c.relname) AS word, c.relname ~ '^[[:alnum:]_$]+$' AS is_word,
         coalesce(l.kind, CASE WHEN c.relkind IN ('v', 'm') THEN 'view' ELSE 'local' END) AS kind, c.relispartition
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN listed l ON l.nspname = n.nspname AND l.relname = c.relname
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgrotor')
    AND n.nspname !~ '^pg_(toast|temp)'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
), sources AS MATERIALIZED (
  SELECT p.oid, p.proname, l.lanname,
         -- Literals are looked at before comments, so that '--' in one of them hides nothing.
         lower(regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), '(''(?:[^'']|'''')*'')|/\*(?:[^*]|\*+[^*/])*\*+/|--[^\n]*', '\1 ', 'g'))
           AS body
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgrotor') AND p.prokind <> 'a' AND l.lanname NOT IN ('c', 'internal')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
), functions AS MATERIALIZED (
  SELECT s.oid, s.proname, s.lanname,
         regexp_replace(regexp_replace(regexp_replace(s.body, '\mraise\s+(?:\w+\s+)?''(?:[^'']|'''')*''', ' ', 'g'),
                                       '\m(?:new|old)\s*\.\s*"?[[:alnum:]_$]+', ' ', 'g'),
                        '''(?:insert|update|delete|truncate)''|\mdistinct\s+from\M', ' ', 'g') AS body
  FROM sources s
), words AS MATERIALIZED (
  SELECT DISTINCT f.oid, m[1] AS word FROM functions f, regexp_matches(f.body, '[[:alnum:]_$]+', 'g') m
), calls AS MATERIALIZED (
  SELECT DISTINCT f.oid, m[1] AS word FROM functions f, regexp_matches(f.body, '([[:alnum:]_$]+)"?\s*\(', 'g') m
), places AS MATERIALIZED (
  SELECT f.oid, m[1] AS word
  FROM functions f,
       regexp_matches(f.body, '\m(?:from|join|into|update|only|table|using|truncate|copy|lock)\s+(?:"?[[:alnum:]_$]+"?\s*\.\s*)?"?([[:alnum:]_$]+)', 'g') m
  UNION
  SELECT f.oid, n[1]
  FROM functions f, regexp_matches(f.body, '\mfrom\M((?:(?!\m(?:where|group|order|limit|loop|union|join)\M)[^;])*)', 'g') m,
       regexp_matches(m[1], ',\s*(?:"?[[:alnum:]_$]+"?\s*\.\s*)?"?([[:alnum:]_$]+)', 'g') n
), written AS MATERIALIZED (
  SELECT f.oid, m[1] AS word
  FROM functions f,
       regexp_matches(f.body, '\m(?:into|update|delete\s+from|truncate|table|copy)\s+(?:only\s+)?(?:"?[[:alnum:]_$]+"?\s*\.\s*)?"?([[:alnum:]_$]+)', 'g') m
), runs(relid, name, oid) AS MATERIALIZED (
  -- Functions that run when a table is written, and what calls them: triggers and their WHEN, defaults, checks, those of domains, expressions of
  -- indexes, partition keys.
  SELECT t.tgrelid, 'trigger ' || t.tgname, d.refobjid FROM pg_trigger t
    JOIN pg_depend d ON d.classid = 'pg_trigger'::regclass AND d.objid = t.oid AND d.refclassid = 'pg_proc'::regclass WHERE NOT t.tgisinternal
  UNION SELECT c.attrelid, 'default of column ' || c.attname, d.refobjid FROM pg_attrdef f
    JOIN pg_attribute c ON c.attrelid = f.adrelid AND c.attnum = f.adnum
    JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_proc'::regclass
  UNION SELECT c.conrelid, 'constraint ' || c.conname, d.refobjid FROM pg_constraint c
    JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_proc'::regclass
    WHERE c.contype = 'c' AND c.conrelid <> 0
  UNION SELECT a.attrelid, 'constraint ' || c.conname, d.refobjid FROM pg_constraint c JOIN pg_attribute a ON a.atttypid = c.contypid
    JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_proc'::regclass
    WHERE c.contypid <> 0 AND a.attnum > 0 AND NOT a.attisdropped
  UNION SELECT a.attrelid, 'default of domain ' || t.typname, d.refobjid FROM pg_type t JOIN pg_attribute a ON a.atttypid = t.oid
    JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.refclassid = 'pg_proc'::regclass
    WHERE t.typtype = 'd' AND a.attnum > 0 AND NOT a.attisdropped
  UNION SELECT coalesce(i.indrelid, c.oid), CASE WHEN i.indrelid IS NULL THEN 'partition key' ELSE 'index ' || c.relname END, d.refobjid
    FROM pg_depend d JOIN pg_class c ON c.oid = d.objid LEFT JOIN pg_index i ON i.indexrelid = c.oid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_proc'::regclass
), edges(from_kind, from_oid, to_kind, to_oid, sharded_only) AS MATERIALIZED (
  -- Functions. A name that is no word is looked for as it stands.
  SELECT 'function', w.oid, 'relation', t.oid, t.kind <> 'sharded' FROM words w JOIN tables t USING (word)
    WHERE t.kind IN ('sharded', 'view')
  UNION ALL SELECT 'function', f.oid, 'relation', t.oid, false FROM functions f JOIN tables t ON NOT t.is_word
    AND strpos(f.body, t.word) > 0
    WHERE t.kind <> 'reference'
  UNION ALL SELECT 'function', p.oid, 'relation', t.oid, false FROM places p JOIN tables t USING (word) WHERE t.kind IN ('local', 'view')
  UNION ALL SELECT 'function', p.oid, 'write', t.oid, false FROM written p JOIN tables t USING (word) WHERE t.kind IN ('local', 'view')
  UNION ALL SELECT 'function', c.oid, 'function', p.oid, false FROM calls c JOIN pg_proc p ON lower(p.proname) = c.word AND p.oid <> c.oid
  -- ... by defaults of their arguments and bodies that PostgreSQL has read.
  UNION ALL SELECT 'function', d.objid, 'function', d.refobjid, false FROM pg_depend d
    WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_proc'::regclass
  UNION ALL SELECT 'function', a.aggfnoid, 'function', f.oid, false FROM pg_aggregate a
    JOIN functions f ON f.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn)
  -- Views read what their rule names, and may be written through to it.
  UNION ALL SELECT k.kind, r.ev_class, k.kind, d.refobjid, false FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass
    AND d.objid = r.oid,
    (VALUES ('relation'), ('write')) k(kind) WHERE r.rulename = '_RETURN' AND d.refclassid = 'pg_class'::regclass
      AND d.refobjid <> r.ev_class
  UNION ALL SELECT CASE WHEN r.rulename = '_RETURN' THEN 'relation' ELSE 'write' END, r.ev_class, 'function', d.refobjid, false
    FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid WHERE d.refclassid = 'pg_proc'::regclass
  UNION ALL SELECT 'write', r.ev_class, k.kind, d.refobjid, false FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass
    AND d.objid = r.oid,
    (VALUES ('relation'), ('write')) k(kind) WHERE r.rulename <> '_RETURN' AND d.refclassid = 'pg_class'::regclass
      AND d.refobjid <> r.ev_class
  -- Partitions and children, both ways.
  UNION ALL SELECT 'relation', i.inhrelid, 'relation', i.inhparent, false FROM pg_inherits i
  UNION ALL SELECT 'relation', i.inhparent, 'relation', i.inhrelid, false FROM pg_inherits i
  -- What runs when a table is written, or read (policies).
  UNION ALL SELECT 'write', r.relid, 'function', r.oid, false FROM runs r
  UNION ALL SELECT 'relation', p.polrelid, CASE WHEN d.refclassid = 'pg_proc'::regclass THEN 'function' ELSE 'relation' END, d.refobjid, false
    FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
    WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_class'::regclass) AND d.refobjid <> p.polrelid
), facts(kind, oid, effect, what) AS MATERIALIZED (
  SELECT k.kind, t.oid, CASE WHEN t.kind = 'sharded' THEN 'sharded' ELSE 'home' END,
         CASE WHEN t.kind = 'sharded' THEN format('table "%s.%s"', t.nspname, t.relname) ELSE 'a table that is not sharded' END
  FROM tables t, (VALUES ('relation'), ('write')) k(kind) WHERE t.kind IN ('sharded', 'local')
  UNION ALL SELECT 'function', w.oid, CASE WHEN f.body ~ ('\m(?:insert\s+into|update|delete\s+from|merge\s+into|truncate|copy)\s+(?:(?:only|table)\s+)*(?:"?[[:alnum:]_$]+"?\s*\.\s*)?"?'
      || replace(t.word, '$', '\$') || '\M') THEN 'sharded' ELSE 'home' END, format('reference table "%s.%s"', t.nspname, t.relname)
    FROM words w JOIN tables t USING (word) JOIN functions f ON f.oid = w.oid
    WHERE t.kind = 'reference' AND t.is_word AND f.body ~ '\m(?:insert|update|delete|merge|truncate|copy|share)\M'
  UNION ALL SELECT 'function', c.oid, 'home', c.word || '()' FROM calls c
    WHERE c.word ~ '^(?:nextval|setval|pg_notify|pg_export_snapshot|pg_logical_emit_message|loread|lowrite|lo_\w+|pg_(?:try_)?advisory_\w+)$'
  UNION ALL SELECT 'function', f.oid, 'home', 'NOTIFY' FROM functions f
    WHERE f.body ~ '(?:^|;|\mbegin|\mthen|\melse|\mloop)\s*notify\s+["[:alpha:]_]'
  UNION ALL SELECT 'function', f.oid, 'dynamic', 'SQL that it is given or builds itself' FROM functions f
    WHERE (f.lanname = 'plpgsql' AND f.body ~ '\mexecute\M(?!\s+(?:function|procedure)\M)') OR f.body ~ 'plpy\s*\.|\mspi_\w+|plv8\s*\.'
  UNION ALL SELECT 'function', c.oid, 'dynamic', c.word || '()' FROM calls c
    WHERE c.word ~ '^(?:(?:query|table|cursor|schema|database)_to_xml\w*|ts_stat|crosstab\w*|connectby|dblink\w*)$'
  UNION ALL SELECT 'function', p.oid, 'dynamic', 'a table named by its arguments' FROM pg_proc p
    WHERE p.proname IN ('check_primary_key', 'check_foreign_key', 'autoinc', 'lo_manage') AND p.prorettype = 'trigger'::regtype
), reach(kind, oid, effect, what) AS (
  SELECT kind, oid, effect, what FROM facts
  UNION SELECT e.from_kind, e.from_oid, r.effect, r.what FROM reach r JOIN edges e ON e.to_kind = r.kind AND e.to_oid = r.oid
    WHERE NOT e.sharded_only OR r.effect = 'sharded'
), asked AS (
  SELECT t.nspname || '.' || t.relname AS of_table, s.relid
  FROM tables t, LATERAL (SELECT t.oid AS relid UNION SELECT i.relid FROM pg_partition_tree(t.oid) i) s
  WHERE CASE WHEN $2 = '' THEN t.kind = 'sharded' ELSE t.nspname = $2 AND t.relname = $3 END
), whole AS (  -- tables of the map with their partitions
  SELECT t.oid AS relid, format('table "%s.%s"', t.nspname, t.relname) AS what FROM tables t WHERE t.kind IN ('sharded', 'reference')
  UNION SELECT i.relid, format('table "%s.%s"', t.nspname, t.relname) FROM tables t, pg_partition_tree(t.oid) i
    WHERE t.kind IN ('sharded', 'reference')
), expressions(classid, objid, what) AS (
  SELECT 'pg_attrdef'::regclass::oid, d.oid, w.what FROM whole w JOIN pg_attrdef d ON d.adrelid = w.relid
  UNION ALL SELECT 'pg_constraint'::regclass, c.oid, w.what FROM whole w JOIN pg_constraint c ON c.conrelid = w.relid
    AND c.contype IN ('c', 'x')
  UNION ALL SELECT 'pg_policy'::regclass, p.oid, w.what FROM whole w JOIN pg_policy p ON p.polrelid = w.relid
  UNION ALL SELECT 'pg_class'::regclass, i.indexrelid, w.what FROM whole w JOIN pg_index i ON i.indrelid = w.relid
  UNION ALL SELECT 'pg_trigger'::regclass, t.oid, w.what FROM whole w JOIN pg_trigger t ON t.tgrelid = w.relid AND NOT t.tgisinternal
), owned(nspid, name, what) AS (
  SELECT c.relnamespace, c.relname, w.what FROM whole w JOIN pg_index i ON i.indrelid = w.relid JOIN pg_class c ON c.oid = i.indexrelid
  UNION SELECT c.relnamespace, c.relname, w.what FROM whole w JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass
    AND d.refobjid = w.relid
    AND d.classid = 'pg_class'::regclass JOIN pg_class c ON c.oid = d.objid WHERE c.relkind = 'S'
  UNION SELECT s.stxnamespace, s.stxname, w.what FROM whole w JOIN pg_statistic_ext s ON s.stxrelid = w.relid
  UNION SELECT t.typnamespace, t.typname, w.what FROM whole w JOIN pg_attribute a ON a.attrelid = w.relid AND a.attnum > 0
    AND NOT a.attisdropped
    JOIN pg_type u ON u.oid = a.atttypid JOIN pg_type t ON t.oid IN (u.oid, u.typelem) WHERE t.oid >= 16384
  UNION SELECT p.pronamespace, p.proname, e.what FROM expressions e JOIN pg_depend d USING (classid, objid)
    JOIN pg_proc p ON p.oid = d.refobjid
    WHERE d.refclassid = 'pg_proc'::regclass AND p.oid >= 16384
  UNION SELECT c.relnamespace, c.relname, e.what FROM expressions e JOIN pg_depend d USING (classid, objid)
    JOIN pg_class c ON c.oid = d.refobjid
    WHERE d.refclassid = 'pg_class'::regclass AND c.relkind = 'S'
), attached(of_table, name, kind, oid) AS (
  SELECT DISTINCT a.of_table, r.name, 'function', r.oid FROM asked a JOIN runs r ON r.relid = a.relid WHERE r.name NOT LIKE 'trigger ~~pgrotor%'
  UNION SELECT a.of_table, 'policy ' || p.polname, CASE WHEN d.refclassid = 'pg_proc'::regclass THEN 'function' ELSE 'relation' END, d.refobjid
    FROM asked a JOIN pg_policy p ON p.polrelid = a.relid JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
    WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_class'::regclass) AND d.refobjid <> p.polrelid
)
SELECT DISTINCT ON (1, 2, 3) found.* FROM (
SELECT 'function' AS kind, n.nspname AS schema, p.proname AS name, r.effect, min(r.what) AS what
  FROM reach r JOIN pg_proc p ON r.kind = 'function' AND p.oid = r.oid JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE r.effect IN ('sharded', 'home') AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) GROUP BY 1, 2, 3, 4
UNION ALL
SELECT r.kind, t.nspname, t.relname, r.effect, min(r.what) FROM reach r JOIN tables t ON r.oid = t.oid
  WHERE r.kind IN ('relation', 'write') AND r.effect = 'sharded' AND t.kind IN ('local', 'view') GROUP BY 1, 2, 3, 4
UNION ALL
SELECT 'part', n.nspname, o.name, 'sharded', min(o.what) FROM owned o JOIN pg_namespace n ON n.oid = o.nspid
  WHERE n.nspname <> 'pgrotor' GROUP BY 1, 2, 3, 4
UNION ALL
SELECT 'attached', a.of_table, a.name, min(r.effect), string_agg(DISTINCT r.what, ', ') FROM attached a JOIN reach r ON r.kind = a.kind
  AND r.oid = a.oid GROUP BY a.of_table, a.name
UNION ALL
SELECT DISTINCT 'attached', a.of_table, 'rule ' || w.rulename, 'dynamic', 'statements of its own' FROM asked a
  JOIN pg_rewrite w ON w.ev_class = a.relid WHERE w.rulename <> '_RETURN'
) found
ORDER BY 1, 2, 3, 4 DESC
