"""What the mover does where something is special: unchanged TOAST in a changed key, a table altered, rows that disagree, TRUNCATE, a slot
that is gone, pause, caps, markers and their successors.

    scenarios.py [name ...]
"""
import statistics
import sys
import time

from world import MIGRATION, Failed, Mover, Scene, World, Writers, psycopg2, wait_until


def expect_failure(mover, *parts, timeout=60):
    """The mover gives up, and its message has every part."""
    try:
        wait_until(lambda: mover.progress() and None, "the mover to fail", timeout)
    except Failed as failed:
        for part in parts:
            assert part in str(failed), f"{part!r} is missing in: {failed}"
        return str(failed)
    raise AssertionError("the mover did not fail")


def copied(world, **options):
    world.fill(80)
    mover = Mover(world, **dict({"chunk_time": 20}, **options))
    mover.wait_copied()
    return mover


def finish(world, mover, attempt=1):
    mover.expect(attempt)
    world.fence(attempt)
    assert mover.wait_marker(), f"the marker was not reached: {mover.progress()}"
    assert not world.differences(), world.differences()
    mover.kill()


def toast_in_place(world):
    """A key change inside the moving placements keeps a value that the source did not send."""
    mover = copied(world)
    tenants = world.tenants()
    world.query("UPDATE items SET id = id + 10000, counter = 5 WHERE tenant = %s AND big IS NOT NULL", parameters=(tenants[0],))
    world.query("UPDATE items SET tenant = %s, id = id + 20000 WHERE tenant = %s AND id = 40", parameters=(tenants[0], tenants[1]))
    world.query("UPDATE items SET counter = 9 WHERE tenant = %s", parameters=(tenants[1],))
    finish(world, mover)


def toast_in_place_held(world):
    """The same while the chunk is being read: both halves are held and become one change again."""
    world.fill(80)
    tenant = world.tenants()[0]
    mover = Mover(world, "stop:mover.chunk_open", readers=1)
    mover.ask("test wait mover.chunk_open")
    world.query("UPDATE items SET id = id + 10000, counter = 5 WHERE tenant = %s AND big IS NOT NULL", parameters=(tenant,))
    wait_until(lambda: mover.progress()["changes_held"] >= 4, "the halves to be held")
    mover.ask("test release mover.chunk_open")
    mover.wait_copied()
    finish(world, mover)


def toast_entering(world):
    """A row that enters the moving placements with an unsent value fails with the remedy, and with the remedy it works."""
    mover = copied(world)
    inside, outside = world.tenants()[0], world.tenants(moving=False)[0]
    enter = "UPDATE items SET tenant = %s, id = 5000 WHERE tenant = %s AND id = 40"
    world.query(enter, parameters=(inside, outside))
    print("   ", expect_failure(mover, '"public"."items"', f"({inside}, 5000)", '"big"', 'ALTER TABLE "public"."items" REPLICA IDENTITY FULL'))
    world.reset()
    world.query("ALTER TABLE items REPLICA IDENTITY FULL")
    try:
        mover = copied(world)
        world.query(enter, parameters=(inside, outside))
        world.query("UPDATE items SET tenant = %s, id = 6000 WHERE tenant = %s AND id = 80", parameters=(outside, inside))
        finish(world, mover)
    finally:
        world.query("ALTER TABLE items REPLICA IDENTITY DEFAULT")


def altered(world):
    """DDL on a moving table is never missed."""
    mover = copied(world)
    world.query("ALTER TABLE codes ADD COLUMN extra integer")
    try:
        world.query("UPDATE codes SET hits = hits + 1 WHERE code = 'c1'")
        print("   ", expect_failure(mover, '"public"."codes" changed under migration', "4 columns and had 3"))
    finally:
        world.query("ALTER TABLE codes DROP COLUMN extra")


