// Transactions of one client over several scripted shards, and how they end; each step goes wrong in turn (scripted_world.h): all of one is
// committed, or nothing, and nobody is told otherwise.
#include <doctest/doctest.h>

#include "scripted_world.h"

using namespace scripted;

namespace {

const std::string ask = "Q[SELECT pg_current_xact_id_if_assigned() IS NOT NULL]", prepare = "Q[SELECT pgrotor.may_be_finished(); PREPARE TRANSACTION 'pgrotor_UUID_1_2']";

turn insert(std::string_view customer, std::string_view word) {
  return query("INSERT INTO orders (customer_id, order_id) VALUES (" + std::string(customer) + ", " + std::string(word) + ")");
}
turn select(std::string_view customer) { return query("SELECT 1 FROM orders WHERE customer_id = " + std::string(customer)); }

// Whoever finishes what is interrupted, or nobody.
void walk(const std::vector<turn>& turns, const std::function<void(world&)>& expect) {
  for (const auto who : {recovers::nobody, recovers::unknowing, recovers::knowing}) {
    CAPTURE(static_cast<int>(who));
    setup made;
    made.commits = who;
    scripted::walk(made, turns, expect);
  }
}

}  // namespace

TEST_CASE("session: a commit on two shards is prepared on one and decided by the other") {
  walk({query("BEGIN"), insert("1", "w1"), insert("2", "w2"), query("COMMIT", {"w1", "w2"}), select("1"), select("2")}, [](world& w) {
    CHECK(w.heard(2) == "C[INSERT 0 1] Z[T]");
    CHECK(w.heard(3) == "C[COMMIT] Z[I]");
    CHECK(w.told(1) == "Q[BEGIN] Q[INSERT INTO orders (customer_id, order_id) VALUES (2, w2)] " + ask +
                           " Q[durable; SELECT pgrotor.decide('UUID'); COMMIT] Q[SELECT 1 FROM orders WHERE customer_id = 2]");
    CHECK(w.told(3) == "Q[BEGIN] Q[INSERT INTO orders (customer_id, order_id) VALUES (1, w1)] " + ask + " " + prepare +
                           " Q[COMMIT PREPARED 'pgrotor_UUID_1_2'] Q[SELECT 1 FROM orders WHERE customer_id = 1]");
    CHECK(w.at(1).prepared.empty());
    CHECK(w.at(3).prepared.empty());
  });
}

TEST_CASE("session: what became of a commit on two shards is unknown only where nobody can say it") {
  const std::vector<turn> turns{query("BEGIN"), insert("1", "w1"), insert("2", "w2"), query("COMMIT", {"w1", "w2"}), select("1")};
  for (const auto who : {recovers::nobody, recovers::unknowing, recovers::knowing}) {
    CAPTURE(static_cast<int>(who));
    setup made;
    made.commits = who;
    int unknown = 0, committed = 0;
    for (const auto what : {trouble::lost_before, trouble::lost_behind, trouble::cut, trouble::silent}) {
      for (int at = 1; at <= 20; ++at) {
        world w(made);
        w.run(turns, what, at);
        unknown += w.heard(3).find("08007") != std::string::npos;
        committed += w.heard(3) == "C[COMMIT] Z[I]";
        // Nobody passes by what is not carried out yet.
        if (who != recovers::nobody && w.heard(4).ends_with("Z[I]")) CHECK(w.at(3).prepared.empty());
      }
    }
    CHECK(unknown == (who == recovers::knowing ? 0 : 4));
    CHECK(committed > 0);
  }
}

TEST_CASE("session: a commit on three shards, one of which was only read") {
  const std::vector<turn> turns{query("BEGIN"), select("5"), insert("1", "w1"), insert("2", "w2"), select("5"), query("COMMIT", {"w1", "w2"})};
  walk(turns, [](world& w) {
    CHECK(w.heard(5) == "C[COMMIT] Z[I]");
    CHECK(w.told(2) == "Q[BEGIN] Q[SELECT 1 FROM orders WHERE customer_id = 5] Q[SELECT 1 FROM orders WHERE customer_id = 5] Q[COMMIT]");
  });
}

TEST_CASE("session: a commit on two shards of which one has written") {
  walk({query("BEGIN"), select("1"), insert("2", "w2"), query("COMMIT", {"w2"})}, [](world& w) {
    CHECK(w.heard(3) == "C[COMMIT] Z[I]");
    CHECK(w.told(1) == "Q[BEGIN] Q[INSERT INTO orders (customer_id, order_id) VALUES (2, w2)] " + ask + " Q[COMMIT]");
    CHECK(w.told(3) == "Q[BEGIN] Q[SELECT 1 FROM orders WHERE customer_id = 1] Q[COMMIT]");
  });
}

TEST_CASE("session: a rollback on two shards, and a transaction that failed on one of them") {
  const std::vector<turn> turns{query("BEGIN"), insert("1", "w1"), insert("2", "w2"), query("ROLLBACK"), query("BEGIN"), insert("1", "w3"), insert("2", "w4"),
                                query("SELECT boom FROM orders WHERE customer_id = 1"), insert("2", "w5"), query("COMMIT")};
  walk(turns, [](world& w) {
    CHECK(w.heard(3) == "C[ROLLBACK] Z[I]");
    CHECK(w.heard(7) == "E[22012] Z[E]");
    CHECK(w.heard(8) == "E[25P02] Z[E]");
    CHECK(w.heard(9) == "C[ROLLBACK] Z[I]");
    CHECK(w.at(1).committed.empty());
    CHECK(w.at(3).committed.empty());
  });
}

