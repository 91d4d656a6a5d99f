-- What a shard must have in common with others: kind, name, value. The lists are put in by migration/shard/equal_shards.cc. Columns that only some
-- versions have are read through jsonb; a function that 14 has not got comes as $locale_version.
WITH database AS (
  SELECT d.oid, d.encoding, to_jsonb(d) AS facts FROM pg_database d WHERE d.datname = current_database()
), types AS (
  SELECT name, to_regtype(name)::oid AS oid FROM unnest(ARRAY[$types]::text[]) name WHERE to_regtype(name) IS NOT NULL
), named_collations AS (
  SELECT format('%I.%I', n.nspname, c.collname) AS name, c.oid, to_jsonb(c) AS facts FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
   WHERE c.collencoding IN (-1, (SELECT encoding FROM database))
)
SELECT 'version', '', (current_setting('server_version_num')::integer / 10000)::text
UNION ALL
SELECT 'encoding', '', pg_encoding_to_char(encoding) FROM database
UNION ALL
SELECT 'locale', '', concat_ws(' ', facts->>'datcollate', facts->>'datctype', nullif(facts->>'datlocprovider', 'c'),
                               coalesce(facts->>'datlocale', facts->>'daticulocale'), facts->>'daticurules') FROM database
UNION ALL
SELECT 'locale version', '', version FROM (SELECT $locale_version FROM database) of_database(version) WHERE version IS NOT NULL
UNION ALL
SELECT 'collation', name, concat_ws(' ', facts->>'collprovider',
                                    CASE WHEN facts->>'collprovider' = 'c' THEN concat_ws(' ', facts->>'collcollate', facts->>'collctype')
                                         ELSE coalesce(facts->>'colllocale', facts->>'colliculocale', facts->>'collcollate') END, facts->>'collicurules',
                                    CASE WHEN NOT (facts->>'collisdeterministic')::boolean THEN 'nondeterministic' END)
  FROM named_collations WHERE name = ANY (ARRAY[$collations]::text[])
UNION ALL
SELECT 'collation version', name, coalesce(pg_collation_actual_version(oid), 'none') FROM named_collations WHERE name = ANY (ARRAY[$collations]::text[])
UNION ALL
SELECT 'type', t.name, CASE y.typtype
    WHEN 'e' THEN (SELECT format('enum (%s)', string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)) FROM pg_enum e WHERE e.enumtypid = y.oid)
    WHEN 'c' THEN (SELECT format('row (%s)', string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum))
                     FROM pg_attribute a WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
    WHEN 'd' THEN concat_ws(' ', 'domain over', format_type(y.typbasetype, y.typtypmod), CASE WHEN y.typnotnull THEN 'NOT NULL' END,
                            (SELECT string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = y.oid AND k.contype = 'c'))
    WHEN 'r' THEN (SELECT format('range of %s', format_type(r.rngsubtype, NULL)) FROM pg_range r WHERE r.rngtypid = y.oid)
    ELSE format('a type of %s bytes', y.typlen) END
  FROM types t JOIN pg_type y ON y.oid = t.oid
UNION ALL
SELECT 'type oid', name, oid::text FROM types
UNION ALL
SELECT 'extension', extname, extversion FROM pg_extension
UNION ALL
SELECT 'text search', format('%I.%I', n.nspname, c.cfgname), md5(concat(p.prsname,
       (SELECT string_agg(concat_ws(' ', m.maptokentype, m.mapseqno, d.dictname, d.dictinitoption), ';' ORDER BY m.maptokentype, m.mapseqno)
          FROM pg_ts_config_map m JOIN pg_ts_dict d ON d.oid = m.mapdict WHERE m.mapcfg = c.oid)))
  FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace JOIN pg_ts_parser p ON p.oid = c.cfgparser
UNION ALL
SELECT 'setting', name, quote_literal(reset_val) FROM pg_settings WHERE name = ANY (ARRAY[$settings]::text[]) AND name <> 'server_encoding'
UNION ALL
SELECT 'setting', concat_ws(' ', split_part(one, '=', 1), CASE WHEN s.setrole <> 0 THEN format('of role %I', r.rolname) END,
                            CASE WHEN s.setdatabase <> 0 THEN 'in the database' END), quote_literal(substr(one, strpos(one, '=') + 1))
  FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) one LEFT JOIN pg_roles r ON r.oid = s.setrole
 WHERE s.setdatabase IN (0, (SELECT oid FROM database)) AND (s.setrole <> 0 OR s.setdatabase <> 0)
   AND (lower(split_part(one, '=', 1)) IN (SELECT lower(name) FROM unnest(ARRAY[$settings]::text[]) name) OR strpos(split_part(one, '=', 1), '.') > 0);
