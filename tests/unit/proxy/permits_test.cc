// Permits between workers: the ledger of a shard's home, the desks of the workers, and both together under a random load.
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <random>

#include "proxy/shard/permit_desk.h"

namespace {

using namespace std::chrono_literals;
using proxy::permit_desk;
using proxy::permit_ledger;
using proxy::permit_order;
using proxy::permit_owner;
using proxy::permit_rules;
using proxy::permit_want;
using kind = permit_order::kind;

const auto start = proxy::permit_clock::now();
const permit_owner app{"app", "shop"}, other{"other", "shop"};

permit_want wants(std::size_t count, std::chrono::milliseconds since = 0ms) { return {count, start + since}; }

std::size_t count_of(const std::vector<permit_order>& orders, kind what, int worker) {
  std::size_t count = 0;
  for (const auto& one : orders) count += one.what == what && one.worker == worker;
  return count;
}

}  // namespace

TEST_CASE("permit_ledger: lends up to the size, one each in turn, and no more") {
  permit_ledger ledger(permit_rules{5, 0, 0, 0, 0ms});
  ledger.want(0, app, wants(10));
  ledger.want(1, app, wants(2, 1ms));
  const auto orders = ledger.settle(start);
  CHECK(count_of(orders, kind::lend, 0) == 3);
  CHECK(count_of(orders, kind::lend, 1) == 2);
  CHECK(ledger.lent_to(app) == 5);
  CHECK(ledger.lent_to(other) == 0);
}

TEST_CASE("permit_ledger: what is missing is recalled from all holders, and kept when the want is gone") {
  permit_ledger ledger(permit_rules{2, 0, 0, 0, 0ms});
  ledger.want(0, app, wants(2));
  ledger.settle(start);
  ledger.want(1, app, wants(1, 5ms));
  const auto recalled = ledger.settle(start + 5ms);
  REQUIRE(recalled.size() == 1);
  CHECK(recalled.front() == permit_order{0, kind::recall, app, false, false, false});
  CHECK(ledger.settle(start + 6ms).empty());  // told once
  SUBCASE("given back, it is lent to who waited") {
    ledger.give_back(0, app);
    const auto orders = ledger.settle(start + 7ms);
    CHECK(count_of(orders, kind::lend, 1) == 1);
    CHECK(count_of(orders, kind::recall, 0) == 0);
  }
  SUBCASE("no longer wanted") {
    ledger.want(1, app, {});
    CHECK(count_of(ledger.settle(start + 7ms), kind::keep, 0) == 1);
  }
}

TEST_CASE("permit_ledger: the reserve is for those who have waited, and goes back first") {
  permit_ledger ledger(permit_rules{1, 1, 0, 0, 50ms});
  ledger.want(0, app, wants(3));
  CHECK(count_of(ledger.settle(start), kind::lend, 0) == 1);
  CHECK(count_of(ledger.settle(start + 49ms), kind::lend, 0) == 0);
  const auto late = ledger.settle(start + 50ms);
  CHECK(count_of(late, kind::lend, 0) == 1);
  ledger.want(0, app, {});
  CHECK(ledger.settle(start + 60ms).empty());  // what was recalled for those who waited stays recalled
  ledger.give_back(0, app);
  CHECK(ledger.lent_to(app) == 1);
  // What it gave back may have crossed a recall.
  const std::vector<permit_order> over{{0, kind::keep, app, false, false, false}};
  CHECK(ledger.settle(start + 61ms) == over);
  CHECK(ledger.settle(start + 62ms).empty());
}

TEST_CASE("permit_ledger: a shard's bound holds over all users") {
  permit_ledger ledger(permit_rules{3, 0, 4, 0, 0ms});
  ledger.want(0, app, wants(3));
  ledger.want(1, other, wants(3, 1ms));
  ledger.settle(start);
  CHECK(ledger.lent() == 4);
  const auto orders = ledger.settle(start);
  CHECK(orders.empty());
  ledger.want(0, app, {});
  ledger.give_back(0, app);
  CHECK(count_of(ledger.settle(start), kind::lend, 1) == 1);
}

TEST_CASE("permit_ledger: urgent is what makes the parts more even, and what has waited much longer") {
  struct row {
    const char* name;
    std::size_t size, waiting_here, waiting_there;  // "here" holds everything
    std::chrono::milliseconds here_since, there_since;
    bool urgent;
  };
  const row table[] = {
      {"nobody waits here: the next release gives without urgency", 4, 0, 1, 0ms, 150ms, false},
      {"nobody seems to wait here, and yet none was given", 4, 0, 1, 0ms, 50ms, true},
      {"a worker without any, beside one with four", 4, 9, 9, 0ms, 0ms, true},
      {"one connection, equal waits", 1, 9, 9, 150ms, 100ms, false},
      {"one connection, and those there have waited longer", 1, 9, 9, 150ms, 0ms, true},
  };
  for (const auto& one : table) {
    CAPTURE(one.name);
    permit_ledger ledger(permit_rules{one.size, 0, 0, 0, 0ms});
    ledger.want(0, app, wants(one.size));
    ledger.settle(start);
    if (one.waiting_here > 0) ledger.want(0, app, wants(one.waiting_here, one.here_since));
    ledger.want(1, app, wants(one.waiting_there, one.there_since));
    const auto orders = ledger.settle(start + 200ms);
    const bool urgent = std::any_of(orders.begin(), orders.end(), [](const auto& order) { return order.urgent && order.worker == 0; });
    CHECK(urgent == one.urgent);
  }
}

