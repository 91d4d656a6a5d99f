// What becomes of a client whose server goes away: what it hears, whether its session ends, and what is never told of a commit; over scripted
// shards, each step going wrong in turn (scripted_world.h).
#include <doctest/doctest.h>

#include <chrono>
#include <utility>

#include "scripted_world.h"

using namespace scripted;

namespace {

constexpr std::string_view look = "SELECT 1 FROM orders WHERE customer_id = 1", insert = "INSERT INTO orders (customer_id, order_id) VALUES (1, w1)";

std::string dies(std::string_view of, std::string_view sql = look) { return std::string(sql) + " /* dies of " + std::string(of) + " */"; }

// Before the turn of that number is said, which is best a Sync, the newest connection of that shard ends.
setup ending(std::size_t turn, std::string_view sqlstate, bool warns = false, std::uint32_t where = 3) {
  setup made;
  made.before = [=](world& w, std::size_t next) {
    if (next == turn && !w.at(where).connections.empty() && !w.at(where).connections.back()->gone()) w.at(where).connections.back()->end_with(sqlstate, warns);
  };
  return made;
}

// Behind that turn.
std::string heard_since(world& w, std::size_t turn) { return w.heard(turn) + (w.heard(turn).empty() || w.heard(turn + 1).empty() ? "" : " ") + w.heard(turn + 1); }

// With the trouble at the n-th message to a shard.
std::vector<std::string> heard_with(const std::vector<turn>& turns, trouble what, int number) {
  world calm;
  calm.run(turns);
  int at = 0;
  while (number > 0) number -= calm.kinds().at(static_cast<std::size_t>(at++)) == 's';
  world w;
  w.run(turns, what, at);
  w.check();
  std::vector<std::string> all;
  for (std::size_t i = 0; i < turns.size(); ++i) all.push_back(w.heard(i));
  return all;
}

}  // namespace

TEST_CASE("session: a shard's FATAL reaches who has a statement under way, and ends the session") {
  for (const auto* of : {"57P01", "25P04", "22012", "57P02"}) {
    CAPTURE(of);
    walk({}, {query("SELECT 1"), query(dies(of)), query("SELECT 2")}, [of](world& w) {
      CHECK(w.heard(1) == "E[FATAL " + std::string(of) + "]");
      CHECK(w.heard(2) == "");
    });
    walk({}, {pipeline(parse("", dies(of)) + bind("") + execute()), query("SELECT 2")}, [of](world& w) {
      CHECK(w.heard(0) == "1 2 E[FATAL " + std::string(of) + "]");
    });
  }
}

TEST_CASE("session: a shard's FATAL in a transaction ends the session, and nothing of it is committed") {
  walk({}, {query("BEGIN"), query(insert), query(dies("57P01")), query("COMMIT")}, [](world& w) {
    CHECK(w.heard(2) == "E[FATAL 57P01]");
    CHECK(w.at(3).committed.empty());
  });
}

TEST_CASE("session: whether a write was committed is unknown, unless it failed by itself or was never read") {
  const auto told = [](std::string_view of, std::string_view expected) {
    auto write = query(dies(of, insert));
    write.may_commit = true;
    world w;
    w.run({write, query("SELECT 2")});
    w.check();
    CHECK(w.heard(0) == expected);
  };
  told("57P01", "E[FATAL 08007]");
  told("57P02", "E[FATAL 08007]");
  told("58030", "E[FATAL 08007]");
  told("23505", "E[FATAL 23505]");
  told("57P05", "E[08006] Z[I]");
}

TEST_CASE("session: an idle transaction whose shard ends it is told at once") {
  for (const auto* of : {"25P03", "57P01"}) {
    CAPTURE(of);
    world w(ending(2, of));
    w.run({query("BEGIN"), query(insert), pipeline(""), query(look)});
    w.check();
    CHECK(heard_since(w, 2).ends_with("E[FATAL " + std::string(of) + "]"));
    CHECK(w.at(3).committed.empty());
  }
}

TEST_CASE("session: an idle transaction of which one shard ends is over on all") {
  world w(ending(3, "57P01", false, 1));
  w.run({query("BEGIN"), query("INSERT INTO orders (customer_id, order_id) VALUES (2, w2)"), query(insert), pipeline(""), query(look)});
  w.check();
  CHECK(heard_since(w, 3) == "Z[T] E[FATAL 57P01]");
}

