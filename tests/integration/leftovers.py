"""What moves leave behind on shards, by query: objects that were not there before, and rows on a shard that does not own them."""
SEED = 8816678312871386365
PLACEMENT = {"smallint": "hashint8extended({0}::bigint, {1})", "integer": "hashint8extended({0}::bigint, {1})",
             "bigint": "hashint8extended({0}, {1})", "text": "hashtextextended({0}, {1})", "uuid": "uuid_hash_extended({0}, {1})",
             "character varying": "hashtextextended({0}::text, {1})", "character": "hashbpcharextended({0}, {1})",
             "bpchar": "hashbpcharextended({0}, {1})"}

OBJECTS = {
    "slot": "SELECT slot_name FROM pg_replication_slots",
    "publication": "SELECT pubname FROM pg_publication",
    "origin": "SELECT roname FROM pg_replication_origin",
    "trigger": "SELECT format('%s on %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal"
               " AND tgname <> '~~pgrotor_owner'",  # permanent: of every distributed table
    "function": "SELECT oid::regprocedure::text FROM pg_proc"
                " WHERE pronamespace <> ALL (ARRAY['pg_catalog', 'information_schema']::regnamespace[])",
    "sequence": "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S'",
    "replica identity": "SELECT format('%s of %s', relreplident, oid::regclass) FROM pg_class"
                        " WHERE relkind IN ('r', 'p') AND relreplident <> 'd' AND oid >= 16384",
    "advisory lock": "SELECT format('(%s, %s) %s', classid, objid, mode) FROM pg_locks WHERE locktype = 'advisory'",
    "prepared transaction": "SELECT gid FROM pg_prepared_xacts",
}
PROGRESS = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('pgrotor') AND relname IN ('chunks', 'progress')"


def inventory(fleet):
    """{(shard, kind, name)} of everything a migration could have made."""
    found = set()
    for name in fleet.names:
        for kind, sql in OBJECTS.items():
            found |= {(name, kind, row[0]) for row in fleet.query(name, sql)}
        for (table,) in fleet.query(name, PROGRESS):
            for (row,) in fleet.query(name, f"SELECT t::text FROM pgrotor.{table} t LIMIT 10"):
                found.add((name, f"row of pgrotor.{table}", row))
    return found


def owned(ranges, shard, expression):
    """SQL that is true for placements the shard owns; `ranges` as Fleet.ranges() gives them, of one distribution."""
    parts = [f"({expression} >= ({lower})" + (f" AND {expression} < ({upper}))" if upper is not None else ")")
             for _, lower, upper, owner in ranges if owner == shard]
    return " OR ".join(parts) or "false"


def unowned_rows(fleet):
    """{(shard, table): rows} that lie on a shard which does not own them; empty is right."""
    tables = [row for row in fleet.console("SHOW TABLES") if row["distribution"]]
    ranges, found = fleet.ranges(), {}
    for row in tables:
        name = f'"{row["schema"]}"."{row["table"]}"'
        of_distribution = [each for each in ranges if each[0] == row["distribution"]]
        for shard in fleet.names:
            kind = fleet.query(shard, "SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = %s",
                               (name, row["key"]))
            if not kind:
                continue
            placement = PLACEMENT[kind[0][0]].format(f'"{row["key"]}"', SEED)
            rows = fleet.query(shard, f"SELECT count(*) FROM {name} WHERE NOT ({owned(of_distribution, shard, placement)})")[0][0]
            if rows:
                found[shard, name] = rows
    return found


def leftovers(fleet, before):
    """Every leftover as a line of text; `before` is the inventory taken before the first migration."""
    lines = [f"{shard}: {kind} {name}" for shard, kind, name in sorted(inventory(fleet) - before)]
    return lines + [f"{shard}: {rows} rows of {table} that it does not own" for (shard, table), rows in sorted(unowned_rows(fleet).items())]
