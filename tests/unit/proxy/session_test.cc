// Statements and transactions of one client on one shard at a time, over scripted shards; each step of each goes wrong in turn
// (scripted_world.h). Customer 2 is on shard s1, 5 on s2, the default shard, and 1 on s3.
#include "proxy/session/session.h"

#include <doctest/doctest.h>

#include "scripted_world.h"

using namespace scripted;

TEST_CASE("session: statements by key, for any shard, that fail, and that are refused") {
  const std::vector<turn> turns{query("SELECT name FROM customers WHERE customer_id = 2"), query("SELECT 1"), query("SELECT country, mine(*) FROM customers GROUP BY 1"),
                                query("INSERT INTO orders (customer_id, order_id) VALUES (1, w1)", {"w1"}), query("SELECT boom FROM customers WHERE customer_id = 5"),
                                query("UPDATE stock SET name = 'w2'", {"w2"}), query("")};
  walk({}, turns, [](world& w) {
    CHECK(w.greeting() == "S[server_version=17.2] S[server_encoding=UTF8] S[client_encoding=UTF8] S[application_name=] S[standard_conforming_strings=on] "
                          "S[TimeZone=UTC] S[pgrotor.generation=7] Z[I]");
    CHECK(w.heard(0) == "T[shard] D[s1] C[SELECT 1] Z[I]");
    CHECK(w.heard(1) == "T[shard] D[s2] C[SELECT 1] Z[I]");
    CHECK(w.heard(2) == "E[RT003] Z[I]");
    CHECK(w.heard(3) == "C[INSERT 0 1] Z[I]");
    CHECK(w.heard(4) == "E[22012] Z[I]");
    CHECK(w.heard(5) == "C[UPDATE 1] Z[I]");
    CHECK(w.heard(6) == "I Z[I]");
    CHECK(w.told(1) == "Q[SELECT name FROM customers WHERE customer_id = 2]");
    CHECK(w.told(2) == "Q[SELECT 1] Q[SELECT boom FROM customers WHERE customer_id = 5] Q[UPDATE stock SET name = 'w2']");
    CHECK(w.told(3) == "Q[INSERT INTO orders (customer_id, order_id) VALUES (1, w1)]");
    CHECK(w.kinds() == "lclscscclscscscc");
  });
}

TEST_CASE("session: a text of several statements is one transaction of one shard") {
  const std::vector<turn> turns{query("INSERT INTO orders (customer_id, order_id) VALUES (2, w1); INSERT INTO orders (customer_id, order_id) VALUES (2, w2)", {"w1", "w2"}),
                                query("INSERT INTO orders (customer_id, order_id) VALUES (2, w3); SELECT boom FROM orders WHERE customer_id = 2"),
                                query("SELECT 1 FROM orders WHERE customer_id = 2; SELECT 1 FROM orders WHERE customer_id = 1")};
  walk({}, turns, [](world& w) {
    CHECK(w.heard(0) == "C[INSERT 0 1] C[INSERT 0 1] Z[I]");
    CHECK(w.heard(1) == "C[INSERT 0 1] E[22012] Z[I]");
    CHECK(w.heard(2) == "E[RT003] Z[I]");
    CHECK(w.at(1).committed.size() == 2);
  });
}

TEST_CASE("session: a transaction begins where its first statement runs") {
  const std::vector<turn> turns{query("BEGIN"), query("SAVEPOINT a"), query("INSERT INTO orders (customer_id, order_id) VALUES (1, w1)"),
                                query("INSERT INTO orders (customer_id, order_id) VALUES (1, w2)"), query("COMMIT", {"w1", "w2"}), query("SELECT 1")};
  walk({}, turns, [](world& w) {
    CHECK(w.heard(0) == "C[BEGIN] Z[T]");
    CHECK(w.heard(1) == "C[SAVEPOINT] Z[T]");
    CHECK(w.heard(2) == "C[INSERT 0 1] Z[T]");
    CHECK(w.heard(4) == "C[COMMIT] Z[I]");
    CHECK(w.told(3) == "Q[BEGIN] Q[SAVEPOINT a] Q[INSERT INTO orders (customer_id, order_id) VALUES (1, w1)] "
                       "Q[INSERT INTO orders (customer_id, order_id) VALUES (1, w2)] Q[COMMIT]");
    CHECK(w.told(2) == "Q[SELECT 1]");
  });
}

TEST_CASE("session: a transaction that fails, one that is rolled back, one that does nothing") {
  const std::vector<turn> turns{query("BEGIN"), query("INSERT INTO orders (customer_id, order_id) VALUES (1, w1)"), query("SELECT boom FROM orders WHERE customer_id = 1"),
                                query("SELECT 1"), query("COMMIT"), query("BEGIN"), query("INSERT INTO orders (customer_id, order_id) VALUES (2, w2)"), query("ROLLBACK"),
                                query("BEGIN"), query("COMMIT")};
  walk({}, turns, [](world& w) {
    CHECK(w.heard(2) == "E[22012] Z[E]");
    CHECK(w.heard(3) == "E[25P02] Z[E]");
    CHECK(w.heard(4) == "C[ROLLBACK] Z[I]");
    CHECK(w.heard(7) == "C[ROLLBACK] Z[I]");
    CHECK(w.heard(9) == "C[COMMIT] Z[I]");
    CHECK(w.at(1).committed.empty());
    CHECK(w.at(3).committed.empty());
  });
}

