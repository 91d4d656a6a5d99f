// What statements ask of clients by their numbers, and do to them. Declared things of scripted_world.h; the shard knows the numbers of none.
#include <doctest/doctest.h>

#include "scripted_world.h"

using namespace scripted;

namespace {

constexpr std::int32_t other = 5'000'002, boss = 5'000'003;

// pg_backend_pid() and its like may write, for all that pgrotor knows of functions.
turn asking(std::string_view sql) {
  auto made = query(sql);
  made.may_commit = true;
  return made;
}

turn asking_by(std::string frames) {
  auto made = pipeline(std::move(frames));
  made.may_commit = true;
  return made;
}

setup with_others() {
  setup made;
  made.before = [](world& w, std::size_t) {
    w.shared.processes->enter_client(other, "ann");
    w.shared.processes->enter_client(boss, "boss");
  };
  return made;
}

}  // namespace

TEST_CASE("session: a client's own number is that of BackendKeyData, in every protocol") {
  const std::vector<turn> turns{asking("SELECT pg_backend_pid()"), asking_by(parse("own", "SELECT 1, pg_backend_pid()") + bind("own") + execute()),
                                asking("SELECT pg_backend_pid() + 0"), asking("SELECT 1; SELECT pg_backend_pid()")};
  walk({}, turns, [](world& w) {
    CHECK(w.heard(0) == "T[shard] D[5000001] C[SELECT 1] Z[I]");
    CHECK(w.heard(2) == "T[shard] D[s2] C[SELECT 1] Z[I]");
    CHECK(w.heard(3) == "T[shard] D[s2] C[SELECT 1] T[shard] D[s2] C[SELECT 1] Z[I]");
  });
}

TEST_CASE("session: another client is cancelled and ended by its number, whoever serves it") {
  const std::vector<turn> turns{asking("SELECT pg_cancel_backend(5000002)"), asking_by(parse("end", "SELECT pg_terminate_backend($1)") + bind("end", {"5000002"}) + execute()),
                                query("BEGIN"), query("SELECT 1 FROM orders WHERE customer_id = 1"), asking("SELECT pg_cancel_backend(5000002)"), query("COMMIT")};
  walk(with_others(), turns, [](world& w) {
    CHECK(w.heard(0) == "T[shard] D[t] C[SELECT 1] Z[I]");
    CHECK(w.heard(1) == "1 2 D[t] C[SELECT 1] Z[I]");
    CHECK(w.heard(4) == "T[shard] D[t] C[SELECT 1] Z[T]");
    CHECK(w.signals == "cancel 5000002 end 5000002 cancel 5000002 ");
  });
}

TEST_CASE("session: whom the shard does not let it signal, whom nobody knows, and in a transaction that has failed") {
  const std::vector<turn> turns{asking("SELECT pg_cancel_backend(5000003)"), asking("SELECT pg_cancel_backend(5000009)"), asking("SELECT pg_cancel_backend(77)"),
                                query("BEGIN"), query("SELECT boom"), asking("SELECT pg_terminate_backend(5000002)"), query("ROLLBACK")};
  walk(with_others(), turns, [](world& w) {
    CHECK(w.heard(0) == "E[42501] Z[I]");
    CHECK(w.heard(1) == "T[shard] D[s2] C[SELECT 1] Z[I]");
    CHECK(w.heard(2) == "T[shard] D[s2] C[SELECT 1] Z[I]");
    CHECK(w.heard(5) == "E[25P02] Z[E]");
    CHECK(w.signals.empty());
  });
}

TEST_CASE("session: who cancels or ends itself") {
  walk({}, {asking("SELECT pg_cancel_backend(5000001)"), query("SELECT 1"), asking("SELECT pg_terminate_backend(5000001)")}, [](world& w) {
    CHECK(w.heard(0) == "E[57014] Z[I]");
    CHECK(w.heard(1) == "T[shard] D[s2] C[SELECT 1] Z[I]");
    CHECK(w.heard(2) == "E[FATAL 57P01]");
    CHECK(w.signals.empty());
  });
}

TEST_CASE("session: who has written its process id down keeps the process") {
  walk({}, {query("INSERT INTO stock VALUES (pg_backend_pid(), w1)", {"w1"}), query("SELECT 1"), query("DISCARD ALL")}, [](world& w) {
    CHECK(w.told(2) == "Q[INSERT INTO stock VALUES (pg_backend_pid(), w1)] Q[SELECT 1] Q[DISCARD ALL]");
    CHECK(w.pool_of(2).idle() == 1);
  });
}

TEST_CASE("session: whether a client waits for others is asked with the processes that serve them") {
  const std::vector<turn> turns{query("SELECT 1"), asking("SELECT pg_isolation_test_session_is_blocked(5000001, '{5000001}')"),
                                asking("SELECT pg_isolation_test_session_is_blocked(5000002, '{5000001}')")};
  walk(with_others(), turns, [](world& w) {
    CHECK(w.heard(1) == "T[shard] D[t] C[SELECT 1] Z[I]");
    CHECK(w.heard(2) == "T[shard] D[f] C[SELECT 1] Z[I]");
  });
}
