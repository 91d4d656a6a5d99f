#include "proxy/serve/listener.h"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "proxy/config/log.h"

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

int option(int handle, int level, int name) {
  int value = 0;
  socklen_t size = sizeof(value);
  REQUIRE(getsockopt(handle, level, name, &value, &size) == 0);
  return value;
}

tcp::endpoint endpoint_of(const std::string& address) {
  return {asio::ip::make_address("127.0.0.1"), static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)))};
}

const proxy::endpoint any_port{"127.0.0.1", 0};

// Connects, and gives what the listener makes of it.
struct accepted {
  accepted(asio::io_context& io, proxy::listener& listener, const int& taken) : client(io) {
    const int before = taken;
    client.connect(endpoint_of(listener.address()));
    while (taken == before) io.run_one();
  }
  tcp::socket client;
};

}  // namespace

TEST_CASE("listener: accepted sockets are non-blocking and inherit the options") {
  asio::io_context io(1);
  int taken = -1;
  proxy::tcp_options options;
  options.keepalive_idle = std::chrono::milliseconds(7'000);
  options.keepalive_interval = std::chrono::milliseconds(2'000);
  options.keepalive_count = 5;
  options.user_timeout = std::chrono::milliseconds(12'345);
  proxy::listener listener(io, any_port, options, [&](int handle) { taken = handle; });
  CHECK(listener.address().starts_with("127.0.0.1:"));
  const accepted first(io, listener, taken);
  CHECK((fcntl(taken, F_GETFL) & O_NONBLOCK) != 0);
  CHECK((fcntl(taken, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(option(taken, IPPROTO_TCP, TCP_NODELAY) == 1);
  CHECK(option(taken, IPPROTO_TCP, TCP_INQ) == 1);
  CHECK(option(taken, SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(option(taken, IPPROTO_TCP, TCP_KEEPIDLE) == 7);
  CHECK(option(taken, IPPROTO_TCP, TCP_KEEPINTVL) == 2);
  CHECK(option(taken, IPPROTO_TCP, TCP_KEEPCNT) == 5);
  CHECK(option(taken, IPPROTO_TCP, TCP_USER_TIMEOUT) == 12'345);
  close(taken);

  options.user_timeout = std::chrono::milliseconds(0);
  options.keepalive_idle = std::chrono::milliseconds(0);
  listener.set_options(options);
  const accepted second(io, listener, taken);
  CHECK(option(taken, IPPROTO_TCP, TCP_NODELAY) == 1);
  CHECK(option(taken, SOL_SOCKET, SO_KEEPALIVE) == 0);
  CHECK(option(taken, IPPROTO_TCP, TCP_USER_TIMEOUT) == 0);
  close(taken);
}

TEST_CASE("listener: more clients at once than it takes in a row all get in") {
  asio::io_context io(1);
  std::vector<int> taken;
  proxy::listener listener(io, any_port, {}, [&](int handle) { taken.push_back(handle); });
  std::vector<tcp::socket> clients;
  for (int i = 0; i < 150; ++i) {
    clients.emplace_back(io);
    clients.back().connect(endpoint_of(listener.address()));
  }
  while (taken.size() < clients.size()) io.run_one();
  for (const int handle : taken) close(handle);
}

TEST_CASE("listener: without a file descriptor left clients wait, and get in when there is one") {
  asio::io_context io(1);
  int taken = -1;
  proxy::listener listener(io, any_port, {}, [&](int handle) { taken = handle; });
  io.poll();
  tcp::socket client(io);
  client.connect(endpoint_of(listener.address()));
  proxy::log_warning("listener: {} before: UBSan needs a file descriptor to look at an object of a kind that it has not seen", "said");
  rlimit before{}, none{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  none = before;
  none.rlim_cur = static_cast<rlim_t>(client.native_handle());  // the highest that is open
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto turns = io.run_for(std::chrono::milliseconds(150));
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(taken == -1);
  CHECK(turns < 10);  // it does not spin
  while (taken < 0) io.run_one();
  close(taken);
}

TEST_CASE("listener: accepts on the thread that runs the io_context, while it is made and stopped from another") {
  asio::io_context io(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO);
  auto work = asio::make_work_guard(io);
  std::thread runs([&] { io.run(); });
  std::promise<std::thread::id> took;
  {
    proxy::listener listener(io, any_port, {}, [&](int handle) {
      close(handle);
      took.set_value(std::this_thread::get_id());
    });
    asio::io_context here;
    tcp::socket client(here);
    client.connect(endpoint_of(listener.address()));
    CHECK(took.get_future().get() == runs.get_id());
  }
  work.reset();
  runs.join();
}

TEST_CASE("listener: after stop() nobody gets in") {
  asio::io_context io(1);
  proxy::listener listener(io, any_port, {}, [](int handle) { close(handle); });
  const auto where = endpoint_of(listener.address());
  SUBCASE("at once") {}
  SUBCASE("once it has accepted") { io.poll(); }
  listener.stop();
  tcp::socket late(io);
  boost::system::error_code refused;
  late.connect(where, refused);
  CHECK(refused == asio::error::connection_refused);
  io.run();  // nothing of it is left to wait for
}

TEST_CASE("listener: a taken port is an error at once") {
  asio::io_context io(1);
  proxy::listener first(io, any_port, {}, [](int handle) { close(handle); });
  const auto port = endpoint_of(first.address()).port();
  const auto message = "127.0.0.1:" + std::to_string(port) + " cannot be listened on: Address already in use";
  CHECK_THROWS_WITH(proxy::listener(io, {"127.0.0.1", port}, {}, [](int handle) { close(handle); }), message.c_str());
}
