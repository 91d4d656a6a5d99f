#include "proxy/listener.h"

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

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

}  // namespace

TEST_CASE("listener: accepted sockets are handed over with TCP_NODELAY and keepalive") {
  asio::io_context io(1);
  std::vector<int> taken;
  proxy::listener listener(io, {"127.0.0.1", 0}, [&](int handle) { taken.push_back(handle); });
  CHECK(listener.address().starts_with("127.0.0.1:"));
  tcp::socket first(io), second(io);
  first.connect(endpoint_of(listener.address()));
  second.connect(endpoint_of(listener.address()));
  while (taken.size() < 2) io.run_one();
  for (const int handle : taken) {
    CHECK(option(handle, IPPROTO_TCP, TCP_NODELAY) != 0);
    CHECK(option(handle, SOL_SOCKET, SO_KEEPALIVE) != 0);
    close(handle);
  }
}

TEST_CASE("listener: after stop() nobody gets in") {
  asio::io_context io(1);
  proxy::listener listener(io, {"127.0.0.1", 0}, [](int handle) { close(handle); });
  const auto where = endpoint_of(listener.address());
  listener.stop();
  tcp::socket late(io);
  boost::system::error_code refused;
  late.connect(where, refused);
  CHECK(refused == asio::error::connection_refused);
}

TEST_CASE("listener: a taken port is an error at once") {
  asio::io_context io(1);
  proxy::listener first(io, {"127.0.0.1", 0}, [](int handle) { close(handle); });
  const auto port = endpoint_of(first.address()).port();
  const auto message = "127.0.0.1:" + std::to_string(port) + " cannot be listened on: Address already in use";
  CHECK_THROWS_WITH(proxy::listener(io, {"127.0.0.1", port}, [](int handle) { close(handle); }), message.c_str());
}
