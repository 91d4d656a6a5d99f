// The admin console: database `pgrotor`. Simple queries go to admin::execute, whose table is sent as text columns; the extended protocol
// is refused with an error a client understands. Declared in proxy/session/session.h.
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>

#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/shard/prepare.h"
#include "proxy/config/log.h"
#include "proxy/session/console.h"
#include "proxy/session/session.h"

namespace proxy {

namespace {

const text_pairs& console_parameters() {
  static const text_pairs parameters{{"server_version", "15.0 (pgrotor " PGROTOR_VERSION ")"},
                                     {"server_encoding", "UTF8"},
                                     {"client_encoding", "UTF8"},
                                     {"application_name", ""},
                                     {"DateStyle", "ISO, MDY"},
                                     {"TimeZone", "UTC"},
                                     {"integer_datetimes", "on"},
                                     {"IntervalStyle", "postgres"},
                                     {"is_superuser", "off"},
                                     {"standard_conforming_strings", "on"}};
  return parameters;
}

void append_table(std::string& out, const migration::answer& table) {
  for (auto warning : table.warnings) {
    warning.severity = "WARNING";
    warning.sqlstate = sqlstate::warning;
    protocol::append_notice(out, warning);
  }
  if (!table.columns.empty()) {
    std::vector<protocol::row_column> columns;
    for (const auto& name : table.columns) {
      protocol::row_column column;
      column.name = name;
      columns.push_back(column);
    }
    protocol::append_row_description(out, columns);
    for (const auto& row : table.rows) protocol::append_data_row(out, row);
  }
  protocol::append(out, protocol::command_complete{table.tag});
}

// The address at the other end.
std::string peer_text(int socket) {
  sockaddr_storage at{};
  socklen_t size = sizeof at;
  char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "";
  const bool known = ::getpeername(socket, reinterpret_cast<sockaddr*>(&at), &size) == 0 &&
                     ::getnameinfo(reinterpret_cast<sockaddr*>(&at), size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0;
  return known ? fmt::format("{} port {}", host, port) : std::string("an unknown address");
}

protocol::notice as_notice(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const migration::refused& refused) {
    return refused.notice;
  } catch (const migration::pg::sql_error& error) {
    const auto state = error.sqlstate.empty() ? std::string(sqlstate::connection_failure) : error.sqlstate;
    return make_error(state, error.where.empty() ? error.message : error.where + ": " + error.message, error.detail, error.hint);
  } catch (const std::exception& error) {
    return make_error(sqlstate::internal_error, error.what());
  }
}

}  // namespace

task<void> session::serve_console() {
  tell_parameters(with_name(console_parameters()));
  while (!closing_) {
    protocol::frame_header header;
    if (!next_frame(0, header) || !have_whole(header.size)) {
      if (!closing_) co_await receive_console();
      continue;
    }
    const auto body = in_.view().substr(protocol::frame_header_size, header.size - protocol::frame_header_size);
    const bool skipped = skip_to_sync_ && header.type != 'S';
    if (header.type == 'Q' && !skipped) {
      const auto query = protocol::decode_query(body);
      if (query) co_await answer_console(std::string(query->sql));
      else fatal(make_error(sqlstate::protocol_violation, "invalid message format"));
    } else {
      on_console_message(header.type);
    }
    in_.consume(header.size);
    unclaim();
  }
}

void session::on_console_message(char type) {
  if (type == 'X') {
    closing_ = true;
  } else if (type == 'S') {
    skip_to_sync_ = false;
    append_ready(protocol::transaction_status::idle);
  } else if (type != 'H' && !skip_to_sync_ && std::string_view("PBDECF").find(type) != std::string_view::npos) {
    skip_to_sync_ = type != 'F';
    answer_error(make_error(sqlstate::feature_not_supported, "the admin console speaks the simple protocol only", "",
                            "Send the statement without parameters, as psql does."));
    if (type == 'F') append_ready(protocol::transaction_status::idle);
  }
}

task<void> session::receive_console() {
  flush_client();
  if (read_client()) co_return;
  if (leaving_) co_return fatal(make_error(sqlstate::admin_shutdown, "terminating connection: pgrotor is shutting down"));
  client_.watch_read();
  if (client_output_pending()) client_.watch_write();
  co_await wake_.wait();
}

// Who gave which command, and what came of it. What only looks is for developers: programs ask it all the time.
void session::log_command(std::string_view text, std::string_view outcome) const {
  constexpr std::size_t longest = 1'000;
  const auto level = outcome == "SHOW" || outcome == "SET" || outcome == "EXPLAIN" ? migration::log_level::debug : migration::log_level::info;
  constexpr std::string_view secret = "password";
  const auto same = [](char a, char b) { return (a | 0x20) == b; };
  const auto end = std::search(text.begin(), text.end(), secret.begin(), secret.end(), same);
  text = text.substr(0, std::min(longest, static_cast<std::size_t>(end - text.begin())));
  migration::log_at(level, "console: user {} from {}: {}: {}", user_, peer_text(client_.native()), text, outcome);
}

task<void> session::answer_console(std::string sql) {
  std::exception_ptr failure;
  const auto text = sql;
  unit_open_ = true;
  unit_started_ = clock::now();
  try {
    const bool blank = sql.find_first_not_of(" \t\r\n;") == std::string::npos;
    if (blank) {
      protocol::append_empty_query_response(out_);
    } else if (!w_.commands) {
      answer_error(make_error(sqlstate::cannot_connect_now, "the admin console is not ready"));
    } else {
      const auto table = co_await w_.commands->execute(std::move(sql));
      append_table(out_, table);
      log_command(text, table.tag);
    }
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    const auto why = as_notice(failure);
    log_command(text, fmt::format("{} {}", why.sqlstate, why.message));
    answer_error(why);
  }
  unit_open_ = false;
  append_ready(protocol::transaction_status::idle);
  flush_client();
}

}  // namespace proxy
