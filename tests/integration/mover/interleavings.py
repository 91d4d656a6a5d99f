"""Rules of the mover, each with an interleaving forced by stop points: with the rule in force both sides are equal, with it left out
(PGROTOR_TEST=break:...) a difference is found or the mover stops by itself.

    interleavings.py [runs] [rule ...]
"""
import sys

from world import Failed, Mover, Scene, World

QUICK = {"readers": 1, "chunk_time": 10}


def settle(world, mover, attempt=1):
    """What is wrong at the marker."""
    mover.expect(attempt)
    world.fence(attempt)
    assert mover.wait_marker(), "the marker was not reached"
    return world.differences()


def no_visibility(world, test):
    """A transaction is open when the chunk's snapshot is taken and commits before the chunk is read to its end: below the chunk's high
    position in the WAL, yet not in its rows."""
    tenant = world.tenants()[0]
    writer = world.connect(autocommit=False)
    cursor = writer.cursor()
    cursor.execute("UPDATE items SET note = 'before the high position' WHERE tenant = %s AND id = 1", (tenant,))
    mover = Mover(world, "stop:mover.chunk_open" + test, **QUICK)
    mover.ask("test wait mover.chunk_open")
    writer.commit()
    mover.ask("test release mover.chunk_open")
    mover.wait_copied()
    return mover, settle(world, mover)


def apply_twice(world, test):
    """The target has committed a change, the slot is not confirmed, the mover dies: the change comes again."""
    tenant = world.tenants()[0]
    mover = Mover(world, **QUICK)
    mover.wait_copied()
    mover.ask("test stop mover.applied")
    world.query("INSERT INTO items (tenant, id) VALUES (%s, 777)", parameters=(tenant,))
    mover.ask("test wait mover.applied")
    mover.kill()
    mover = Mover(world, test.lstrip(","), **QUICK)
    return mover, settle(world, mover)


def stale_marker(world, test):
    """The first attempt's marker is still in the stream, in front of it a change that is being judged, behind it another one."""
    tenant = world.tenants()[0]
    mover = Mover(world, test.lstrip(","), **QUICK)
    mover.wait_copied()
    mover.ask("test stop mover.event")
    world.query("UPDATE items SET note = 'before both markers' WHERE tenant = %s AND id = 1", parameters=(tenant,))
    mover.ask("test wait mover.event")
    mover.expect(1)
    world.fence(1)
    world.query("UPDATE items SET note = 'between the markers' WHERE tenant = %s AND id = 2", parameters=(tenant,))
    mover.expect(2)
    world.fence(2)
    mover.ask("test release mover.event")
    assert mover.wait_marker(), "the marker was not reached"
    return mover, world.differences()


RULES = {"no_visibility": no_visibility, "apply_twice": apply_twice, "stale_marker": stale_marker}


def damage(world, rule, broken):
    world.reset()
    world.fill(60)
    try:
        mover, wrong = RULES[rule](world, f",break:{rule}" if broken else "")
        mover.kill()
        return wrong
    except Failed as error:
        return [str(error)]


def main(runs, rules):
    bad = False
    with Scene("mover_interleavings") as scene:
        world = World(scene)
        for rule in rules:
            red = [damage(world, rule, True) for _ in range(runs)]
            green = [damage(world, rule, False) for _ in range(runs)]
            print(f"{rule}: {sum(map(bool, red))} of {runs} red without the rule, {sum(not one for one in green)} of {runs} green with it; "
                  f"for example {str(red[0])[:200]}", flush=True)
            bad |= not all(red) or any(green)
            for one in filter(None, green):
                print(f"  with the rule in force: {one}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1, sys.argv[2:] or list(RULES)))
