// The extended protocol of one client over scripted shards; each step goes wrong in turn (scripted_world.h).
#include <doctest/doctest.h>

#include "scripted_world.h"

using namespace scripted;

namespace {

constexpr std::string_view insert = "INSERT INTO orders (customer_id, order_id) VALUES ($1, $2)";

std::string run_insert(std::string_view name, std::string_view customer, std::string_view word) { return bind(name, {customer, word}) + execute(); }

}  // namespace

TEST_CASE("session: parse, bind, describe, execute") {
  const auto select = parse("", "SELECT name FROM customers WHERE customer_id = $1") + bind("", {"2"}) + describe('P', "") + execute();
  walk({}, {pipeline(select), pipeline(parse("", insert) + run_insert("", "1", "w1"), {"w1"}), pipeline("")}, [](world& w) {
    CHECK(w.heard(0) == "1 2 T[shard] D[s1] C[SELECT 1] Z[I]");
    CHECK(w.heard(1) == "1 2 C[INSERT 0 1] Z[I]");
    CHECK(w.heard(2) == "Z[I]");
    CHECK(w.told(1) == "P[- SELECT name FROM customers WHERE customer_id = $1] B[- - 2] D[P -] E[-] S");
    CHECK(w.told(3) == "P[- INSERT INTO orders (customer_id, order_id) VALUES ($1, $2)] B[- - 1 w1] E[-] S");
  });
}

TEST_CASE("session: a named statement is prepared wherever it runs, and the client's Parse is answered once") {
  const std::vector<turn> turns{pipeline(parse("i", insert) + describe('S', "i")), pipeline(run_insert("i", "1", "w1"), {"w1"}),
                                pipeline(run_insert("i", "2", "w2"), {"w2"}), pipeline(run_insert("i", "2", "w3"), {"w3"}),
                                pipeline(parse("i", "SELECT 1"))};
  walk({}, turns, [](world& w) {
    CHECK(w.heard(0) == "1 t n Z[I]");
    CHECK(w.heard(1) == "2 C[INSERT 0 1] Z[I]");
    CHECK(w.heard(3) == "2 C[INSERT 0 1] Z[I]");
    CHECK(w.heard(4) == "E[42P05] Z[I]");
    const std::string prepares = "P[pgrotor_1 INSERT INTO orders (customer_id, order_id) VALUES ($1, $2)] ";
    CHECK(w.told(1) == prepares + "B[- pgrotor_1 2 w2] E[-] S B[- pgrotor_1 2 w3] E[-] S");
    CHECK(w.told(2) == prepares + "D[S pgrotor_1] S");
    CHECK(w.told(3) == prepares + "B[- pgrotor_1 1 w1] E[-] S");
  });
}

TEST_CASE("session: a client's Parse reaches the server that has the statement of another, or of before") {
  const auto again = pipeline(scripted::close('S', "a") + parse("b", "SELECT 1") + bind("b") + execute());
  walk({}, {pipeline(parse("a", "SELECT 1")), again, pipeline(bind("b") + execute())}, [](world& w) {
    CHECK(w.heard(1) == "3 1 2 D[s2] C[SELECT 1] Z[I]");
    CHECK(w.told(2) == "P[pgrotor_1 SELECT 1] S C[S pgrotor_1] P[pgrotor_1 SELECT 1] B[- pgrotor_1] E[-] S B[- pgrotor_1] E[-] S");
  });
}

TEST_CASE("session: a Parse alone behind settings that its server has to be told") {
  const std::vector<turn> turns{query("SET timezone = 'Asia/Seoul'"), query("SELECT 1 FROM orders WHERE customer_id = 1"), pipeline(parse("a", "SELECT 1") + describe('S', "a")),
                                pipeline(parse("", "SELECT 2"))};
  setup made;
  made.before = [](world& w, std::size_t turn) {
    if (turn == 2) w.pool_of(2).close_idle();  // the next server starts anew
  };
  walk(made, turns, [](world& w) { CHECK(w.heard(2) == "1 t T[shard] Z[I]"); });
}

TEST_CASE("session: statements are others under another search_path, and made anew behind temporary tables") {
  walk({}, {pipeline(parse("a", "SELECT 1")), query("SET search_path = 'mine'"), pipeline(parse("b", "SELECT 1"))}, [](world& w) {
    CHECK(w.told(2).find("P[pgrotor_2 SELECT 1]") != std::string::npos);
  });
  walk({}, {query("BEGIN"), query("CREATE TEMP TABLE t (a int) ON COMMIT DROP"), pipeline(parse("a", "SELECT 1")), query("COMMIT"), pipeline(bind("a") + execute())}, [](world& w) {
    CHECK(w.told(2).ends_with("C[S pgrotor_1] S P[pgrotor_1 SELECT 1] B[- pgrotor_1] E[-] S"));
  });
}

