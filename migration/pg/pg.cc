#include "migration/pg/pg.h"

#include <charconv>
#include <thread>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "migration/pg/sslmode.h"
#include "routing/text/words.h"

namespace migration::pg {

namespace asio = boost::asio;
namespace {

constexpr auto as_tuple_awaitable = asio::as_tuple(asio::use_awaitable);

// What every session of pgrotor pins, so that text forms, names and quoting mean one thing everywhere.
constexpr const char* session_settings =
    "SET search_path = pg_catalog, pg_temp; SET standard_conforming_strings = on; SET client_min_messages = warning;"
    "SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET extra_float_digits = 3;"
    "SET bytea_output = 'hex'; SET synchronous_commit = on; SET default_transaction_isolation = 'read committed';"
    "SET default_transaction_read_only = off; SET default_transaction_deferrable = off; SET quote_all_identifiers = off;"
    "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0;"
    "SET row_security = off; SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout';"
    "SELECT set_config(name, 'origin', false) FROM pg_settings WHERE name = 'session_replication_role' AND setting <> 'origin'";

std::string trimmed(const char* text) {
  std::string out = text ? text : "";
  while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
  return out;
}

std::string field(const PGresult* result, int code) { return trimmed(PQresultErrorField(result, code)); }

}  // namespace

sql_error::sql_error(std::string where_in, std::string sqlstate_in, std::string message_in, std::string detail_in, std::string hint_in,
                     bool lost)
    : std::runtime_error(where_in + ": " + message_in + (sqlstate_in.empty() ? "" : " (" + sqlstate_in + ")") +
                         (detail_in.empty() ? "" : "; " + detail_in)),
      where(std::move(where_in)),
      sqlstate(std::move(sqlstate_in)),
      message(std::move(message_in)),
      detail(std::move(detail_in)),
      hint(std::move(hint_in)),
      connection_lost(lost) {}

std::int64_t result::integer(int row, int column) const {
  const auto text = get(row, column);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) throw std::invalid_argument("not an integer: '" + std::string(text) + "'");
  return value;
}