TEST_CASE("permit_ledger: even parts stay where they are") {
  permit_ledger ledger(permit_rules{3, 0, 0, 0, 0ms});
  ledger.want(0, app, wants(2));
  ledger.want(1, app, wants(1));
  ledger.settle(start);
  for (int tick = 1; tick < 50; ++tick) {
    const auto now = tick * 100ms;
    ledger.want(0, app, wants(10, now - 50ms));
    ledger.want(1, app, wants(11, now - 110ms));
    for (const auto& order : ledger.settle(start + now)) CHECK_FALSE(order.urgent);
  }
}

TEST_CASE("permit_ledger: the least number is kept open, and nobody is disturbed for it") {
  permit_ledger ledger(permit_rules{3, 0, 0, 2, 0ms});
  ledger.want(0, app, {2, permit_want::nobody_waits});
  ledger.want(1, app, {2, permit_want::nobody_waits});
  CHECK(ledger.settle(start).size() == 2);
  CHECK(ledger.lent_to(app) == 2);
  CHECK(ledger.settle(start).empty());
  ledger.want(1, app, wants(1));
  CHECK(count_of(ledger.settle(start), kind::lend, 1) == 1);
}

TEST_CASE("permit_ledger: a smaller size takes effect on what is lent") {
  permit_ledger ledger(permit_rules{3, 0, 0, 0, 0ms});
  ledger.want(0, app, wants(3));
  ledger.settle(start);
  ledger.set_rules(permit_rules{1, 0, 0, 0, 0ms});
  CHECK(count_of(ledger.settle(start), kind::recall, 0) == 1);
  ledger.give_back(0, app);
  CHECK(count_of(ledger.settle(start), kind::recall, 0) == 1);
  ledger.give_back(0, app);
  CHECK(count_of(ledger.settle(start), kind::keep, 0) == 1);
  CHECK(ledger.settle(start).empty());
}

TEST_CASE("permit_ledger: a recall that crosses what is given back does not stay") {
  permit_ledger ledger(permit_rules{1, 0, 0, 0, 0ms});
  ledger.want(0, app, wants(1));
  ledger.settle(start);
  ledger.want(1, app, wants(1, 1ms));
  CHECK(count_of(ledger.settle(start + 1ms), kind::recall, 0) == 1);  // on its way
  ledger.give_back(0, app);                                           // ... as this was
  const auto orders = ledger.settle(start + 2ms);
  CHECK(count_of(orders, kind::lend, 1) == 1);
  CHECK(count_of(orders, kind::keep, 0) == 1);
}

namespace {

// A pool whose connections open at once.
struct simple_pool final : proxy::permit_user {
  std::deque<proxy::permit_clock::time_point> queue, idle;
  std::size_t busy = 0, opened = 0;
  permit_want wanted() const override { return {queue.size(), queue.empty() ? permit_want::nobody_waits : queue.front()}; }
  void permit_lent() override {
    ++opened;
    if (queue.empty()) return idle.push_back(start);
    ++busy;
    queue.pop_front();
  }
  proxy::permit_clock::time_point idle_since() const override { return idle.empty() ? proxy::permit_clock::time_point::max() : idle.front(); }
  void close_one_idle() override { idle.pop_front(); }
};

// Workers whose messages arrive later, in the order in which they were sent.
struct fleet {
  struct worker final : proxy::permit_home {
    worker(fleet& f, int number) : all(f), index(number), desk(*this), account(desk.join(app, pool)) {}
    void send_want(const permit_owner& owner, permit_want wanted) override {
      all.post.push_back([this, owner, wanted] { all.ledger.want(index, owner, wanted), all.settle(); });
    }
    void send_give_back(const permit_owner& owner) override {
      all.post.push_back([this, owner] { all.ledger.give_back(index, owner), all.settle(); });
    }
    void arrive() {
      if (pool.queue.empty() && !pool.idle.empty()) {
        pool.idle.pop_back();
        ++pool.busy;
        return;
      }
      pool.queue.push_back(all.now);
      desk.wants_more(app);
    }
    void release() {
      --pool.busy;
      const auto first = pool.queue.empty() ? permit_want::nobody_waits : pool.queue.front();
      if (desk.must_give(account, pool, first)) return desk.closed(app);
      if (pool.queue.empty()) return pool.idle.push_back(all.now);
      pool.queue.pop_front();
      ++pool.busy;
    }
    fleet& all;
    int index;
    simple_pool pool;
    permit_desk desk;
    const permit_desk::account& account;
  };

