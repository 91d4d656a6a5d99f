#include "proxy/shard/exchange.h"

#include <doctest/doctest.h>

#include "protocol/wire.h"
#include "proxy/config/errors.h"

using proxy::exchange;
using proxy::fate;
using proxy::request;
using event = proxy::exchange::event;

namespace {

std::string frame(char type, std::string_view body = "") {
  std::string out(1, type);
  protocol::append_int(out, static_cast<std::int32_t>(body.size() + 4));
  return out.append(body);
}

std::string error(std::string_view code, std::string_view message, std::string severity = "ERROR") {
  auto notice = proxy::make_error(code, std::string(message));
  notice.severity = std::move(severity);
  std::string out;
  protocol::append_error(out, notice);
  return out;
}

std::string captured;  // as the last event::captured showed it

std::string ready(char status = 'I') { return frame('Z', std::string_view(&status, 1)); }

// Feeds in pieces of `piece` bytes as a session does, writing events into `events` and what the client gets into the result.
std::string relay(exchange& answers, std::string_view input, std::size_t piece, std::string& events) {
  std::string buffer, client;
  events.clear();
  for (std::size_t at = 0; at < input.size(); at += piece) {
    buffer += input.substr(at, piece);
    while (true) {
      const auto step = answers.feed(buffer, client);
      client += step.run.substr(0, step.run.size() - (step.ready_in_run ? exchange::ready_size : 0));
      buffer.erase(0, step.used);
      switch (step.what) {
        case event::need_more: break;
        case event::error: events += 'e'; break;
        case event::ready: events += static_cast<char>(step.status); break;
        case event::captured: events += 'c'; captured = answers.rows() + answers.failure(); break;
        case event::copy_in: events += 'g'; break;
        case event::put_in_failed: events += 'p'; break;
        case event::fatal: return events += 'f', client;
        case event::unexpected: return events += 'u', client;
      }
      if (step.what == event::need_more && step.used == 0) break;
    }
  }
  return client;
}

constexpr std::size_t pieces[] = {1, 3, 7, 1000};

}  // namespace

TEST_CASE("exchange: a simple query is relayed as it is, in whatever pieces it comes") {
  const auto rows = frame('T', "columns") + frame('D', std::string(500, 'x')) + frame('C', "SELECT 1");
  for (const auto piece : pieces) {
    CAPTURE(piece);
    exchange answers;
    std::string events;
    answers.expect(request::query);
    CHECK(relay(answers, rows + ready(), piece, events) == rows);
    CHECK(events == "I");
    CHECK(answers.idle());
  }
}

TEST_CASE("exchange: answers to what the proxy put in are swallowed") {
  for (const auto piece : pieces) {
    CAPTURE(piece);
    exchange answers;
    std::string events;
    answers.expect(request::query, fate::swallow);  // BEGIN
    answers.expect(request::parse, fate::swallow, 5);
    answers.expect(request::bind);
    answers.expect(request::execute);
    answers.expect(request::sync);
    const auto seen = frame('2') + frame('D', "row") + frame('C', "SELECT 1");
    const auto input = frame('C', "BEGIN") + ready('T') + frame('1') + seen + ready('T');
    CHECK(relay(answers, input, piece, events) == seen);
    CHECK(events == "T");
  }
}

TEST_CASE("exchange: the proxy's own answers stand in the order of the messages") {
  exchange answers;
  std::string events;
  answers.emit(frame('1'));
  answers.expect(request::bind);
  answers.emit(frame('3'));
  answers.expect(request::execute);
  answers.emit(frame('n'));
  answers.expect(request::sync);
  CHECK(relay(answers, frame('2') + frame('C', "X") + ready(), 1, events) == frame('1') + frame('2') + frame('3') + frame('C', "X") + frame('n'));
  CHECK(events == "I");
}

TEST_CASE("exchange: answers of the proxy alone need no input") {
  exchange answers;
  std::string client;
  answers.emit(frame('1'));
  CHECK(answers.emits_wait());
  answers.feed("", client);
  CHECK(client == frame('1'));
  CHECK(answers.idle());
}

TEST_CASE("exchange: an error skips everything until Sync, the proxy's answers too") {
  for (const auto piece : pieces) {
    CAPTURE(piece);
    exchange answers;
    std::string events;
    answers.expect(request::parse, fate::relay, 5, 1);
    answers.expect(request::bind);
    answers.emit(frame('3'), 2);
    answers.expect(request::execute);
    answers.expect(request::sync);
    const auto said = error("42601", "syntax error");
    CHECK(relay(answers, said + ready(), piece, events) == said);
    CHECK(events == "eI");
    REQUIRE(answers.skipped().size() == 4);
    CHECK(answers.skipped()[0].statement == 5);
    CHECK(answers.skipped()[2].undo == 2);
    CHECK(answers.sqlstate() == "42601");
  }
}

