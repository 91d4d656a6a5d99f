// Statements of one client that have to wait: for a gate, for a server. Over scripted shards; each step goes wrong in turn (scripted_world.h).
#include <doctest/doctest.h>

#include "../routing/sample_map.h"
#include "scripted_world.h"

using namespace scripted;

namespace {

constexpr std::uint64_t moving = 1;

// All keys of shard s3 move to s1.
void announce(world& w) {
  migration::moving_set set;
  set.id = moving;
  set.distribution = sample::shop;
  for (const auto& range : w.map->find_distribution(sample::shop)->ranges)
    if (range.owner == sample::s3) set.ranges.push_back(range.range);
  set.source = sample::s3;
  set.target = sample::s1;
  w.gate.add(set);
}

void close_gate(world& w) {
  w.gate.close(moving, 1);
  w.gate.seal(moving);
  ++w.routing_version;
}

bool open_gate(world& w) {
  if (w.held.size() == 0) return false;
  w.gate.open(moving);
  ++w.routing_version;
  w.held.release();
  return true;
}

const std::vector<turn> three{query("SELECT 1 FROM orders WHERE customer_id = 2"), query("INSERT INTO orders (customer_id, order_id) VALUES (1, w1)", {"w1"}), query("SELECT 1")};

}  // namespace

TEST_CASE("session: a statement waits at a closed gate, and runs when it opens") {
  setup made;
  made.before = [](world& w, std::size_t turn) {
    if (turn == 0) announce(w), close_gate(w);
  };
  made.stands_still = open_gate;
  walk(made, three, [](world& w) {
    CHECK(w.heard(0) == "T[shard] D[s1] C[SELECT 1] Z[I]");
    CHECK(w.heard(1) == "C[INSERT 0 1] Z[I]");
    CHECK(w.counted.gate_held == 1);
    CHECK(w.counted.gate_expired == 0);
  });
}

TEST_CASE("session: a statement that has waited at a gate for too long was not run") {
  setup made;
  made.before = [](world& w, std::size_t turn) {
    if (turn == 0) announce(w), close_gate(w);
    w.settings.gate_hold_budget = {};
  };
  walk(made, {query("INSERT INTO orders (customer_id, order_id) VALUES (1, w1)", {"w1"}), query("BEGIN"), query("SELECT 1 FROM orders WHERE customer_id = 1"), query("COMMIT")},
       [](world& w) {
    CHECK(w.heard(0) == "E[55P03] Z[I]");
    CHECK(w.heard(2) == "E[55P03] Z[E]");
    CHECK(w.heard(3) == "C[ROLLBACK] Z[I]");
    CHECK(w.told(3) == "");
    CHECK(w.counted.gate_expired == 2);
  });
}

TEST_CASE("session: a gate that closes lets a transaction that has been there go on, and counts it until it ends") {
  setup made;
  made.before = [](world& w, std::size_t turn) {
    if (turn == 0) announce(w);
    if (turn == 2) {
      w.gate.close(moving, 1);
      ++w.routing_version;
    }
  };
  const std::vector<turn> turns{query("BEGIN"), query("INSERT INTO orders (customer_id, order_id) VALUES (1, w1)"), query("INSERT INTO orders (customer_id, order_id) VALUES (1, w2)"),
                                query("COMMIT", {"w1", "w2"})};
  walk(made, turns, [](world& w) { CHECK(w.heard(3) == "C[COMMIT] Z[I]"); });
}

TEST_CASE("session: who waits at a gate may cancel, or leave") {
  for (const bool leaves : {false, true}) {
    CAPTURE(leaves);
    setup made;
    made.before = [](world& w, std::size_t turn) {
      if (turn == 0) announce(w), close_gate(w);
    };
    made.stands_still = [leaves](world& w) {
      if (w.held.size() == 0) return false;
      leaves ? w.session()->leave_now() : w.cancel_as_client();
      return true;
    };
    world w(made);
    w.run(three);
    w.check();
    CHECK(w.heard(1) == std::string(leaves ? "" : "E[57014] Z[I]"));
    CHECK(w.told(3) == "");
  }
}

TEST_CASE("session: who waits for a server is served when one is free, cancels, or has waited too long") {
  enum class then { served, cancelled, late };
  for (const auto what : {then::served, then::cancelled, then::late}) {
    CAPTURE(static_cast<int>(what));
    proxy::server_ptr taken;  // by another client
    setup made;
    made.pool_size = 1;
    made.before = [&](world& w, std::size_t turn) {
      if (turn == 1) taken = w.pool_of(1).acquire_idle(nullptr);
      if (turn == 2 && taken) w.pool_of(1).release(std::move(taken));
    };
    made.stands_still = [&](world& w) {
      REQUIRE(taken);
      if (what == then::served) w.pool_of(1).release(std::move(taken));
      if (what == then::cancelled) w.cancel_as_client();
      if (what == then::late) w.deadlines.tick(proxy::clock::now() + std::chrono::seconds(11));
      return true;
    };
    world w(made);
    w.run({query("SELECT 1 FROM orders WHERE customer_id = 2"), query("INSERT INTO orders (customer_id, order_id) VALUES (2, w1)", {"w1"}), query("SELECT 1")});
    w.check();
    const std::string expected = what == then::served ? "C[INSERT 0 1] Z[I]" : what == then::cancelled ? "E[57014] Z[I]" : "E[53300] Z[I]";
    CHECK(w.heard(1) == expected);
    CHECK(w.heard(2) == "T[shard] D[s2] C[SELECT 1] Z[I]");
  }
}
