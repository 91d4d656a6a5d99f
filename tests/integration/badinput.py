"""Bad input gets the full message of a golden file (golden/badinput/) and costs nothing: what ran before runs on."""
import os
import socket
import struct
import subprocess
from contextlib import closing

import psycopg2

from cluster import DUMP_BIN, Scene, binary, free_port, wait_until
from fleet import DATABASE, Fleet
from goldens import compare, error_text, plain
from leftovers import inventory, leftovers


def refused(fleet, command):
    try:
        fleet.console(command)
    except psycopg2.Error as error:
        return plain(error_text(error), fleet)
    raise AssertionError(f"the console took {command}")


def unreachable_shard(fleet):
    """A shard in the configuration that does not answer: file, line and key. And everybody may read it."""
    with open(fleet.pgrotor.config) as file:
        lines = file.readlines()
    nobody = free_port()
    at = max(index for index, line in enumerate(lines) if line.startswith("dsn = "))
    lines[at] = f'dsn = "host=127.0.0.1 port={nobody} dbname=shop"\n'
    path = fleet.pgrotor.config + ".unreachable"
    with open(path, "w") as file:
        file.writelines(lines)
    os.chmod(path, 0o644)
    for verb in ("check", "init"):
        done = subprocess.run([binary(), verb, "-c", path], text=True, capture_output=True, cwd="/", timeout=60)
        assert done.returncode != 0
        compare(f"badinput/unreachable_{verb}", plain(done.stdout + done.stderr, fleet, config=path, nobody=nobody))


def several_problems(fleet):
    """Every problem of a configuration at once, each with its line."""
    path = fleet.pgrotor.config + ".wrong"
    with open(path, "w") as file:
        file.write('default_shard = "s9"\n[listen]\nport = 70000\nbanana = 1\n[pool]\nsize = "many"\n[[shard]]\nname = "S 1"\n'
                   'dsn = "host=127.0.0.1 port=1 dbname=shop password=x"\n[log]\nlevel = "loud"\n')
    done = subprocess.run([binary(), "check", "-c", path], text=True, capture_output=True, cwd="/", timeout=60)
    assert done.returncode != 0
    compare("badinput/several_problems", plain(done.stdout + done.stderr, fleet, config=path))


def tables(fleet):
    """Tables that cannot be distributed or moved: the exact ALTER TABLE."""
    fleet.everywhere("CREATE TABLE no_key (customer_id bigint NOT NULL, v text);"
                     "CREATE TABLE foreign_key_only (id bigint PRIMARY KEY, customer_id bigint NOT NULL);"
                     "CREATE TABLE odd (k double precision PRIMARY KEY);"
                     "GRANT ALL ON no_key, foreign_key_only, odd TO app")
    for name, key in (("no_key", "customer_id"), ("foreign_key_only", "customer_id"), ("odd", "k"),
                      ("nowhere", "customer_id"), ("customers", "shoe_size")):
        compare(f"badinput/distribute_{name}", refused(fleet, f"DISTRIBUTE TABLE {name} BY {key} IN DISTRIBUTION other"))
    fleet.everywhere("DROP TABLE no_key, foreign_key_only, odd")


def names(fleet):
    """What placement takes for PostgreSQL's own and is not: all of it at once, with the statements that help."""
    fleet.everywhere("CREATE TABLE named (customer_id text COLLATE \"C\" PRIMARY KEY)")
    owner = fleet.shards["s3"]
    owner.psql("SET ROLE shop_owner; CREATE SCHEMA mine; CREATE COLLATION mine.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
               "CREATE UNIQUE INDEX named_loose ON named (customer_id COLLATE mine.loose);"
               "CREATE FUNCTION mine.alike(varchar, varchar) RETURNS boolean LANGUAGE sql AS $$ SELECT lower($1) = lower($2) $$;"
               "CREATE OPERATOR mine.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = mine.alike);"
               f"RESET ROLE; ALTER ROLE app IN DATABASE {DATABASE} SET search_path = mine, pg_catalog; ALTER ROLE app SET search_path = public;", DATABASE)
    compare("badinput/names", refused(fleet, "DISTRIBUTE TABLE named BY customer_id IN DISTRIBUTION texts"))
    owner.psql(f"ALTER ROLE app IN DATABASE {DATABASE} RESET search_path; ALTER ROLE app RESET search_path; DROP SCHEMA mine CASCADE", DATABASE)
    fleet.everywhere("DROP TABLE named")


