"""Pools of the real binary on a real shard: one bound for all workers, permits that move between them, reserve, a bound for a shard,
and what becomes of connections that are old, idle or do not answer."""
import os
import signal
import threading
import time
from contextlib import closing

import psycopg2

from cluster import Scene, wait_until
from fleet import DATABASE, Fleet

WORKERS = 2
SERVER = "SELECT pg_backend_pid() + 0"  # of the shard; alone it is the client's number


def configure(fleet, **settings):
    """Restarts pgrotor with other values of [pool]; what is not named has the value that main() gave."""
    fleet.pgrotor.set(**{f"pool.{key}": value for key, value in dict(fleet.usual, **settings).items()})
    fleet.pgrotor.restart()


def backends(fleet, user="app"):
    return {pid for pid, in fleet.query("s1", "SELECT pid FROM pg_stat_activity WHERE usename = %s", (user,))}


def on_worker(fleet, number, **options):
    """A client of that worker: pgrotor deals them out in turn, and its number says whose it is (worker.cc)."""
    while True:
        client = fleet.app(**options)
        if (client.get_backend_pid() - 5_000_000) // 8_000_000 == number:
            return client
        client.close()


def ask(client, sql=SERVER):
    with client.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def refused(client, sql="SELECT 1"):
    """The SQLSTATE and the seconds that it took."""
    began = time.monotonic()
    try:
        ask(client, sql)
    except psycopg2.Error as error:
        return error.pgcode, time.monotonic() - began
    raise AssertionError("the statement was answered")


class Crowd:
    """Clients that run short transactions until told to stop; counts of each, and the longest wait."""

    def __init__(self, clients, sql):
        self.clients, self.sql, self.stop = clients, sql, False
        self.done, self.longest, self.failed = [0] * len(clients), [0.0] * len(clients), []
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(len(clients))]
        for thread in self.threads:
            thread.start()

    def run(self, index):
        try:
            while not self.stop:
                began = time.monotonic()
                ask(self.clients[index], self.sql)
                self.longest[index] = max(self.longest[index], time.monotonic() - began)
                self.done[index] += 1
        except psycopg2.Error as error:
            self.failed.append(error)

    def end(self):
        self.stop = True
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()
        assert not self.failed, self.failed
        for client in self.clients:
            client.close()


def one_bound_for_all_workers(fleet):
    configure(fleet, size=3)
    crowd = Crowd([fleet.app() for _ in range(24)], "SELECT pg_sleep(0.003)")
    most, samples, until = 0, 0, time.monotonic() + 4
    # Not `with watcher`, which is one transaction, and in one transaction pg_stat_activity never changes.
    with closing(fleet.shards["s1"].connect(DATABASE)) as watcher, watcher.cursor() as cursor:
        def count():
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND backend_type = 'client backend'")
            return cursor.fetchone()[0]
        while time.monotonic() < until:
            # A backend whose connection was closed may be seen for a moment longer; one connection too many would stay.
            now = wait_until(lambda: min(count(), 4) % 4, "no more than three connections", timeout=0.5, every=0.001)
            most, samples = max(most, now), samples + 1
    crowd.end()
    assert most == 3, most
    assert min(crowd.done) > 0 and max(crowd.longest) < 2, (crowd.done, crowd.longest)
    print("    samples:", samples, "transactions a client:", min(crowd.done), "to", max(crowd.done), "longest wait:", round(max(crowd.longest), 3))


def a_worker_with_one_client_is_not_starved(fleet):
    configure(fleet, size=2)
    crowd = Crowd([on_worker(fleet, 0) for _ in range(20)], "SELECT pg_sleep(0.01)")
    wait_until(lambda: min(crowd.done) > 0, "the crowd to work")
    with closing(on_worker(fleet, 1)) as lonely:
        waits = []
        for _ in range(10):
            began = time.monotonic()
            ask(lonely)
            waits.append(time.monotonic() - began)
    crowd.end()
    assert max(waits) < 1.5, waits
    print("    longest wait of the lonely client:", round(max(waits), 3), "of the crowd:", round(max(crowd.longest), 3))


