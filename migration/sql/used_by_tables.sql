-- Types and collations that tables use, those inside of their types too, by name. The list of tables is put in by migration/shard/equal_shards.cc;
-- asked of a shard that has them.
WITH RECURSIVE tables AS (
  SELECT t.oid FROM pg_class t WHERE t.oid = ANY (SELECT to_regclass(name) FROM unnest(ARRAY[$tables]::text[]) name)
), used (type, coll) AS (
  SELECT a.atttypid, a.attcollation FROM pg_attribute a JOIN tables t ON t.oid = a.attrelid WHERE a.attnum > 0 AND NOT a.attisdropped
  UNION
  SELECT inner_type, inner_coll FROM used u JOIN pg_type y ON y.oid = u.type CROSS JOIN LATERAL (
    SELECT y.typelem, 0::oid WHERE y.typelem <> 0
    UNION ALL SELECT y.typbasetype, y.typcollation WHERE y.typtype = 'd'
    UNION ALL SELECT r.rngsubtype, r.rngcollation FROM pg_range r WHERE y.oid IN (r.rngtypid, r.rngmultitypid)
    UNION ALL SELECT a.atttypid, a.attcollation FROM pg_attribute a WHERE y.typtype = 'c' AND a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped
  ) inside (inner_type, inner_coll)
), collations (oid) AS (
  SELECT coll FROM used
  UNION SELECT unnest(i.indcollation) FROM pg_index i JOIN tables t ON t.oid = i.indrelid
)
SELECT DISTINCT 'type', format('%I.%I', n.nspname, y.typname) FROM used u JOIN pg_type y ON y.oid = u.type JOIN pg_namespace n ON n.oid = y.typnamespace
 WHERE y.oid >= 16384 AND NOT (y.typcategory = 'A' AND y.typtype = 'b')
UNION ALL
SELECT DISTINCT 'collation', format('%I.%I', n.nspname, c.collname) FROM collations u JOIN pg_collation c ON c.oid = u.oid
  JOIN pg_namespace n ON n.oid = c.collnamespace WHERE c.collname NOT IN ('default', 'C', 'POSIX', 'ucs_basic')
UNION ALL
SELECT 'default collation', '' WHERE EXISTS (SELECT FROM collations u JOIN pg_collation c ON c.oid = u.oid WHERE c.collname = 'default');