TEST_CASE("session: a pipeline of several is one transaction of one shard") {
  const auto two = parse("", insert) + run_insert("", "2", "w1") + run_insert("", "2", "w2");
  const auto fails = parse("", insert) + run_insert("", "2", "w3") + parse("", "SELECT boom FROM orders WHERE customer_id = $1") + bind("", {"2"}) + execute() +
                     parse("", insert) + run_insert("", "2", "w4");
  const auto apart = parse("", insert) + run_insert("", "2", "w5") + run_insert("", "1", "w6");
  walk({}, {pipeline(two, {"w1", "w2"}), pipeline(fails), pipeline(apart), query("SELECT 1")}, [](world& w) {
    CHECK(w.heard(0) == "1 2 C[INSERT 0 1] 2 C[INSERT 0 1] Z[I]");
    CHECK(w.heard(1) == "1 2 C[INSERT 0 1] 1 2 E[22012] Z[I]");
    CHECK(w.heard(2) == "1 2 C[INSERT 0 1] E[RT003] Z[I]");
    CHECK(w.at(1).committed.size() == 2);
  });
}

TEST_CASE("session: what is flushed is answered before the Sync") {
  const std::vector<turn> turns{flushed(parse("", insert) + run_insert("", "1", "w1"), "C"), flushed(run_insert("", "1", "w2"), "C"),
                                pipeline("", {"w1", "w2"}), flushed(parse("", "boom in parse"), "1"), flushed(parse("", "SELECT 1"), ""),
                                pipeline("")};
  walk({}, turns, [](world& w) {
    CHECK(w.heard(0) == "1 2 C[INSERT 0 1]");
    CHECK(w.heard(1) == "2 C[INSERT 0 1]");
    CHECK(w.heard(2) == "Z[I]");
    CHECK(w.heard(3) == "E[42601]");
    CHECK(w.heard(4) == "");
    CHECK(w.heard(5) == "Z[I]");
    CHECK(w.told(3) == "P[- INSERT INTO orders (customer_id, order_id) VALUES ($1, $2)] B[- - 1 w1] E[-] H B[- - 1 w2] E[-] H S");
  });
}

TEST_CASE("session: an error is told before the Sync, where the transaction has its shard") {
  const turn fails{parse("", "boom in parse"), "E", {}}, more{parse("", "SELECT 1") + bind("") + execute(), "", {}};
  walk({}, {query("BEGIN"), query("SELECT 1"), fails, more, pipeline(""), query("ROLLBACK")}, [](world& w) {
    CHECK(w.heard(2) == "E[42601]");
    CHECK(w.heard(4) == "Z[E]");
    CHECK(w.told(2) == "Q[BEGIN] Q[SELECT 1] P[- boom in parse] H S Q[ROLLBACK]");
  });
}

TEST_CASE("session: a long pipeline is not gathered where the transaction has its shard") {
  std::string frames = parse("i", insert);
  for (int i = 0; i < 1'200; ++i) frames += run_insert("i", "2", std::string(1'000, 'w'));
  world w;
  w.run({query("BEGIN"), query("SELECT 1 FROM orders WHERE customer_id = 2"), pipeline(frames), query("COMMIT")});
  w.check();
  CHECK(w.heard(2).ends_with("C[INSERT 0 1] Z[T]"));
  const auto told = w.told(1);
  CHECK(told.find(" H ") < told.find(" S "));
  CHECK(w.at(1).committed.size() == 1'200);
}

TEST_CASE("session: a transaction that has only set things is bound by a write to a local table") {
  const auto local = pipeline(parse("", "INSERT INTO settings VALUES (w1)") + bind("") + execute());
  walk({}, {query("BEGIN"), query("RESET ALL"), local, query("SELECT 1 FROM orders WHERE customer_id = 1"), query("COMMIT", {"w1"})},
       [](world& w) { CHECK(w.told(2).find("ROLLBACK") == std::string::npos); });
}

TEST_CASE("session: a transaction of pipelines") {
  const auto begin = parse("", "BEGIN") + bind("") + execute(), commit = parse("", "COMMIT") + bind("") + execute();
  const std::vector<turn> turns{pipeline(begin), pipeline(parse("", insert) + run_insert("", "1", "w1")),
                                pipeline(parse("", insert) + run_insert("", "1", "w2")), pipeline(commit, {"w1", "w2"}),
                                pipeline(begin + parse("", insert) + run_insert("", "1", "w3") + commit, {"w3"})};
  walk({}, turns, [](world& w) {
    CHECK(w.heard(0) == "1 2 C[BEGIN] Z[T]");
    CHECK(w.heard(1) == "1 2 C[INSERT 0 1] Z[T]");
    CHECK(w.heard(3) == "1 2 C[COMMIT] Z[I]");
    CHECK(w.heard(4) == "1 2 C[BEGIN] 1 2 C[INSERT 0 1] 1 2 C[COMMIT] Z[I]");
    CHECK(w.told(3).starts_with("Q[BEGIN] P[- INSERT INTO orders (customer_id, order_id) VALUES ($1, $2)] B[- - 1 w1] E[-] S "));
  });
}