TEST_CASE("session: who idles is not hurt by the end of a server of the pool") {
  for (const auto* of : {"57P01", "57P05"}) {
    world w(ending(1, of));
    w.run({query(look), pipeline(""), query(look)});
    w.check();
    CHECK(w.heard(1) == "Z[I]");
    CHECK(w.heard(2) == "T[shard] D[s3] C[SELECT 1] Z[I]");
  }
}

TEST_CASE("session: who keeps state on a server hears how it ends") {
  world w(ending(1, "57P05", false, 2));
  w.run({query("LISTEN news"), pipeline(""), query(look)});
  w.check();
  CHECK(heard_since(w, 1) == "Z[I] E[FATAL 57P05]");
}

TEST_CASE("session: a server that ends in front of all that the client has said hurts nobody") {
  const auto set = heard_with({query("SET timezone TO 'CET'"), query(look), query(look)}, trouble::fatal, 3);
  CHECK(set[1] == "E[08006] Z[I]");
  CHECK(set[2] == "T[shard] D[s3] C[SELECT 1] Z[I]");
  const auto write = heard_with({query("SET timezone TO 'CET'"), query(insert), query("SELECT 1")}, trouble::fatal, 3);
  CHECK(write[1] == "E[08006] Z[I]");
  const auto begin = heard_with({query("BEGIN"), query(insert), query("ROLLBACK")}, trouble::fatal, 1);
  CHECK(begin[1] == "E[08006] Z[E]");
  CHECK(begin[2] == "C[ROLLBACK] Z[I]");
}

TEST_CASE("session: a warning in front of the end of a connection is its last word") {
  world w(ending(2, "57P02", true));
  w.run({query("BEGIN"), query(insert), pipeline(""), query(look)});
  w.check();
  CHECK(heard_since(w, 2).ends_with("N[57P02] E[FATAL 57P02]"));
}

TEST_CASE("session: a connection that breaks without a word leaves the session") {
  const auto heard = heard_with({query("BEGIN"), query(insert), query("ROLLBACK"), query(look)}, trouble::lost_behind, 2);
  CHECK(heard[1] == "E[08006] Z[E]");
  CHECK(heard[2] == "C[ROLLBACK] Z[I]");
  CHECK(heard[3] == "T[shard] D[s3] C[SELECT 1] Z[I]");
}

TEST_CASE("session: a client's own time-outs hold whether a server minds them or not") {
  const auto heard_after = [](const std::vector<turn>& turns, std::chrono::milliseconds idles) {
    setup made;
    made.before = [&, first = true](world& w, std::size_t next) mutable {
      if (next + 1 == turns.size() && std::exchange(first, false)) w.deadlines.tick(proxy::clock::now() + idles);
    };
    world w(made);
    w.run(turns);
    w.check();
    const auto last = w.heard(turns.size() - 2) + " " + w.heard(turns.size() - 1);
    const auto at = last.find("E[");
    return at == std::string::npos ? std::string() : last.substr(at);
  };
  using namespace std::chrono_literals;
  const auto idle = query("SET idle_session_timeout TO '2s'"), waits = query("SET idle_in_transaction_session_timeout TO '2s'"),
             whole = query("SET transaction_timeout TO '2s'"), begin = query("BEGIN"), one = query("SELECT 1");
  CHECK(heard_after({idle, one}, 1s) == "");
  CHECK(heard_after({idle, one}, 3s) == "E[FATAL 57P05]");
  CHECK(heard_after({idle, begin, one}, 3s) == "");
  CHECK(heard_after({idle, query("RESET idle_session_timeout"), one}, 3s) == "");
  CHECK(heard_after({waits, one, one}, 3s) == "");
  CHECK(heard_after({waits, begin, one}, 3s) == "E[FATAL 25P03]");
  CHECK(heard_after({waits, begin, one, one}, 3s) == "");  // its server says so
  CHECK(heard_after({whole, begin, one}, 3s) == "E[FATAL 25P04]");
  CHECK(heard_after({whole, waits, query("SET idle_in_transaction_session_timeout TO '1s'"), begin, one}, 1500ms) == "E[FATAL 25P03]");
}
