"""A worker in steady state takes nothing from the heap to relay a message, whatever protocol the client speaks."""
import sys
import time

import wire
from world import World

MESSAGES = 10_000
WARM = 500


def simple(world, client, number):
    client.send(wire.query(f"SELECT note FROM orders WHERE customer_id = {world.keys['s1'][number % 50]}"))
    client.until(b"Z")


def extended(world, client, number):
    client.send(wire.parse("", "SELECT note FROM orders WHERE customer_id = $1") + wire.bind("", [world.keys["s1"][number % 50]])
                + wire.describe(b"P") + wire.execute() + wire.SYNC)
    client.until(b"Z")


def prepared(world, client, number):
    shard = ("s1", "s2")[number % 2]
    client.send(wire.bind("lookup", [world.keys[shard][number % 50]]) + wire.execute() + wire.SYNC)
    client.until(b"Z")


def unsharded(_world, client, _number):
    client.send(wire.query("SELECT 1"))
    client.until(b"Z")


def pipeline(world, client, number):
    one = wire.bind("lookup", [world.keys["s2"][number % 50]]) + wire.execute()
    client.send(one * 10 + wire.SYNC)
    client.until(b"Z")


def transaction(world, client, number):
    for text in ("BEGIN", f"SELECT note FROM orders WHERE customer_id = {world.keys['s2'][number % 50]}", "COMMIT"):
        client.send(wire.query(text))
        client.until(b"Z")


def many_rows(_world, client, _number):
    client.send(wire.query("SELECT repeat('x', 100) FROM generate_series(1, 2000)"))
    client.until(b"Z")


def allocated(world, work, client, rounds):
    before = world.command("allocations")
    for number in range(rounds):
        work(world, client, number)
    return world.command("allocations") - before


def main():
    wrong = []
    with World() as world:
        # What the worker does each second takes what it keeps at its first time.
        client, end = wire.Client(world.port), time.monotonic() + 2
        while time.monotonic() < end:
            unsharded(world, client, 0)
        client.close()
        for work, messages in ((unsharded, 1), (simple, 1), (extended, 5), (prepared, 3), (pipeline, 21), (transaction, 3), (many_rows, 2000)):
            client = wire.Client(world.port)
            client.kinds(wire.parse("lookup", "SELECT note FROM orders WHERE customer_id = $1") + wire.SYNC)
            allocated(world, work, client, WARM if messages < 100 else 20)
            asking = allocated(world, work, client, 0)
            # What a message takes shows every time; a timer that grows something once does not.
            found = min(allocated(world, work, client, max(20, MESSAGES // messages)) - asking for _ in range(2))
            print(f"{work.__name__:12} {max(20, MESSAGES // messages) * messages:6} messages: {found} allocations")
            if found:
                wrong.append(work.__name__)
            client.close()
    return f"allocations on the message path: {', '.join(wrong)}" if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