def an_idle_connection_makes_room(fleet):
    """One connection in all: the other worker's idle one is closed for it, again and again."""
    configure(fleet, size=1)
    with closing(on_worker(fleet, 0)) as here, closing(on_worker(fleet, 1)) as there:
        for _ in range(5):
            for client in (here, there):
                began = time.monotonic()
                ask(client)
                assert time.monotonic() - began < 1, "it waited for a time-out, not for a permit"
                wait_until(lambda: len(backends(fleet)) == 1, "the other connection to be gone")
        here.autocommit = False
        ask(here)
        code, took = refused(there)
        assert code == "53300" and 1.5 < took < 4, (code, took)
        here.rollback()
        ask(there)



def startup_parameters_share_the_bound(fleet):
    """A pool of its own for each set of startup parameters, one bound for all of them."""
    configure(fleet, size=1)
    with closing(fleet.app()) as plain, closing(fleet.app(options="-c statement_timeout=77777")) as other:
        for _ in range(3):
            assert ask(plain, "SHOW statement_timeout") == "0"
            assert ask(other, "SHOW statement_timeout") == "77777ms"
            wait_until(lambda: len(backends(fleet)) == 1, "the connection that made room to be gone")


def the_reserve(fleet):
    configure(fleet, size=1, reserve=1, reserve_wait_ms=400)
    with closing(fleet.app(autocommit=False)) as busy, closing(fleet.app()) as late:
        ask(busy)
        began = time.monotonic()
        ask(late)
        took = time.monotonic() - began
        assert 0.35 < took < 1.5, took
        wait_until(lambda: len(backends(fleet)) == 1, "the reserve to be given back")
        busy.rollback()


def a_bound_for_the_shard(fleet):
    configure(fleet, size=2, max_per_shard=3)
    other = dict(user="other", password=fleet.app_password)
    with closing(fleet.app()) as a, closing(fleet.app()) as b, closing(fleet.app(**other)) as c, closing(fleet.app(**other)) as d:
        for client in (a, b, c, d):
            client.autocommit = False
        for client in (a, b, c):
            ask(client)
        assert refused(d)[0] == "53300"
        d.rollback()
        a.rollback()  # another user's connection makes room
        ask(d)
        assert len(backends(fleet)) + len(backends(fleet, "other")) == 3


def open_and_idle_times(fleet):
    configure(fleet, size=4, lifetime_ms=1500, min=2)
    with closing(fleet.app()) as client:
        first = ask(client)
        wait_until(lambda: len(backends(fleet)) == 2, "the least number of connections")
        wait_until(lambda: ask(client) != first, "a young connection", timeout=10)
        wait_until(lambda: first not in backends(fleet), "the old one to go")
    configure(fleet, size=4, idle_timeout_ms=1200)
    with closing(fleet.app()) as client:
        ask(client)
        assert len(backends(fleet)) == 1
        wait_until(lambda: not backends(fleet), "the idle connection to be closed", timeout=10)
        ask(client)


def open_many(fleet, count):
    clients = [on_worker(fleet, 0, autocommit=False) for _ in range(count)]
    for client in clients:
        ask(client)
    for client in clients:
        client.rollback()
        client.close()


def the_order_of_use(fleet):
    for order, different in (("last_used", 1), ("round_robin", 3)):
        configure(fleet, size=3, order=order)
        open_many(fleet, 3)
        with closing(on_worker(fleet, 0)) as client:
            assert len({ask(client) for _ in range(9)}) == different, order


