"""Orchestrates deploy/demo: clusters, schema, load, the drain as a DBA types it, the report. Needs PGROTOR_SOURCE and PGROTOR_BUILD."""
import argparse
import os
import subprocess
import sys
import time

sys.path.insert(1, os.path.join(os.environ["PGROTOR_SOURCE"], "tests", "integration"))

import demo_load
import demo_report
from cluster import BIN, Scene, TimedOut
from fleet import DATABASE, FINAL, Fleet
from leftovers import inventory

COPY_SECONDS = 24          # what max_rate is chosen for: at least 20 s of COPYING a migration
BEFORE, AFTER = 12, 10     # seconds of load before the drain and after the last move
MOVED = 1 << 60            # a sixteenth of all placements goes back and forth


def now_us():
    return time.time_ns() // 1000


def step(text):
    print(f"\n== {text}", flush=True)


def typed(fleet, command):
    """What a DBA would do: psql on the admin console, shown as it is."""
    print(f"pgrotor=> {command};", flush=True)
    environment = dict(os.environ, PGPASSWORD=fleet.pgrotor.admin_password)
    done = subprocess.run([BIN + "psql", "-X", "-P", "pager=off", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p",
                           str(fleet.pgrotor.port), "-U", "admin", "-d", "pgrotor", "-c", command],
                          env=environment, cwd="/", stdin=subprocess.DEVNULL, text=True, capture_output=True)
    print(done.stdout + done.stderr, end="", flush=True)
    if done.returncode:
        raise RuntimeError(f"the console refused: {command}")


class Status:
    """One line, refreshed in place on a terminal; elsewhere a line every five seconds or at a new state."""

    def __init__(self):
        self.terminal, self.last, self.shown = sys.stdout.isatty(), 0.0, None

    def show(self, row):
        if self.terminal:
            print(f"\r\033[K{status_line(row)}", end="", flush=True)
        elif row["state"] != self.shown or time.monotonic() - self.last > 5:
            print(status_line(row), flush=True)
            self.last = time.monotonic()
        self.shown = row["state"]

    def end(self):
        if self.terminal:
            print(flush=True)


def number(value):
    return float(value or 0)


def status_line(row):
    share = f"{int(number(row['rows_copied'])):,}/{int(number(row['rows_estimated'])):,} rows"
    parts = [f"migration {row['migration']} {row['source']} -> {row['target']}: {row['state']}", share,
             f"{number(row['copy_mb_s']):.1f} MB/s", f"backlog {number(row['backlog_bytes']) / 1024:.0f} kB", f"lag {number(row['lag_ms']):.0f} ms"]
    if row["throttle"]:
        parts.append(f"throttled: {row['throttle']}")
    if row["eta_s"]:
        parts.append(f"ETA {number(row['eta_s']):.0f} s")
    return " | ".join(parts)


def follow(fleet, load, status, timeout=180):
    """Until every migration is final; the seconds that each spent in COPYING. Clients that died or a failed move end it early."""
    copying, seen, deadline = {}, None, time.monotonic() + timeout
    while True:
        rows = fleet.console("SHOW MIGRATIONS")
        active = [row for row in rows if row["state"] not in FINAL]
        if not active:
            status.end()
            return copying
        row = next((each for each in active if each["state"] != "PLANNED"), active[0])
        if seen and seen[1] == row["migration"] and row["state"] == "COPYING":
            copying[row["migration"]] = copying.get(row["migration"], 0.0) + time.monotonic() - seen[0]
        seen = (time.monotonic(), row["migration"])
        status.show(row)
        if not all(each.running() for each in load):
            raise RuntimeError("a pgbench ended before the move did")
        if time.monotonic() > deadline:
            raise TimedOut(f"migration {row['migration']} is {row['state']} after {timeout} s")
        time.sleep(0.1)


def copy_rate(fleet, shard, migrations):
    """Bytes a second at which the larger of the shard's migrations copies for COPY_SECONDS."""
    sample = sum(fleet.query(shard, f"SELECT count(*) * (SELECT avg(pg_column_size(t)) FROM (SELECT * FROM {table} LIMIT 5000) t)"
                             f" FROM {table}")[0][0] for table in ("customers", "orders", "order_lines"))
    return int(sample / migrations / COPY_SECONDS)


def load_phase(scene, fleet):
    """5 s as fast as it goes, then the open-loop load at half of that."""
    step("5 s of pgbench as fast as it goes")
    burst = [demo_load.Pgbench(scene, fleet, "saturated-" + mode, mode, 5) for mode in ("simple", "prepared")]
    for each in burst:
        each.child.wait(60)
    wrong = [line for each in burst for line in each.errors()]
    if wrong:
        raise RuntimeError("the saturated run saw errors: " + "; ".join(wrong[:5]))
    tps = sum(each.tps() for each in burst)
    print(f"{tps:,.0f} transactions a second; the load from here on is scheduled at half of that, simple and prepared alike")
    return [demo_load.Pgbench(scene, fleet, mode, mode, 900, rate=tps / 4, clients=16) for mode in ("simple", "prepared")]


