"""A mover killed at random moments under concurrent writers, started again each time; at the marker every moving row is equal on both
sides. Strict: a change applied twice, or not at all, stops the mover by itself.

    kill.py [seed] [kills]
"""
import sys

from world import MIGRATION, Mover, Scene, World, Writers, random, time, wait_until

COMMITS = 200  # fewer would not try the mover


def run(world, seed, kills):
    rng = random.Random(seed)
    world.fill(2400)
    writers = Writers(world, seed=seed)
    loaded = []
    try:
        for _ in range(kills):
            mover = Mover(world, chunk_time=2, readers=rng.choice((1, 2, 3)), max_rate=rng.choice((0, 1_500_000, 4_000_000)))
            time.sleep(rng.uniform(0.05, 1.2))
            loaded.append(mover.progress()["chunks_loaded"])
            mover.kill()
        mover = Mover(world, chunk_time=2)
        done = mover.wait_copied()
        wait_until(lambda: writers.errors or writers.commits > COMMITS, f"{COMMITS} commits of the writers", 120)
        mover.expect(1)
    finally:
        commits = writers.stop()
    world.fence(1)
    assert mover.wait_marker(), f"the marker was not reached: {mover.progress()}"
    differences = world.differences()
    assert not differences, differences
    mover.stop()
    rows = world.query(f"SELECT sum(rows)::bigint, count(*) FROM pgrotor.chunks WHERE migration = {MIGRATION}", world.target)[0]
    print(f"seed {seed}: {commits} commits, {rows[0]} rows in {rows[1]} chunks, loaded at each kill {loaded}, "
          f"then {done['changes_applied']} changes applied, {done['changes_held']} held, {done['changes_skipped']} skipped; all equal")
    assert rows[1] > 20, "the test did not do what it is for"


if __name__ == "__main__":
    with Scene("mover_kill") as scene:
        run(World(scene, deadlock_timeout="100ms"), int(sys.argv[1]) if len(sys.argv) > 1 else 1, int(sys.argv[2]) if len(sys.argv) > 2 else 6)
