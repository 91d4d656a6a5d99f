"""What the tests of session state share: two shards behind pools of two servers, functions that make state, and ways to see it."""
from wire import Client, query
from world import World

W = None
FUNCTIONS = """
CREATE FUNCTION set_inside(name text, value text) RETURNS text LANGUAGE sql AS $$ SELECT set_config(name, value, false) $$;
CREATE FUNCTION temp_inside() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE inside (a int); END $$;
CREATE FUNCTION lock_inside() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock(77); END $$;
CREATE FUNCTION nothing_inside() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE SCHEMA "Odd, ""name"; CREATE TABLE "Odd, ""name".hidden (a int); GRANT USAGE ON SCHEMA "Odd, ""name" TO app;
GRANT SELECT ON "Odd, ""name".hidden TO app;
CREATE ROLE reader; GRANT reader TO app;
GRANT CREATE ON SCHEMA public TO app;
"""


def start():
    global W
    W = World(pool_size=2)
    for shard in W.shards.values():
        shard.psql(FUNCTIONS, "shop")
    return W


def show(client, name):
    return client.rows(f"SHOW {name}")[0][0]


def reported(client, sql):
    """Names and values of the ParameterStatus messages that come with the answer."""
    client.send(query(sql))
    return [body.decode().split("\0")[:2] for kind, body in client.until(b"Z") if kind == b"S"]


def server_pid(client):
    return client.rows("SELECT pg_backend_pid() + 0")[0][0]


class Busy:
    """Servers of the default shard that others hold in open transactions, so that whoever comes next gets another one."""

    def __init__(self, count):
        self.clients = [Client(W.port) for _ in range(count)]
        for client in self.clients:
            client.kinds(query("BEGIN; SELECT 1 FROM scratch"))

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        for client in self.clients:
            client.kinds(query("ROLLBACK"))
            client.close()


def on_every_server(check):
    """Runs the check with one of the two servers busy, and then with the other."""
    with Busy(1):
        check()
    first = Client(W.port)
    first.kinds(query("BEGIN; SELECT 1 FROM scratch"))
    with Busy(1):
        first.kinds(query("ROLLBACK"))
        check()
    first.close()
