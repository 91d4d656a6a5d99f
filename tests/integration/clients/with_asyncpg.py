"""asyncpg: everything prepared and in binary, its own introspection of types, COPY, cursors by portals, cancel by time-out, a pool."""
import asyncio
import io
import os
import sys
import uuid

import asyncpg

# With "session" as argument also what needs the state of a session: the pool resets connections that come back.
SESSION = sys.argv[1:] == ["session"]


class Unreset(asyncpg.Connection):
    def _get_reset_query(self):
        return ""


async def main():
    connection = await asyncpg.connect()
    for key in range(1, 41):
        await connection.execute("INSERT INTO accounts (id, owner, balance) VALUES ($1, $2, $3)", key, f"owner {key}", key * 2)
    statement = await connection.prepare("SELECT owner, balance FROM accounts WHERE id = $1")
    assert [p.name for p in statement.get_parameters()] == ["int8"]
    for key in range(1, 41):
        assert tuple(await statement.fetchrow(key)) == (f"owner {key}", key * 2)
    for number in range(30):
        token = uuid.UUID(int=number * 7919 << 90 | number)
        await connection.execute("INSERT INTO tokens VALUES ($1, $2)", token, str(number))
        await connection.execute("INSERT INTO words VALUES ($1, $2)", f"wörd {number}", number)
        await connection.execute("INSERT INTO entries VALUES ($1, 1000, $2)", number, None)
        assert await connection.fetchval("SELECT note FROM tokens WHERE token = $1", token) == str(number)
        assert await connection.fetchval("SELECT length FROM words WHERE word = $1", f"wörd {number}") == number
    assert await connection.fetchval("SELECT owner FROM accounts WHERE id = ANY ($1)", [5]) == "owner 5"
    assert await connection.fetchval("SELECT owner FROM accounts WHERE id = ANY ($1::bigint[])", [6]) == "owner 6"
    # A key that is used elsewhere too: its type is what the server said to Describe.
    assert await connection.fetchval("UPDATE accounts SET balance = $1 + 1000 WHERE id = $1 RETURNING balance", 7) == 1007
    assert await connection.fetchval("SELECT owner || ' ' || $1::bigint FROM accounts WHERE id = $1", 8) == "owner 8 8"

    async with connection.transaction():
        await connection.execute("UPDATE accounts SET balance = 0 WHERE id = 5")
        try:
            async with connection.transaction():
                await connection.execute("UPDATE accounts SET balance = 1 WHERE id = 5")
                raise RuntimeError
        except RuntimeError:
            pass
    assert await connection.fetchval("SELECT balance FROM accounts WHERE id = 5") == 0
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        assert await connection.fetchval("SHOW transaction_isolation") == "repeatable read"
    try:
        async with connection.transaction():
            await connection.execute("DELETE FROM accounts WHERE id = 5")
            await connection.execute("INSERT INTO notes (id, body) VALUES (1, repeat('x', 2000))")
    except asyncpg.CheckViolationError as failure:
        assert failure.constraint_name == "body_is_short"
    assert await connection.fetchval("SELECT count(*) FROM accounts WHERE id = 5") == 1

    # COPY.
    assert await connection.copy_records_to_table("notes", records=[(i, f"copied {i}") for i in range(100, 1100)], columns=["id", "body"]) == "COPY 1000"
    assert await connection.copy_to_table("notes", source=io.BytesIO(b"1\tone\n2\ttwo\n"), columns=["id", "body"]) == "COPY 2"
    out = io.BytesIO()
    assert await connection.copy_from_query("SELECT id FROM notes WHERE id > $1 ORDER BY id", 1090, output=out) == "COPY 9"
    assert out.getvalue() == b"".join(b"%d\n" % i for i in range(1091, 1100))
    try:
        await connection.copy_to_table("notes", source=io.BytesIO(b"x\n"), columns=["id"])
        raise AssertionError("a broken COPY was taken")
    except asyncpg.InvalidTextRepresentationError:
        pass

    # Portals with row limits, executemany in one pipeline, arrays and ranges and enums by introspection.
    async with connection.transaction():
        assert [row[0] async for row in connection.cursor("SELECT id FROM notes WHERE id >= 100 ORDER BY id", prefetch=90)] == list(range(100, 1100))
    await connection.executemany("INSERT INTO entries VALUES ($1, $2, $3)", [(11, no, "many") for no in range(100)])
    assert await connection.fetchval("SELECT count(*) FROM entries WHERE account_id = 11") == 101
    await connection.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
    assert await connection.fetchval("SELECT ARRAY['happy', 'sad']::mood[]") == ["happy", "sad"]
    assert (await connection.fetchval("SELECT int4range(1, 5)")).upper == 5
    assert await connection.fetchval("SELECT $1::text[]", ["a", None]) == ["a", None]

    # Cancel.
    try:
        await connection.fetchval("SELECT pg_sleep(60)", timeout=0.3)
        raise AssertionError("was not cancelled")
    except asyncio.TimeoutError:
        pass
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    async with asyncpg.create_pool(min_size=2, max_size=10, connection_class=asyncpg.Connection if SESSION else Unreset) as pool:
        async def work(key):
            async with pool.acquire() as mine:
                return await mine.fetchval("SELECT owner FROM accounts WHERE id = $1", key)
        assert await asyncio.gather(*(work(key) for key in range(1, 41))) == [f"owner {key}" for key in range(1, 41)]

    console = await asyncpg.connect(database="pgrotor", user="admin", password=os.environ["CONSOLE_PASSWORD"])
    async with console.transaction():
        assert [row["shard"] for row in await console.fetch("SHOW SHARDS")] == ["s1", "s2", "s3"]
        assert {type(row["lower"]) for row in await console.fetch("SHOW RANGES")} == {int}
        assert isinstance(await console.fetchval("SHOW STATS", column=1), float)
    assert await console.fetch("SHOW MIGRATIONS") == [] and await console.execute("RECONNECT s2") == "RECONNECT"
    await console.close()
    print("asyncpg", asyncpg.__version__)


asyncio.run(main())