std::uint64_t result::affected() const noexcept {
  const std::string_view text = PQcmdTuples(raw_.get());
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

connection::connection(asio::any_io_executor executor, connect_options options)
    : options_(std::move(options)), socket_(executor), timer_(executor), self_(std::make_shared<connection*>(this)) {}

connection::~connection() {
  *self_ = nullptr;
  detach();
  if (conn_) PQfinish(conn_);
}

task<std::unique_ptr<connection>> connection::open(asio::any_io_executor executor, connect_options options) {
  std::unique_ptr<connection> made(new connection(executor, std::move(options)));
  co_await made->connect();
  co_await made->query(session_settings);
  if (!made->options_.greeting.empty()) co_await made->greet();
  co_return made;
}

// A server that is not what it should be is as good as none: whoever wanted it tries again later, as after a lost connection.
task<void> connection::greet() {
  try {
    co_await query(options_.greeting);
  } catch (const sql_error& error) {
    broken_ = true;
    detach();
    throw sql_error(error.where, error.sqlstate, error.message, error.detail, error.hint, true);
  }
}

task<void> connection::connect() {
  // In front of dbname: what the string itself says wins.
  const std::string sslmode(default_sslmode(options_.dsn));
  const char* keywords[] = {"sslmode", "dbname", "application_name", "client_encoding", "replication", nullptr};
  const char* values[] = {sslmode.c_str(), options_.dsn.c_str(), options_.application_name.c_str(), "UTF8",
                          options_.replication ? "database" : nullptr, nullptr};
  conn_ = PQconnectStartParams(keywords, values, 1);
  if (!conn_) throw std::bad_alloc();
  if (PQstatus(conn_) == CONNECTION_BAD) fail("connect");
  PQsetNoticeProcessor(conn_, [](void*, const char*) {}, nullptr);
  start_deadline({});
  auto poll = PGRES_POLLING_WRITING;
  while (poll != PGRES_POLLING_OK) {
    attach();
    if (poll == PGRES_POLLING_READING) co_await wait_readable();
    if (poll == PGRES_POLLING_WRITING) co_await wait_writable();
    poll = PQconnectPoll(conn_);
    if (poll == PGRES_POLLING_FAILED) fail("connect");
  }
  attach();
  if (PQsetnonblocking(conn_, 1) != 0) fail("connect");
}

void connection::attach() {
  detach();  // even when the number is the same: libpq may have closed it and got it again for the next host
  socket_.assign(PQsocket(conn_));
}

// Also at once when the connection breaks: libpq has closed the socket then, its number may be that of the next connection in a
// moment, and releasing it later would take that one out of epoll's set, so that it never hears from its server.
void connection::detach() noexcept {
  if (socket_.is_open()) socket_.release();  // libpq closes it
}

void connection::interrupt() noexcept {
  interrupted_ = true;
  cancel();
}

void connection::start_deadline(milliseconds timeout) {
  if (interrupted_) throw interrupted(options_.where + ": called off");
  if (broken_) throw sql_error(options_.where, "08003", "the connection is broken", "", "", true);
  deadline_ = clock::now() + (timeout.count() > 0 ? timeout : options_.timeout);
  arm_timer(deadline_);
}

// Wakes whoever waits for the socket at `at`; the waiter looks at the clock itself.
void connection::arm_timer(clock::time_point at) {
  timer_.expires_at(at);
  timer_.async_wait([self = self_](const boost::system::error_code& error) {
    if (!error && *self && (*self)->socket_.is_open() && (*self)->timer_.expiry() <= clock::now()) (*self)->socket_.cancel();
  });
}

task<void> connection::wait_readable() {
  if (clock::now() < deadline_) co_await socket_.async_wait(asio::posix::stream_descriptor::wait_read, as_tuple_awaitable);
  if (clock::now() >= deadline_) {
    broken_ = true;
    throw sql_error(options_.where, "57014", "no answer within the time allowed", "", "", true);
  }
}

task<void> connection::wait_writable() {
  socket_.async_wait(asio::posix::stream_descriptor::wait_read, [self = self_](const boost::system::error_code& error) {
    if (!error && *self && (*self)->socket_.is_open()) (*self)->socket_.cancel();
  });
  if (clock::now() < deadline_) co_await socket_.async_wait(asio::posix::stream_descriptor::wait_write, as_tuple_awaitable);
  socket_.cancel();
  if (clock::now() >= deadline_) {
    broken_ = true;
    throw sql_error(options_.where, "57014", "nothing could be sent within the time allowed", "", "", true);
  }
}

task<bool> connection::wait_readable_until(clock::time_point until) {
  if (clock::now() >= until) co_return false;
  arm_timer(until);
  const auto [error] = co_await socket_.async_wait(asio::posix::stream_descriptor::wait_read, as_tuple_awaitable);
  co_return !error;
}

task<void> connection::drain_output() {
  for (;;) {
    const int left = PQflush(conn_);
    if (left < 0) fail("send");
    if (left == 0) co_return;
    co_await wait_writable();
    if (PQconsumeInput(conn_) == 0) fail("receive");
  }
}

task<result> connection::next_result() {
  while (PQisBusy(conn_)) {
    co_await wait_readable();
    if (PQconsumeInput(conn_) == 0) fail("receive");
  }
  co_return result(PQgetResult(conn_));
}

task<result> connection::last_result() {
  co_await drain_output();
  result last, error;
  for (;;) {
    auto next = co_await next_result();
    if (!next.raw()) break;
    const auto status = next.status();
    if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
      if (!error.raw()) error = std::move(next);
    } else {
      last = std::move(next);
      if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) break;
    }
  }
  if (error.raw()) fail_result(error);
  co_return last;
}

task<result> connection::query(std::string sql, milliseconds timeout) {
  start_deadline(timeout);
  if (PQsendQuery(conn_, sql.c_str()) == 0) fail("send");
  co_return co_await last_result();
}

