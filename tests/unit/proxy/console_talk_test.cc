// The admin console in both protocols, without a session; the commands are this file's.
#include "proxy/session/console_talk.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "frame_text.h"
#include "migration/base/refused.h"
#include "migration/plan/columns.h"
#include "proxy/console/admin_columns.h"
#include "proxy/console/admin_help.h"
#include "scripted_client.h"

namespace {

using namespace std::string_literals;
using migration::columns::float8, migration::columns::int8, migration::columns::timestamptz;

class figures final : public proxy::console {
 public:
  migration::column_list columns(const std::string& sql) const override {
    if (sql == "wrong") migration::refuse("42601", "no command");
    return sql == "SHOW" ? migration::column_list{"name", int8("many"), float8("part"), timestamptz("at")} : migration::column_list{};
  }
  migration::task<migration::answer> execute(std::string sql) override { co_return answer(sql); }
  migration::answer answer(const std::string& sql) const {
    if (sql != "SHOW") return {{}, {}, sql};
    return {columns(sql), {{"a\nb", "-7", "0.5", "2000-01-02 00:00:01+00"}, {std::nullopt, "", "1", std::nullopt}}, "SHOW"};
  }
};

// One client's messages, answered as a session does.
struct client {
  figures commands;
  proxy::console_talk talk{&commands};

  std::string say(std::string_view frames) {
    std::string out;
    while (!frames.empty()) {
      const auto frame = scripted::first_frame(frames, protocol::peer::frontend);
      frames.remove_prefix(frame.size());
      try {
        const auto command = talk.take(frame.front(), frame.substr(protocol::frame_header_size), out);
        if (command) talk.tell(commands.answer(*command), out);
      } catch (const migration::refused& why) {
        protocol::append_error(out, why.notice);
      }
    }
    return out;
  }
  std::string hear(std::string_view frames) { return scripted::backend_text(say(frames)); }
};

std::string bind(std::vector<std::int16_t> formats, std::string_view portal = "") {
  std::string out;
  protocol::bind message;
  message.portal = portal;
  message.result_formats = std::move(formats);
  protocol::append(out, message);
  return out;
}

std::string execute(std::int32_t most = 0, std::string_view portal = "") {
  std::string out;
  protocol::append(out, protocol::execute{portal, most});
  return out;
}

constexpr const char* header = "T[name,many,part,at]";

}  // namespace

TEST_CASE("console_talk: a simple query, one line a row, NULL for a figure that is not known") {
  client one;
  CHECK(one.hear(scripted::query("SHOW").sends) == header + " D[a b,-7,0.5,2000-01-02 00:00:01+00] D[~,~,1,~] C[SHOW]"s);
  CHECK(one.hear(scripted::query("").sends) == "I");
  CHECK(one.hear(scripted::query("PAUSE").sends) == "C[PAUSE]");
}

TEST_CASE("console_talk: the columns are told before anything is done") {
  client one;
  CHECK(one.hear(scripted::parse("s", "SHOW") + scripted::describe('S', "s")) == "1 t "s + header);
  CHECK(one.hear(scripted::parse("", "PAUSE") + scripted::describe('S', "")) == "1 t n");
  CHECK(one.hear(scripted::bind("s") + scripted::describe('P', "") + execute()) == "2 "s + header + " D[a b,-7,0.5,2000-01-02 00:00:01+00] D[~,~,1,~] C[SHOW]");
  const auto described = one.say(scripted::describe('S', "s"));
  CHECK(described.find("many"s + "\0\0\0\0\0\0\0\0\0\0\x14\0\x08"s) != std::string::npos);
}

TEST_CASE("console_talk: values in binary") {
  client one;
  one.say(scripted::parse("", "SHOW"));
  const auto seven = "\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\xf9"s, half = "\0\0\0\x08\x3f\xe0\0\0\0\0\0\0"s;
  const auto a_day_and_a_second = "\0\0\0\x08\0\0\0\x14\x1d\xe6\xa2\x40"s;
  const auto all = one.say(bind({1}) + execute());
  CHECK(all.find("\0\0\0\x03""a b"s + seven + half + a_day_and_a_second) != std::string::npos);
  const auto one_of_them = one.say(bind({0, 1, 0, 0}) + execute());
  CHECK(one_of_them.find(seven + "\0\0\0\x03"s + "0.5") != std::string::npos);
  CHECK(one.hear(bind({0, 1})) == "E[08P01]");
}