TEST_CASE("exchange: a message sent in order to fail tells the proxy's error") {
  for (const auto piece : pieces) {
    exchange answers;
    std::string events;
    answers.expect(request::bind);
    answers.expect_failure(error("RT003", "two shards"));
    answers.expect(request::sync);
    CHECK(relay(answers, frame('2') + error("26000", "no such statement") + ready('E'), piece, events) == frame('2') + error("RT003", "two shards"));
    CHECK(events == "eE");
  }
}

TEST_CASE("exchange: an error that would mislead is told in other words, and only if it comes") {
  for (const auto how : {fate::relay, fate::swallow}) {
    for (const auto piece : pieces) {
      exchange answers;
      std::string events;
      answers.expect(request::parse, how);
      answers.tell_instead(error("RT003", "another shard"));
      answers.expect(request::describe_statement);
      answers.expect(request::sync);
      CHECK(relay(answers, error("42P01", "no such table") + ready('E'), piece, events) == error("RT003", "another shard"));
      CHECK(events == "eE");
      answers.expect(request::parse, how);
      answers.tell_instead(error("RT003", "another shard"));
      answers.expect(request::sync);
      CHECK(relay(answers, frame('1') + ready(), piece, events) == (how == fate::relay ? frame('1') : ""));
    }
  }
}

TEST_CASE("exchange: the error of a statement put in front is told for the client's own") {
  for (const auto piece : pieces) {
    exchange answers;
    std::string events;
    answers.expect(request::query, fate::swallow);
    answers.expect(request::query);
    const auto first = error("22023", "invalid value for parameter");
    const auto input = first + ready('E') + error("25P02", "transaction is aborted") + ready('E');
    CHECK(relay(answers, input, piece, events) == first);
    CHECK(events == "eeE");
  }
}

TEST_CASE("exchange: that no transaction was begun is known before anything of the client's own is relayed") {
  exchange answers;
  std::string out;
  answers.expect(request::query, fate::swallow);
  answers.expect(request::query);
  const auto refused = error("57014", "canceling statement due to user request");
  const auto input = refused + ready('I') + frame('C', "INSERT 0 1") + ready('I');
  auto step = answers.feed(input, out);
  CHECK(step.what == exchange::event::error);
  auto used = step.used;
  step = answers.feed(std::string_view(input).substr(used), out);
  CHECK(step.what == exchange::event::put_in_failed);
  CHECK(answers.put_in_error() == refused);
  CHECK((out.empty() && step.run.empty()));
  used += step.used;
  step = answers.feed(std::string_view(input).substr(used), out);  // the client's own was done
  CHECK(step.what == exchange::event::ready);
  CHECK(out + std::string(step.run) == frame('C', "INSERT 0 1"));
}

TEST_CASE("exchange: notices of swallowed requests are dropped, ParameterStatus is set aside") {
  exchange answers;
  std::string events;
  answers.expect(request::query, fate::swallow);
  answers.expect(request::query);
  const auto input = frame('N', "notice") + frame('S', "TimeZone") + frame('C', "SET") + ready('T') + frame('N', "mine") + frame('C', "X") + ready('T');
  CHECK(relay(answers, input, 5, events) == frame('N', "mine") + frame('C', "X"));
  CHECK(answers.take_reports() == "TimeZone");
}

TEST_CASE("exchange: a fatal error is kept from the client and remembered") {
  for (const auto piece : pieces) {
    exchange answers;
    std::string events;
    answers.expect(request::query);
    const auto row = frame('D', "row");
    CHECK(relay(answers, row + error("57P01", "terminating connection", "FATAL"), piece, events) == row);
    CHECK(events == "f");
    REQUIRE(answers.last_words());
    CHECK(answers.last_words()->message == "terminating connection");
  }
}

TEST_CASE("exchange: what was not asked for is unexpected") {
  struct row {
    const char* name;
    request asked;
    std::string said;
  };
  const row rows[] = {
      {"row for a Parse", request::parse, frame('D', "x")},
      {"Ready in the middle", request::bind, ready()},
      {"BindComplete for a simple query", request::query, frame('2')},
      {"unknown type", request::query, std::string("\x01\0\0\0\4", 5)},
      {"length below four", request::query, std::string("D\0\0\0\3", 5)},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    exchange answers;
    std::string events;
    answers.expect(row.asked);
    relay(answers, row.said, 1000, events);
    CHECK(events == "u");
  }
  exchange idle;
  std::string events;
  relay(idle, frame('C', "X"), 1000, events);
  CHECK(events == "u");
}

