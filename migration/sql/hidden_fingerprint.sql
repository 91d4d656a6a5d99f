-- A number that changes whenever hidden_access.sql might answer otherwise: cheap, asked of every shard every few seconds (migration/coordinator/hidden_watch.cc).
-- Of relations only names count: their rows change with every VACUUM and ANALYZE that has something to say.
SELECT count(*) || '/' || coalesce(sum(hashint8extended((o.oid::int8 << 32) | o.version, o.kind)), 0)
FROM (SELECT oid, xmin::text::int8, 1 FROM pg_proc WHERE oid >= 16384
      UNION ALL SELECT oid, xmin::text::int8, 2 FROM pg_rewrite WHERE oid >= 16384
      UNION ALL SELECT oid, xmin::text::int8, 3 FROM pg_trigger WHERE NOT tgisinternal
      UNION ALL SELECT oid, xmin::text::int8, 4 FROM pg_policy
      UNION ALL SELECT oid, xmin::text::int8, 5 FROM pg_attrdef
      UNION ALL SELECT oid, xmin::text::int8, 6 FROM pg_constraint WHERE contype = 'c'
      UNION ALL SELECT oid, xmin::text::int8, 10 FROM pg_type WHERE typtype = 'd' AND oid >= 16384
      UNION ALL SELECT inhrelid, xmin::text::int8, 7 FROM pg_inherits
      UNION ALL SELECT oid, xmin::text::int8, 8 FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
      UNION ALL SELECT oid, hashtext(relname || ' ' || relnamespace || ' ' || relnatts)::int8 & 4294967295, 9 FROM pg_class
                WHERE oid >= 16384 AND relpersistence <> 't') o(oid, version, kind)