def strict(world):
    """A change that does not meet its row stops the mover, and nothing of its transaction is left."""
    mover = copied(world)
    tenant = world.tenants()[0]
    world.query("DELETE FROM items WHERE tenant = %s AND id = 7", world.target, (tenant,))
    world.query("UPDATE items SET note = 'together' WHERE tenant = %s AND id BETWEEN 6 AND 8", parameters=(tenant,))
    print("   ", expect_failure(mover, f'UPDATE of "public"."items" ({tenant}, 7) met 0 rows instead of one'))
    left = world.query("SELECT count(*) FROM items WHERE note = 'together'", world.target)
    assert left == [(0,)], left
    world.reset()
    mover = copied(world)
    world.query("INSERT INTO items (tenant, id) VALUES (%s, 900)", world.target, (tenant,))
    world.query("INSERT INTO items (tenant, id) VALUES (%s, 900)", parameters=(tenant,))
    print("   ", expect_failure(mover, f'INSERT of "public"."items" ({tenant}, 900)', "duplicate key", "23505"))


def truncated(world):
    mover = copied(world)
    world.query("TRUNCATE lines")
    print("   ", expect_failure(mover, "truncated"))


def slot_gone(world):
    mover = copied(world)
    mover.kill()
    drop = f"SELECT pg_drop_replication_slot('pgrotor_{MIGRATION}')"

    def dropped():
        try:
            return world.query(drop)
        except psycopg2.errors.ObjectInUse:
            return None
    wait_until(dropped, "the slot to be free")
    print("   ", expect_failure(Mover(world), f"replication slot pgrotor_{MIGRATION} is gone"))


def paused(world):
    """A paused copy loads nothing and says so; the stream is followed on."""
    world.fill(80)
    mover = Mover(world, "stop:mover.chunk_open", readers=1, chunk_time=10)
    mover.ask("test wait mover.chunk_open")
    mover.ask("pause")
    mover.ask("test release mover.chunk_open")
    wait_until(lambda: (p := mover.progress())["throttle"] == "paused" and p["chunks_loaded"] == 1, "the reader to stand")
    position = world.query("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")[0][0]
    world.fence(99)
    wait_until(lambda: mover.progress()["applied"] >= position, "the stream to be followed")
    assert mover.progress()["chunks_loaded"] == 1
    mover.ask("resume")
    mover.wait_copied()
    finish(world, mover)


def small_hold_cap(world):
    """With next to no room for held changes the copy waits for them again and again, and ends."""
    world.fill(300)
    writers = Writers(world, threads=2)
    try:
        mover = Mover(world, hold_cap=1, chunk_time=10)
        mover.wait_copied()
    finally:
        writers.stop()
    finish(world, mover)


def max_rate(world):
    world.fill(400)
    began = time.monotonic()
    mover = Mover(world, max_rate=1_000_000)
    done = mover.wait_copied()
    took = time.monotonic() - began
    assert done["bytes_copied"] / took < 1_300_000, f"{done['bytes_copied']} bytes in {took} s"
    finish(world, mover)


def one_large_chunk(world):
    """A table without an orderable key is one chunk; above the memory cap it goes through a file."""
    world.source.psql("SET ROLE shop_owner; INSERT INTO names SELECT 'name ' || i || ' ' || repeat(md5(i::text), 60), 1 + i % 40 "
                      "FROM generate_series(1, 40000) i", "shop")
    world.prepare()
    mover = Mover(world)
    done = mover.wait_copied()
    assert done["bytes_copied"] > 36e6, done
    finish(world, mover)


def halted(world):
    """At the marker nothing more is applied until the attempt is given up; a successor finds the same marker again."""
    mover = copied(world)
    tenant = world.tenants()[0]
    mover.expect(1)
    assert mover.wait_marker(0.2) is None, "no marker was emitted yet"
    world.fence(1)
    first = mover.wait_marker()
    world.query("UPDATE items SET note = 'after the marker' WHERE tenant = %s AND id = 1", parameters=(tenant,))
    world.fence(7)  # nobody expects this one
    mover.kill()
    mover = Mover(world, chunk_time=20)
    mover.expect(1)
    assert mover.wait_marker() == first, "the successor ends elsewhere"
    time.sleep(0.3)  # the change behind the marker has arrived by now, and must not be applied
    after = "SELECT count(*) FROM items WHERE note = 'after the marker'"
    assert world.query(after, world.target) == [(0,)], "the history has ended"
    mover.ask("forget")
    wait_until(lambda: world.query(after, world.target) == [(1,)], "the stream to be followed on")
    finish(world, mover, 2)


