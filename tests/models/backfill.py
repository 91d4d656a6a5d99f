#!/usr/bin/python3
"""Exhaustive check of snapshot-visibility backfill (DESIGN 6): WAL commit, visibility, decoding, chunk reads, loads and crashes of the
mover interleave freely. In every final state the target must equal the source, and no change may meet another version of its row than
the one before it (each is applied once, in order). The code that follows the model is migration/mover/svb.cc, step by step under the same
names: read, load, judge, hold, drop, floor.

    backfill.py [rule]      one rule left out: exit status 1 when that is a violation
    backfill.py --all       every case with all rules in force must hold, and each rule left out must be caught

rules: visibility  take WAL order for visibility        hold    drop changes of rows that are not loaded
       skip        apply again what the origin has      prune   drop held changes that an open snapshot still needs
       floor       confirm the slot past held changes   replay  load a chunk before what the origin has applied has passed by again

Limits: one row a chunk, no key change, no crash of the source. Two crashes of the mover at most.
"""
import sys

RULES = ("visibility", "hold", "skip", "prune", "floor", "replay")
KEYS = ("a", "b")
CASES = [  # each transaction: the keys it writes, in order; and how many crashes
    ((("a",), ("a",), ("a",)), 1),
    ((("a", "b"), ("a",), ("b",)), 1),
    ((("a",), ("a", "b"), ("a", "b")), 1),
    ((("a", "b"), ("b",), ("a",)), 1),
    ((("a",), ("b",), ("a",)), 2),
    ((("a", "b"), ("b",)), 2),
]


class Wrong(Exception):
    """A change met another version than the one before it."""


# A state: tx      per transaction: writes done, COMMITTED in WAL, or VISIBLE
#          wal     committed transactions in order (numbers from 1)
#          source  per key: the last visible writer                 target: per key, durable: the version there
#          chunk   per key: None | ("R", snapshot, value, high) read | ("L", snapshot, high, restored) loaded, durable
#          position of the stream; hold: per key ((position, transaction), ...)
#          origin  durable: what committed before was applied to chunks loaded by then
#          floor   durable: where a restart begins; crashes
COMMITTED, VISIBLE = -1, -2


def apply(txs, wal, target, key, transaction):
    """The target's row after a change, which must find the version before it."""
    before = 0
    for earlier in wal[:wal.index(transaction)]:
        if KEYS[key] in txs[earlier - 1]:
            before = earlier
    if target[key] != before:
        raise Wrong(f"transaction {transaction} meets version {target[key]} of {KEYS[key]} instead of {before}")
    return replaced(target, key, transaction)


def replaced(values, place, value):
    return values[:place] + (value,) + values[place + 1:]


def source_steps(txs, state):
    tx, wal, source, *rest = state
    locks = {}
    for number, done in enumerate(tx):
        count = done if done >= 0 else len(txs[number]) if done == COMMITTED else 0
        for key in txs[number][:count]:
            locks[key] = number
    for number, done in enumerate(tx):
        if 0 <= done < len(txs[number]):
            if locks.get(txs[number][done], number) == number:
                yield (replaced(tx, number, done + 1), wal, source, *rest)
        elif done == len(txs[number]):
            yield (replaced(tx, number, COMMITTED), wal + (number + 1,), source, *rest)
        elif done == COMMITTED:
            seen = tuple(number + 1 if key in txs[number] else source[place] for place, key in enumerate(KEYS))
            yield (replaced(tx, number, VISIBLE), wal, seen, *rest)


def read(state, key, broken):
    tx, wal, source, chunk, *rest = state
    seen = frozenset(wal) if broken == "visibility" else frozenset(i + 1 for i, done in enumerate(tx) if done == VISIBLE)
    return (tx, wal, source, replaced(chunk, key, ("R", seen, source[key], len(wal))), *rest)


def load(txs, state, key, broken):
    tx, wal, source, chunk, position, target, hold, origin, _, crashes = state
    if position < origin and broken != "replay":
        return None
    _, seen, value, high = chunk[key]
    target = replaced(target, key, value)
    if broken != "hold":
        for _, transaction in hold[key]:
            if transaction not in seen:
                target = apply(txs, wal, target, key, transaction)
    chunk = replaced(chunk, key, ("L", seen, high, False))
    hold = drop(replaced(hold, key, ()), seen, chunk, broken)
    floor = position if broken == "floor" else min([at for held in hold for at, _ in held] + [position])
    return (tx, wal, source, chunk, position, target, hold, max(origin, position), floor, crashes)