TEST_CASE("session: what is set goes with the client from server to server") {
  const std::vector<turn> turns{query("SET timezone TO 'CET'"), query("SHOW timezone"), query("INSERT INTO orders (customer_id, order_id) VALUES (1, w1)", {"w1"}),
                                query("BEGIN"), query("SET LOCAL work_mem TO '1MB'"), query("SELECT 1 FROM orders WHERE customer_id = 2"), query("COMMIT"),
                                query("RESET timezone"), query("SELECT 1 FROM orders WHERE customer_id = 1")};
  walk({}, turns, [](world& w) {
    CHECK(w.heard(0) == "C[SET] S[TimeZone=CET] Z[I]");
    CHECK(w.heard(1) == "T[shard] D[CET] C[SHOW] Z[I]");
    CHECK(w.heard(2) == "C[INSERT 0 1] Z[I]");
    CHECK(w.heard(7) == "C[RESET] S[TimeZone=UTC] Z[I]");
    CHECK(w.told(1) == "Q[SELECT set_config('timezone','CET',false);] Q[BEGIN] Q[SET LOCAL work_mem TO '1MB'] Q[SELECT 1 FROM orders WHERE customer_id = 2] Q[COMMIT]");
    CHECK(w.told(2) == "Q[SET timezone TO 'CET'] probe[v] Q[SHOW timezone] Q[RESET timezone] probe[sv]");
    CHECK(w.told(3) == "Q[SELECT set_config('timezone','CET',false);] Q[INSERT INTO orders (customer_id, order_id) VALUES (1, w1)] "
                       "Q[RESET \"timezone\";] Q[SELECT 1 FROM orders WHERE customer_id = 1]");
  });
}

// '\\062' is 2, or those four characters.
TEST_CASE("session: strings of a client with standard_conforming_strings off mean what they mean to its server") {
  const std::string two = R"(SELECT 1 FROM orders WHERE customer_id = '\062')";
  const auto run = [](std::string_view name) { return bind(name) + execute(); };
  const std::vector<turn> turns{query("SET standard_conforming_strings = 'off'"), query(two), pipeline(parse("off", two) + run("off")),
                                query("RESET standard_conforming_strings"), pipeline(run("off"))};
  walk({}, turns, [&](world& w) {
    CHECK(w.heard(0) == "C[SET] S[standard_conforming_strings=off] Z[I]");
    CHECK(w.heard(1) == "T[shard] D[s1] C[SELECT 1] Z[I]");
    CHECK(w.heard(2) == "1 2 D[s1] C[SELECT 1] Z[I]");
    CHECK(w.heard(4) == "2 D[s1] C[SELECT 1] Z[I]");
    CHECK(w.told(1) == "Q[SELECT set_config('standard_conforming_strings','off',false);] Q[" + two + "] P[pgrotor_1 " + two +
                           "] B[- pgrotor_1] E[-] S Q[RESET \"standard_conforming_strings\";] B[- pgrotor_1] E[-] S");
  });
}

TEST_CASE("session: who listens, or has a temporary table, keeps the server until DISCARD ALL") {
  const std::vector<turn> turns{query("LISTEN news"), query("SELECT 1 FROM orders WHERE customer_id = 1"), query("SELECT 1"), query("CREATE TEMP TABLE t (a int)"),
                                query("DISCARD ALL"), query("SELECT 1")};
  walk({}, turns, [](world& w) {
    CHECK(w.heard(0) == "C[LISTEN] Z[I]");
    CHECK(w.heard(4) == "C[DISCARD ALL] Z[I]");
    CHECK(w.told(2) == "Q[LISTEN news] probe[n] Q[SELECT 1] Q[CREATE TEMP TABLE t (a int)] probe[lcnpsvvt] Q[SELECT 1]");
    CHECK(w.told(3) == "Q[SELECT 1 FROM orders WHERE customer_id = 1]");
  });
}

TEST_CASE("session: a notification behind the answer, in the same read, leaves the client its server") {
  setup made;
  made.before = [](world& w, std::size_t turn) {
    for (auto& one : w.at(2).connections)
      if (turn == 1 || turn == 2) one->notify("news", true);
  };
  walk(made, {query("LISTEN news"), query("SELECT 1"), query("SELECT 2"), query("SELECT 3")}, [](world& w) {
    const auto all = w.heard(1) + " " + w.heard(2) + " " + w.heard(3);
    CHECK(std::ranges::count(all, 'A') == 2);  // the next statement may be on its way by then
    CHECK(w.at(2).connections.size() == 1);
  });
}

