"""A row altered on purpose on the target, between the marker and the comparison, is found by its key; the source is not cleaned, so
nothing is lost while a person looks."""
from contextlib import closing

from cluster import Scene
from fleet import DATABASE, Fleet


def main():
    with Scene("drain_altered") as scene:
        fleet = Fleet(scene, settings={"cutover.budget_ms": 4000, "gate.hold_budget_ms": 20000})
        fleet.shop()
        with closing(fleet.app()) as connection, connection.cursor() as cursor:
            for customer in range(1, 201):
                cursor.execute("INSERT INTO customers (customer_id, name, country_code) VALUES (%s, 'somebody', 'CH')", (customer,))
        moved = [row[0] for row in fleet.query("s1", "SELECT customer_id FROM customers ORDER BY 1")]
        fleet.console("TEST STOP 'cutover.3'")
        number = fleet.console("DRAIN SHARD s1 TO s3 WITH (max_pause = '4s')")[0]["migration"]
        fleet.console("TEST WAIT 'cutover.3'")
        fleet.shards["s3"].psql("ALTER TABLE customers DISABLE TRIGGER ALL;"
                                f"UPDATE customers SET name = 'somebody else' WHERE customer_id = {moved[0]};", DATABASE)
        fleet.console("TEST RELEASE 'cutover.3'")
        row = fleet.wait_end(number)
        assert int(row["rows_compared"]) == len(moved), row
        assert int(row["rows_differing"]) == 1, row
        assert "customers" in row["error"] and str(moved[0]) in row["error"] and "name" in row["error"], row["error"]
        kept = fleet.query("s1", "SELECT count(*) FROM customers")[0][0]
        assert kept == len(moved), f"the source was cleaned: {kept} of {len(moved)} rows"
        print(f"found: {row['error']}")


main()
