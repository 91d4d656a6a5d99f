"""Change data capture does not take a move for business events: a test_decoding slot with only-local on each shard, made before a
drain there and back, sees no change of a user's table from copy, apply or cleanup, and does see what a client wrote meanwhile."""
from contextlib import closing

from cluster import Scene
from fleet import Fleet


def changes(fleet, shard):
    rows = fleet.query(shard, "SELECT data FROM pg_logical_slot_get_changes('cdc', NULL, NULL, 'only-local', '1')")
    return [data for (data,) in rows if data.startswith("table public.")]


def main():
    with Scene("drain_cdc") as scene:
        fleet = Fleet(scene)
        fleet.everywhere("CREATE TABLE items (id bigint PRIMARY KEY, v text NOT NULL);"
                         "GRANT SELECT, INSERT, UPDATE, DELETE ON items TO app")
        fleet.console("DISTRIBUTE TABLE items BY id IN DISTRIBUTION items")
        with closing(fleet.app()) as connection, connection.cursor() as cursor:
            for number in range(1, 1001):
                cursor.execute("INSERT INTO items VALUES (%s, 'before')", (number,))
            for shard in fleet.names:
                fleet.query(shard, "SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')")
            moved = [row[0] for row in fleet.query("s1", "SELECT id FROM items ORDER BY id")]
            fleet.console("TEST STOP 'state.CATCHING_UP'")
            numbers = [row["migration"] for row in fleet.console("DRAIN SHARD s1 TO s3")]
            fleet.console("TEST WAIT 'state.CATCHING_UP'")
            metrics = fleet.pgrotor.http("/metrics")
            assert f'pgrotor_migration_state{{migration="{numbers[0]}",source="s1",target="s3",state="CATCHING_UP"}} 1\n' in metrics, metrics
            assert f'pgrotor_migration_rows_left{{migration="{numbers[0]}"}} 0\n' in metrics and "pgrotor_migration_age_seconds{" in metrics, metrics
            for number in moved[:50]:
                cursor.execute("UPDATE items SET v = 'during' WHERE id = %s", (number,))
            cursor.execute("DELETE FROM items WHERE id = %s", (moved[60],))
            fleet.console("TEST RELEASE 'state.CATCHING_UP'")
            fleet.wait_state(numbers[0], "DONE")
            numbers += [row["migration"] for row in fleet.console("DRAIN SHARD s3 TO s1")]
            row = fleet.wait_state(numbers[1], "DONE")
            assert row["created"] <= row["finished"] and row["created"].endswith("+00") and not row["sqlstate"], row
            assert "pgrotor_migration_state{" not in fleet.pgrotor.http("/metrics")
            for number in numbers:
                compared = int(fleet.migration(number)["rows_compared"])
                assert compared >= len(moved) - 1, f"migration {number}: {compared} rows compared"
        seen = {shard: changes(fleet, shard) for shard in fleet.names}
        assert len(seen["s1"]) == 51, f"s1: the client's 51 changes were expected, seen: {len(seen['s1'])} {seen['s1'][:3]}"
        assert not seen["s2"] and not seen["s3"], f"a move was taken for business events: {seen['s2'][:3]} {seen['s3'][:3]}"
        print(f"{len(moved)} rows moved there and back; CDC saw 51 changes, all of them a client's")


main()