// A COPY that waits for data, behind which Syncs were sent.
exchange copy_with_syncs(request by) {
  exchange answers;
  std::string events;
  if (by == request::execute) answers.expect(request::bind);
  answers.expect(by);
  if (by == request::execute) answers.expect(request::sync);
  relay(answers, (by == request::execute ? frame('2') : "") + frame('G', "format"), 1000, events);
  CHECK(events == "g");
  if (by == request::query) answers.doubt_sync();
  CHECK(answers.in_doubt());
  return answers;
}

TEST_CASE("exchange: COPY takes back the Syncs that the server ignores") {
  for (const auto by : {request::execute, request::query}) {
    auto answers = copy_with_syncs(by);
    std::string events;
    CHECK_FALSE(answers.has(request::sync));
    if (by == request::execute) {
      relay(answers, frame('C', "COPY 1"), 1000, events);
      CHECK_FALSE(answers.in_doubt());
      answers.expect(request::sync);
      relay(answers, ready(), 1000, events);
    } else {
      relay(answers, frame('C', "COPY 1") + ready(), 1000, events);
    }
    CHECK(events == "I");
    CHECK_FALSE(answers.in_doubt());
    CHECK(answers.idle());
  }
}

TEST_CASE("exchange: of a COPY that failed as many Syncs are answered as came behind the failure, which the fence counts") {
  const auto failed = error("22P02", "broken data"), fence = ready() + frame('I') + ready();
  struct row {
    const char* name;
    request by;
    std::size_t answered;     // Syncs of the client behind the failure
    const char* events;
    std::size_t told;         // ReadyForQuery that the client gets besides the last, which the session writes
  };
  const row rows[] = {{"extended, all before it", request::execute, 0, "", 0},  {"extended, one behind it", request::execute, 1, "I", 0},
                      {"extended, three behind it", request::execute, 3, "I", 2}, {"simple, all before it", request::query, 0, "I", 0},
                      {"simple, two behind it", request::query, 2, "I", 2}};
  for (const auto& row : rows)
    for (const auto piece : pieces) {
      CAPTURE(row.name);
      CAPTURE(piece);
      auto answers = copy_with_syncs(row.by);
      std::string events, behind, told;
      CHECK(relay(answers, failed, 1000, events) == failed);
      CHECK(events == "e");
      CHECK(answers.needs_fence());
      // What the server says before the fence could be sent.
      if (row.by == request::query) relay(answers, ready(), piece, events);
      answers.fence();
      CHECK_FALSE(answers.needs_fence());
      for (std::size_t i = 0; i < row.answered; ++i) behind += ready();
      for (std::size_t i = 0; i < row.told; ++i) told += ready();
      CHECK(relay(answers, behind + fence, piece, events) == told);
      CHECK(events == row.events);
      CHECK_FALSE(answers.in_doubt());
      CHECK(answers.idle());
    }
}

TEST_CASE("exchange: a row larger than any buffer goes through in parts") {
  exchange answers;
  answers.expect(request::query);
  const auto row = frame('D', std::string(1 << 20, 'x'));
  std::string client;
  const auto step = answers.feed(std::string_view(row).substr(0, 1000), client);
  CHECK(step.used == 1000);
  CHECK(step.run.size() == 1000);
  CHECK_FALSE(answers.at_boundary());
}

TEST_CASE("exchange: data of a COPY that came in the pipeline is not asked for again") {
  for (const auto piece : pieces) {
    CAPTURE(piece);
    exchange answers;
    std::string events;
    for (const auto what : {request::bind, request::execute, request::copy_end, request::sync}) answers.expect(what);
    const auto all = frame('2') + frame('G', "format") + frame('C', "COPY 5");
    CHECK(relay(answers, all + ready(), piece, events) == all);
    CHECK(events == "I");
    CHECK(answers.idle());
    // Not a COPY after all: the end of the data is answered by nothing.
    for (const auto what : {request::bind, request::execute, request::copy_end, request::execute, request::sync}) answers.expect(what);
    const auto other = frame('2') + frame('C', "SELECT 1") + frame('C', "SELECT 1");
    CHECK(relay(answers, other + ready(), piece, events) == other);
    CHECK(events == "I");
  }
}