TEST_CASE("console_talk: so many rows at a time") {
  client one;
  one.say(scripted::parse("", "SHOW") + bind({}, "p"));
  CHECK(one.hear(execute(1, "p")) == "D[a b,-7,0.5,2000-01-02 00:00:01+00] s");
  CHECK(one.hear(execute(1, "p")) == "D[~,~,1,~] s");
  CHECK(one.hear(execute(1, "p")) == "C[SHOW]");
}

TEST_CASE("console_talk: what a client may not say") {
  struct row {
    const char* name;
    std::string frames, expected;
  };
  const row rows[] = {
      {"a wrong command, when it is prepared", scripted::parse("", "wrong"), "E[42601]"},
      {"no such statement", scripted::bind("x") + scripted::describe('S', "x"), "E[26000] E[26000]"},
      {"no such portal", execute(0, "x") + scripted::describe('P', "x"), "E[34000] E[34000]"},
      {"a name twice", scripted::parse("s", "SHOW") + scripted::parse("s", "SHOW"), "1 E[42P05]"},
      {"the one without a name again", scripted::parse("", "SHOW") + scripted::parse("", "PAUSE"), "1 1"},
      {"a parameter", scripted::parse("", "SHOW") + scripted::bind("", {"1"}), "1 E[08P01]"},
      {"a portal twice", scripted::parse("", "SHOW") + bind({}, "p") + bind({}, "p"), "1 2 E[42P03]"},
      {"half a message", "P\0\0\0\x05x"s, "E[08P01]"},
      {"a function", "F\0\0\0\x04"s, "E[0A000]"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(client().hear(row.frames) == row.expected);
  }
  std::string out;
  CHECK_THROWS_AS(proxy::console_talk(nullptr).take('P', "\0SHOW\0\0\0"s, out), migration::refused);
}

TEST_CASE("console_talk: the transaction that a driver believes in") {
  using protocol::transaction_status;
  client one;
  one.say(scripted::parse("s", "SHOW") + scripted::bind("s"));
  one.talk.sync();
  CHECK(one.hear(execute()) == "E[34000]");
  one.say(scripted::query("BEGIN").sends + scripted::bind("s"));
  CHECK(one.talk.status() == transaction_status::in_transaction);
  one.talk.sync();
  CHECK(one.hear(execute(1)).starts_with("D["));
  one.say(scripted::query("ROLLBACK").sends);
  CHECK(one.talk.status() == transaction_status::idle);
}

TEST_CASE("admin_columns: whatever can be asked is announced with names that differ") {
  for (const auto& help : proxy::admin_helps()) {
    CAPTURE(help.form);
    std::vector<std::string> names;
    try {
      for (const auto& each : proxy::columns_of(proxy::parse_admin(help.form), 2)) names.push_back(each.name);
    } catch (const migration::refused&) {
      continue;  // a form with places to fill in
    }
    std::ranges::sort(names);
    CHECK(std::ranges::adjacent_find(names) == names.end());
  }
  const auto columns = [](std::string_view sql) { return proxy::columns_of(proxy::parse_admin(sql), 2); };
  CHECK(columns("SHOW STATS").size() == 4);
  CHECK(columns("EXPLAIN CUTOVER MIGRATION 7").size() == 5);
  CHECK(columns("EXPLAIN CANCEL MIGRATION 7").size() == 1);
  CHECK(columns("CANCEL MIGRATION 7").empty());
  CHECK(columns("RETRY MIGRATION 7").size() == 8);
  CHECK(columns("RESUME MIGRATION 7 KEEP SOURCE").size() == 2);
  CHECK(columns("BEGIN").empty());
}
