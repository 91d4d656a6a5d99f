// Numbers of clients: who is who, what statements ask of them, and what a client sees in its rows.
#include "proxy/transaction/process_question.h"

#include <doctest/doctest.h>

#include <string>

#include "protocol/wire.h"
#include "proxy/shard/amendment.h"
#include "proxy/shard/process_book.h"

using namespace proxy;
using routing::parameter;
using asks = process_question::what;

namespace {

std::string binary(std::int32_t value) {
  std::string made;
  protocol::append_int(made, value);
  return made;
}

std::string frame(char type, std::string_view body) {
  std::string made(1, type);
  protocol::append_int(made, static_cast<std::int32_t>(body.size() + 4));
  return made.append(body);
}

std::string row(std::initializer_list<std::optional<std::string>> values) {
  std::string body;
  protocol::append_int(body, static_cast<std::int16_t>(values.size()));
  for (const auto& value : values) {
    protocol::append_int(body, value ? static_cast<std::int32_t>(value->size()) : -1);
    body += value.value_or("");
  }
  return frame('D', body);
}

std::string amended(const std::string& frame, std::initializer_list<amendment> told) {
  std::string out;
  append_amended(out, frame, as_bytes(std::vector<amendment>(told)));
  return out;
}

}  // namespace

TEST_CASE("process_book: a client is the processes that serve it, and a process the client that has notified over it") {
  process_book book;
  const routing::shard_id one{1}, other{2};
  CHECK_FALSE(book.user_of(5'000'001));
  book.enter_client(5'000'001, "ann");
  CHECK(book.user_of(5'000'001) == "ann");
  auto first = book.enter(one, 77), second = book.enter(other, 77);
  first->client = second->client = 5'000'001;
  first->notifier = 5'000'002;
  CHECK(book.processes_of(5'000'001, one) == std::vector{77});
  CHECK(book.notifier(one, 77) == 5'000'002);
  CHECK(book.notifier(other, 77) == 0);
  first = book.enter(one, 78);  // the connection to 77 is gone
  CHECK(book.notifier(one, 77) == 0);
  CHECK(book.processes_of(5'000'001, one).empty());
  book.leave_client(5'000'001);
  CHECK_FALSE(book.user_of(5'000'001));
}

TEST_CASE("process_question: numbers of clients in every form in which drivers send them, and no others") {
  const routing::process_call literal{asks::cancel, 0, {std::string(" 5000001 ")}}, given{asks::cancel, 0, {std::size_t{0}}};
  CHECK(question_of(literal, {})->number == 5'000'001);
  const auto number_in = [&](parameter value) { return question_of(given, std::span(&value, 1)); };
  const auto int4 = binary(5'000'001), int8 = binary(0) + binary(5'000'001);
  CHECK(number_in({"5000001", 0, 0})->number == 5'000'001);
  CHECK(number_in({int4, 1, 0})->number == 5'000'001);
  CHECK(number_in({int8, 1, 0})->number == 5'000'001);
  CHECK_FALSE(number_in({"4194304", 0, 0}));  // a process
  CHECK_FALSE(number_in({"99999999999", 0, 0}));
  CHECK_FALSE(number_in({"5000001x", 0, 0}));
  CHECK_FALSE(number_in({std::nullopt, 0, 0}));
  CHECK_FALSE(question_of(given, {}));
}

TEST_CASE("process_question: what else they say") {
  const routing::process_call ends{asks::terminate, 0, {std::string("5000001"), std::string("250")}}, wrong{asks::terminate, 0, {std::string("5000001"), std::string("-1")}};
  CHECK(question_of(ends, {})->patience == std::chrono::milliseconds(250));
  CHECK_FALSE(question_of(wrong, {}));  // an error of the shard's
  const routing::process_call blocked{asks::is_blocked, 0, {std::string("5000001"), std::string("{5000002, 7,NULL,5000003}")}};
  CHECK(question_of(blocked, {})->among == std::vector{5'000'002, 5'000'003});
  CHECK(blocked_sql(std::vector{7}, std::vector{8, 9}).find("'{8,9}'") != std::string::npos);
  CHECK(permission_sql("o'x").find("'o''x'") != std::string::npos);
}

TEST_CASE("process_question: who may not is told so in PostgreSQL's words") {
  CHECK_FALSE(refusal(asks::cancel, "may"));
  CHECK(refusal(asks::cancel, "superuser")->message == "must be a superuser to cancel superuser query");
  CHECK(refusal(asks::terminate, "member")->message == "must be a member of the role whose process is being terminated or member of pg_signal_backend");
  CHECK(refusal(asks::terminate, "")->sqlstate == "42501");  // nothing was said
}

TEST_CASE("amendment: columns of a row in the format that they have") {
  const amendment number{1, amendment::kind::number, 5'000'001}, truth{0, amendment::kind::truth, 1};
  CHECK(amended(row({"a", "1234", std::nullopt}), {number}) == row({"a", "5000001", std::nullopt}));
  CHECK(amended(row({"a", binary(1234)}), {number}) == row({"a", binary(5'000'001)}));
  CHECK(amended(row({"f"}), {truth}) == row({"t"}));
  CHECK(amended(row({std::string(1, '\0')}), {truth}) == row({std::string(1, '\1')}));
  CHECK(amended(row({std::nullopt}), {truth}) == row({std::nullopt}));
  CHECK(amended(frame('D', "x"), {truth}) == frame('D', "x"));
}
