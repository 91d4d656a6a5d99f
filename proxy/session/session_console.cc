// The admin console: database `pgrotor`. What clients say is console_talk's, what commands do admin's. Declared in proxy/session/session.h.
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>

#include <boost/asio/this_coro.hpp>
#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/shard/prepare.h"
#include "proxy/config/log.h"
#include "proxy/session/console_talk.h"
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
  console_talk talk(w_.commands);
  tell_parameters(with_name(console_parameters()));
  while (!closing_) {
    protocol::frame_header header;
    if (!next_frame(0, header) || !have_whole(header.size)) {
      if (!closing_) co_await receive_console();
      continue;
    }
    const auto body = in_.view().substr(protocol::frame_header_size, header.size - protocol::frame_header_size);
    if (header.type == 'X') closing_ = true;
    else if (header.type != 'S' && !skip_to_sync_) co_await answer_console(talk, header.type, body);
    if (header.type == 'S') end_console_pipeline(talk);
    in_.consume(header.size);
    unclaim();
  }
}

void session::end_console_pipeline(console_talk& talk) {
  skip_to_sync_ = false;
  talk.sync();
  append_ready(talk.status());
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
  constexpr std::string_view idle[] = {"", "SHOW", "SET", "EXPLAIN", "BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK", "RESET", "DISCARD", "DEALLOCATE"};
  const auto level = std::ranges::find(idle, outcome) != std::end(idle) ? migration::log_level::debug : migration::log_level::info;
  constexpr std::string_view secret = "password";
  const auto same = [](char a, char b) { return (a | 0x20) == b; };
  const auto end = std::search(text.begin(), text.end(), secret.begin(), secret.end(), same);
  text = text.substr(0, std::min(longest, static_cast<std::size_t>(end - text.begin())));
  migration::log_at(level, "console: user {} from {}: {}: {}", user_, peer_text(client_.native()), text, outcome);
}

task<void> session::answer_console(console_talk& talk, char type, std::string_view body) {
  std::exception_ptr failure;
  std::string text;
  unit_open_ = true;
  unit_started_ = clock::now();
  try {
    auto command = talk.take(type, body, out_);
    if (command) {
      text = *command;
      auto table = co_await w_.commands->execute(std::move(*command));
      log_command(text, table.tag);
      talk.tell(std::move(table), out_);
    }
  } catch (...) {
    failure = std::current_exception();
  }
  const bool alone = type == 'Q' || type == 'F';
  if (failure) {
    const auto why = as_notice(failure);
    if (!text.empty()) log_command(text, fmt::format("{} {}", why.sqlstate, why.message));
    answer_error(why);
    skip_to_sync_ = !alone;
  }
  unit_open_ = false;
  if (alone) end_console_pipeline(talk);
  if (alone || type == 'H') flush_client();
}

}  // namespace proxy