TEST_CASE("session: behind an error in its pipeline no transaction begins, and in front of one it does") {
  const auto begin = parse("", "BEGIN") + bind("") + execute();
  walk({}, {pipeline(describe('S', "unknown") + begin), pipeline(parse("", "boom in parse") + begin), pipeline(begin + parse("", "boom in parse")), query("ROLLBACK")}, [](world& w) {
    CHECK(w.heard(0) == "E[26000] Z[I]");
    CHECK(w.heard(1) == "E[42601] Z[I]");
    CHECK(w.heard(2) == "1 2 C[BEGIN] E[42601] Z[E]");
    CHECK(w.heard(3) == "C[ROLLBACK] Z[I]");
  });
}

TEST_CASE("session: behind ROLLBACK in a pipeline or a text nothing has failed, wherever it had") {
  const auto say = [](std::string_view sql) { return parse("", sql) + bind("") + execute(); };
  const auto failed = pipeline(bind("unknown"));
  walk({}, {query("BEGIN"), failed, pipeline(say("ROLLBACK") + say("SELECT 1")), query("BEGIN"), failed, query("ROLLBACK; SELECT 1"), query("BEGIN"), query("SAVEPOINT a"), failed,
            pipeline(say("ROLLBACK TO a") + say("SELECT 1")), query("COMMIT"), query("BEGIN"), failed, pipeline(say("COMMIT") + say("SELECT 1"))},
       [](world& w) {
         CHECK(w.heard(1) == "E[26000] Z[E]");
         CHECK(w.heard(2) == "1 2 C[ROLLBACK] 1 2 D[s2] C[SELECT 1] Z[I]");
         CHECK(w.heard(5) == "C[ROLLBACK] T[shard] D[s2] C[SELECT 1] Z[I]");
         CHECK(w.heard(9) == "1 2 C[ROLLBACK] 1 2 D[s2] C[SELECT 1] Z[T]");
         CHECK(w.heard(10) == "C[COMMIT] Z[I]");
         CHECK(w.heard(13) == "1 2 C[ROLLBACK] E[25P02] Z[I]");
       });
}

TEST_CASE("session: behind ROLLBACK in a text or pipeline no statement runs on another shard than its own") {
  const auto say = [](std::string_view sql) { return parse("", sql) + bind("") + execute(); };
  const auto fails = query("SELECT boom FROM orders WHERE customer_id = 1"), begin = query("BEGIN"), end = query("ROLLBACK");
  const std::string elsewhere = "SELECT 1 FROM orders WHERE customer_id = 2";
  walk({}, {begin, fails, query("ROLLBACK; " + elsewhere), end, begin, fails, query("COMMIT; " + elsewhere), end, begin, fails, pipeline(say("ROLLBACK") + say(elsewhere)),
            begin, query("SAVEPOINT a"), fails, pipeline(say("ROLLBACK TO a") + say(elsewhere)), end, begin, fails, flushed(say("ROLLBACK"), "12C"), pipeline(say(elsewhere))},
       [&](world& w) {
         CHECK(w.heard(2) == "E[RT003] Z[E]");
         CHECK(w.heard(6) == "E[RT003] Z[E]");
         CHECK(w.heard(10) == "1 2 C[ROLLBACK] 1 E[RT003] Z[I]");
         CHECK(w.heard(14) == "1 2 C[ROLLBACK] 1 E[RT003] Z[E]");
         CHECK(w.heard(19) == "1 E[RT003] Z[I]");
       });
}

TEST_CASE("session: a BEGIN that is bound and not executed yet is the server's") {
  walk({}, {flushed(parse("", "BEGIN") + bind(""), "12"), pipeline(execute() + parse("", "SELECT 1") + bind("") + execute()), query("COMMIT")}, [](world& w) {
    CHECK(w.heard(1) == "C[BEGIN] 1 2 D[s2] C[SELECT 1] Z[T]");
    CHECK(w.heard(2) == "C[COMMIT] Z[I]");
  });
}

TEST_CASE("session: what stands behind DISCARD ALL or DEALLOCATE in its pipeline finds what they have left") {
  const auto say = [](std::string_view sql) { return parse("", sql) + bind("") + execute(); };
  walk({}, {query("SET timezone TO 'CET'"), query("CREATE TEMP TABLE t (a int)"), pipeline(parse("one", "SELECT 1")), pipeline(say("DISCARD ALL") + say("SHOW timezone")),
            pipeline(bind("one")), query("SHOW timezone"), pipeline(parse("two", "SELECT 2") + say("DEALLOCATE two") + bind("two")), query("SELECT 3")},
       [](world& w) {
         CHECK(w.heard(3) == "1 2 C[DISCARD ALL] 1 2 D[by default] C[SHOW] S[TimeZone=UTC] Z[I]");
         CHECK(w.heard(4) == "E[26000] Z[I]");
         CHECK(w.heard(5) == "T[shard] D[by default] C[SHOW] Z[I]");
         CHECK(w.heard(6) == "1 1 2 C[DEALLOCATE] E[26000] Z[I]");
         CHECK(w.heard(7) == "T[shard] D[s2] C[SELECT 1] Z[I]");
       });
}
