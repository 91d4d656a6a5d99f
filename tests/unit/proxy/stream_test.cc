// Streams on real sockets: what an edge-triggered reader is told of bytes and of the reset right behind them; the sweep; and handlers that
// fail.
#include "proxy/net/stream.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

#include <boost/asio/post.hpp>
#include <doctest/doctest.h>

#include "loopback.h"
#include "proxy/net/receive.h"
#include "proxy/net/run_handlers.h"

namespace {

struct heard final : proxy::readiness_listener {
  int times = 0;
  void on_ready() override { ++times; }
};

// Two ends of a connection over loopback; `near` tells with each read what is left.
struct connection : far_end {
  int near = -1;
  connection() {
    const loopback_listener listening;
    REQUIRE(proxy::ask_for_rest(listening.native()));
    far = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::connect(far, listening.address(), listening.size()) == 0);
    near = listening.accept(SOCK_NONBLOCK);
  }
  void reset() {
    const linger at_once{1, 0};
    REQUIRE(::setsockopt(far, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    ::close(std::exchange(far, -1));
  }
};

// Reads until the stream has to be waited for, or has ended. What was read.
std::string drain(proxy::stream& from, bool& ended) {
  proxy::byte_queue in;
  while (from.readable() && !ended) ended = from.read(in).closed;
  return std::string(in.view());
}

// Watches as nobody should: takes every event for bytes alone.
struct careless final : proxy::watched_socket {
  using watched_socket::watched_socket;
  int told = 0;
  void on_event(side) override { ++told; }
};

}  // namespace

TEST_CASE("stream: a reset right behind bytes is found, however the two arrive") {
  for (const bool together : {true, false}) {
    CAPTURE(together);
    boost::asio::io_context io(1);
    connection pair;
    heard listener;
    bool ended = false;
    proxy::stream near(io, pair.near);
    near.listen(&listener);
    CHECK(drain(near, ended).empty());
    near.watch_read();
    io.poll();
    io.restart();
    CHECK_FALSE(near.has_ended());
    pair.say("last words");
    std::string got;
    if (!together) {
      io.poll();
      io.restart();
      got = drain(near, ended);
      CHECK_FALSE(ended);
      near.watch_read();
    }
    pair.reset();
    for (int turns = 0; !ended && turns < 3; ++turns) {
      io.poll();
      io.restart();
      got += drain(near, ended);
      if (!ended) near.watch_read();
    }
    CHECK(ended);
    CHECK(near.has_ended());
    CHECK(got == "last words");
    CHECK(listener.times == (together ? 1 : 2));
  }
}

TEST_CASE("socket_sweep: an end that no event told is told by the second look, once") {
  boost::asio::io_context io(1);
  auto& sweep = boost::asio::use_service<proxy::socket_sweep>(io);
  connection lost, idle;
  const boost::intrusive_ptr<careless> one(new careless(io)), other(new careless(io));
  one->open(lost.near);
  other->open(idle.near);
  for (const auto& each : {one, other}) each->watch(proxy::watched_socket::side::read);
  io.poll();
  io.restart();
  lost.say("x");
  lost.reset();
  io.poll();
  io.restart();
  REQUIRE(one->told == 1);
  char byte = 0;
  REQUIRE(::recv(one->native(), &byte, 1, 0) == 1);
  one->watch(proxy::watched_socket::side::read);
  REQUIRE(one->told == 1);
  const auto round = [&] {  // a visit for each of so few sockets
    std::size_t found = 0;
    for (int visits = 0; visits < 2; ++visits) found += sweep.visit();
    io.poll();
    io.restart();
    return found;
  };
  CHECK(round() == 0);
  CHECK(round() == 1);
  CHECK(one->told == 2);
  CHECK(other->told == 0);
  one->close();
  CHECK(round() + round() + round() == 0);
  other->close();
  CHECK(round() == 0);
}

TEST_CASE("run_handlers: a handler that throws ends nobody else's work") {
  boost::asio::io_context io(1);
  int done = 0;
  boost::asio::post(io, [] { throw std::runtime_error("on purpose"); });
  boost::asio::post(io, [&] { ++done; });
  boost::asio::post(io, [] { throw 1; });
  boost::asio::post(io, [&] { ++done; });
  proxy::run_handlers(io, "test");
  CHECK(done == 2);
}