def idle(world):
    """With nothing to apply the slot's confirmed position moves on, so that it does not hold WAL back."""
    mover = copied(world)
    position = world.query("SELECT pg_current_wal_insert_lsn()")[0][0]
    world.query("CREATE TABLE IF NOT EXISTS elsewhere (i integer); INSERT INTO elsewhere SELECT generate_series(1, 10000)")
    behind = "SELECT confirmed_flush_lsn >= %s FROM pg_replication_slots"
    wait_until(lambda: world.query(behind, parameters=(position,)) == [(True,)], "the slot to be confirmed")
    wait_until(lambda: mover.progress()["apply_lag_ms"] == 0, "no lag to be left")
    finish(world, mover)


def asynchronous(world):
    """A chunk is loaded only when the source has flushed all that it could see, also when nobody commits synchronously."""
    world.fill(80)
    world.query("ALTER SYSTEM SET wal_writer_delay = '10s'")
    world.query("SELECT pg_reload_conf()")
    try:
        tenant = world.tenants()[0]
        with world.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = off")
            cursor.execute("UPDATE items SET counter = counter + 1 WHERE tenant = %s", (tenant,))
        connection.close()
        began = time.monotonic()
        mover = Mover(world)
        mover.wait_copied()
        assert time.monotonic() - began < 10, "the copy waited for the WAL writer"
        unflushed = world.query("SELECT count(*) FROM pgrotor.chunks WHERE high_lsn > %s", world.target,
                                (world.query("SELECT pg_current_wal_flush_lsn()")[0][0],))
        assert unflushed == [(0,)], unflushed
        finish(world, mover)
    finally:
        world.query("ALTER SYSTEM RESET wal_writer_delay")
        world.query("SELECT pg_reload_conf()")


def origin_is_marked(world):
    """Nothing of copy and apply is seen by a reader of the target's WAL that asks for local changes only."""
    world.query("SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')", world.target)
    try:
        mover = copied(world)
        world.query("UPDATE items SET counter = counter + 1")
        finish(world, mover)
        told = world.query("SELECT data FROM pg_logical_slot_get_changes('cdc', NULL, NULL, 'only-local', 'on') WHERE data LIKE 'table%'",
                           world.target)
        assert not told, told[:3]
    finally:
        world.query("SELECT pg_drop_replication_slot('cdc')", world.target)


def marker_latency(world):
    """From the marker's commit on the source to the answer that all is durable, under writers. Printed; the limit only catches waits."""
    world.fill(80)
    writers = Writers(world, threads=2, pause=0.005)
    took = []
    try:
        mover = Mover(world)
        mover.wait_copied()
        for attempt in range(1, 61):
            mover.expect(attempt)
            world.fence(attempt)
            began = time.monotonic()
            assert mover.wait_marker(), "the marker was not reached"
            took.append(1000 * (time.monotonic() - began))
            mover.ask("forget")
    finally:
        writers.stop()
    took.sort()
    print(f"    commit to answer: p50 {statistics.median(took):.1f} ms, p95 {took[int(len(took) * 0.95)]:.1f} ms, max {took[-1]:.1f} ms")
    assert statistics.median(took) < 200, "something waits"
    finish(world, mover, 99)


ALL = (toast_in_place, toast_in_place_held, toast_entering, altered, strict, truncated, slot_gone, paused, small_hold_cap, max_rate,
       one_large_chunk, halted, idle, asynchronous, origin_is_marked, marker_latency)

if __name__ == "__main__":
    wanted = [one for one in ALL if one.__name__ in sys.argv[1:]] or ALL
    with Scene("mover_scenarios") as scene:
        world = World(scene)
        for scenario in wanted:
            world.reset()
            began = time.monotonic()
            scenario(world)
            print(f"{scenario.__name__}: ok ({time.monotonic() - began:.1f} s)", flush=True)
