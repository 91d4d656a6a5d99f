"""One named interleaving per rule whose removal loses or doubles data. Each is forced by stop points (migration/base/test_hooks.h) on two
shards, ends with what the new owner holds, and gives the damage as lines: none with the rule in force, some without it.

What they share: table items(id, v), s1 -> s2 by MOVE RANGE of all placements that s1 owns, clients that go past the proxy where the
interleaving needs one transaction at an exact place.
"""
import threading

from cluster import Scene, wait_until
from fleet import DATABASE, SEED, Fleet
from leftovers import PLACEMENT, owned
from libpq import Refused, Session

SETTINGS = {"cutover.budget_ms": 4000, "gate.hold_budget_ms": 20000}


class Stage:
    """Two shards, `rows` items on their owners, `rule` broken from the start where one is named."""

    def __init__(self, scene, rule, rows=2000):
        self.fleet = fleet = Fleet(scene, names=("s1", "s2"), settings=SETTINGS, test=f"break:{rule}" if rule else "")
        fleet.everywhere("CREATE TABLE items (id bigint PRIMARY KEY, v text NOT NULL);"
                         "GRANT SELECT, INSERT, UPDATE, DELETE ON items TO app")
        fleet.console("DISTRIBUTE TABLE items BY id IN DISTRIBUTION items")
        placement = PLACEMENT["bigint"].format("i", SEED)
        for shard in fleet.names:  # each gets what it owns, as a restored dump would
            fleet.query(shard, f"INSERT INTO items SELECT i, 'loaded' FROM generate_series(1, {rows}) i"
                        f" WHERE {owned(fleet.ranges(), shard, placement)}")
        self.range = next((lower, upper) for _, lower, upper, shard in fleet.ranges() if shard == "s1")
        self.moving = [row[0] for row in fleet.query("s1", "SELECT id FROM items ORDER BY id")]
        self.expected = {}

    def past_proxy(self):
        return Session("simple", host="127.0.0.1", port=self.fleet.shards["s1"].port, user="app", password=self.fleet.app_password,
                       dbname=DATABASE)

    def write(self, session, number, text):
        """An autocommitted write past the proxy: expected from now on if the shard acknowledges it."""
        try:
            assert session.run("UPDATE items SET v = $1 WHERE id = $2", text, number) == 1
            self.expected[number] = text
        except Refused as error:
            assert error.sqlstate == "RT001", error

    def move(self, options=""):
        lower, upper = self.range
        return self.fleet.console(f"MOVE RANGE [{lower}, {'' if upper is None else upper}) OF items TO s2"
                                  f" WITH (max_pause = '4s'{options})")[0]["migration"]

    def hook(self, verb, point):
        self.fleet.console(f"TEST {verb} '{point}'")

    def stop_at(self, point):
        self.hook("STOP", point)

    def damage(self, migration):
        """What is wrong once the migration has ended: every expected value must be on s2, which owns all of them."""
        row = self.fleet.wait_end(migration)
        held = dict(self.fleet.query("s2", "SELECT id, v FROM items WHERE id = ANY (%s)", (list(self.expected) + self.moving,)))
        lines = [f"item {number}: acknowledged {text!r}, the owner has {held.get(number)!r}"
                 for number, text in self.expected.items() if held.get(number) != text]
        lines += [f"item {number} is gone" for number in self.moving if number not in held and number not in self.expected]
        if row["state"] != "DONE":
            lines.append(row["error"])
        return lines


def write_after_fence(stage):
    """no_guard: a client past the proxy writes to the old owner after the marker was committed."""
    number, session = stage.moving[0], stage.past_proxy()
    stage.stop_at("cutover.2")
    migration = stage.move()
    stage.hook("WAIT", "cutover.2")
    stage.write(session, number, "after the fence")
    stage.hook("RELEASE", "cutover.2")
    return stage.damage(migration)


def commit_after_marker(stage):
    """no_exclusive_lock: a transaction that wrote before the marker commits after it."""
    number, session = stage.moving[0], stage.past_proxy()
    stage.stop_at("cutover.1")
    migration = stage.move()
    stage.hook("WAIT", "cutover.1")
    session.run("BEGIN")
    session.run("UPDATE items SET v = 'in flight' WHERE id = $1", number)
    stage.stop_at("cutover.4")
    stage.hook("RELEASE", "cutover.1")

    wait_until(lambda: stage.fleet.row(migration)["state"] != "CUTTING_OVER", "the attempt to miss, or to switch over it")
    session.run("COMMIT")
    stage.expected[number] = "in flight"
    stage.hook("RELEASE", "cutover.4")
    return stage.damage(migration)