def a_connection_that_hangs_is_not_given_out(fleet):
    configure(fleet, size=4, check_ms=200, connect_timeout_ms=1000)
    with closing(on_worker(fleet, 0)) as client:
        stuck = ask(client)
        wait_until(lambda: [server["state"] for server in fleet.console("SHOW SERVERS")] == ["idle"], "the connection to be given back")
        os.kill(stuck, signal.SIGSTOP)
        try:
            time.sleep(0.3)  # idle for longer than check_ms
            code, took = refused(client)
            assert code == "08006" and 0.8 < took < 2.5, (code, took)
            wait_until(lambda: answers(client), "the shard to be found alive", timeout=5)
            assert ask(client) != stuck
        finally:
            os.kill(stuck, signal.SIGCONT)


def answers(client):
    try:
        return ask(client)
    except psycopg2.Error as error:
        assert error.pgcode == "08006", error
        return None


def not_let_in(fleet):
    try:
        fleet.app().close()
    except psycopg2.OperationalError as error:
        return str(error)
    raise AssertionError("was let in")


def who_is_not_let_in_any_more(fleet):
    """While connections are open a login is asked for anew after a while, after RELOAD, or each time; who is in stays in."""
    configure(fleet)
    changes = (("NOLOGIN", "LOGIN", 'role "app" is not permitted to log in'),
               ("VALID UNTIL '2000-01-01'", "VALID UNTIL 'infinity'", 'password authentication failed for user "app"'),
               ("PASSWORD 'another'", f"PASSWORD '{fleet.app_verifier}'", 'password authentication failed for user "app"'))
    with closing(on_worker(fleet, 0)) as inside, closing(on_worker(fleet, 1)):
        for change, back, words in changes:
            fleet.shards["s1"].psql(f"ALTER ROLE app {change}")
            fleet.app().close()
            fleet.console("RELOAD")
            for _ in range(4):
                assert words in not_let_in(fleet), change
            assert ask(inside, "SELECT 1") == 1
            fleet.shards["s1"].psql(f"ALTER ROLE app {back}")
            for _ in range(2):
                fleet.app().close()
        fleet.pgrotor.set(**{"auth.recheck_ms": 0})
        fleet.console("RELOAD")
        fleet.shards["s1"].psql("ALTER ROLE app NOLOGIN")
        assert changes[0][2] in not_let_in(fleet)
        fleet.shards["s1"].psql("ALTER ROLE app LOGIN")
        fleet.app().close()
    fleet.pgrotor.set(**{"auth.recheck_ms": 30000})


def a_place_is_kept_for_the_console(fleet):
    fleet.pgrotor.set(**{"limits.max_clients": WORKERS})
    configure(fleet)
    with closing(fleet.app()), closing(fleet.app()):
        for _ in range(WORKERS):
            assert "sorry, too many clients already" in not_let_in(fleet)
            assert len(fleet.console("SHOW CLIENTS")) == WORKERS + 1
    fleet.pgrotor.set(**{"limits.max_clients": 2000})


def main():
    with Scene("pools") as scene:
        fleet = Fleet(scene, names=("s1",), catalog="s1", settings={"proxy.workers": WORKERS})
        fleet.shards["s1"].psql(f"CREATE ROLE other LOGIN PASSWORD '{fleet.app_verifier}'")
        fleet.pgrotor.add_user("other", fleet.app_verifier)
        fleet.usual = {"wait_ms": 2000, "size": 4, "reserve": 0, "reserve_wait_ms": 5000, "min": 0, "max_per_shard": 0, "check_ms": 0,
                       "order": "last_used", "lifetime_ms": 0, "idle_timeout_ms": 0, "connect_timeout_ms": 5000}
        for step in (one_bound_for_all_workers, a_worker_with_one_client_is_not_starved, an_idle_connection_makes_room,
                     startup_parameters_share_the_bound, the_reserve, a_bound_for_the_shard, open_and_idle_times, the_order_of_use,
                     a_connection_that_hangs_is_not_given_out, who_is_not_let_in_any_more, a_place_is_kept_for_the_console):
            print(step.__name__, flush=True)
            step(fleet)
        assert fleet.pgrotor.terminate() == 0


if __name__ == "__main__":
    main()