def dumps_of_the_owner(fleet):
    """Schema pgrotor and its registers included, while there are some."""
    for shard in fleet.shards.values():
        done = subprocess.run([DUMP_BIN + "pg_dump", "-h", shard.folder, "-p", str(shard.port), "-U", "postgres", "--role", "shop_owner", DATABASE],
                              text=True, capture_output=True, cwd="/", timeout=60)
        assert done.returncode == 0 and "CREATE TABLE pgrotor.chunks" in done.stdout, done.stderr


def replica_identity(fleet):
    """A table whose replica identity was changed after it was distributed."""
    fleet.everywhere("ALTER TABLE orders REPLICA IDENTITY NOTHING")
    compare("badinput/replica_identity", refused(fleet, "DRAIN SHARD s1 TO s3"))
    fleet.everywhere("ALTER TABLE orders REPLICA IDENTITY DEFAULT")


def missing_rights(fleet):
    """The exact GRANT."""
    target = fleet.shards["s3"]
    newer = "SET ON PARAMETER session_replication_role"
    right = newer if target.version() >= 15 else "EXECUTE ON FUNCTION pgrotor_rights.set_replication_role(text)"
    target.psql(f"REVOKE {right} FROM pgrotor; REVOKE EXECUTE ON FUNCTION pg_replication_origin_create(text) FROM pgrotor;", DATABASE)
    compare("badinput/missing_rights", refused(fleet, "DRAIN SHARD s1 TO s3").replace(right, newer))
    target.psql(f"GRANT {right} TO pgrotor; GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text) TO pgrotor;", DATABASE)


def wal_level(fleet):
    """Too low on the source: the setting and that it takes a restart."""
    source = fleet.shards["s1"]
    source.restart(wal_level="replica")
    compare("badinput/wal_level", refused(fleet, "DRAIN SHARD s1 TO s3"))
    source.restart(wal_level="logical")


def rows_in_the_way(fleet):
    """Somebody put rows of the moving placements on the target."""
    customer = fleet.query("s1", "SELECT max(customer_id) FROM customers")[0][0]
    fleet.stray("s3", "customers", "INSERT INTO customers (customer_id, name, country_code) VALUES (%s, 'stray', 'CH')", (customer,))
    compare("badinput/rows_in_the_way", plain(refused(fleet, "DRAIN SHARD s1 TO s3"), customer=customer))
    left = fleet.query("s3", "DELETE FROM customers WHERE customer_id = %s RETURNING name", (customer,))
    assert left == [("stray",)], "pgrotor removed a row that it had not brought"


def commands(fleet):
    for name, command in (("unknown_command", "DRIAN SHARD s1"), ("unknown_show", "SHOW MIGRATION"), ("no_such_shard", "DRAIN SHARD s9"),
                          ("default_shard", "DRAIN SHARD s2"), ("to_itself", "DRAIN SHARD s1 TO s1"), ("bad_option", "DRAIN SHARD s1 WITH (max_rte = '1MB')"),
                          ("bad_rate", "DRAIN SHARD s1 WITH (max_rate = 'fast')"), ("empty_range", "MOVE RANGE [5, 5) OF shop TO s3"),
                          ("no_such_migration", "CANCEL MIGRATION 4711"), ("nonsense", "please help")):
        compare(f"badinput/command_{name}", refused(fleet, command))


