-- Who may do with tables and their schemas what statements on rows need (and what all versions know), owners left out: role ('public' is everybody), kind, object, privilege, column. The tables
-- are put in by migration/shard/checks_behaviour.cc, which then asks the other shard whether they may there.
WITH tables AS (
  SELECT c.* FROM unnest($tables) r JOIN pg_class c ON c.oid = r
), grants (grantee, kind, object, privilege, part) AS (
  SELECT a.grantee, 'table', t.oid::regclass::text, a.privilege_type, '' FROM tables t, aclexplode(coalesce(t.relacl, acldefault('r', t.relowner))) a
   WHERE a.grantee <> t.relowner
  UNION ALL
  SELECT a.grantee, 'column', t.oid::regclass::text, a.privilege_type, c.attname
    FROM tables t JOIN pg_attribute c ON c.attrelid = t.oid, aclexplode(c.attacl) a WHERE c.attacl IS NOT NULL AND NOT c.attisdropped AND a.grantee <> t.relowner
  UNION
  SELECT a.grantee, 'schema', quote_ident(n.nspname), a.privilege_type, ''
    FROM tables t JOIN pg_namespace n ON n.oid = t.relnamespace, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a WHERE a.grantee <> n.nspowner
)
SELECT CASE WHEN grantee = 0 THEN 'public' ELSE pg_get_userbyid(grantee) END, kind, object, privilege, part FROM grants
 WHERE privilege IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'USAGE')
