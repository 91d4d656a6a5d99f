"""PgBouncer's verbs in the console: RELOAD (and SIGHUP), PAUSE, RESUME, RECONNECT, KILL, SHUTDOWN."""
import os
import signal
import sys
import threading
import time
from contextlib import closing

import psycopg2

from cluster import Scene, wait_until
from fleet import DATABASE, Fleet, scram_verifier
from pools import ask, backends, on_worker, refused

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "proxy"))
import wire  # noqa: E402


def log_of(pgrotor):
    with open(pgrotor.log, errors="replace") as log:
        return log.read()


def in_force(fleet, key):
    return next(row["value"] for row in fleet.console("SHOW CONFIG") if row["key"] == key)


def in_background(work):
    """A thread, and a list that gets the one result."""
    result = []
    thread = threading.Thread(target=lambda: result.append(work()), daemon=True)
    thread.start()
    return thread, result


def reload_changes_what_may_change(fleet):
    workers = int(in_force(fleet, "proxy.workers"))
    fleet.pgrotor.set(**{"pool.size": 1, "pool.wait_ms": 700, "proxy.workers": workers + 1, "log.level": "debug"})
    told = {row["setting"]: (row["before"], row["now"], row["effect"]) for row in fleet.console("RELOAD")}
    assert told == {"pool.size": ("3", "1", "in force"), "pool.wait_ms": ("2000", "700", "in force"),
                    "proxy.workers": (str(workers), str(workers + 1), "needs a restart"), "log.level": ("info", "debug", "in force")}, told
    assert in_force(fleet, "proxy.workers") == str(workers) and in_force(fleet, "pool.size") == "1"
    with closing(fleet.app(autocommit=False)) as one, closing(fleet.app()) as two:
        ask(one)
        code, took = refused(two)
        assert code == "53300" and took < 2, (code, took)
    fleet.pgrotor.set(**{"proxy.workers": workers, "pool.size": 3, "pool.wait_ms": 2000, "log.level": "info"})
    fleet.pgrotor.child.send_signal(signal.SIGHUP)
    wait_until(lambda: in_force(fleet, "pool.size") == "3", "SIGHUP to be obeyed")


def reload_refuses_what_is_wrong(fleet):
    with open(fleet.pgrotor.config) as file:
        right = file.read()
    with open(fleet.pgrotor.config, "a") as file:
        file.write("\n[timeouts]\nquery_ms = -1\nclient_idle = 7\n")
    try:
        fleet.console("RELOAD")
        raise AssertionError("a wrong file was taken")
    except psycopg2.Error as error:
        assert error.pgcode == "F0000", error
        assert "timeouts.query_ms: -1 is out of bounds" in error.diag.message_detail
        assert "timeouts.client_idle: unknown key; nearest: timeouts.client_idle_ms" in error.diag.message_detail, error.diag.message_detail
    fleet.pgrotor.child.send_signal(signal.SIGHUP)
    wait_until(lambda: "timeouts.query_ms: -1 is out of bounds; it must lie between" in log_of(fleet.pgrotor), "SIGHUP to complain")
    with open(fleet.pgrotor.config, "w") as file:
        file.write(right)
    assert fleet.console("RELOAD") == []


def reload_brings_users(fleet):
    verifier = scram_verifier("new password")
    fleet.shards["s1"].psql(f"CREATE ROLE late LOGIN PASSWORD '{verifier}'")
    try:
        fleet.app(user="late", password="new password")
        raise AssertionError("a user that is not there could log in")
    except psycopg2.OperationalError:
        pass
    fleet.pgrotor.add_user("late", verifier)
    fleet.console("RELOAD")
    with closing(fleet.app(user="late", password="new password")) as client:
        assert ask(client, "SELECT current_user") == "late"


