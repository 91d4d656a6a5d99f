"""A transaction that is open on the shard that gets keys, and whose snapshot is older than their arrival: one that keeps its snapshot gets
40001 at its first touch of such a key, one that takes a new snapshot for each statement goes on and sees all. One move serves all rows."""


from cluster import Scene, wait_until
from fleet import DATABASE, SEED, Fleet
from leftovers import PLACEMENT, owned
from libpq import Refused, Session

KEEPS, RENEWS = "40001", "goes on"
# What is said before the transaction, how it begins, what a key that arrived then gives.
LEVELS = (
    ([], ["BEGIN"], RENEWS),
    ([], ["BEGIN ISOLATION LEVEL READ UNCOMMITTED"], RENEWS),
    ([], ["BEGIN ISOLATION LEVEL REPEATABLE READ"], KEEPS),
    ([], ["START TRANSACTION ISOLATION LEVEL SERIALIZABLE"], KEEPS),
    ([], ["BEGIN", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"], KEEPS),
    ([], ["BEGIN", "SET LOCAL transaction_isolation = 'serializable'"], KEEPS),
    (["SET default_transaction_isolation = 'repeatable read'"], ["BEGIN"], KEEPS),
    (["SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"], ["BEGIN"], KEEPS),
    (["SELECT set_config('default_transaction_' || 'isolation', 'repeatable read', false)"], ["BEGIN"], KEEPS),
    (["SELECT sets_the_level()"], ["BEGIN"], KEEPS),
    (["SELECT sets_the_level()"], ["BEGIN ISOLATION LEVEL READ COMMITTED"], RENEWS),
)
SELECT, UPDATE = "SELECT v FROM items WHERE id = $1", "UPDATE items SET v = v + 1 WHERE id = $1"


class Stage:
    def __init__(self, scene):
        self.fleet = fleet = Fleet(scene, names=("s1", "s2"), settings={"pool.size": 90})
        fleet.everywhere("CREATE TABLE items (id bigint PRIMARY KEY, v int NOT NULL); CREATE TABLE plain (n int); INSERT INTO plain VALUES (7);"
                         "CREATE FUNCTION sets_the_level() RETURNS text LANGUAGE sql AS"
                         " $$ SELECT set_config('default_transaction_isolation', 'serializable', false) $$;"
                         "GRANT SELECT, INSERT, UPDATE, DELETE ON items, plain TO app")
        for shard in fleet.shards.values():
            shard.psql("CREATE ROLE careful LOGIN IN ROLE app PASSWORD 'careful';"
                       "ALTER ROLE careful SET default_transaction_isolation = 'repeatable read';")
        fleet.pgrotor.add_user("careful", "careful")
        fleet.console("RELOAD")
        fleet.console("DISTRIBUTE TABLE items BY id IN DISTRIBUTION items")
        placement = PLACEMENT["bigint"].format("i", SEED)
        for shard in fleet.names:
            fleet.query(shard, f"INSERT INTO items SELECT i, 1 FROM generate_series(1, 400) i WHERE {owned(fleet.ranges(), shard, placement)}")
        keys = {shard: [key for key, in fleet.query(shard, "SELECT id FROM items")] for shard in fleet.names}
        self.arriving, self.staying = iter(keys["s1"]), keys["s2"][0]
        self.fresh = self.session()
        self.range = next((lower, upper) for _, lower, upper, shard in fleet.ranges() if shard == "s1")

    def session(self, mode="simple", **more):
        return Session(mode, **dict({"host": "127.0.0.1", "port": self.fleet.pgrotor.port, "user": "app", "dbname": DATABASE,
                                     "password": self.fleet.app_password}, **more))

    def begun(self, *statements, mode="simple", **more):
        """A session in a transaction that has its snapshot on the shard that will get the keys."""
        session = self.session(mode, **more)
        for statement in statements:
            session.run(statement)
        assert session.run(SELECT, self.staying) == [["1"]]
        return session

    def move(self):
        lower, upper = self.range
        number = self.fleet.console(f"MOVE RANGE [{lower}, {'' if upper is None else upper}) OF items TO s2")[0]["migration"]
        # To drop its triggers on s2 it waits for the transactions of this test.
        wait_until(lambda: self.fleet.row(number)["state"] == "CLEANING", "the switch")
        return number


def told(session, statement, key):
    try:
        return session.run(statement, key)
    except Refused as refused:
        return refused.sqlstate


def of_levels(stage):
    """Both statements at each level, by all three ways to send them."""
    rows = []
    for before, begin, expected in LEVELS:
        for statement, mode in ((SELECT, "extended"), (UPDATE, "prepared"), (UPDATE, "simple")):
            rows.append((stage.begun(*before, *begin, mode=mode), statement, expected, (before, begin, mode)))
    rows.append((stage.begun("BEGIN", options="-c default_transaction_isolation=serializable"), UPDATE, KEEPS, "by startup option"))
    rows.append((stage.begun("BEGIN", user="careful", password="careful"), SELECT, KEEPS, "by ALTER ROLE"))
    yield
    for session, statement, expected, name in rows:
        key = next(stage.arriving)
        answer = told(session, statement, key)
        assert answer == {KEEPS: "40001", RENEWS: [["1"]] if statement == SELECT else 1}[expected], (name, statement, answer)
        if expected == KEEPS:
            assert told(session, SELECT, stage.staying) == "25P02", name
            session.run("ROLLBACK")
            assert session.run(SELECT, key) == [["1"]], name
        else:
            assert session.run(SELECT, stage.staying) == [["1"]], name
            session.run("COMMIT")
            assert stage.fresh.run(SELECT, key) == [["2" if statement == UPDATE else "1"]], name
        session.close()


def of_savepoints_and_chains(stage):
    begin = ["SET default_transaction_isolation = 'repeatable read'", "BEGIN"]
    back, rolled, committed, together = (stage.begun(*begin) for _ in range(4))
    back.run("SAVEPOINT a")
    yield
    key = next(stage.arriving)
    for _ in range(2):
        assert told(back, SELECT, key) == "40001"
        back.run("ROLLBACK TO a")
        assert back.run(SELECT, stage.staying) == [["1"]]
    assert told(rolled, SELECT, key) == "40001"
    rolled.run("ROLLBACK AND CHAIN")
    committed.run("COMMIT AND CHAIN")
    for session in (rolled, committed):
        assert session.run("SHOW transaction_isolation") == [["repeatable read"]]
        assert session.run(SELECT, key) == [["1"]]
    assert together.run(f"COMMIT AND CHAIN; SELECT v FROM items WHERE id = {key}") == [["1"]]
    assert together.run(SELECT, key) == [["1"]]
    for session in (back, rolled, committed, together):
        session.close()


def of_cursors(stage):
    keeps, renews = stage.begun("BEGIN ISOLATION LEVEL REPEATABLE READ"), stage.begun("BEGIN")
    for session in (keeps, renews):
        session.run(f"DECLARE c CURSOR FOR SELECT v FROM items WHERE id = {stage.staying}")
    yield
    key = next(stage.arriving)
    for session in (keeps, renews):
        assert session.run("FETCH c") == [["1"]]
    declare = f"DECLARE d CURSOR FOR SELECT v FROM items WHERE id = {key}"
    renews.run(declare)
    assert renews.run("FETCH d") == [["1"]]
    try:
        keeps.run(declare)
        raise AssertionError("a cursor was opened in the old snapshot")
    except Refused as refused:
        assert refused.sqlstate == "40001"
    for session in (keeps, renews):
        session.close()


def of_snapshots_of_others(stage):
    old = stage.begun("BEGIN ISOLATION LEVEL REPEATABLE READ")
    name = old.run("SELECT pg_export_snapshot()")[0][0]
    yield
    key, imports = next(stage.arriving), stage.session()
    for several in (False, True):
        begin = ["BEGIN ISOLATION LEVEL REPEATABLE READ", f"SET TRANSACTION SNAPSHOT '{name}'"]
        for text in ["; ".join(begin)] if several else begin:
            imports.run(text)
        assert imports.run("SELECT n FROM plain") == [["7"]]
        assert told(imports, SELECT, key) == "0A000"
        imports.run("ROLLBACK AND CHAIN")
        assert imports.run(SELECT, key) == [["1"]]
        imports.run("COMMIT")
    assert told(imports, f"BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{name}'; " + SELECT, key) == "0A000"
    for session in (old, imports):
        session.close()


def main():
    with Scene("old_snapshots") as scene:
        stage = Stage(scene)
        parts = [part(stage) for part in (of_levels, of_savepoints_and_chains, of_cursors, of_snapshots_of_others)]
        for part in parts:
            next(part)
        number = stage.move()
        for part in parts:
            print(part.__name__, flush=True)
            assert next(part, None) is None
        stage.fleet.wait_end(number)
        assert stage.fleet.pgrotor.terminate() == 0


if __name__ == "__main__":
    main()