  fleet(std::size_t count, permit_rules rules) : ledger(rules) {
    for (std::size_t i = 0; i < count; ++i) workers.push_back(std::make_unique<worker>(*this, static_cast<int>(i)));
  }
  void settle() {
    for (const auto& order : ledger.settle(now))
      post.push_back([this, order] { workers[static_cast<std::size_t>(order.worker)]->desk.obey(order); });
  }
  bool deliver() {
    if (post.empty()) return false;
    const auto next = std::move(post.front());
    post.pop_front();
    next();
    return true;
  }
  std::size_t open() const {
    std::size_t sum = 0;
    for (const auto& one : workers) sum += one->pool.busy + one->pool.idle.size();
    return sum;
  }

  permit_ledger ledger;
  proxy::permit_clock::time_point now = start;
  std::deque<std::function<void()>> post;
  std::vector<std::unique_ptr<worker>> workers;
};

}  // namespace

TEST_CASE("permits: a pool alone with a queue of its own opens no connection twice") {
  fleet all(1, permit_rules{2, 0, 0, 0, 0ms});
  auto& only = *all.workers.front();
  for (int round = 0; round < 20; ++round) {
    for (int client = 0; client < 3; ++client) only.arrive();
    while (all.deliver()) {
    }
    while (only.pool.busy > 0) only.release();
    while (all.deliver()) {
    }
  }
  CHECK(only.pool.opened == 2);
  CHECK(all.open() == 2);
}

TEST_CASE("permits: an idle connection of one worker makes room for another's") {
  fleet f(2, permit_rules{1, 0, 0, 0, 0ms});
  f.workers[0]->arrive();
  while (f.deliver()) continue;
  f.workers[0]->release();
  REQUIRE(f.workers[0]->pool.idle.size() == 1);
  f.workers[1]->arrive();
  while (f.deliver()) continue;
  CHECK(f.workers[1]->pool.busy == 1);
  CHECK(f.open() == 1);
}

TEST_CASE("permits: a busy worker with a queue of its own gives way to who has waited longer") {
  fleet f(2, permit_rules{1, 0, 0, 0, 0ms});
  f.workers[0]->arrive();
  while (f.deliver()) continue;
  f.workers[1]->arrive();
  while (f.deliver()) continue;
  for (int i = 0; i < 10 && f.workers[1]->pool.busy == 0; ++i) {
    f.now += 30ms;
    f.workers[0]->arrive();
    f.workers[0]->release();
    for (auto& each : f.workers) each->desk.refresh();
    while (f.deliver()) continue;
  }
  CHECK(f.workers[1]->pool.busy == 1);
}

TEST_CASE("permits: under a random load the bound holds, and in the end everybody was served and nothing is lent to nobody") {
  std::mt19937 random(7);
  const auto dice = [&random](std::size_t sides) { return std::uniform_int_distribution<std::size_t>(0, sides - 1)(random); };
  for (int round = 0; round < 50; ++round) {
    CAPTURE(round);
    const auto count = 1 + dice(4);
    const permit_rules rules{1 + dice(6), dice(2), 0, 0, 1000ms};
    fleet f(count, rules);
    for (int step = 0; step < 4000; ++step) {
      auto& one = *f.workers[dice(count)];
      switch (dice(4)) {
        case 0: one.arrive(); break;
        case 1:
        case 2: if (one.pool.busy > 0) one.release(); break;
        default: f.deliver();
      }
      if (step % 10 == 0) {
        f.now += 10ms;
        for (auto& each : f.workers) each->desk.refresh();
        while (f.deliver()) continue;
      }
      REQUIRE(f.open() <= rules.size + rules.reserve);
      REQUIRE(f.ledger.lent() <= rules.size + rules.reserve);
    }
    for (int more = 0; more < 4000; ++more) {
      f.now += 10ms;
      bool waiting = false;
      for (auto& each : f.workers) {
        if (each->pool.busy > 0) each->release();
        each->desk.refresh();
        waiting = waiting || !each->pool.queue.empty() || each->pool.busy > 0;
      }
      while (f.deliver()) continue;
      if (!waiting) break;
    }
    for (auto& each : f.workers) {
      CHECK(each->pool.queue.empty());
      CHECK(each->pool.busy == 0);
    }
    CHECK(f.ledger.lent() == f.open());
    CHECK(f.open() <= rules.size);  // the reserve has gone back
    for (auto& each : f.workers) CHECK_FALSE(each->account.recalled);  // or the next one released would be closed for nobody
  }
}