def pause_waits_and_holds(fleet):
    for database in ("", DATABASE):
        busy, idle = fleet.app(autocommit=False), fleet.app()
        ask(busy), ask(idle)
        pausing, paused = in_background(lambda: fleet.console(f"PAUSE {database}"))
        wait_until(lambda: {row["paused"] for row in fleet.console("SHOW POOLS") if row["user"] == "app"} == {"1"}, "the pools to be paused")
        held, answer = in_background(lambda: ask(idle))
        ask(busy)  # an open transaction goes on
        assert pausing.is_alive() and held.is_alive()
        busy.rollback()
        pausing.join(5)
        assert paused == [[]] and not backends(fleet), "PAUSE must leave no connection"
        assert held.is_alive()
        fleet.console(f"RESUME {database}")
        held.join(5)
        assert len(answer) == 1
        busy.close(), idle.close()
    fleet.console("PAUSE other_database")
    with closing(fleet.app()) as client:
        ask(client)
    fleet.console("RESUME")


def who_is_paused_has_a_limit(fleet):
    fleet.console("PAUSE")
    with closing(fleet.app()) as client:
        code, took = refused(client)
        assert code == "53300" and 1.5 < took < 4, (code, took)
        fleet.console("RESUME")
        ask(client)


def reconnect(fleet):
    with closing(fleet.app()) as listener, closing(fleet.app(autocommit=False)) as client:
        listener.cursor().execute("LISTEN news")
        before = ask(client)
        fleet.console("RECONNECT")
        assert ask(client) == before, "a transaction keeps its connection"
        client.rollback()
        assert ask(client) != before
        assert before not in backends(fleet)
        kept = ask(listener)
        assert ask(listener) == kept, "who has state keeps the connection"


def kill(fleet):
    busy = fleet.app(autocommit=False)
    idle = wire.Client(fleet.pgrotor.port, password=fleet.app_password, database=DATABASE)
    words, last = in_background(idle.closed)
    ask(busy)
    sleeping, answer = in_background(lambda: refused(busy, "SELECT pg_sleep(30)"))
    wait_until(lambda: fleet.query("s1", "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%%pg_sleep%%' AND usename = 'app'"), "it to run")
    fleet.console(f"KILL {DATABASE}")
    sleeping.join(5)
    assert answer and answer[0][0] in ("57P01", None), answer
    words.join(5)
    assert last and (last[0]["S"], last[0]["C"]) == ("FATAL", "57P01"), last
    fleet.console("RESUME")
    with closing(fleet.app()) as client:
        ask(client)


def kill_of_who_waits(fleet):
    """For a server: he is told that his session ends, and nothing else."""
    full = [fleet.app(autocommit=False) for _ in range(3)]  # pool.size
    for client in full:
        ask(client)
    waits = wire.Client(fleet.pgrotor.port, password=fleet.app_password, database=DATABASE)
    waits.send(wire.query("SELECT 1"))
    wait_until(lambda: any(row["state"] == "waiting" for row in fleet.console("SHOW CLIENTS")), "him to wait", timeout=2)
    fleet.console(f"KILL {DATABASE}")
    kind, body = waits.receive()
    assert (kind, wire.fields(body)["C"]) == (b"E", "57P01"), (kind, body)
    assert waits.closed() == {}
    for client in full:
        client.close()
    fleet.console("RESUME")


def a_session_that_fails(fleet):
    """An error inside a session ends that session only, and its server connection with it."""
    fleet.console("TEST BREAK 'session_fails'")
    clients = [wire.Client(fleet.pgrotor.port, password=fleet.app_password, database=DATABASE) for _ in range(3)]
    for client in clients:
        client.kinds(wire.query("BEGIN"))
        assert client.rows("SELECT 1") == [["1"]]
    fleet.console(f"KILL {DATABASE}")
    for client in clients:
        words = client.closed()
        assert (words["S"], words["C"]) == ("FATAL", "XX000"), words
    fleet.console("TEST MEND 'session_fails'")
    fleet.console("RESUME")
    assert f"client {clients[0].pid} (user app, database {DATABASE}): the session failed: session_fails" in log_of(fleet.pgrotor)
    assert "pgrotor_sessions_failed_total 3" in fleet.pgrotor.http("/metrics")
    full = [fleet.app(autocommit=False) for _ in range(3)]  # pool.size
    for client in full:
        ask(client)
    for client in full:
        client.close()