task<result> connection::exec(std::string sql, text_params params, milliseconds timeout) {
  start_deadline(timeout);
  std::vector<const char*> values;
  values.reserve(params.size());
  for (const auto& param : params) values.push_back(param ? param->c_str() : nullptr);
  if (PQsendQueryParams(conn_, sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(), nullptr, nullptr, 0) == 0) fail("send");
  co_return co_await last_result();
}

task<std::uint64_t> connection::copy_out(std::string sql, std::function<void(std::string_view)> sink, milliseconds timeout,
                                         std::function<milliseconds()> pace) {
  const auto started = co_await query(std::move(sql), timeout);
  if (started.status() != PGRES_COPY_OUT) throw std::logic_error("copy_out: not a COPY TO STDOUT");
  asio::steady_timer rest(socket_.get_executor());
  for (;;) {
    char* bytes = nullptr;
    const int size = PQgetCopyData(conn_, &bytes, 1);
    if (size > 0) {
      const std::unique_ptr<char, void (*)(void*)> owner(bytes, PQfreemem);
      sink({bytes, static_cast<std::size_t>(size)});
      for (auto wait = pace ? pace() : milliseconds(0); wait.count() > 0; wait = pace()) {
        rest.expires_after(wait);
        co_await rest.async_wait(asio::use_awaitable);
      }
    } else if (size == 0) {
      co_await wait_readable();
      if (PQconsumeInput(conn_) == 0) fail("receive");
    } else {
      break;  // the end, or an error that last_result() reports
    }
  }
  const auto done = co_await last_result();
  co_return done.affected();
}

task<std::uint64_t> connection::copy_in(std::string sql, std::span<const std::string_view> pieces, milliseconds timeout) {
  const auto started = co_await query(std::move(sql), timeout);
  if (started.status() != PGRES_COPY_IN) throw std::logic_error("copy_in: not a COPY FROM STDIN");
  constexpr std::size_t slice = 256 * 1024;
  for (auto piece : pieces) {
    while (!piece.empty()) {
      const auto part = piece.substr(0, slice);
      const int queued = PQputCopyData(conn_, part.data(), static_cast<int>(part.size()));
      if (queued < 0) fail("send");
      if (queued == 0) {
        co_await drain_output();
        continue;
      }
      piece.remove_prefix(part.size());
      co_await drain_output();
    }
  }
  while (PQputCopyEnd(conn_, nullptr) == 0) co_await drain_output();
  const auto done = co_await last_result();
  co_return done.affected();
}

task<void> connection::start_replication(std::string sql) {
  const auto started = co_await query(std::move(sql));
  if (started.status() != PGRES_COPY_BOTH) throw std::logic_error("start_replication: the server did not enter streaming");
}

std::optional<std::string> connection::try_receive() {
  char* bytes = nullptr;
  const int size = PQgetCopyData(conn_, &bytes, 1);
  if (size > 0) {
    const std::unique_ptr<char, void (*)(void*)> owner(bytes, PQfreemem);
    return std::string(bytes, static_cast<std::size_t>(size));
  }
  if (size == 0) return std::nullopt;
  result last(PQgetResult(conn_));
  if (last.raw() && last.status() == PGRES_FATAL_ERROR) fail_result(last);
  broken_ = true;
  detach();
  throw sql_error(options_.where, "08006", "the replication stream ended: " + trimmed(PQerrorMessage(conn_)), "", "", true);
}

task<std::optional<std::string>> connection::receive(clock::time_point until) {
  for (;;) {
    if (auto data = try_receive()) co_return data;
    const bool readable = co_await wait_readable_until(until);
    if (!readable && clock::now() >= until) co_return std::nullopt;
    if (PQconsumeInput(conn_) == 0) fail("receive");
  }
}

task<void> connection::send(std::string copy_data) {
  start_deadline({});
  while (true) {
    const int queued = PQputCopyData(conn_, copy_data.data(), static_cast<int>(copy_data.size()));
    if (queued < 0) fail("send");
    if (queued > 0) break;
    co_await drain_output();
  }
  co_await drain_output();
}

