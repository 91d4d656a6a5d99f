"""What the ownership guard costs, on one shard and without pgrotor: with and without it in turn, several rounds. Run by `ownership --cost`."""
import io
import re
import statistics
import subprocess
import time
from contextlib import closing

from cluster import BIN, Scene
from fleet import DATABASE, Fleet

TABLE = """CREATE TABLE bulk (customer_id bigint NOT NULL, id bigint NOT NULL, status text NOT NULL, total numeric(12,2) NOT NULL, note text,
  made timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (customer_id, id)); CREATE INDEX bulk_made ON bulk (customer_id, made);"""
ROW = "i % 5000, i, 'new', i % 1000, repeat(md5(i::text), 2)"
PGBENCH = {
    "pgbench, UPDATE by key": "\\set i random(1, {rows})\nUPDATE bulk SET total = total + 1 WHERE customer_id = :i % 5000 AND id = :i;\n",
    "pgbench, INSERT": "\\set i random(1, 5000)\n\\set j random(1, 1000000000000)\nINSERT INTO bulk VALUES (:i, :j, 'new', 1, 'note') ON CONFLICT DO NOTHING;\n",
}
# As of a shard that owns the middle of three ranges: both bounds are compared.
GUARD = """SELECT pgrotor.set_owner_guard('bulk', 'customer_id', $$(pg_catalog.hashint8extended(NEW.customer_id, 8816678312871386365)
  OPERATOR(pg_catalog.>=) '-9223372036854775808'::pg_catalog.int8 AND pg_catalog.hashint8extended(NEW.customer_id, 8816678312871386365)
  OPERATOR(pg_catalog.<) '9223372036854775807'::pg_catalog.int8) IS NOT TRUE$$, 'cost', 'keep')"""


def timed(cursor, sql):
    began = time.monotonic()
    cursor.execute(sql)
    return time.monotonic() - began


def pgbench(shard, script, seconds):
    out = subprocess.run([BIN + "pgbench", "-n", "-f", script, "-c", "4", "-j", "1", "-T", str(seconds), "-M", "prepared", "-h", shard.folder, "-p",
                          str(shard.port), "-U", "postgres", DATABASE], capture_output=True, text=True, check=True, cwd="/").stdout
    return 1 / float(re.search(r"tps = ([\d.]+)", out).group(1))


def one_round(shard, rows, seconds, scripts):
    """Seconds for each kind of work; for pgbench, seconds a transaction."""
    took = {}
    with closing(shard.connect(DATABASE)) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE bulk; CHECKPOINT")
        took["INSERT SELECT"] = timed(cursor, f"INSERT INTO bulk SELECT {ROW} FROM generate_series(1, {rows}) i")
        took["UPDATE of all rows"] = timed(cursor, "UPDATE bulk SET total = total + 1")
        out = io.StringIO()
        cursor.copy_expert("COPY bulk TO STDOUT", out)
        cursor.execute("TRUNCATE bulk; CHECKPOINT")
        began = time.monotonic()
        cursor.copy_expert("COPY bulk FROM STDIN", io.StringIO(out.getvalue()))
        took["COPY FROM"] = time.monotonic() - began
        cursor.execute("ANALYZE bulk")
    for name, script in scripts.items():
        took[name] = pgbench(shard, script, seconds)
    return took


def cost(rows, rounds, seconds):
    with Scene("ownership_cost") as scene:
        fleet = Fleet(scene, names=("s1",), catalog="s1", cluster_settings={"max_wal_size": "4GB"})
        fleet.everywhere(TABLE)
        fleet.console("DISTRIBUTE TABLE bulk BY customer_id")
        shard, scripts, results = fleet.shards["s1"], {}, {False: [], True: []}
        for name, text in PGBENCH.items():
            scripts[name] = f"{scene.folder}/{len(scripts)}.sql"
            with open(scripts[name], "w") as file:
                file.write(text.format(rows=rows))
        for turn in range(2 * rounds):
            guarded = turn % 2 == 1
            fleet.query("s1", GUARD if guarded else 'DROP TRIGGER IF EXISTS "~~pgrotor_owner" ON bulk')
            results[guarded].append(one_round(shard, rows, seconds, scripts))
    print(f"{rows} rows, {rounds} rounds with and without the guard in turn; medians")
    for name in results[True][0]:
        without, with_guard = (statistics.median(each[name] for each in results[side]) for side in (False, True))
        unit = "ms a transaction" if "pgbench" in name else "ms"
        print(f"  {name:24} without {without * 1000:9.2f} {unit}, with {with_guard * 1000:9.2f}: {100 * (with_guard / without - 1):+.1f} %")
