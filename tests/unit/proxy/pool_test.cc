// The pool's decisions without a socket: the keeper is a script that says how each step ends, permits come from a real ledger and desk.
#include "proxy/shard/pool.h"

#include <boost/asio/co_spawn.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <thread>

#include "protocol/sqlstate.h"
#include "proxy/config/errors.h"

namespace proxy {
namespace {

using namespace std::chrono_literals;

// Says yes to everything, unless its time has come to say no.
class script final : public server_keeper {
 public:
  explicit script(boost::asio::io_context& io) : io_(io) {}

  int fail_at = 0;           // the number of the step that fails, from 1
  std::string fail_always;   // steps of this name fail
  bool looks = false;        // it is time for a look
  bool fails_unreachable = false;
  std::vector<std::string> steps;  // what was asked of it
  std::vector<std::string> told;   // unreachable, anew
  int opening = 0;

  // The logins that have been asked for end.
  void log_in(pool& into) {
    for (; opening > 0; --opening) {
      open_result result;
      if (succeeds("open")) {
        result.server = std::make_unique<server_connection>(io_);
        result.server->shard_name = name_;
        result.server->opened = result.server->idle_since = clock::now();
      } else {
        result.failed = make_error("28P01", "the shard's own words");
        result.unreachable = fails_unreachable;
      }
      into.opened(std::move(result));
    }
  }

  const std::string& shard_name() const noexcept override { return name_; }
  void open(clock::time_point) override { ++opening; }
  void unreachable(const protocol::notice& why) override { told.push_back("unreachable: " + why.message); }
  void start_anew() noexcept override { told.push_back("anew"); }
  task<std::optional<protocol::notice>> refuses_login(wakeup&, clock::time_point) override {
    co_return succeeds("login") ? std::nullopt : std::optional(make_error("28000", "no more"));
  }
  task<bool> answers(server_connection&, const std::string& query, wakeup&, clock::time_point) override { co_return succeeds("answers " + query); }
  bool due_for_look(clock::time_point) const noexcept override { return looks; }
  task<bool> starts_as_now(server_connection&, wakeup&, clock::time_point) override { co_return succeeds("starts as now"); }
  bool watch(server_connection&) override { return succeeds("watch"); }
  bool quiet(server_connection&, bool) override { return succeeds("quiet"); }
  bool hold(server_connection&) override { return succeeds("hold"); }

 private:
  bool succeeds(std::string step) {
    steps.push_back(step);
    return static_cast<int>(steps.size()) != fail_at && step != fail_always;
  }
  boost::asio::io_context& io_;
  const std::string name_ = "s1";
};

struct watched final : shard_watch {
  void set_down(std::optional<protocol::notice> why) { down_ = std::move(why); }
  void failed(const protocol::notice&, const server_target&) override {}
};

// Of the queue, as a session stands in it.
struct client final : readiness_listener {
  explicit client(pool& of) { of.enter(place); }
  void on_ready() override { told = true; }
  pool::place place{*this};
  bool told = false;
};

pool_limits usual() {
  pool_limits limits;
  limits.size = 2;
  limits.wait = limits.connect_timeout = 5s;
  limits.lifetime = limits.idle_timeout = 1h;
  limits.check_query = ";";
  return limits;
}

// One worker with the pools of one user.
struct world final : permit_home {
  explicit world(std::size_t size = 2) : ledger(permit_rules{size, 0, 0, 0, 0ms}) {}

  pool& add(pool_limits limits = usual()) {
    const pool_key key{"app", "shop", {{"number", std::to_string(pools.size())}}, routing::shard_id{1}};
    scripts.push_back(std::make_unique<script>(io));
    pools.push_back(std::make_unique<pool>(io, key, std::move(limits), counted, desk, shard, *scripts.back()));
    return *pools.back();
  }
  script& keeper(std::size_t of = 0) { return *scripts[of]; }

