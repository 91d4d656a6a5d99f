"""Settings in transaction pooling: clients that share fewer servers than there are clients never see each other's, and find their
own again on whatever server runs them."""
import contextlib
import unittest

import state_world
import wire
from state_world import Busy, on_every_server, reported, show
from wire import Client, bind, describe, execute, parse, query
from world import World

W = None


def setUpModule():
    global W
    W = state_world.start()


def tearDownModule():
    W.finish()


class Settings(unittest.TestCase):
    def setUp(self):
        self.a, self.b = Client(W.port), Client(W.port)

    def tearDown(self):
        self.a.close()
        self.b.close()

    def both(self, name, mine, others):
        def check():
            for _ in range(2):
                self.assertEqual(show(self.a, name), mine)
                self.assertEqual(show(self.b, name), others)
        check()
        on_every_server(check)

    def test_set_stays_with_its_client(self):
        self.assertEqual(self.a.kinds(query("SET work_mem = '9MB'")), "C:SET ZI")
        self.both("work_mem", "9MB", "4MB")
        self.assertEqual(self.b.kinds(query("SET work_mem = '8MB'")), "C:SET ZI")
        self.both("work_mem", "9MB", "8MB")
        self.assertEqual(self.a.kinds(query("RESET work_mem")), "C:RESET ZI")
        self.both("work_mem", "4MB", "8MB")
        self.assertEqual(self.b.kinds(query("SET work_mem TO DEFAULT")), "C:SET ZI")
        self.both("work_mem", "4MB", "4MB")

    def test_set_local_and_rolled_back_settings_leave_nothing(self):
        for script in ("BEGIN; SET LOCAL work_mem = '9MB'; SELECT 1 FROM scratch; COMMIT", "BEGIN; SET work_mem = '9MB'; ROLLBACK",
                       "BEGIN; SAVEPOINT s; SET work_mem = '9MB'; ROLLBACK TO s; COMMIT", "BEGIN; SET work_mem = '9MB'; SELECT 1/0",
                       "SET work_mem = '9MB'; SELECT 1/0"):
            with self.subTest(script):
                self.a.kinds(query(script))
                self.a.kinds(query("ROLLBACK"))
                self.both("work_mem", "4MB", "4MB")

    def test_a_rolled_back_setting_returns_to_the_one_before(self):
        self.a.kinds(query("SET work_mem = '7MB'"))
        self.a.kinds(query("BEGIN"))
        self.a.kinds(query("SET work_mem = '9MB'"))
        self.assertEqual(show(self.a, "work_mem"), "9MB")
        self.a.kinds(query("ROLLBACK"))
        self.both("work_mem", "7MB", "4MB")
        self.a.kinds(query("BEGIN; SET work_mem = '9MB'; SAVEPOINT s; RESET work_mem; RELEASE s; COMMIT"))
        self.both("work_mem", "4MB", "4MB")

    def test_statement_by_statement_in_a_transaction(self):
        self.a.kinds(query("BEGIN"))
        self.assertEqual(self.a.kinds(query("SET work_mem = '9MB'")), "C:SET ZT")
        self.assertEqual(self.a.kinds(query("SELECT 1 FROM scratch LIMIT 0")), "T C:SELECT 0 ZT")
        self.assertEqual(self.a.kinds(query("COMMIT")), "C:COMMIT ZI")
        self.both("work_mem", "9MB", "4MB")

    def test_lists_and_odd_names_need_no_quoting_again(self):
        self.assertEqual(self.a.kinds(query('SET search_path = "Odd, ""name", public')), "C:SET ZI")

        def check():
            self.assertEqual(self.a.rows("SELECT count(*) FROM hidden"), [["0"]])
            self.assertEqual(show(self.a, "search_path"), '"Odd, ""name", public')
            self.assertEqual(self.b.kinds(query("SELECT count(*) FROM hidden")), "E42P01 ZI")
        on_every_server(check)
        self.a.kinds(query("SET TIME ZONE INTERVAL '+01:30' HOUR TO MINUTE"))
        self.both("TimeZone", "<+01:30>-01:30", show(self.b, "TimeZone"))

    def test_set_config_and_custom_names(self):
        self.assertEqual(self.a.rows("SELECT set_config('app.tenant', 'it''s', false)"), [["it's"]])
        self.assertEqual(self.a.rows("SELECT set_config('app.local', 'x', true)"), [["x"]])

        def check():
            self.assertEqual(self.a.rows("SELECT current_setting('app.tenant', true)"), [["it's"]])
            self.assertIn(self.b.rows("SELECT current_setting('app.tenant', true)"), ([[None]], [[""]]))
            self.assertIn(self.a.rows("SELECT current_setting('app.local', true)"), ([[None]], [[""]]))
        on_every_server(check)
        self.a.kinds(parse("", "SELECT set_config($1, $2, false)") + bind("", ("APP.Tenant", "two")) + execute() + wire.SYNC)
        on_every_server(lambda: self.assertEqual(self.a.rows("SELECT current_setting('app.tenant', true)"), [["two"]]))
        self.a.kinds(query("RESET app.tenant"))
        on_every_server(lambda: self.assertEqual(self.a.rows("SELECT current_setting('app.tenant', true)"), [[""]]))

    def test_settings_made_inside_functions(self):
        self.a.rows("SELECT set_inside('work_mem', '9MB')")
        self.both("work_mem", "9MB", "4MB")
        self.b.kinds(query("SET app.secret = 'b'"))  # a name that is known from now on
        self.a.rows("SELECT set_inside('app.secret', 'a')")
        self.both("app.secret", "a", "b")
        self.a.kinds(query("DO $$ BEGIN PERFORM set_config('work_mem', '10MB', false); END $$"))
        self.both("work_mem", "10MB", "4MB")

    def test_reset_all_and_discard_all(self):
        for end in ("RESET ALL", "DISCARD ALL"):
            self.a.kinds(query("SET work_mem = '9MB'; SET TimeZone = 'Asia/Tokyo'; SET a.b = 'c'"))
            self.both("work_mem", "9MB", "4MB")
            self.assertEqual(self.a.kinds(query(end)), f"C:{end.split()[0] if end == 'RESET ALL' else end} ZI")
            self.both("work_mem", "4MB", "4MB")
            self.assertNotEqual(show(self.a, "TimeZone"), "Asia/Tokyo")

    def test_roles(self):
        self.assertEqual(self.a.kinds(query("SET ROLE reader")), "C:SET ZI")

        def check():
            self.assertEqual(self.a.rows("SELECT current_user, session_user"), [["reader", "app"]])
            self.assertEqual(self.b.rows("SELECT current_user, session_user"), [["app", "app"]])
        on_every_server(check)
        self.assertEqual(self.a.kinds(query("RESET ALL")), "C:RESET ZI")  # leaves the role, as in PostgreSQL; all settings are asked for
        on_every_server(check)
        self.assertEqual(self.a.kinds(query("RESET ROLE")), "C:RESET ZI")
        on_every_server(lambda: self.assertEqual(self.a.rows("SELECT current_user"), [["app"]]))

    def test_a_role_that_cannot_be_taken_again_ends_the_session(self):
        for shard in W.shards.values():
            shard.psql("CREATE ROLE passing; GRANT passing TO app", "shop")
        self.a.kinds(query("SET ROLE passing"))
        for shard in W.shards.values():
            shard.psql("DROP ROLE passing", "shop")
        with Busy(1):  # b gets the server that still runs as that role, and leaves it; for a there is another one only
            self.b.kinds(query("BEGIN; SELECT 1 FROM scratch"))
        self.a.send(query("SELECT 1"))
        self.assertIn(self.a.closed()["C"], ("22023", "42704"))
        self.assertEqual(self.b.rows("SELECT current_user"), [["app"]])
        self.b.kinds(query("ROLLBACK"))

    def test_startup_values_are_what_reset_returns_to(self):
        client = Client(W.port, options="-c work_mem=5MB")
        client.kinds(query("SET work_mem = '9MB'"))
        self.assertEqual(show(client, "work_mem"), "9MB")
        client.kinds(query("RESET work_mem"))
        self.assertEqual(show(client, "work_mem"), "5MB")
        client.close()

    def test_parse_and_describe_see_the_clients_search_path(self):
        self.a.kinds(query('SET search_path = "Odd, ""name"'))

        def check():
            self.assertEqual(self.a.kinds(parse("h", "SELECT a FROM hidden") + describe(b"S", "h") + wire.close(b"S", "h") + wire.SYNC), "1 t T 3 ZI")
            self.assertEqual(self.b.kinds(parse("", "SELECT a FROM hidden") + wire.SYNC), "E42P01 ZI")
        on_every_server(check)

    def test_what_is_set_by_other_ways_than_set(self):
        W.shards["s2"].psql('CREATE FUNCTION public.upper(date) RETURNS text LANGUAGE sql AS '
                            "$$ SELECT pg_catalog.set_config('work_mem', '3MB', false) $$", "shop")
        self.addCleanup(W.shards["s2"].psql, "DROP FUNCTION public.upper(date)", "shop")
        fresh = {"extra_float_digits": "0"}  # a pool of its own, whose servers look for such functions when they are opened
        with contextlib.closing(Client(W.port, **fresh)) as a, contextlib.closing(Client(W.port, **fresh)) as b:
            default = show(b, "work_mem")
            for sql in ("UPDATE pg_settings SET setting = '3MB' WHERE name = 'work_mem'", "SELECT upper(date '2020-01-01')"):
                a.kinds(query(sql))
                self.assertEqual((show(a, "work_mem"), show(b, "work_mem"), show(a, "work_mem")), ("3MB", default, "3MB"), sql)
                a.kinds(query("RESET work_mem"))

    def test_clients_are_told_of_parameters_once_and_their_own_only(self):
        default = show(self.b, "TimeZone")
        self.assertEqual(reported(self.a, "SET TimeZone = 'Asia/Tokyo'"), [["TimeZone", "Asia/Tokyo"]])
        self.assertEqual(reported(self.b, "SELECT 1"), [])
        self.assertEqual(reported(self.a, "SELECT 1"), [])
        on_every_server(lambda: self.assertEqual((reported(self.a, "SELECT 1"), reported(self.b, "SELECT 1")), ([], [])))
        self.assertEqual(reported(self.a, "BEGIN; SET TimeZone = 'Asia/Seoul'"), [["TimeZone", "Asia/Seoul"]])
        self.assertEqual(reported(self.a, "ROLLBACK"), [["TimeZone", "Asia/Tokyo"]])
        self.assertEqual(reported(self.a, "DISCARD ALL"), [["TimeZone", default]])
        self.assertEqual(reported(self.a, "SET application_name = 'mine'"), [["application_name", "mine"]])

    def test_application_name_goes_with_its_client(self):
        with contextlib.closing(Client(W.port, application_name="one")) as one, contextlib.closing(Client(W.port, application_name="two")) as two:
            for client, name in ((one, "one"), (two, "two"), (self.a, "")) * 3:
                self.assertEqual(show(client, "application_name"), name)
                self.assertEqual(client.rows("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"), [[name]])
                self.assertEqual(reported(client, "SELECT 1"), [])
            self.assertEqual(reported(one, "SET application_name = 'other'"), [["application_name", "other"]])
            self.assertEqual(show(two, "application_name"), "two")
            self.assertEqual(show(one, "application_name"), "other")
            for ends in ("RESET application_name", "RESET ALL", "DISCARD ALL"):
                one.kinds(query("SET application_name = 'other'"))
                self.assertEqual(reported(one, ends), [["application_name", "one"]], ends)
                self.assertEqual((show(two, "application_name"), show(one, "application_name")), ("two", "one"), ends)

    def test_extended_protocol(self):
        self.assertEqual(self.a.kinds(parse("", "SET work_mem = '9MB'") + bind() + execute() + wire.SYNC), "1 2 C:SET ZI")
        self.both("work_mem", "9MB", "4MB")
        show_it = parse("", "SHOW work_mem") + bind() + execute()
        self.assertEqual(self.a.kinds(show_it + parse("", "SET work_mem = '10MB'") + bind() + execute() + show_it + wire.SYNC),
                         "1 2 D C:SHOW 1 2 C:SET 1 2 D C:SHOW ZI")
        self.both("work_mem", "10MB", "4MB")
        self.assertEqual(self.a.kinds(parse("", "SET work_mem = '11MB'") + bind() + execute() + parse("", "SELECT 1/0") + bind() +
                                      execute() + wire.SYNC), "1 2 C:SET 1 E22012 ZI")
        self.both("work_mem", "10MB", "4MB")

    def test_settings_follow_to_another_shard(self):
        self.a.kinds(query("SET work_mem = '9MB'"))
        for shard in ("s1", "s2"):
            key = W.key_on(shard)
            self.assertEqual(self.a.rows(f"SELECT current_setting('work_mem') FROM (VALUES ({key})) v(k) LEFT JOIN orders ON customer_id = {key}"),
                             [["9MB"]])
            self.assertEqual(self.b.rows(f"SELECT current_setting('work_mem') FROM (VALUES ({key})) v(k) LEFT JOIN orders ON customer_id = {key}"),
                             [["4MB"]])

    def test_what_would_misread_keys_is_refused(self):
        self.assertEqual(self.a.kinds(query("SET client_encoding = 'SJIS'")), "E0A000 ZI")
        self.assertEqual(self.a.kinds(query("SET NAMES 'UTF8'")), "C:SET ZI")
        self.a.send(query("SELECT set_inside('client_encoding', 'SJIS')"))
        self.assertEqual(self.a.closed()["C"], "0A000")
        self.assertEqual(show(self.b, "client_encoding"), "UTF8")