TEST_CASE("exchange: an answer that the proxy wants itself is kept, its error too, and nothing of it is relayed") {
  for (const auto piece : pieces) {
    CAPTURE(piece);
    exchange answers;
    std::string events;
    answers.expect(request::query, fate::capture);
    answers.expect(request::query);
    const auto rows = frame('D', "one") + frame('D', std::string(200, 'x'));
    const auto seen = frame('T', "t") + frame('C', "SELECT 1");
    CHECK(relay(answers, frame('T', "columns") + rows + frame('C', "SELECT 2") + ready(), piece, events) == "");
    CHECK(events == "c");
    CHECK(captured == rows);
    CHECK(relay(answers, seen + ready('T'), piece, events) == seen);
    CHECK(events == "T");
    answers.expect(request::query, fate::capture);
    const auto failure = error("42501", "no");
    CHECK(relay(answers, frame('D', "half") + failure + ready(), piece, events) == "");
    CHECK(events == "c");
    CHECK(captured == frame('D', "half") + failure);
    CHECK(answers.idle());
  }
}

TEST_CASE("exchange: what the proxy wants itself of messages up to a Sync is kept, and after an error the rest is not waited for") {
  const auto ask = [](exchange& answers) {
    for (const auto what : {request::parse, request::describe_statement, request::bind, request::execute, request::close, request::sync})
      answers.expect(what, fate::capture);
    answers.expect(request::query);
  };
  const auto types = frame('t', std::string("\0\1\0\0\0\x14", 6)), row = frame('D', "one"), seen = frame('C', "SELECT 1");
  const auto failure = error("42P18", "no");
  for (const auto piece : pieces) {
    CAPTURE(piece);
    exchange answers, refused;
    std::string events;
    ask(answers);
    const auto all = frame('1') + types + frame('T', "columns") + frame('2') + row + frame('C', "SHOW") + frame('3') + ready('T');
    CHECK(relay(answers, all + seen + ready('T'), piece, events) == seen);
    CHECK(events == "cT");
    CHECK(captured == types + row);
    ask(refused);
    CHECK(relay(refused, frame('1') + failure + ready('E') + seen + ready('E'), piece, events) == seen);
    CHECK(events == "cE");
    CHECK(captured == failure);
    CHECK(refused.idle());
  }
}

TEST_CASE("exchange: parameters are set aside whatever is under way, and notifications carry the number of the client that sent them") {
  const auto notification = [](std::int32_t pid) {
    std::string body;
    protocol::append_int(body, pid);
    return frame('A', body + std::string("chan\0load\0", 10));
  };
  const auto report = frame('S', std::string("TimeZone\0UTC\0", 13));
  for (const auto piece : pieces) {
    CAPTURE(piece);
    exchange answers;
    std::string events;
    proxy::process_book book;
    const auto mine = book.enter({1}, 77), elsewhere = book.enter({2}, 78);
    mine->notifier = elsewhere->notifier = 5'000'005;
    answers.name_notifiers(&book, {1});
    CHECK(relay(answers, notification(77) + report + notification(78), piece, events).empty());
    CHECK(answers.take_notifications() == notification(5'000'005) + notification(78));
    CHECK(answers.take_reports() == std::string("TimeZone\0UTC\0", 13));
    answers.expect(request::query);
    const auto rows = frame('T', "t") + frame('D', "d");
    CHECK(relay(answers, rows + report + report + frame('C', "X") + ready(), piece, events) == rows + frame('C', "X"));
    CHECK(answers.take_reports().size() == 26);
    CHECK_FALSE(answers.has_reports());
  }
}

TEST_CASE("exchange: columns are amended, and the shard's warning that it does not know the client is left out") {
  const auto row = [](std::string_view value) {
    std::string body;
    protocol::append_int(body, std::int16_t{1});
    protocol::append_int(body, static_cast<std::int32_t>(value.size()));
    return frame('D', body.append(value));
  };
  auto warning = proxy::make_error("01000", "PID 5000001 is not a PostgreSQL backend process");
  warning.severity = "WARNING";
  std::string seen;
  protocol::append_notice(seen, warning);
  const proxy::amendment truth{0, proxy::amendment::kind::truth, 1}, number{0, proxy::amendment::kind::number, 5'000'001};
  for (const auto piece : pieces) {
    CAPTURE(piece);
    exchange answers;
    std::string events;
    answers.expect(request::query);
    answers.amend({&truth, 1});
    CHECK(relay(answers, frame('T', "t") + seen + row("f") + frame('C', "SELECT 1") + ready(), piece, events) == frame('T', "t") + row("t") + frame('C', "SELECT 1"));
    answers.expect(request::execute);
    answers.amend({&number, 1});
    answers.expect(request::sync);
    CHECK(relay(answers, seen + row("7") + row("7") + frame('C', "X") + ready(), piece, events) == seen + row("5000001") + row("5000001") + frame('C', "X"));
    answers.expect(request::query);
    answers.amend({&number, 1});
    CHECK(relay(answers, error("42P01", "no") + ready(), piece, events) == error("42P01", "no"));
    CHECK(events == "eI");
  }
}
