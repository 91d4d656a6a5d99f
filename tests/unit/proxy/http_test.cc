#include "proxy/serve/http.h"

#include <thread>

#include <boost/asio/connect.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <doctest/doctest.h>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// A server on a thread of its own and a client that sends bytes as they are.
class fixture {
 public:
  fixture() : server_(io_, proxy::endpoint{"127.0.0.1", 0}, {[this] { return health; }, [] { return metrics(); }}) {
    thread_ = std::thread([this] { io_.run(); });
  }
  ~fixture() {
    asio::post(io_, [this] { server_.stop(); });
    thread_.join();
  }
  proxy::health health{true, "ok generation=7"};

  // Everything the server sends until it closes.
  std::string ask(const std::string& bytes) {
    tcp::socket socket(client_io_);
    socket.connect({asio::ip::make_address("127.0.0.1"), server_.port()});
    asio::write(socket, asio::buffer(bytes));
    std::string answer;
    boost::system::error_code ended;
    asio::read(socket, asio::dynamic_buffer(answer), ended);
    return answer;
  }

 private:
  static migration::task<std::string> metrics() { co_return "pgrotor_workers 2\n"; }
  asio::io_context io_{1}, client_io_;
  proxy::http_server server_;
  std::thread thread_;
};

std::string body_of(const std::string& answer) {
  const auto end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "(none)" : answer.substr(end + 4);
}

}  // namespace

TEST_CASE("http: /metrics and /healthz answer") {
  fixture server;
  const auto metrics = server.ask("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  CHECK(metrics.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(metrics.find("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n") != std::string::npos);
  CHECK(body_of(metrics) == "pgrotor_workers 2\n");
  const auto healthy = server.ask("GET /healthz?verbose=1 HTTP/1.0\r\n\r\n");
  CHECK(healthy.starts_with("HTTP/1.0 200 OK\r\n"));
  CHECK(body_of(healthy) == "ok generation=7\n");
}

TEST_CASE("http: an unhealthy proxy answers 503") {
  fixture server;
  server.health = {false, "draining"};
  const auto answer = server.ask("GET /healthz HTTP/1.0\r\n\r\n");
  CHECK(answer.starts_with("HTTP/1.0 503 "));
  CHECK(body_of(answer) == "draining\n");
}

TEST_CASE("http: what is not offered") {
  fixture server;
  CHECK(server.ask("GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 404 "));
  CHECK(server.ask("GET /metricsx HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 404 "));
  const auto post = server.ask("POST /metrics HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
  CHECK(post.starts_with("HTTP/1.0 405 "));
  CHECK(post.find("Allow: GET, HEAD\r\n") != std::string::npos);
}

TEST_CASE("http: HEAD has the headers and no body") {
  fixture server;
  const auto answer = server.ask("HEAD /metrics HTTP/1.0\r\n\r\n");
  CHECK(answer.starts_with("HTTP/1.0 200 OK\r\n"));
  CHECK(answer.find("Content-Length: 18\r\n") != std::string::npos);
  CHECK(body_of(answer).empty());
}

TEST_CASE("http: one connection serves several requests") {
  fixture server;
  const auto answers = server.ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const auto second = answers.find("HTTP/1.1 200 OK", 1);
  CHECK(second != std::string::npos);
  CHECK(answers.find("HTTP/1.1 200 OK", second + 1) == std::string::npos);
}

TEST_CASE("http: garbage and oversized requests end the connection and nothing else") {
  fixture server;
  CHECK(server.ask("\x16\x03\x01 no http at all\r\n\r\n").empty());
  CHECK(server.ask("GET /metrics HTTP/1.0\r\nX: " + std::string(20'000, 'a') + "\r\n\r\n").empty());
  CHECK(server.ask("GET /" + std::string(20'000, 'a') + " HTTP/1.0\r\n\r\n").empty());
  CHECK(server.ask("GET /healthz HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200 "));
}
