#include "proxy/serve/http.h"

#include <algorithm>
#include <chrono>
#include <list>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "proxy/config/log.h"
#include "proxy/net/bind.h"

namespace proxy {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

namespace {

constexpr std::size_t max_connections = 64;
constexpr std::uint32_t max_header_bytes = 8'192;
constexpr std::chrono::seconds request_time{10};  // from the first wait for a request to the last byte of its answer
constexpr auto as_tuple_awaitable = asio::as_tuple(asio::use_awaitable);

using request = http::request<http::empty_body>;
using response = http::response<http::string_body>;

struct http_connection {
  explicit http_connection(tcp::socket taken) : socket(std::move(taken)), deadline(socket.get_executor()) {}
  void close() {
    boost::system::error_code ignored;
    socket.close(ignored);
    deadline.cancel();
  }
  tcp::socket socket;
  asio::steady_timer deadline;
  boost::beast::flat_buffer buffer{max_header_bytes * 2};
  bool is_asked = false;  // its request has come whole
};

response plain(const request& asked, http::status status, std::string body, std::string_view type = "text/plain; charset=utf-8") {
  response made(status, asked.version());
  made.set(http::field::server, "pgrotor");
  made.set(http::field::content_type, type);
  made.keep_alive(asked.keep_alive());
  made.body() = std::move(body);
  return made;
}

}  // namespace

struct http_server::impl : std::enable_shared_from_this<http_server::impl> {
  impl(asio::io_context& io, const endpoint& where, answers given) : acceptor(bind_endpoint(io, where)), say(std::move(given)), pause(io) {}

  migration::task<void> accept() {
    while (acceptor.is_open()) {
      auto [error, socket] = co_await acceptor.async_accept(as_tuple_awaitable);
      if (error == asio::error::operation_aborted) co_return;
      if (error) {  // no file descriptor left: try again later instead of spinning
        pause.expires_after(std::chrono::milliseconds(100));
        co_await pause.async_wait(as_tuple_awaitable);
        continue;
      }
      if (open.size() >= max_connections && !close_one()) continue;  // the socket closes
      auto connection = std::make_shared<http_connection>(std::move(socket));
      open.push_back(connection);
      auto serving = serve(shared_from_this(), connection);
      asio::co_spawn(acceptor.get_executor(), std::move(serving), [self = shared_from_this(), connection](std::exception_ptr) {
        connection->close();
        std::erase(self->open, connection);
      });
    }
  }

  // The oldest of those that have not asked anything yet: whoever does is answered, however many do not.
  bool close_one() {
    const auto oldest = std::ranges::find_if(open, [](const auto& one) { return one->socket.is_open() && !one->is_asked; });
    if (oldest == open.end()) return false;
    (*oldest)->close();
    return true;
  }

  static migration::task<void> serve(std::shared_ptr<impl> self, std::shared_ptr<http_connection> connection) {
    bool again = true;
    while (again) {
      connection->deadline.expires_after(request_time);
      connection->deadline.async_wait([weak = std::weak_ptr(connection)](boost::system::error_code error) {
        const auto late = weak.lock();
        if (!error && late) late->close();
      });
      connection->is_asked = false;
      again = co_await self->one_request(*connection);
    }
  }

  // False when the connection is to be closed. A request that is no HTTP, or longer than its bounds, is not answered.
  migration::task<bool> one_request(http_connection& connection) {
    http::request_parser<http::empty_body> parser;
    parser.header_limit(max_header_bytes);
    parser.body_limit(0);
    const auto [read_error, received] = co_await http::async_read(connection.socket, connection.buffer, parser, as_tuple_awaitable);
    if (read_error) co_return false;
    connection.is_asked = true;
    response made = co_await answer(parser.get());
    made.prepare_payload();
    http::response_serializer<http::string_body> serializer(made);
    if (parser.get().method() == http::verb::head) {
      serializer.split(true);
      const auto [write_error, sent] = co_await http::async_write_header(connection.socket, serializer, as_tuple_awaitable);
      co_return !write_error && !made.need_eof();
    }
    const auto [write_error, sent] = co_await http::async_write(connection.socket, serializer, as_tuple_awaitable);
    co_return !write_error && !made.need_eof();
  }

  migration::task<response> answer(const request& asked) {
    const auto target = std::string_view(asked.target().data(), asked.target().size());
    const auto path = target.substr(0, target.find('?'));
    if (path != "/metrics" && path != "/healthz") co_return plain(asked, http::status::not_found, "not found; there are /metrics and /healthz\n");
    if (asked.method() != http::verb::get && asked.method() != http::verb::head) {
      response refused = plain(asked, http::status::method_not_allowed, "only GET and HEAD\n");
      refused.set(http::field::allow, "GET, HEAD");
      co_return refused;
    }
    if (path == "/metrics") {
      std::string text = co_await say.metrics();
      co_return plain(asked, http::status::ok, std::move(text), "text/plain; version=0.0.4; charset=utf-8");
    }
    const health now = say.healthz();
    co_return plain(asked, now.ok ? http::status::ok : http::status::service_unavailable, now.text + "\n");
  }

  tcp::acceptor acceptor;
  answers say;
  asio::steady_timer pause;
  std::list<std::shared_ptr<http_connection>> open;  // in the order of their arrival
};

http_server::http_server(asio::io_context& io, const endpoint& where, answers say) : impl_(std::make_shared<impl>(io, where, std::move(say))) {
  auto accepting = impl_->accept();
  asio::co_spawn(io, std::move(accepting), [keep = impl_](std::exception_ptr failed) {
    if (failed) log_error("http: the listener ended by an unexpected error");
  });
}

http_server::~http_server() { stop(); }

std::uint16_t http_server::port() const { return impl_->acceptor.local_endpoint().port(); }

void http_server::stop() {
  boost::system::error_code ignored;
  impl_->acceptor.close(ignored);
  impl_->pause.cancel();
  for (const auto& connection : impl_->open) connection->close();
}

}  // namespace proxy