void connection::pipeline_begin() {
  if (PQenterPipelineMode(conn_) == 0) fail("enter pipeline mode");
}
void connection::pipeline_end() {
  if (PQexitPipelineMode(conn_) == 0) fail("leave pipeline mode");
}
void connection::queue_query(const std::string& sql) {
  if (PQsendQueryParams(conn_, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 0) fail("send");
}
void connection::queue_prepare(const std::string& name, const std::string& sql) {
  if (PQsendPrepare(conn_, name.c_str(), sql.c_str(), 0, nullptr) == 0) fail("send");
}
void connection::queue_execute(const std::string& name, std::span<const binary_param> params) {
  std::vector<const char*> values;
  std::vector<int> lengths, formats;
  for (const auto& param : params) {
    values.push_back(param.value ? (param.value->empty() ? "" : param.value->data()) : nullptr);
    lengths.push_back(param.value ? static_cast<int>(param.value->size()) : 0);
    formats.push_back(param.binary ? 1 : 0);
  }
  const int count = static_cast<int>(values.size());
  if (PQsendQueryPrepared(conn_, name.c_str(), count, values.data(), lengths.data(), formats.data(), 0) == 0) fail("send");
}
void connection::queue_sync() {
  if (PQpipelineSync(conn_) == 0) fail("send");
}

task<void> connection::flush() {
  start_deadline({});
  co_await drain_output();
}

task<void> connection::collect(std::function<void(std::size_t, const result&)> each, milliseconds timeout) {
  start_deadline(timeout);
  co_await drain_output();
  result error;
  for (std::size_t index = 0;;) {
    auto next = co_await next_result();
    if (!next.raw()) {  // a statement's end; two in a row cannot be, since a sync follows
      ++index;
      continue;
    }
    const auto status = next.status();
    if (status == PGRES_PIPELINE_SYNC) break;
    if (status == PGRES_FATAL_ERROR && !error.raw()) {
      error = std::move(next);
    } else if (!error.raw() && each) {
      each(index, next);
    }
  }
  if (error.raw()) fail_result(error);
}

void connection::cancel() noexcept {
  PGcancel* request = PQgetCancel(conn_);
  if (!request) return;
  try {  // PQcancel blocks while it connects
    std::thread([request] {
      char message[256];
      PQcancel(request, message, sizeof message);
      PQfreeCancel(request);
    }).detach();
  } catch (const std::system_error&) {
    PQfreeCancel(request);
  }
}

std::string connection::quote_literal(std::string_view value) const { return pg::quote_literal(value); }

void connection::fail(std::string_view doing) {
  broken_ = true;
  detach();
  throw sql_error(options_.where, "08006", "cannot " + std::string(doing) + ": " + trimmed(PQerrorMessage(conn_)), "", "", true);
}

void connection::fail_result(const result& error) {
  const auto* raw = error.raw();
  // After a FATAL the server closes, whether libpq has seen that yet or not: the session was ended by an administrator, a time-out, a shutdown.
  const auto severity = field(raw, PG_DIAG_SEVERITY_NONLOCALIZED);
  const bool lost = PQstatus(conn_) == CONNECTION_BAD || severity == "FATAL" || severity == "PANIC";
  broken_ = broken_ || lost;
  if (lost) detach();
  auto message = field(raw, PG_DIAG_MESSAGE_PRIMARY);
  if (message.empty()) message = trimmed(PQresultErrorMessage(raw));
  auto state = field(raw, PG_DIAG_SQLSTATE);
  if (state.empty()) state = "08006";
  throw sql_error(options_.where, state, message, field(raw, PG_DIAG_MESSAGE_DETAIL), field(raw, PG_DIAG_MESSAGE_HINT), lost);
}

std::string quote_ident(std::string_view name) { return routing::quoted_name(name); }
std::string quote_ident(std::string_view schema, std::string_view name) { return quote_ident(schema) + "." + quote_ident(name); }
std::string quote_literal(std::string_view value) {
  std::string out = "'";
  for (const char c : value) out.append(c == '\'' ? 2 : 1, c);
  return out + "'";
}

}  // namespace migration::pg