class Triggers(unittest.TestCase):
    def test_state_that_a_trigger_makes(self):
        world = World(pool_size=1)
        try:
            world.shards["s2"].psql("""
                CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN PERFORM set_config('work_mem', '9MB', false); PERFORM pg_advisory_lock(3); RETURN NEW; END $$;
                CREATE TRIGGER leave BEFORE INSERT ON scratch FOR EACH ROW EXECUTE FUNCTION leave();""", "shop")
            a, b = Client(world.port), Client(world.port)
            self.assertEqual(a.kinds(query("INSERT INTO scratch VALUES (1)")), "C:INSERT 0 1 ZI")
            self.assertEqual(a.rows("SELECT pg_advisory_unlock(3), current_setting('work_mem')"), [["t", "9MB"]])
            self.assertEqual(b.rows("SELECT current_setting('work_mem')"), [["4MB"]])
            self.assertEqual(a.rows("SELECT current_setting('work_mem')"), [["9MB"]])
            self.assertEqual(world.counters()["pins"]["advisory_locks"], 1)
            self.assertEqual(world.end(), 0)
        finally:
            world.__exit__(None, None, None)


class Reading(unittest.TestCase):
    """What a literal says, and what a name means, under settings that code may change."""
    SWITCHES = (parse("", "DO $$ BEGIN PERFORM set_config('standard_conforming_strings', 'off', false); END $$") + bind(),
                parse("", "SELECT set_inside('standard_conforming_strings', 'off')") + bind(),
                parse("", "SELECT set_config('standard_conforming_' || 'strings', $1, false)") + bind("", ("off",)),
                parse("", "SELECT set_inside('client_encoding', 'LATIN1')") + bind())

    def setUp(self):
        self.client = Client(W.port)
        for shard in W.shards:
            W.direct(shard, "TRUNCATE words")

    def tearDown(self):
        self.client.close()

    def words(self):
        return sorted(word for shard in W.shards for word, in W.direct(shard, "SELECT word FROM words"))

    def insert(self, word):
        return parse("", f"INSERT INTO words VALUES ('{word}', 'x')") + bind() + execute()

    def insert_value(self, word):
        return parse("", "INSERT INTO words VALUES ($1, 'x')") + bind("", (word,)) + execute()

    def test_nothing_is_placed_that_may_be_read_otherwise(self):
        for switch in self.SWITCHES:
            for end in (b"", wire.FLUSH):
                for later in (self.insert("back\\\\slash"), self.insert("smörgås"), self.insert_value("smörgås")):
                    with self.subTest(switch=switch, flushed=bool(end), later=later):
                        self.client.send(switch + execute() + end + later + wire.SYNC)
                        self.assertIn("ERT003 ZI", self.client.read_kinds())
        self.assertEqual(self.words(), [])

    def test_a_simple_query_behind_it_is_not_placed_either(self):
        self.client.send(self.SWITCHES[0] + execute() + query("INSERT INTO words VALUES ('back\\\\slash', 'x')"))
        self.assertIn("ERT003", self.client.read_kinds())
        self.assertEqual(self.words(), [])

    def test_what_is_read_alike_goes_on(self):
        calls = parse("", "SELECT nothing_inside()") + bind() + execute()
        self.assertEqual(self.client.kinds(calls + self.insert("plain") + self.insert_value("value") + wire.SYNC),
                         "1 2 D C:SELECT 1 1 2 C:INSERT 0 1 1 2 C:INSERT 0 1 ZI")
        for word in ("back\\\\slash", "smörgås"):
            self.assertEqual(self.client.kinds(self.insert(word) + calls + wire.SYNC), "1 2 C:INSERT 0 1 1 2 D C:SELECT 1 ZI")
        self.assertEqual(self.client.kinds(calls + wire.SYNC), "1 2 D C:SELECT 1 ZI")
        self.assertEqual(self.client.kinds(self.insert("after\\\\sync") + wire.SYNC), "1 2 C:INSERT 0 1 ZI")
        self.assertEqual(self.words(), sorted(["plain", "value", "back\\\\slash", "smörgås", "after\\\\sync"]))

    def test_keys_with_backslashes_are_placed_by_what_they_mean(self):
        """With standard_conforming_strings off: as the same word written in E'...'."""
        self.client.kinds(query("SET standard_conforming_strings = off; SET escape_string_warning = off"))
        other = Client(W.port)
        said = {r"back\\slash": r"back\slash", r"it\'s": "it's", r"\101\x42": "AB", r"\u00e9t\u00e9": "été", r"a\'b\\": "a'b\\"}
        for number, (literal, word) in enumerate(said.items()):
            put = f"INSERT INTO words VALUES ('{literal}', '{number}')"
            if number % 2:
                self.assertEqual(self.client.kinds(query(put)), "C:INSERT 0 1 ZI")
            else:
                self.assertEqual(self.client.kinds(parse("", put) + bind() + execute() + wire.SYNC), "1 2 C:INSERT 0 1 ZI")
            self.assertEqual(self.client.rows(f"SELECT note FROM words WHERE word = '{literal}'"), [[str(number)]])
            standard = word.replace("'", "''")
            self.assertEqual(other.rows(f"SELECT note FROM words WHERE word = '{standard}'"), [[str(number)]])
        self.assertEqual(self.words(), sorted(said.values()))
        other.close()

    def test_names_and_keys_beyond_ascii_need_the_servers_encoding(self):
        """What is not a key arrives as its client writes it."""
        latin = Client(W.port, client_encoding="LATIN1")
        self.client.kinds(query("SET client_encoding = 'LATIN1'"))
        for client in (latin, self.client):
            self.assertEqual(client.kinds(query("INSERT INTO words VALUES ('sm\u00f6rg\u00e5s', 'x')")), "E0A000 ZI")
            self.assertEqual(client.kinds(self.insert_value("smörgås") + wire.SYNC), "1 E0A000 ZI")
            self.assertEqual(client.kinds(parse("", "INSERT INTO words VALUES ('plain', $1)") + bind("", (b"sm\xf6rg\xe5s",)) + execute() + wire.SYNC),
                             "1 2 C:INSERT 0 1 ZI")
            self.assertEqual(Client(W.port).rows("SELECT note FROM words WHERE word = 'plain'"), [["smörgås"]])
            self.assertEqual(client.kinds(query("DELETE FROM words WHERE word = 'plain'")), "C:DELETE 1 ZI")
        self.client.kinds(query("RESET client_encoding"))
        self.assertEqual(self.client.kinds(query("INSERT INTO words VALUES ('smörgås', 'x')")), "C:INSERT 0 1 ZI")
        self.assertEqual(self.words(), ["smörgås"])

    def test_behind_set_in_a_pipeline_only_what_means_one_thing_is_run(self):
        switch = parse("", "SET standard_conforming_strings = off") + bind() + execute()
        self.assertEqual(self.client.kinds(switch + self.insert(r"it\'s") + wire.SYNC), "1 2 C:SET 1 ERT003 ZI")
        self.assertEqual(self.client.kinds(switch + self.insert("plain") + wire.SYNC), "1 2 C:SET 1 2 C:INSERT 0 1 ZI")
        self.assertEqual(self.client.kinds(self.insert(r"it\'s") + wire.SYNC), "1 2 C:INSERT 0 1 ZI")
        self.assertEqual(self.words(), ["it's", "plain"])

    def test_set_config_with_values_is_refused_as_set_is(self):
        self.assertEqual(self.client.kinds(query("SELECT set_config('client_encoding', 'BIG5', false)")), "E0A000 ZI")
        self.assertEqual(self.client.kinds(query("SELECT set_config('search_path', 'public, pg_catalog', true)")), "E0A000 ZI")

    def test_pg_catalog_comes_first(self):
        self.assertEqual(self.client.kinds(query("SET search_path TO public, pg_catalog")), "E0A000 ZI")
        self.assertEqual(self.client.kinds(query("SET search_path TO pg_catalog, public")), "C:SET ZI")
        for parameters in ({"search_path": "public, pg_catalog"}, {"options": "-c search_path=public,pg_catalog"}):
            refused = Client(W.port, login=False)
            refused.send(wire.startup(user="app", database="shop", **parameters))
            self.assertEqual(refused.closed()["C"], "0A000")
        self.client.send(query("SELECT set_inside('search_path', 'public, pg_catalog')"))
        self.assertEqual(self.client.closed()["C"], "0A000")

    def test_an_argument_that_changes_when_it_is_converted(self):
        self.client.kinds(query("PREPARE store AS INSERT INTO words VALUES ($1, 'x')"))
        for argument, answer in (("'a  '::bpchar", "ERT003 ZI"), ("bpchar 'b '", "ERT003 ZI"), ("'c '", "C:INSERT 0 1 ZI"), ("'d '::text", "C:INSERT 0 1 ZI")):
            self.assertEqual(self.client.kinds(query(f"EXECUTE store({argument})")), answer, argument)
        for word in ("c ", "d "):
            self.assertEqual(self.client.rows(f"SELECT note FROM words WHERE word = '{word}'"), [["x"]])


if __name__ == "__main__":
    unittest.main(verbosity=2)
