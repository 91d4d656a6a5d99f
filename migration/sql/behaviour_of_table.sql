-- What a table does beside keeping rows: relation, kind, name, what is compared, the statement that makes it, the one that removes it. The table
-- ($table, a regclass) is put in by migration/shard/checks_behaviour.cc, which asks both shards. Constraints and unique indexes are the same under
-- any name, triggers fire in the order of theirs. Of a default that takes from a sequence only that is compared: pair_sequences finds its twin.
WITH tables AS (
  SELECT c.*, c.oid::regclass::text AS relation FROM pgrotor.with_partitions(ARRAY[$table]) r JOIN pg_class c ON c.oid = r
)
SELECT relation, 'relation', '', '', '', '' FROM tables
UNION ALL
SELECT t.relation, 'trigger', g.tgname, concat_ws(' ', pg_get_triggerdef(g.oid), e.state),
       concat(pg_get_triggerdef(g.oid), ';', ' ALTER TABLE ' || t.relation || ' ' || e.state || ' TRIGGER ' || quote_ident(g.tgname) || ';'),
       format('DROP TRIGGER %I ON %s;', g.tgname, t.relation)
  FROM tables t JOIN pg_trigger g ON g.tgrelid = t.oid
       CROSS JOIN LATERAL (SELECT CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' END) e (state)
 WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND g.tgname NOT LIKE '~~pgrotor%'
UNION ALL
SELECT t.relation, CASE k.contype WHEN 'c' THEN 'check constraint' WHEN 'f' THEN 'foreign key' WHEN 'u' THEN 'unique constraint' ELSE 'exclusion constraint' END,
       k.conname, replace(pg_get_constraintdef(k.oid), ' NOT VALID', ''), format('ALTER TABLE %s ADD CONSTRAINT %I %s;', t.relation, k.conname, pg_get_constraintdef(k.oid)),
       format('ALTER TABLE %s DROP CONSTRAINT %I;', t.relation, k.conname)
  FROM tables t JOIN pg_constraint k ON k.conrelid = t.oid
 WHERE k.contype IN ('c', 'f', 'u', 'x') AND k.conparentid = 0 AND k.conislocal
UNION ALL
SELECT t.relation, 'unique index', x.relname, substring(pg_get_indexdef(i.indexrelid) FROM ' USING .*'), pg_get_indexdef(i.indexrelid) || ';',
       format('DROP INDEX %s;', i.indexrelid::regclass)
  FROM tables t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class x ON x.oid = i.indexrelid
 WHERE i.indisunique AND i.indisvalid AND NOT x.relispartition
   AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
UNION ALL
SELECT t.relation, 'default of column', a.attname, regexp_replace(e.text, 'nextval\(''[^'']*''::regclass\)', 'nextval'),
       format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s;', t.relation, a.attname, e.text),
       format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT;', t.relation, a.attname)
  FROM tables t JOIN pg_attribute a ON a.attrelid = t.oid JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
       CROSS JOIN LATERAL (SELECT pg_get_expr(d.adbin, d.adrelid)) e (text)
 WHERE t.oid = $table AND a.attgenerated = '' AND NOT a.attisdropped
UNION ALL
SELECT relation, 'row level security', '', 'on', format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', relation), format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY;', relation)
  FROM tables WHERE relrowsecurity
UNION ALL
SELECT t.relation, 'policy', p.polname, d.text, format('CREATE POLICY %I ON %s %s;', p.polname, t.relation, d.text), format('DROP POLICY %I ON %s;', p.polname, t.relation)
  FROM tables t JOIN pg_policy p ON p.polrelid = t.oid CROSS JOIN LATERAL (
    SELECT concat_ws(' ', 'AS', CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                     'FOR', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                     'TO', (SELECT string_agg(CASE WHEN one = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(one)) END, ', '
                                              ORDER BY pg_get_userbyid(one)) FROM unnest(p.polroles) one),
                     'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', 'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')) d (text)
UNION ALL
SELECT u.parent::text, 'partition', t.relation, pg_get_expr(t.relpartbound, t.oid),
       concat('CREATE TABLE ', t.relation, ' PARTITION OF ', u.parent, ' ', pg_get_expr(t.relpartbound, t.oid), ' PARTITION BY ' || pg_get_partkeydef(t.oid),
              format('; ALTER TABLE %s OWNER TO %I;', t.relation, pg_get_userbyid(t.relowner))), ''
  FROM tables t JOIN pg_inherits h ON h.inhrelid = t.oid CROSS JOIN LATERAL (SELECT h.inhparent::regclass) u (parent)
 WHERE t.relispartition