  void send_want(const permit_owner& owner, permit_want want) override { ledger.want(0, owner, want); }
  void send_give_back(const permit_owner& owner) override { ledger.give_back(0, owner); }
  bool lend() {
    const auto orders = ledger.settle(clock::now());
    for (const auto& order : orders) desk.obey(order);
    return !orders.empty();
  }
  // Until nothing more follows, and everything adds up.
  void run() {
    for (int quiet_rounds = 0; quiet_rounds < 2; ++quiet_rounds) {
      io.restart();
      while (io.poll() > 0) quiet_rounds = 0;
      if (lend()) quiet_rounds = 0;
      for (std::size_t i = 0; i < pools.size(); ++i) {
        if (scripts[i]->opening > 0) quiet_rounds = 0;
        scripts[i]->log_in(*pools[i]);
      }
    }
    check();
  }
  void check() {
    std::size_t total = 0, open = 0;
    for (const auto& one : pools) {
      total += one->total();
      open += one->open_servers().size();
      CHECK(one->active() + one->idle() + one->opening() <= one->total());  // the rest has been given and not fetched
      CHECK(std::ranges::count(one->open_servers(), server_status::idle, &server_connection::status) == static_cast<std::ptrdiff_t>(one->idle()));
    }
    CHECK(ledger.lent() == total);
    CHECK(counted.servers_now == open);
  }
  // As a session that has to wait does.
  pool::acquired acquire(pool& from, const settings_ptr& wanted = nullptr) {
    std::optional<pool::acquired> got;
    wakeup wake(io);
    const bool cancelled = false;
    boost::asio::co_spawn(io, from.acquire(wake, cancelled, wanted), [&](std::exception_ptr, pool::acquired result) { got = std::move(result); });
    run();
    for (const auto until = clock::now() + 10s; !got && clock::now() < until;) {
      io.restart();
      io.run_for(1ms);
      run();
    }
    REQUIRE(got);
    return std::move(*got);
  }
  server_ptr get(pool& from) {
    auto got = acquire(from);
    REQUIRE_MESSAGE(got.server, got.failed.message);
    return std::move(got.server);
  }