def on_the_port(fleet):
    """Garbage and oversized lengths: the connection ends, nobody else's does."""
    startup = struct.pack("!ii", 8, 196608)
    for bytes_in in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" * 64, struct.pack("!ii", 0x7fffffff, 196608), struct.pack("!i", 3),
                     struct.pack("!ii", -5, 196608), struct.pack("!ii", 8, 0x00090000), startup[:6], b"\0" * 2000):
        with socket.create_connection(("127.0.0.1", fleet.pgrotor.port), timeout=20) as client:
            client.sendall(bytes_in)
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
    # After a login: a message longer than limits.max_message_bytes is refused by its header, before its bytes are waited for.
    connection = fleet.app()
    raw = socket.socket(fileno=os.dup(connection.fileno()))
    raw.settimeout(20)
    raw.sendall(b"Q" + struct.pack("!i", 0x7ffffff0) + b"SELECT")
    answer = b""
    while piece := raw.recv(4096):
        answer += piece
    raw.close()
    fields = [part.decode() for part in answer[5:].split(b"\0")]
    compare("badinput/oversized", "\n".join(part for part in fields if part[:1] in "CMDH" and len(part) > 1) + "\n")


def long_transaction(fleet):
    """In the way of a cutover: the gates open again, the attempt is repeated, and SHOW MIGRATION names it with its pid."""
    customer = fleet.query("s1", "SELECT max(customer_id) FROM customers")[0][0]
    number = fleet.console("DRAIN SHARD s1 TO s3 WITH (auto_cutover = off)")[0]["migration"]
    fleet.wait_state(number, "READY")
    dumps_of_the_owner(fleet)
    direct = fleet.shards["s1"].connect(DATABASE, autocommit=False, user="app", password=fleet.app_password)
    cursor = direct.cursor()
    fleet.console("TEST STOP 'cutover.1'")
    fleet.console(f"CUTOVER MIGRATION {number}")
    fleet.console("TEST WAIT 'cutover.1'")
    cursor.execute("UPDATE customers SET balance = balance + 1 WHERE customer_id = %s", (customer,))
    fleet.console("TEST RELEASE 'cutover.1'")
    pid = direct.get_backend_pid()
    row = wait_until(lambda: next((row for row in [fleet.migration(number)] if str(pid) in (row["blockers"] or "")), None),
                     "SHOW MIGRATION to name the transaction in the way")
    with closing(fleet.app()) as connection, connection.cursor() as other:  # the gates are open
        other.execute("SELECT balance FROM customers WHERE customer_id = %s", (customer,))
    wait_until(lambda: int(fleet.migration(number)["retries"] or 0) >= 1, "the attempt to be repeated")
    shown = plain(row["blockers"], fleet, pid=pid)
    direct.commit()
    fleet.wait_state(number, "DONE")
    moved = fleet.query("s3", "SELECT balance FROM customers WHERE customer_id = %s", (customer,))[0][0]
    assert moved == 1, f"the transaction in the way was lost: {moved}"
    direct.close()
    return shown


def main():
    with Scene("badinput") as scene:
        fleet = Fleet(scene)
        for shard in fleet.shards.values():
            shard.psql("GRANT app TO pgrotor;")  # else check tells of each
        unreachable_shard(fleet)
        several_problems(fleet)
        fleet.shop()
        bystander = fleet.app()
        with bystander.cursor() as cursor:
            for customer in range(1, 101):
                cursor.execute("INSERT INTO customers (customer_id, name, country_code) VALUES (%s, 'somebody', 'CH')", (customer,))
            before = inventory(fleet)
            for part in (commands, tables, names, replica_identity, missing_rights, rows_in_the_way, on_the_port, wal_level):
                part(fleet)
                print(f"{part.__name__}: as the golden files say", flush=True)
            cursor.execute("SELECT count(*) FROM customers WHERE customer_id = 5")
            assert cursor.fetchall() == [(1,)], "a session that stood by lost its service"
            shown = long_transaction(fleet)
            assert "pid <pid> (app" in shown, shown
            print(f"long_transaction: {shown}", end="")
        bystander.close()
        left = leftovers(fleet, before)
        assert not left, f"left behind: {left}"


main()