TEST_CASE("session: a shard that joins hears what the transaction has said before") {
  const std::vector<turn> turns{query("BEGIN ISOLATION LEVEL REPEATABLE READ"), insert("1", "w1"), query("SET LOCAL work_mem TO '1MB'"), query("SAVEPOINT a"), insert("2", "w2"),
                                query("ROLLBACK TO a"), insert("2", "w3"), query("COMMIT", {"w1", "w3"})};
  walk(turns, [](world& w) {
    CHECK(w.heard(7) == "C[COMMIT] Z[I]");
    CHECK_FALSE(w.at(1).has_committed("w2"));
    const std::string begin = "Q[BEGIN ISOLATION LEVEL REPEATABLE READ] ", says = "Q[SET LOCAL work_mem TO '1MB'] Q[SAVEPOINT a] ", back = "Q[ROLLBACK TO a] ";
    CHECK(w.told(1) == begin + says + "Q[INSERT INTO orders (customer_id, order_id) VALUES (2, w2)] " + back +
                           "Q[INSERT INTO orders (customer_id, order_id) VALUES (2, w3)] " + ask + " Q[durable; SELECT pgrotor.decide('UUID'); COMMIT]");
    CHECK(w.told(3) == begin + "Q[INSERT INTO orders (customer_id, order_id) VALUES (1, w1)] " + says + back + ask + " " + prepare + " Q[COMMIT PREPARED 'pgrotor_UUID_1_2']");
  });
}

TEST_CASE("session: a transaction that goes on behind its commit on two shards") {
  const std::vector<turn> turns{query("BEGIN"), insert("1", "w1"), insert("2", "w2"), query("COMMIT AND CHAIN", {"w1", "w2"}), insert("2", "w3"), query("COMMIT", {"w3"})};
  walk(turns, [](world& w) {
    CHECK(w.heard(3) == "C[COMMIT] Z[T]");
    CHECK(w.heard(5) == "C[COMMIT] Z[I]");
  });
}

TEST_CASE("session: a transaction that goes on behind its commit on two shards, in a session that listens on a third") {
  const std::vector<turn> turns{query("LISTEN news"), query("BEGIN"), insert("1", "w1"), insert("2", "w2"), query("COMMIT AND CHAIN", {"w1", "w2"}), query("SELECT 1"), query("COMMIT")};
  walk(turns, [](world& w) {
    CHECK(w.heard(4) == "C[COMMIT] Z[T]");
    CHECK(w.told(2) == "Q[LISTEN news] probe[n] Q[BEGIN] Q[ROLLBACK] Q[BEGIN] Q[SELECT 1] Q[COMMIT] Q[DISCARD ALL]");
  });
}

TEST_CASE("session: a commit on two shards by the extended protocol") {
  constexpr std::string_view sql = "INSERT INTO orders (customer_id, order_id) VALUES ($1, $2)";
  const std::vector<turn> turns{query("BEGIN"), pipeline(parse("i", sql) + bind("i", {"1", "w1"}) + execute()), pipeline(bind("i", {"2", "w2"}) + execute()),
                                pipeline(parse("", "COMMIT") + bind("") + execute(), {"w1", "w2"})};
  walk(turns, [](world& w) {
    CHECK(w.heard(2) == "2 C[INSERT 0 1] Z[T]");
    CHECK(w.heard(3) == "1 2 C[COMMIT] Z[I]");
  });
}

TEST_CASE("session: what the client has set outlives a transaction on two shards") {
  const std::vector<turn> turns{query("BEGIN"), insert("1", "w1"), query("SET timezone TO 'CET'"), insert("2", "w2"), query("COMMIT", {"w1", "w2"}), query("SELECT 1")};
  walk(turns, [](world& w) {
    CHECK(w.heard(4) == "C[COMMIT] Z[I]");
    CHECK(w.told(2) == "Q[SELECT set_config('timezone','CET',false);] Q[SELECT 1]");
  });
}

TEST_CASE("session: a shard that rests does not take a client for idle that is at work on another") {
  const std::string two = "INSERT INTO orders (customer_id, order_id) VALUES (2, w1)", one = "INSERT INTO orders (customer_id, order_id) VALUES (1, w2)";
  walk({}, {query("SET idle_in_transaction_session_timeout TO '5s'"), query("BEGIN"), query(two), query(one), query("ROLLBACK")}, [&](world& w) {
    CHECK(w.heard(3) == "C[INSERT 0 1] Z[T]");
    CHECK(w.told(1) == "Q[SELECT set_config('idle_in_transaction_session_timeout','5s',false);] Q[BEGIN] Q[" + two +
                           "] Q[SET LOCAL idle_in_transaction_session_timeout = 0] Q[ROLLBACK]");
    CHECK(w.told(3).ends_with(" Q[BEGIN] Q[" + one + "] Q[ROLLBACK]"));
  });
}