def drop(hold, seen, chunk, broken):
    """A held change that a snapshot taken after it sees is in every later read; open snapshots must see it too."""
    opened = [] if broken == "prune" else [one[1] for one in chunk if one is not None and one[0] == "R"]
    return tuple(tuple((at, one) for at, one in held if not (one in seen and all(one in other for other in opened))) for held in hold)


def judge(chunk, position, origin, transaction, broken):
    if chunk is None or chunk[0] == "R":
        return "hold"
    _, seen, high, restored = chunk
    if restored and position < origin and broken != "skip":
        return "skip"
    return "skip" if position < high and transaction in seen else "apply"


def decode(txs, state, broken):
    tx, wal, source, chunk, position, target, hold, origin, _, crashes = state
    transaction, applied = wal[position], False
    for key, name in enumerate(KEYS):
        if name not in txs[transaction - 1]:
            continue
        verdict = judge(chunk[key], position, origin, transaction, broken)
        if verdict == "hold":
            hold = replaced(hold, key, hold[key] + ((position, transaction),))
        elif verdict == "apply":
            target, applied = apply(txs, wal, target, key, transaction), True
    position += 1
    floor = position if broken == "floor" else min([at for held in hold for at, _ in held] + [position])
    return (tx, wal, source, chunk, position, target, hold, max(origin, position) if applied else origin, floor, crashes)


def crash(state):
    tx, wal, source, chunk, _, target, _, origin, floor, crashes = state
    chunk = tuple((*one[:3], True) if one is not None and one[0] == "L" else None for one in chunk)
    return (tx, wal, source, chunk, floor, target, ((), ()), origin, floor, crashes + 1)


def steps(txs, state, crashes, broken):
    wal, chunk, position = state[1], state[3], state[4]
    yield from source_steps(txs, state)
    for key in range(len(KEYS)):
        if chunk[key] is None:
            yield read(state, key, broken)
        elif chunk[key][0] == "R":
            loaded = load(txs, state, key, broken)
            if loaded:
                yield loaded
    if position < len(wal):
        yield decode(txs, state, broken)
    if state[9] < crashes and position > 0:
        yield crash(state)


def final(state):
    tx, wal, _, chunk, position = state[:5]
    return all(done == VISIBLE for done in tx) and position == len(wal) and all(one is not None and one[0] == "L" for one in chunk)


def explore(txs, crashes, broken):
    """(states, final states, what is wrong or None)"""
    stack = [((0,) * len(txs), (), (0, 0), (None, None), 0, (0, 0), ((), ()), 0, 0, 0)]
    seen, finals = set(), 0
    while stack:
        state = stack.pop()
        if state in seen:
            continue
        seen.add(state)
        if final(state):
            finals += 1
            if state[5] != state[2]:
                return len(seen), finals, f"the source ends with {state[2]} and the target with {state[5]}"
        try:
            stack.extend(steps(txs, state, crashes, broken))
        except Wrong as wrong:
            return len(seen), finals, str(wrong)
    return len(seen), finals, None


def check(broken, loud):
    """True when some case is wrong."""
    bad = False
    for txs, crashes in CASES:
        states, finals, wrong = explore(txs, crashes, broken)
        bad = bad or wrong is not None
        if loud:
            print(f"{txs}, {crashes} crashes: {states} states, {finals} final: {wrong or 'ok'}", flush=True)
    return bad


def check_all():
    wrong = check("none", True)
    for rule in RULES:
        caught = check(rule, False)
        print(f"without {rule}: {'caught' if caught else 'NOT CAUGHT'}", flush=True)
        wrong = wrong or not caught
    return wrong


if __name__ == "__main__":
    asked = sys.argv[1] if len(sys.argv) > 1 else "none"
    if asked not in ("--all", "none") + RULES:
        sys.exit(__doc__)
    sys.exit(check_all() if asked == "--all" else check(asked, True))
