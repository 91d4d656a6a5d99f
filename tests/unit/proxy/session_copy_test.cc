// COPY and messages that are passed on as they come, over scripted shards; each step goes wrong in turn (scripted_world.h).
#include <doctest/doctest.h>

#include "scripted_world.h"

using namespace scripted;

namespace {

turn begin_copy(std::string_view sql) {
  auto made = query(sql);
  made.until = "G";
  return made;
}

}  // namespace

TEST_CASE("session: COPY in, out, and one that the client gives up") {
  std::vector<turn> turns{begin_copy("COPY stock FROM STDIN"), copied(copy_data("w1") + copy_data("more") + copy_done(), {"w1"}), query("COPY stock TO STDOUT"),
                                begin_copy("COPY stock FROM STDIN"), copied(copy_data("w2") + copy_fail()), query("SELECT 1")};
  turns[4].may_commit = true;  // as far as the session knows
  walk({}, turns, [](world& w) {
    CHECK(w.heard(0) == "G");
    CHECK(w.heard(1) == "C[COPY 1] Z[I]");
    CHECK(w.heard(2) == "H d[s2] c C[COPY 1] Z[I]");
    CHECK(w.heard(4) == "E[57014] Z[I]");
    CHECK(w.heard(5) == "T[shard] D[s2] C[SELECT 1] Z[I]");
    CHECK(w.at(2).committed == std::vector<std::string>{"COPY w1more"});
  });
}

TEST_CASE("session: COPY in by the extended protocol, its data behind the Sync and in front of it") {
  const auto copy = parse("", "COPY stock FROM STDIN") + bind("") + execute();
  auto waits = pipeline(copy);
  waits.until = "G";
  auto data = pipeline(copy_data("w1") + copy_done(), {"w1"});
  data.in_copy = true;
  walk({}, {waits, data, pipeline(copy + copy_data("w2") + copy_done(), {"w2"}), query("SELECT 1")}, [](world& w) {
    CHECK(w.heard(0) == "1 2 G");
    CHECK(w.heard(1) == "C[COPY 1] Z[I]");
    CHECK(w.heard(2) == "1 2 G C[COPY 1] Z[I]");
    CHECK(w.heard(3) == "T[shard] D[s2] C[SELECT 1] Z[I]");
  });
}

TEST_CASE("session: COPY in within a transaction") {
  const std::vector<turn> turns{query("BEGIN"), query("UPDATE stock SET name = 'w1'"), begin_copy("COPY stock FROM STDIN"), copied(copy_data("w2") + copy_done()),
                                query("COMMIT", {"w1", "w2"})};
  walk({}, turns, [](world& w) {
    CHECK(w.heard(3) == "C[COPY 1] Z[T]");
    CHECK(w.heard(4) == "C[COMMIT] Z[I]");
  });
}

TEST_CASE("session: a message of several reads is gathered, on account of all clients") {
  setup made;
  made.pieces = {7'000};
  walk(made, {query("INSERT INTO orders (customer_id, order_id, total) VALUES (1, w1, " + std::string(200'000, '1') + ")", {"w1"}), query("SELECT 1")}, [](world& w) {
    CHECK(w.heard(0) == "C[INSERT 0 1] Z[I]");
    CHECK(w.heard(1) == "T[shard] D[s2] C[SELECT 1] Z[I]");
  });
}

TEST_CASE("session: a Bind that is too large to be gathered is passed on as it comes") {
  setup made;
  made.pieces = {7'000};
  made.before = [](world& w, std::size_t) { w.settings.max_message_bytes = 64u << 10; };
  const std::string large(200'000, 'x');
  const auto insert = parse("i", "INSERT INTO orders (customer_id, order_id, total) VALUES ($1, $2, $3)");
  walk(made, {pipeline(insert), pipeline(bind("i", {"1", "w1", large}) + execute(), {"w1"}), query("SELECT 1")}, [](world& w) {
    CHECK(w.heard(1) == "2 C[INSERT 0 1] Z[I]");
    CHECK(w.at(3).committed.size() == 1);
    CHECK(w.heard(2) == "T[shard] D[s2] C[SELECT 1] Z[I]");
  });
}