TEST_CASE("session: a notification waits for the end of the client's transaction") {
  setup made;
  made.before = [](world& w, std::size_t turn) {
    for (auto& one : w.at(2).connections)
      if (turn == 2 || turn == 5) one->notify("news");
  };
  walk(made, {query("LISTEN news"), query("BEGIN"), query("SELECT 1"), query("COMMIT"), query("BEGIN"), query("ROLLBACK"), query("SELECT 2")}, [](world& w) {
    CHECK(w.heard(2) == "T[shard] D[s2] C[SELECT 1] Z[T]");
    CHECK(w.heard(3) == "C[COMMIT] A[news] Z[I]");
    CHECK(w.heard(4) == "C[BEGIN] Z[T]");
    CHECK(w.told(2) == "Q[LISTEN news] probe[n] Q[BEGIN] Q[SELECT 1] Q[COMMIT] Q[BEGIN] Q[ROLLBACK] Q[SELECT 2] Q[DISCARD ALL]");
    const auto behind = w.heard(5) + " " + w.heard(6);
    CHECK(behind.find("C[ROLLBACK] ") < behind.find("A[news]"));
  });
}

TEST_CASE("session: where the catalog is locked the server stays with the client, and is asked again later") {
  setup made;
  made.before = [](world& w, std::size_t turn) { w.at(2).catalog_locked = turn == 0 || turn == 1; };
  std::vector<turn> turns{query("SELECT my_function()"), query("SELECT 1"), query("SELECT 2"), query("SELECT 3")};
  turns.front().may_commit = true;
  walk(made, turns, [](world& w) { CHECK(w.heard(1) == "T[shard] D[s2] C[SELECT 1] Z[I]"); });
  world w(made);
  w.run(turns);
  CHECK(w.told(2) == "Q[SELECT my_function()] probe[lcnpsvvt] Q[SELECT 1] probe[lcnpsvvt] Q[SELECT 2] probe[lcnpsvvt] Q[SELECT 3]");
}

TEST_CASE("session: a server that does not say what a transaction has left costs the client nothing elsewhere") {
  setup made;
  int messages = 0;
  made.goes_wrong = [&](char kind) { return kind == 's' && ++messages == 2 ? trouble::silent : trouble::none; };
  auto unknown = query("SELECT my_function()");
  unknown.may_commit = true;
  world w(made);
  w.run({unknown, query("SELECT 1 FROM orders WHERE customer_id = 1")});
  w.check();
  CHECK(w.told(2) == "Q[SELECT my_function()]");
  CHECK(w.heard(1) == "T[shard] D[s3] C[SELECT 1] Z[I]");
}

TEST_CASE("session: who leaves while it listens gives back a server that is as new") {
  walk({}, {query("LISTEN news"), query("SELECT 1")}, [](world& w) {
    CHECK(w.told(2) == "Q[LISTEN news] probe[n] Q[SELECT 1] Q[DISCARD ALL]");
    CHECK(w.pool_of(2).idle() == 1);
  });
}

TEST_CASE("session: after a write it is asked once what triggers do") {
  setup made;
  made.asks_triggers = true;
  walk(made, {query("INSERT INTO orders (customer_id, order_id) VALUES (1, w1)", {"w1"}), query("INSERT INTO orders (customer_id, order_id) VALUES (1, w2)", {"w2"})}, [](world& w) {
    CHECK(w.told(3) == "Q[INSERT INTO orders (customer_id, order_id) VALUES (1, w1)] probe[x] Q[INSERT INTO orders (customer_id, order_id) VALUES (1, w2)]");
  });
}

TEST_CASE("session: a statement that the server does not know costs no state that its transaction has made") {
  std::vector<turn> turns{pipeline(parse("one", "SELECT 1") + bind("one") + execute()), query("BEGIN"), query("SELECT pg_backup_start('b')"), pipeline(bind("two")),
                          query("ROLLBACK"), pipeline(bind("one") + execute())};
  turns[2].may_commit = true;  // its BEGIN may be refused
  walk({}, turns, [](world& w) {
    CHECK(w.heard(3) == "E[26000] Z[E]");
    CHECK(w.heard(5) == "2 D[s2] C[SELECT 1] Z[I]");
    CHECK(w.at(2).connections.size() == 1);
  });
}

TEST_CASE("session: RECONNECT leaves a server to the client that has state on it, until that is gone") {
  setup made;
  made.before = [](world& w, std::size_t turn) {
    if (turn == 1) w.pool_of(2).reconnect();
  };
  walk(made, {query("LISTEN news"), query("SELECT 1"), query("SELECT 2"), query("DISCARD ALL"), query("SELECT 3")}, [](world& w) {
    CHECK(w.heard(2) == "T[shard] D[s2] C[SELECT 1] Z[I]");
    CHECK(w.heard(4) == "T[shard] D[s2] C[SELECT 1] Z[I]");
    CHECK(w.at(2).connections.size() == 2);
  });
}