def move_back_and_forth(fleet, load, status):
    """Until there were five cutovers: a piece of s2's placements to s3, back, and there again."""
    lower = next(low for _, low, upper, shard in fleet.ranges() if shard == "s2" and (upper is None or upper - low >= MOVED))
    for target in ("s3", "s2", "s3"):
        typed(fleet, f"MOVE RANGE [{lower}, {lower + MOVED}) OF shop TO {target}")
        follow(fleet, load, status)


def build_fleet(scene):
    step("Three PostgreSQL clusters, pgrotor in front; catalog and default shard on s2")
    fleet = Fleet(scene)
    step("The shop: schema and countries by psql on each shard, then distributed")
    fleet.everywhere(demo_load_schema())
    typed(fleet, "REFERENCE TABLE countries")
    for table in ("customers", "orders", "order_lines"):
        typed(fleet, f"DISTRIBUTE TABLE {table} BY customer_id IN DISTRIBUTION shop")
    typed(fleet, "SHOW RANGES")
    return fleet


def demo_load_schema():
    folder = os.path.join(os.environ["PGROTOR_SOURCE"], "deploy")
    text = ""
    for name in ("shop.sql", "countries.sql"):
        with open(os.path.join(folder, name)) as file:
            text += file.read()
    return text


def fill(fleet):
    step(f"{demo_load.CUSTOMERS * demo_load.ORDERS:,} orders through the proxy, one customer a statement")
    began = time.monotonic()
    demo_load.fill(fleet)
    for shard in fleet.names:
        fleet.query(shard, "ANALYZE")
        rows = sum(fleet.query(shard, f"SELECT count(*) FROM {table}")[0][0] for table in ("customers", "orders", "order_lines"))
        print(f"{shard}: {rows:,} rows")
        if shard == "s1" and rows < 1_000_000:
            raise RuntimeError("s1 was meant to hold a million rows")
    print(f"in {time.monotonic() - began:.0f} s")


def run(scene):
    fleet = build_fleet(scene)
    fill(fleet)
    before_moves = inventory(fleet)
    load, status = load_phase(scene, fleet), Status()
    began = now_us() + 2_000_000  # connections are being opened
    time.sleep(2 + BEFORE)        # measures the service before the drain
    step("The drain, as a DBA types it")
    typed(fleet, "EXPLAIN DRAIN SHARD s1 TO s2, s3")
    drained = now_us()
    typed(fleet, f"DRAIN SHARD s1 TO s2, s3 WITH (max_rate = '{copy_rate(fleet, 's1', 2)}')")
    copying = follow(fleet, load, status)
    step("A range back and forth, for five cutovers in all")
    move_back_and_forth(fleet, load, status)
    ended = now_us()
    time.sleep(AFTER)             # measures the service after the moves
    finished = now_us()
    for each in load:
        each.finish()
    return demo_report.Report(fleet, load, before_moves, copying, (began, drained, ended, finished))


def keep(scene, fleet):
    stop = os.path.join(scene.folder, "stop")
    pids = [fleet.pgrotor.child.pid] + [shard.postmaster() for shard in fleet.shards.values()]
    with open(stop, "w") as file:
        file.write(f"#!/bin/sh\nkill -TERM {pids[0]}\nkill -INT {' '.join(map(str, pids[1:]))}\n"
                   f"while kill -0 {' '.join(map(str, pids))} 2>/dev/null; do sleep 0.1; done\nrm -rf '{scene.folder}'\n")
    os.chmod(stop, 0o700)
    scene.reaper.keep()
    print(f"\nIt runs on. Application: postgresql://app:{fleet.app_password}@127.0.0.1:{fleet.pgrotor.port}/{DATABASE}\n"
          f"Admin console: postgresql://admin:{fleet.pgrotor.admin_password}@127.0.0.1:{fleet.pgrotor.port}/pgrotor\n"
          f"Metrics: http://127.0.0.1:{fleet.pgrotor.http_port}/metrics")
    for name, shard in fleet.shards.items():
        print(f"{name}: psql -h {shard.folder} -p {shard.port} -U postgres {DATABASE}")
    print(f"To end it: {stop}")


def main():
    parser = argparse.ArgumentParser(prog="deploy/demo", description="Drains a shard of a sharded shop under live traffic.")
    parser.add_argument("--keep", action="store_true", help="leave clusters and pgrotor running and print how to reach them")
    options = parser.parse_args()
    try:
        with Scene("demo") as scene:
            report = run(scene)
            good = report.show()
            if options.keep:
                keep(scene, report.fleet)
    except KeyboardInterrupt:
        print("\nInterrupted; everything started here has ended.", file=sys.stderr)
        return 130
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