def marker_of_earlier_attempt(stage):
    """stale_marker: the first attempt's marker is still in the stream when the second one waits for its own."""
    first, second = stage.moving[:2]
    session = stage.past_proxy()
    stage.stop_at("cutover.1")
    migration = stage.move()
    stage.hook("WAIT", "cutover.1")
    stage.stop_at("mover.event")
    stage.write(session, first, "before the first marker")
    stage.hook("WAIT", "mover.event")       # the applier stands before this change, and the marker will come after it
    stage.stop_at("cutover.2")
    stage.hook("RELEASE", "cutover.1")
    stage.hook("WAIT", "cutover.2")         # the first marker is in the stream
    stage.stop_at("cutover.1")
    stage.hook("RELEASE", "cutover.2")
    wait_until(lambda: stage.fleet.row(migration)["state"] == "READY", "the first attempt to miss its budget")
    stage.fleet.console(f"CUTOVER MIGRATION {migration}")  # it would rest for a while
    stage.hook("WAIT", "cutover.1")
    stage.write(session, second, "between the markers")
    stage.stop_at("cutover.2")
    stage.hook("RELEASE", "cutover.1")
    stage.hook("WAIT", "cutover.2")
    stage.hook("RELEASE", "mover.event")
    stage.hook("RELEASE", "cutover.2")
    return stage.damage(migration)


def commit_decoded_before_visible(stage):
    """no_visibility: a commit lies in the WAL before a chunk's read position, yet the chunk's snapshot does not see it. A synchronous
    standby that does not exist holds the commit between its record and its visibility, as a slow one does every day."""
    number, source = stage.moving[0], stage.fleet.shards["s1"]
    stage.stop_at("state.COPYING")
    migration = stage.move()
    stage.hook("WAIT", "state.COPYING")
    source.query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    source.query("SELECT pg_reload_conf()")
    session = stage.past_proxy()
    wait_until(lambda: session.run("SHOW synchronous_standby_names") == [["nobody"]], "the setting to reach the session")
    writer = threading.Thread(target=stage.write, args=(session, number, "in the WAL, not visible"), daemon=True)
    writer.start()
    wait_until(lambda: source.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = 'app'"),
               "the commit to wait for the standby")
    stage.hook("RELEASE", "state.COPYING")
    wait_until(lambda: stage.fleet.row(migration)["state"] not in ("PREPARING", "COPYING"), "all chunks to be loaded")
    source.query("ALTER SYSTEM RESET synchronous_standby_names")
    source.query("SELECT pg_reload_conf()")
    writer.join(30)
    assert number in stage.expected, "the commit was not acknowledged"
    return stage.damage(migration)


AUDIT = """
CREATE TABLE audit (id bigint, v text);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
  $$ BEGIN INSERT INTO public.audit VALUES (NEW.id, NEW.v); RETURN NULL; END $$;
CREATE TRIGGER audit AFTER UPDATE ON items FOR EACH ROW WHEN (NEW.v = 'once') EXECUTE FUNCTION audit();
ALTER TABLE items ENABLE ALWAYS TRIGGER audit;
"""


def replay_after_kill(stage):
    """apply_twice: a change that was applied comes again after a SIGKILL, because a held one keeps the slot's position back. A trigger
    on the target counts how often it is applied."""
    fleet, session = stage.fleet, stage.past_proxy()
    migration = stage.move(", max_rate = '100kB', auto_cutover = off")
    wait_until(lambda: fleet.query("s2", "SELECT count(*) FROM items WHERE id = ANY (%s)", (stage.moving,))[0][0],
               "a chunk to be loaded")
    fleet.shards["s2"].psql("SET ROLE shop_owner;" + AUDIT, DATABASE)  # PREPARE and the cutover refuse a table that has such a trigger
    stage.stop_at("mover.chunk_read")
    stage.hook("WAIT", "mover.chunk_read")
    loaded = fleet.query("s2", "SELECT min(id) FROM items WHERE id = ANY (%s)", (stage.moving,))[0][0]
    stage.write(session, stage.moving[-1], "held")
    stage.write(session, loaded, "once")
    applied = lambda: fleet.query("s2", "SELECT count(*) FROM audit WHERE id = %s", (loaded,))[0][0]
    wait_until(applied, "the change of the loaded chunk to be applied")
    fleet.pgrotor.kill()
    fleet.pgrotor.serve(stage.rule_again)
    fleet.wait_state(migration, "READY")
    fleet.shards["s2"].psql("DROP TRIGGER audit ON items", DATABASE)
    fleet.console(f"CUTOVER MIGRATION {migration}")
    lines = stage.damage(migration)
    if applied() != 1:
        lines.append(f"item {loaded}: its change was applied {applied()} times")
    return lines


# rule -> (interleaving, rows): apply_twice needs more than one chunk
RULES = {"no_guard": (write_after_fence, 2000), "no_exclusive_lock": (commit_after_marker, 2000),
         "stale_marker": (marker_of_earlier_attempt, 2000), "no_visibility": (commit_decoded_before_visible, 2000),
         "apply_twice": (replay_after_kill, 12000)}


def damage_of(rule, broken):
    """Runs the rule's interleaving once in a scene of its own."""
    interleaving, rows = RULES[rule]
    with Scene(rule) as scene:
        stage = Stage(scene, rule if broken else "", rows)
        stage.rule_again = f"break:{rule}" if broken else ""
        return interleaving(stage)
