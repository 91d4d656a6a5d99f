// A libpq connection as an Asio coroutine resource: control statements, COPY, logical replication and pipelines. Client traffic
// never passes through here. One connection belongs to one executor (the coordinator's thread) and runs one operation at a time.
// Every operation has a deadline (I8); running into it breaks the connection. Errors are sql_error, thrown to the coroutine border.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <libpq-fe.h>

#include "migration/base/task.h"

namespace migration {

namespace pg {

// What a server or libpq answered. `where` names the connection ("shard s1"); connection_lost: the outcome of what was under way
// is unknown and the connection is gone.
class sql_error : public std::runtime_error {
 public:
  sql_error(std::string where, std::string sqlstate, std::string message, std::string detail, std::string hint, bool connection_lost);
  std::string where, sqlstate, message, detail, hint;
  bool connection_lost;
};

// Somebody called the work of this connection off (connection::interrupt).
class interrupted : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

class result {
 public:
  result() = default;
  explicit result(PGresult* raw) noexcept : raw_(raw, &PQclear) {}
  int rows() const noexcept { return PQntuples(raw_.get()); }
  int columns() const noexcept { return PQnfields(raw_.get()); }
  bool is_null(int row, int column) const noexcept { return PQgetisnull(raw_.get(), row, column) != 0; }
  std::string_view get(int row, int column) const noexcept {
    return {PQgetvalue(raw_.get(), row, column), static_cast<std::size_t>(PQgetlength(raw_.get(), row, column))};
  }
  std::string str(int row, int column) const { return std::string(get(row, column)); }
  std::int64_t integer(int row, int column) const;   // throws std::invalid_argument when it is none
  bool boolean(int row, int column) const noexcept { return get(row, column) == "t"; }
  std::uint64_t affected() const noexcept;           // rows of the command tag
  ExecStatusType status() const noexcept { return PQresultStatus(raw_.get()); }
  PGresult* raw() const noexcept { return raw_.get(); }

 private:
  std::unique_ptr<PGresult, void (*)(PGresult*)> raw_{nullptr, &PQclear};
};

using text_params = std::vector<std::optional<std::string>>;
struct binary_param {
  std::optional<std::string_view> value;
  bool binary = true;
};

struct connect_options {
  std::string dsn;                      // libpq keyword/value string or URI
  std::string where;                    // for messages: "shard s1", "catalog"
  std::string application_name = "pgrotor";
  bool replication = false;             // replication=database
  milliseconds timeout{10'000};         // of connecting, and the default of each operation
  std::string greeting;                 // what the server must accept before anything else runs on it; see identity.h
};

class connection {
 public:
  static task<std::unique_ptr<connection>> open(boost::asio::any_io_executor, connect_options);
  ~connection();
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  // Simple protocol, several statements allowed; the last result. `timeout` zero: the connection's default.
  task<result> query(std::string sql, milliseconds timeout = {});
  // Extended protocol with text parameters.
  task<result> exec(std::string sql, text_params params, milliseconds timeout = {});

  // COPY ... TO STDOUT: `sink` gets each CopyData as it arrives, and the next is not read before what `pace` answers has passed.
  // COPY ... FROM STDIN: `bytes` is all there is to send.
  task<std::uint64_t> copy_out(std::string sql, std::function<void(std::string_view)> sink, milliseconds timeout = {},
                               std::function<milliseconds()> pace = {});
  task<std::uint64_t> copy_in(std::string sql, std::span<const std::string_view> pieces, milliseconds timeout = {});

  // Logical replication (CopyBoth). receive() gives one CopyData, or nullopt when `until` passes first, which breaks nothing.
  task<void> start_replication(std::string sql);
  task<std::optional<std::string>> receive(clock::time_point until);
  // A CopyData that has already arrived; never waits.
  std::optional<std::string> try_receive();
  task<void> send(std::string copy_data);

  // Pipeline mode: queue statements, sync(), then take results in order. prepare() and execute() only queue.
  void pipeline_begin();
  void pipeline_end();
  void queue_query(const std::string& sql);  // extended protocol, no parameters
  void queue_prepare(const std::string& name, const std::string& sql);
  void queue_execute(const std::string& name, std::span<const binary_param> params);
  void queue_sync();
  // Results of everything queued up to and including the next sync; the first error is thrown after the sync has been read.
  // `each` gets the results in order, with their index.
  task<void> collect(std::function<void(std::size_t, const result&)> each, milliseconds timeout = {});
  // Sends what is queued without waiting for results.
  task<void> flush();

  // Asks the server to cancel what runs; safe from the same executor while an operation waits.
  void cancel() noexcept;
  // The same, and every later operation throws `interrupted`: whoever works with the connection stops soon, wherever it stands. The
  // connection is of no use afterwards.
  void interrupt() noexcept;
  bool broken() const noexcept { return broken_; }
  int backend_pid() const noexcept { return PQbackendPID(conn_); }
  std::string_view database() const noexcept { return PQdb(conn_); }
  int server_version() const noexcept { return PQserverVersion(conn_); }
  const std::string& where() const noexcept { return options_.where; }
  PGconn* native() noexcept { return conn_; }
  std::string quote_literal(std::string_view value) const;
  // The error for a libpq call that failed without a result.
  [[noreturn]] void fail(std::string_view doing);

 private:
  explicit connection(boost::asio::any_io_executor, connect_options);
  task<void> connect();
  task<void> greet();
  task<void> wait_readable();                      // throws on the operation's deadline
  task<void> wait_writable();                      // or readable: the caller consumes input and tries again
  task<bool> wait_readable_until(clock::time_point until);
  task<void> drain_output();                       // until libpq has sent everything
  task<result> next_result();                      // an empty result at the end of a statement
  task<result> last_result();                      // of all statements; throws the first error after reading the rest
  void start_deadline(milliseconds timeout);
  void arm_timer(clock::time_point at);
  void attach();                                   // follows libpq's socket, which changes while it tries hosts
  void detach() noexcept;
  [[noreturn]] void fail_result(const result&);

  connect_options options_;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer timer_;
  clock::time_point deadline_{};
  std::shared_ptr<connection*> self_;              // handlers that outlive the object find nullptr here
  PGconn* conn_ = nullptr;
  bool broken_ = false, interrupted_ = false;
};

// Identifiers by the server's rules, always quoted: a"b becomes "a""b".
std::string quote_ident(std::string_view name);
std::string quote_ident(std::string_view schema, std::string_view name);
// A literal with standard_conforming_strings on (pgrotor's sessions pin it): '...' with quotes doubled.
std::string quote_literal(std::string_view value);

}  // namespace pg
}  // namespace migration