def statement_mode(fleet):
    fleet.pgrotor.set(**{"pool.mode": "statement"})
    fleet.console("RELOAD")
    for raw in (wire.query("BEGIN"), wire.query("BEGIN; SELECT 1"), wire.parse("", "BEGIN") + wire.bind() + wire.execute() + wire.SYNC):
        client = wire.Client(fleet.pgrotor.port, password=fleet.app_password, database=DATABASE)
        assert client.rows("SELECT 1") == [["1"]]
        client.send(raw)
        words = client.closed()
        assert (words["C"], words["M"]) == ("08P01", "transaction blocks not allowed in statement pooling mode"), words
    fleet.pgrotor.set(**{"pool.mode": "transaction"})
    fleet.console("RELOAD")


def session_mode(fleet):
    """A client keeps its server to its end; then DISCARD ALL makes it fit for another, unless it holds what that does not undo."""
    fleet.pgrotor.set(**{"pool.mode": "session", "pool.size": 2, "pool.wait_ms": 700})
    fleet.console("RELOAD")
    first, second = on_worker(fleet, 0), on_worker(fleet, 0)
    mine, other = ask(first), ask(second)
    assert mine != other
    ask(first, "SET work_mem = '3MB'; PREPARE p AS SELECT 1; SELECT pg_advisory_lock(7)")
    assert [ask(first), ask(second)] * 3 == [mine, other] * 3
    assert [row["pinned"].split(",")[-1] for row in fleet.console("SHOW CLIENTS") if row["database"] == DATABASE] == ["session_mode"] * 2
    assert {row["pool_mode"] for row in fleet.console("SHOW POOLS")} == {"session"}
    with closing(on_worker(fleet, 0)) as third:
        assert refused(third)[0] == "53300"
        first.close()
        wait_until(lambda: ask(third) == mine, "the server of the client that left")
        assert ask(third, "SHOW work_mem") == ask(second, "SHOW work_mem")
        assert ask(third, "SELECT count(*) FROM pg_prepared_statements WHERE from_sql") == 0
        assert ask(second, "SELECT pg_try_advisory_lock(7)") is True
        ask(third, "SELECT 1 INTO TEMP scratch; SELECT setseed(0.5)")
    with closing(on_worker(fleet, 0)) as fourth:
        assert ask(fourth) not in (mine, other), "setseed and the schema of temporary tables outlive DISCARD ALL"
        with fourth.cursor() as cursor:
            cursor.execute("SET work_mem = '3MB'")
            cursor.execute("DISCARD ALL")
        assert ask(fourth, "SHOW work_mem") == ask(second, "SHOW work_mem")
    second.close()
    fleet.pgrotor.set(**{"pool.mode": "transaction", "pool.size": 3, "pool.wait_ms": 2000})
    fleet.console("RELOAD")
    wait_until(lambda: {row["pool_mode"] for row in fleet.console("SHOW POOLS")} == {"transaction"}, "the mode of before")


def shutdown(fleet):
    busy = fleet.app(autocommit=False)
    ask(busy)
    fleet.console("SHUTDOWN")
    time.sleep(0.2)
    assert fleet.pgrotor.child.poll() is None, "an open transaction may end"
    busy.commit()
    assert fleet.pgrotor.child.wait(20) == 0


def main():
    with Scene("verbs") as scene:
        fleet = Fleet(scene, names=("s1",), catalog="s1", settings={"proxy.workers": 2, "pool.size": 3, "pool.wait_ms": 2000, "log.level": "info"})
        for step in (reload_changes_what_may_change, reload_refuses_what_is_wrong, reload_brings_users, pause_waits_and_holds,
                     who_is_paused_has_a_limit, reconnect, kill, kill_of_who_waits, a_session_that_fails, statement_mode, session_mode, shutdown):
            print(step.__name__, flush=True)
            step(fleet)


if __name__ == "__main__":
    main()
