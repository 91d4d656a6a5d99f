#include "proxy/gate/gate_queue.h"

#include <doctest/doctest.h>

#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

using namespace std::chrono_literals;
using proxy::gate_book;
using proxy::gate_queue;
using outcome = proxy::gate_queue::outcome;

namespace {

constexpr std::uint64_t first = 7, second = 8;

migration::moving_set set_of(std::uint64_t id) {
  migration::moving_set set;
  set.id = id;
  set.distribution = routing::distribution_id{1};
  set.ranges.push_back({routing::placement{0}, routing::placement{100}});
  set.source = routing::shard_id{1};
  set.target = routing::shard_id{2};
  return set;
}

struct gates {
  gates() {
    for (const auto id : {first, second}) {
      book.add(set_of(id));
      book.close(id, 1);
    }
  }
  void let_run() {
    io.restart();
    io.poll();
  }
  boost::asio::io_context io{1};
  proxy::counters counted;
  gate_book book;
  gate_queue queue{book, counted};
};

// A statement of a session of its own.
struct statement {
  statement(gates& at, proxy::touch_bits bits, std::size_t most = 10, std::chrono::milliseconds otherwise = 1h) : wake(at.io) {
    boost::asio::co_spawn(at.io, run(at.queue, bits, most, otherwise), boost::asio::detached);
    at.let_run();
  }
  proxy::task<void> run(gate_queue& queue, proxy::touch_bits bits, std::size_t most, std::chrono::milliseconds otherwise) {
    const auto held = co_await queue.wait(bits, wake, cancelled, leaving, most, otherwise);
    how = held.how;
    budget = held.budget;
  }
  proxy::wakeup wake;
  bool cancelled = false, leaving = false;
  std::optional<outcome> how;
  std::chrono::milliseconds budget{};
};

}  // namespace

TEST_CASE("gate queue: who waits goes on when no gate holds it any more, and is counted for each set that held it") {
  gates at;
  at.queue.begin(first, 1h);
  at.queue.begin(second, 2h);
  statement one(at, at.book.bit_of(first)), both(at, at.book.bit_of(first) | at.book.bit_of(second));
  CHECK(at.counted.gate_held == 2);
  CHECK(at.counted.gate_waiting_now == 2);

  at.book.open(first);
  at.queue.release();
  at.let_run();
  CHECK(one.how == outcome::released);
  CHECK_FALSE(both.how.has_value());
  CHECK(at.queue.size() == 1);

  at.book.open(second);
  at.queue.release();
  at.let_run();
  CHECK(both.how == outcome::released);
  CHECK(at.counted.gate_waiting_now == 0);
  CHECK(at.counted.gate_expired == 0);
  CHECK(at.queue.end(first).held == 2);
  CHECK(at.queue.end(second).held == 1);
  CHECK(at.queue.end(second).held == 0);  // told once
}

TEST_CASE("gate queue: the budget is the shortest of the sets that hold a statement, and no later closing changes it") {
  gates at;
  at.queue.begin(first, 1ms);
  at.queue.begin(second, 1h);
  statement slow(at, at.book.bit_of(second)), none(at, 0, 10, 5h);
  statement quick(at, at.book.bit_of(first) | at.book.bit_of(second));
  CHECK_FALSE(quick.how.has_value());
  while (!quick.how) at.io.run_one();
  CHECK(quick.how == outcome::expired);
  CHECK(quick.budget == 1ms);
  CHECK(at.counted.gate_expired == 1);
  CHECK_FALSE(slow.how.has_value());
  slow.leaving = none.cancelled = true;
  slow.wake.notify();
  none.wake.notify();
  at.let_run();
  CHECK(slow.how == outcome::left);
  CHECK(slow.budget == 1h);
  CHECK(none.how == outcome::left);
  CHECK(none.budget == 5h);
  CHECK(at.counted.gate_expired == 1);
  CHECK(at.queue.size() == 0);
}

TEST_CASE("gate queue: one more than may wait is told so at once") {
  gates at;
  at.queue.begin(first, 1h);
  statement waits(at, at.book.bit_of(first), 1), refused(at, at.book.bit_of(first), 1);
  CHECK(refused.how == outcome::full);
  CHECK(at.counted.gate_refused_full == 1);
  CHECK(at.counted.gate_held == 1);
  at.queue.blame(first, 42);
  CHECK(at.queue.end(first).blocking_clients == std::vector<int>{42});
  at.queue.blame(first, 43);  // nobody asks any more, and no budget of 0 is left behind
  statement later(at, at.book.bit_of(first), 10, 5h);
  CHECK_FALSE(later.how.has_value());
  later.cancelled = true;
  later.wake.notify();
  at.let_run();
  CHECK(later.budget == 5h);
  waits.cancelled = true;
  waits.wake.notify();
  at.let_run();
  CHECK(waits.how == outcome::left);
}
