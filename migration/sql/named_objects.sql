-- What a definition can need, whatever catalog it is in: put into needed_objects.sql, and asked of a target (checks_needed.cc).
SELECT 'pg_type'::regclass::oid AS classid, oid, typname AS name, typnamespace AS namespace, typowner AS owner FROM pg_type
 WHERE NOT (typcategory = 'A' AND typelem <> 0) AND typtype <> 'm'
UNION ALL SELECT 'pg_proc'::regclass, oid, proname, pronamespace, proowner FROM pg_proc
UNION ALL SELECT 'pg_operator'::regclass, oid, oprname, oprnamespace, oprowner FROM pg_operator
UNION ALL SELECT 'pg_opclass'::regclass, oid, opcname, opcnamespace, opcowner FROM pg_opclass
UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfname, opfnamespace, opfowner FROM pg_opfamily
UNION ALL SELECT 'pg_collation'::regclass, oid, collname, collnamespace, collowner FROM pg_collation
UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgname, cfgnamespace, cfgowner FROM pg_ts_config
UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictname, dictnamespace, dictowner FROM pg_ts_dict
UNION ALL SELECT 'pg_ts_parser'::regclass, oid, prsname, prsnamespace, 0 FROM pg_ts_parser
UNION ALL SELECT 'pg_ts_template'::regclass, oid, tmplname, tmplnamespace, 0 FROM pg_ts_template
UNION ALL SELECT 'pg_class'::regclass, oid, relname, relnamespace, relowner FROM pg_class WHERE relkind IN ('S', 'v', 'm')
UNION ALL SELECT 'pg_namespace'::regclass, oid, nspname, oid, nspowner FROM pg_namespace
UNION ALL SELECT 'pg_language'::regclass, oid, lanname, 0, lanowner FROM pg_language
UNION ALL SELECT 'pg_am'::regclass, oid, amname, 0, 0 FROM pg_am
UNION ALL SELECT 'pg_extension'::regclass, oid, extname, 0, 0 FROM pg_extension