  boost::asio::io_context io{1};
  counters counted;
  permit_ledger ledger;
  permit_desk desk{*this};
  watched shard;
  std::vector<std::unique_ptr<script>> scripts;
  std::vector<std::unique_ptr<pool>> pools;
};

}  // namespace

TEST_CASE("server_status: every way from opening to closed, and none back") {
  using enum server_status;
  const std::map<server_status, std::vector<server_status>> ways{{opening, {idle, given, closed}}, {idle, {in_use, closed}}, {given, {in_use, closed}},
                                                                 {in_use, {idle, given, asked, closed}}, {asked, {idle, given, in_use, closed}},
                                                                 {closed, {}}};
  for (const auto& [from, all] : ways) {
    for (const auto to : {opening, idle, given, in_use, asked, closed}) {
      CAPTURE(to_string(from));
      CAPTURE(to_string(to));
      CHECK(may_become(from, to) == (std::ranges::find(all, to) != all.end()));
    }
  }
}

TEST_CASE("pool: who finds nothing open waits for a login, which is handed over") {
  world w;
  auto& shop = w.add();
  CHECK(shop.acquire_idle(nullptr) == nullptr);
  CHECK(shop.must_queue());
  client first(shop);
  CHECK(shop.wanted().count == 1);
  w.lend();
  CHECK(shop.opening() == 1);
  CHECK(shop.wanted().count == 0);  // one is on its way
  w.run();
  CHECK(first.told);
  REQUIRE(first.place.settled());
  CHECK(shop.active() == 0);  // not fetched yet
  CHECK(shop.total() == 1);
  auto got = first.place.leave(false);
  REQUIRE(got.server);
  CHECK(got.server->status() == server_status::in_use);
  CHECK(got.server->home == &shop);
  CHECK(w.keeper().steps == std::vector<std::string>{"open", "hold"});
  shop.release(std::move(got.server));
  CHECK(shop.idle() == 1);
  CHECK(w.keeper().steps.back() == "watch");
  w.run();
  auto again = shop.acquire_idle(nullptr);
  REQUIRE(again);
  CHECK(w.counted.servers_opened == 1);
  shop.release(std::move(again));
}

TEST_CASE("pool: the limit holds, and who came first is served first, nobody before the queue") {
  world w(2);
  auto& shop = w.add();
  auto one = w.get(shop), two = w.get(shop);
  client third(shop), fourth(shop);
  w.run();
  CHECK_FALSE(third.told);
  CHECK(w.keeper().opening == 0);
  CHECK(shop.waiting() == 2);
  shop.release(std::move(one));
  CHECK(shop.acquire_idle(nullptr) == nullptr);
  CHECK(shop.must_queue());
  w.run();
  CHECK(third.told);
  CHECK_FALSE(fourth.told);
  shop.release(std::move(two));
  w.run();
  CHECK(fourth.told);
  shop.release(third.place.leave(false).server);
  shop.release(fourth.place.leave(false).server);
  CHECK(shop.idle() == 2);
  client fifth(shop);
  CHECK(shop.acquire_idle(nullptr) == nullptr);  // also when one is idle
  CHECK(w.counted.servers_opened == 2);
}

TEST_CASE("pool: who waits too long is told so, who is cancelled too") {
  world w(1);
  auto limits = usual();
  limits.wait = 20ms;
  auto& shop = w.add(limits);
  auto held = w.get(shop);
  const auto late = w.acquire(shop);
  CHECK_FALSE(late.server);
  CHECK(late.failed.sqlstate == sqlstate::too_many_connections);
  CHECK(late.failed.detail.starts_with("Of 2 connections of user app 1 are busy and 0 are being opened"));
  CHECK(w.counted.pool_timeouts == 1);
  client gone(shop);
  CHECK(gone.place.leave(true).failed.sqlstate == sqlstate::query_canceled);
  CHECK(shop.waiting() == 0);
  CHECK(w.counted.pool_timeouts == 1);
  shop.release(std::move(held));
  CHECK(shop.idle() == 1);  // nobody waits any more
}

TEST_CASE("pool: a login that fails is told to who waits, in the shard's own words") {
  world w;
  auto& shop = w.add();
  w.keeper().fail_always = "open";
  SUBCASE("it says no") {
    client one(shop), two(shop);
    w.run();
    CHECK(one.place.leave(false).failed.message == "the shard's own words");
    CHECK(two.place.leave(false).failed.message == "the shard's own words");
    CHECK(w.keeper().told.empty());
    CHECK(w.counted.servers_failed == 2);
    CHECK(shop.wanted().count == 0);  // for a moment nobody tries
    CHECK(shop.unused());
  }
  SUBCASE("nobody can log in") {
    w.keeper().fails_unreachable = true;
    client one(shop);
    w.run();
    CHECK(w.keeper().told == std::vector<std::string>{"unreachable: the shard's own words"});
  }
  SUBCASE("not while others of the pool work: who waits may have theirs") {
    w.keeper().fail_always.clear();
    auto working = w.get(shop);
    shop.release(std::move(working));
    working = shop.acquire_idle(nullptr);
    w.keeper().fail_always = "open";
    client waits(shop);
    w.run();
    CHECK_FALSE(waits.told);
    shop.release(std::move(working));
    w.run();
    CHECK(waits.place.leave(false).server->status() == server_status::in_use);
    shop.close_idle();
    return;
  }
  w.run();
  CHECK(w.ledger.lent() == 0);
}

TEST_CASE("pool: a shard that is down fails fast, and its clients are served again when it is back") {
  world w;
  auto& shop = w.add();
  w.shard.set_down(make_error("08006", "down"));
  const auto refused = w.acquire(shop);
  CHECK(refused.failed.message == "down");
  CHECK(w.counted.shard_refusals == 1);
  CHECK(w.keeper().steps.empty());
  w.shard.set_down(std::nullopt);
  shop.shard_changed();
  auto got = w.get(shop);
  client waits(shop), too(shop);
  w.shard.set_down(make_error("08006", "down again"));
  got->unusable = true;
  shop.release(std::move(got));  // nothing is open any more
  shop.shard_changed();
  w.run();
  CHECK(waits.place.settled());
  CHECK(shop.waiting() == 0);
}

TEST_CASE("pool: what is too old, or was not reset, is closed, and its permit serves the next") {
  world w(1);
  auto& shop = w.add();
  auto server = w.get(shop);
  const auto serial = server->serial;
  client next(shop);
  SUBCASE("too old") { server->opened -= 2h; }
  SUBCASE("not reset") { server->unusable = true; }
  SUBCASE("made before RECONNECT") {
    shop.reconnect();
    CHECK(w.keeper().told == std::vector<std::string>{"anew"});
  }
  shop.release(std::move(server));
  w.run();
  REQUIRE(next.told);
  server = next.place.leave(false).server;
  REQUIRE(server);
  CHECK(server->serial != serial);
  CHECK(shop.total() == 1);
  shop.release(std::move(server));
}

TEST_CASE("pool: a tick closes what is too old or idle for too long, and keeps the least") {
  world w(3);
  auto limits = usual();
  limits.least = 1;
  limits.lifetime = 5h;
  auto& shop = w.add(limits);
  auto one = w.get(shop), two = w.get(shop), three = w.get(shop);
  one->opened -= 6h;
  shop.release(std::move(one));  // closed at once
  shop.release(std::move(two));
  shop.release(std::move(three));
  CHECK(shop.idle() == 2);
  shop.tick(clock::now() + 30min);
  CHECK(shop.idle() == 2);
  shop.tick(clock::now() + 2h);
  CHECK(shop.idle() == 1);
  w.run();
  shop.tick(clock::now() + 6h);
  w.desk.refresh();
  w.run();
  CHECK(shop.idle() == 1);  // too old, and opened again
  CHECK(w.counted.servers_opened == 4);
}

TEST_CASE("pool: what closes while it is idle, or on its way to a client, harms nobody") {
  world w(2);
  auto& shop = w.add();
  auto one = w.get(shop), two = w.get(shop);
  auto* first = one.get();
  shop.release(std::move(one));
  SUBCASE("while idle") {
    shop.idle_server_spoke(*first);
    CHECK(shop.idle() == 0);
    CHECK(shop.total() == 1);
  }
  SUBCASE("found when it is to be given out") {
    w.keeper().fail_at = static_cast<int>(w.keeper().steps.size()) + 1;
    CHECK(shop.acquire_idle(nullptr) == nullptr);
    CHECK(w.keeper().steps.back() == "quiet");
    CHECK(shop.total() == 1);
  }
  SUBCASE("found when it comes back") {
    w.keeper().fail_always = "watch";
    shop.release(std::move(two));
    CHECK(shop.idle() == 1);
    CHECK(shop.total() == 1);
    w.keeper().fail_always.clear();
  }
  SUBCASE("found when it comes back to one who waits") {
    auto held = shop.acquire_idle(nullptr);
    client waits(shop);
    w.keeper().fail_at = static_cast<int>(w.keeper().steps.size()) + 1;
    shop.release(std::move(held));
    w.run();
    CHECK(waits.told);  // by a new connection
    CHECK(w.counted.servers_opened == 3);
    shop.release(waits.place.leave(false).server);
  }
  if (two) shop.discard(std::move(two));
  w.run();
}

TEST_CASE("pool: who leaves after a connection was given to him gives it up, and the next is served") {
  world w(1);
  auto& shop = w.add();
  auto held = w.get(shop);
  auto leaves = std::make_unique<client>(shop);
  client next(shop);
  shop.release(std::move(held));
  CHECK(leaves->place.settled());
  leaves.reset();
  w.run();
  CHECK(next.told);
  CHECK(shop.total() == 1);
  shop.release(next.place.leave(false).server);
}

TEST_CASE("pool: an idle one is asked first when it has been idle for long, or it is time for a look") {
  world w(2);
  auto limits = usual();
  limits.check_after = 30s;
  auto& shop = w.add(limits);
  shop.release(w.get(shop));
  auto& keeper = w.keeper();
  keeper.steps.clear();
  SUBCASE("idle for long") {
    shop.open_servers().front()->idle_since -= 1min;
    CHECK(shop.acquire_idle(nullptr) == nullptr);
    shop.release(w.get(shop));
    CHECK(keeper.steps == std::vector<std::string>{"quiet", "answers ;", "watch"});
    CHECK(w.counted.servers_checked == 1);
  }
  SUBCASE("and does not answer") {
    shop.open_servers().front()->idle_since -= 1min;
    keeper.fail_always = "answers ;";
    shop.release(w.get(shop));
    CHECK(keeper.steps == std::vector<std::string>{"quiet", "answers ;", "open", "hold", "watch"});
    CHECK(shop.total() == 1);
  }
  SUBCASE("time for a look, on its way out and on its way back") {
    keeper.looks = true;
    CHECK(shop.acquire_idle(nullptr) == nullptr);
    auto got = w.get(shop);
    CHECK(keeper.steps == std::vector<std::string>{"quiet", "starts as now"});
    shop.release(std::move(got));
    CHECK(shop.idle() == 0);
    w.run();
    CHECK(shop.idle() == 1);
    CHECK(keeper.steps.back() == "watch");
  }
  SUBCASE("and its sessions start otherwise") {
    keeper.looks = true;
    auto got = w.get(shop);
    keeper.fail_always = "starts as now";
    shop.release(std::move(got));
    w.run();
    CHECK(shop.total() == 0);
  }
}

TEST_CASE("pool: the idle one that has the wanted settings goes out, else the last or the first in turn") {
  const auto german = make_settings({{"lc_messages", "de_DE"}});
  for (const bool last_used_first : {true, false}) {
    world w(3);
    auto limits = usual();
    limits.last_used_first = last_used_first;
    auto& shop = w.add(limits);
    std::array<server_ptr, 3> all{w.get(shop), w.get(shop), w.get(shop)};
    std::array<server_connection*, 3> known{all[0].get(), all[1].get(), all[2].get()};
    all[1]->applied = german;
    for (auto& one : all) shop.release(std::move(one));
    auto fits = shop.acquire_idle(german);
    CHECK(fits.get() == known[1]);
    auto plain = shop.acquire_idle(nullptr);
    CHECK(plain.get() == known[last_used_first ? 2 : 0]);
    shop.release(std::move(plain));
    shop.release(std::move(fits));
  }
}

TEST_CASE("pool: paused, it gives nothing out and closes what comes back; resumed, who waits is served") {
  world w(1);
  auto& shop = w.add();
  auto held = w.get(shop);
  shop.set_paused(true);
  client waits(shop);
  shop.release(std::move(held));
  w.run();
  CHECK(shop.total() == 0);
  CHECK_FALSE(waits.told);
  shop.set_paused(false);
  w.run();
  CHECK(waits.told);
  shop.release(waits.place.leave(false).server);
}

TEST_CASE("pool: two pools of a user share his permits; whoever waits there much longer is served before") {
  world w(1);
  auto& one = w.add();
  auto& two = w.add();
  auto held = w.get(one);
  client there(two);
  std::this_thread::sleep_for(permit_ledger::patience + 20ms);
  client here(one);
  one.release(std::move(held));
  w.run();
  CHECK(there.told);
  CHECK_FALSE(here.told);
  CHECK(one.total() == 0);
  two.release(there.place.leave(false).server);
  w.run();
  w.desk.refresh();
  w.run();
  CHECK(here.told);  // the other has nobody: its permit comes back
  one.release(here.place.leave(false).server);
}

TEST_CASE("pool: warm() opens as many as there shall be, and ends when one fails") {
  world w(3);
  auto limits = usual();
  limits.size = 3;
  auto& shop = w.add(limits);
  bool over = false;
  SUBCASE("all succeed") {}
  SUBCASE("one fails") { w.keeper().fail_always = "open"; }
  boost::asio::co_spawn(w.io, shop.warm(5, clock::now() + 5s), [&](std::exception_ptr) { over = true; });
  w.run();
  CHECK(over);
  CHECK(shop.idle() == (w.keeper().fail_always.empty() ? 3 : 0));
}

// A client is served, another waits for it; idle for long, the connection is asked and looked at; it ages and is closed. Whatever step fails,
// everybody is served or told, and in the end every permit is back.
TEST_CASE("pool: each step fails in turn, and nobody waits for ever") {
  std::size_t steps = 0;
  for (int fail_at = 0; fail_at == 0 || fail_at <= static_cast<int>(steps); ++fail_at) {
    CAPTURE(fail_at);
    world w(1);
    auto limits = usual();
    limits.check_after = 30s;
    auto& shop = w.add(limits);
    auto& keeper = w.keeper();
    keeper.fail_at = fail_at;
    int served = 0, told = 0;
    const auto use = [&](bool again) {
      auto got = w.acquire(shop);
      if (!got.server) ++told, shop.shard_changed();  // it answers again
      if (!got.server && again) got = w.acquire(shop);
      if (got.server) ++served;
      return std::move(got.server);
    };
    auto server = use(true);
    REQUIRE(server);
    client waits(shop);
    shop.release(std::move(server));
    w.run();
    REQUIRE(waits.told);
    auto outcome = waits.place.leave(false);
    if (outcome.server) ++served, shop.release(std::move(outcome.server));
    else ++told;
    shop.shard_changed();
    for (auto* one : shop.open_servers()) one->idle_since -= 1min;
    keeper.looks = true;
    server = use(true);
    REQUIRE(server);
    shop.release(std::move(server));
    w.run();
    keeper.looks = false;
    server = use(true);
    REQUIRE(server);
    server->opened -= 2h;
    shop.release(std::move(server));
    w.run();
    CHECK(served + told >= 4);
    CHECK(told <= (fail_at == 0 ? 0 : 1));
    CHECK(shop.unused());
    CHECK(w.ledger.lent() == 0);
    if (fail_at == 0) steps = keeper.steps.size() + 2;  // a failure makes some more
  }
  CHECK(steps > 8);
}

TEST_CASE("pool: one that may end itself while a statement is on its way is not given out") {
  world w(2);
  auto& shop = w.add(usual());
  shop.note_timeouts({10s, {}, {}});
  shop.release(w.get(shop));
  shop.open_servers().front()->idle_since -= 4s;
  auto kept = shop.acquire_idle(nullptr);
  CHECK(kept != nullptr);
  shop.release(std::move(kept));
  shop.open_servers().front()->idle_since -= 6s;
  CHECK(shop.acquire_idle(nullptr) == nullptr);
  CHECK(shop.total() == 0);
}

TEST_CASE("pool: who has come for open connections is asked for now and then, and while refused each time") {
  world w;
  auto& shop = w.add();
  auto& keeper = w.keeper();
  wakeup wake(w.io);
  std::string told;
  const auto ask = [&](std::chrono::milliseconds recheck) {
    const auto before = keeper.steps.size();
    boost::asio::co_spawn(w.io, shop.refuses_login(recheck, wake), [&](const std::exception_ptr&, const std::optional<protocol::notice>& why) { told += why ? "refused " : "let in "; });
    w.run();
    told += keeper.steps.size() == before ? "unasked; " : "asked; ";
  };
  client waits(shop);
  w.run();
  auto server = waits.place.leave(false).server;
  REQUIRE(server);
  ask(30s);  // the login of its connection counts
  ask(0ms);
  ask(30s);
  shop.doubt_login();
  ask(30s);
  ask(30s);
  keeper.fail_always = "login";
  shop.doubt_login();
  ask(30s);
  ask(30s);
  keeper.fail_always = "";
  ask(30s);
  ask(30s);
  shop.set_paused(true);
  shop.doubt_login();
  ask(30s);
  CHECK(told == "let in unasked; let in asked; let in unasked; let in asked; let in unasked; refused asked; refused asked; let in asked; let in unasked; let in unasked; ");
  shop.release(std::move(server));
}

}  // namespace proxy
