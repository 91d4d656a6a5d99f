// Statements of one client that several scripted shards answer together; each step goes wrong in turn (scripted_world.h).
#include <doctest/doctest.h>

#include "scripted_world.h"

using namespace scripted;

TEST_CASE("session: a statement without a key is answered by all shards in their order") {
  walk({}, {query("SELECT name FROM customers"), query("SELECT 1")}, [](world& w) {
    CHECK(w.heard(0) == "T[shard] D[s1] D[s2] D[s3] C[SELECT 3] Z[I]");
    const std::string part = "P[- SELECT name FROM customers] B[- -] D[P -] H E[-] S";
    CHECK(w.told(1) == part);
    CHECK(w.told(2) == part + " Q[SELECT 1]");
    CHECK(w.told(3) == part);
  });
}

TEST_CASE("session: the same by the extended protocol, and by a statement that was prepared before") {
  const auto run = bind("a") + describe('P', "") + execute();
  walk({}, {pipeline(parse("a", "SELECT name FROM customers") + run), pipeline(run)}, [](world& w) {
    CHECK(w.heard(0) == "1 2 T[shard] D[s1] D[s2] D[s3] C[SELECT 3] Z[I]");
    CHECK(w.heard(1) == "2 T[shard] D[s1] D[s2] D[s3] C[SELECT 3] Z[I]");
  });
}

TEST_CASE("session: the same in a transaction, beside what it writes") {
  const std::vector<turn> turns{query("BEGIN"), query("INSERT INTO orders (customer_id, order_id) VALUES (2, w1)"), query("SELECT name FROM customers"),
                                query("INSERT INTO orders (customer_id, order_id) VALUES (1, w2)"), query("COMMIT", {"w1", "w2"})};
  walk({}, turns, [](world& w) {
    CHECK(w.heard(2) == "T[shard] D[s1] D[s2] D[s3] C[SELECT 3] Z[T]");
    CHECK(w.heard(4) == "C[COMMIT] Z[I]");
  });
}

TEST_CASE("session: one that fails on all shards, and on its way in a transaction") {
  const std::vector<turn> turns{query("SELECT boom FROM customers"), query("BEGIN"), query("SELECT boom FROM customers"), query("SELECT name FROM customers"), query("ROLLBACK"),
                                query("SELECT name FROM customers")};
  walk({}, turns, [](world& w) {
    CHECK(w.heard(0) == "T[shard] E[22012] Z[I]");
    CHECK(w.heard(2) == "T[shard] E[22012] Z[E]");
    CHECK(w.heard(3) == "E[RT003] Z[E]");
    CHECK(w.heard(4) == "C[ROLLBACK] Z[I]");
    CHECK(w.heard(5) == "T[shard] D[s1] D[s2] D[s3] C[SELECT 3] Z[I]");
  });
}

TEST_CASE("session: a statement whose answers do not add up runs on copies of the rows of all shards") {
  walk({}, {query("SELECT name FROM customers ORDER BY 1"), query("SELECT 1")}, [](world& w) {
    CHECK(w.heard(0) == "T[shard] D[s1] D[s2] D[s3] C[SELECT 3] Z[I]");
    CHECK(w.heard(1) == "T[shard] D[s2] C[SELECT 1] Z[I]");
    const std::string part = "P[- SELECT 0::int2, ROW(r.*) FROM customers r] B[- -] H E[-] S";
    CHECK(w.told(1).ends_with(part));
    CHECK(w.told(3) == part);
    CHECK(w.at(2).committed.empty());
  });
}

TEST_CASE("session: the same by the extended protocol, in a transaction, and behind an error of the statement itself") {
  const auto run = bind("a") + describe('P', "") + execute();
  walk({}, {pipeline(parse("a", "SELECT name FROM customers ORDER BY 1") + run), pipeline(run)}, [](world& w) {
    CHECK(w.heard(0) == "1 2 T[shard] D[s1] D[s2] D[s3] C[SELECT 3] Z[I]");
    CHECK(w.heard(1) == "2 T[shard] D[s1] D[s2] D[s3] C[SELECT 3] Z[I]");
  });
  const std::vector<turn> turns{query("BEGIN"), query("INSERT INTO orders (customer_id, order_id) VALUES (2, w1)"), query("SELECT name FROM customers ORDER BY 1"),
                                query("INSERT INTO orders (customer_id, order_id) VALUES (1, w2)"), query("COMMIT", {"w1", "w2"}),
                                query("BEGIN"), query("SELECT boom FROM customers ORDER BY 1"), query("ROLLBACK")};
  walk({}, turns, [](world& w) {
    CHECK(w.heard(2) == "T[shard] D[s1] D[s2] D[s3] C[SELECT 3] Z[T]");
    CHECK(w.heard(4) == "C[COMMIT] Z[I]");
    CHECK(w.heard(6) == "T[shard] E[22012] Z[E]");
    CHECK(w.heard(7) == "C[ROLLBACK] Z[I]");
  });
}
