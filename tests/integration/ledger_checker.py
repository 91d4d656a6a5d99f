"""The checker itself, against one shard without pgrotor: green when nothing was done to the rows, red for each kind of damage."""

import ledger_book
from cluster import Scene
from fleet import Fleet
from ledger import Ledger

DAMAGE = {
    "nothing": None,
    "an entry lost": "DELETE FROM entries WHERE entry_id IN (SELECT entry_id FROM entries ORDER BY 1 LIMIT 5)",
    "an entry from nowhere": "INSERT INTO entries (account_id, entry_id, payload) VALUES (1, 99999999, 'x')",
    "an entry altered": "UPDATE entries SET payload = 'x' WHERE entry_id = (SELECT max(entry_id) FROM entries)",
    "a counter doubled": "UPDATE accounts SET n = n + 1 WHERE account_id = 3",
    "a counter and its rows undone": "WITH gone AS (DELETE FROM applied WHERE account_id = (SELECT min(account_id) FROM applied)"
                                     " RETURNING account_id) UPDATE accounts SET n = 0 WHERE account_id IN (SELECT account_id FROM gone)",
    "a TOASTed value lost": "UPDATE accounts SET pad = NULL WHERE account_id = 4",
    "an account gone": "WITH a AS (DELETE FROM entries WHERE account_id = 5), b AS (DELETE FROM applied WHERE account_id = 5)"
                       " DELETE FROM accounts WHERE account_id = 5",
    "a slot left": "SELECT pg_create_physical_replication_slot('left_over')",
}


class Bare(Fleet):
    """A fleet of one shard whose clients connect to it as if it were pgrotor."""

    def __init__(self, scene):
        super().__init__(scene, names=("s1",), catalog="s1", serve=False)
        self.pgrotor.port = self.shards["s1"].port

    def console(self, command):
        if command == "SHOW TABLES":
            return [{"schema": "public", "table": table, "distribution": "ledger", "key": "account_id"} for table in ledger_book.TABLES]
        return []

    def ranges(self):
        return [("ledger", -2**63, None, "s1")]


def main():
    with Scene("ledger_checker") as scene:
        fleet = Bare(scene)
        for what, sql in DAMAGE.items():
            ledger = Ledger(fleet, accounts=40, padding=3000, bypass=False)
            ledger.start()
            for client in ledger.clients:
                client.stop()
            for client in ledger.clients:
                client.join(30)
            if sql:
                fleet.query("s1", "SET session_replication_role = replica; " + sql)
            lines = ledger.finish()
            print(f"{what}: {len(lines)} lines{', first: ' + lines[0][:120] if lines else ''}")
            assert bool(lines) == bool(sql), f"{what}: {lines[:3]}"
            fleet.everywhere("DROP TABLE entries, applied, accounts")


main()
