// What a transaction has said, and that a shard that hears it late is where one that heard it step by step is.
#include "proxy/transaction/transaction_log.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "proxy/transaction/held_transaction.h"

using proxy::saying;
using proxy::transaction_log;
using what = saying::what;

namespace {

saying say(what is, const std::string& name = "") {
  switch (is) {
    case what::begin: return {is, "BEGIN", ""};
    case what::savepoint: return {is, "SAVEPOINT " + name, name};
    case what::release: return {is, "RELEASE " + name, name};
    case what::rollback_to: return {is, "ROLLBACK TO " + name, name};
    case what::setting: return {is, "SET LOCAL " + name, ""};
    default: return {is, "COMMIT", ""};
  }
}

std::string texts_of(const transaction_log& log) {
  std::string all;
  for (std::size_t i = 0; i < log.size(); ++i) all += (i > 0 ? "; " : "") + log.text(i);
  return all;
}

transaction_log log_of(std::initializer_list<saying> sayings, bool alone = false) {
  transaction_log log;
  for (const auto& each : sayings) log.note(each, alone);
  return log;
}

// The part of PostgreSQL that matters: settings and rows that a savepoint brings back.
struct server {
  struct state {
    std::map<std::string, std::string> settings;
    std::set<int> rows;
    bool operator==(const state&) const = default;
  };
  state now;
  std::vector<std::pair<std::string, state>> savepoints;

  auto newest(const std::string& name) {
    const auto found = std::find_if(savepoints.rbegin(), savepoints.rend(), [&](const auto& s) { return s.first == name; });
    return found == savepoints.rend() ? savepoints.end() : std::prev(found.base());
  }
  bool knows(const std::string& name) { return newest(name) != savepoints.end(); }

  void run(const std::string& sql) {
    const auto rest = [&](std::string_view word) { return sql.substr(word.size()); };
    if (sql.starts_with("SAVEPOINT ")) return void(savepoints.emplace_back(rest("SAVEPOINT "), now));
    if (sql.starts_with("SET LOCAL ")) {
      const auto words = rest("SET LOCAL ");
      const auto equals = words.find('=');
      now.settings[words.substr(0, equals)] = words.substr(equals + 1);
    }
    const bool back = sql.starts_with("ROLLBACK TO ");
    if (!back && !sql.starts_with("RELEASE ")) return;
    const auto at = newest(rest(back ? "ROLLBACK TO " : "RELEASE "));
    REQUIRE(at != savepoints.end());
    if (back) now = at->second;
    savepoints.erase(back ? std::next(at) : at, savepoints.end());
  }

  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& each : savepoints) all.push_back(each.first);
    return all;
  }
};

// A transaction over three shards as proxy/session/session_branches.cc leads it, beside one server that hears everything.
struct transaction {
  transaction_log log;
  server one;
  std::map<int, server> branches;
  std::map<int, std::size_t> said;
  int here = 0, row = 0;

  void hear(int shard) {
    for (auto& at = said[shard]; at < log.size(); ++at) branches[shard].run(log.text(at));
  }
  void visit(int shard) { hear(here = shard); }
  void write() {
    one.now.rows.insert(++row * 10 + here);
    branches[here].now.rows.insert(row * 10 + here);
  }
  void tell(const saying& each) {
    const bool known = (each.is != what::release && each.is != what::rollback_to) || one.knows(each.name);
    if (each.is == what::rollback_to && known) {
      const auto at = log.find(each.name);
      REQUIRE(at.has_value());
      for (auto& [shard, heard] : said) {
        if (shard == here || heard < *at) continue;
        hear(shard);  // it may know a newer one of that name, which was released meanwhile
        branches[shard].run(each.text);
        heard = *at;
      }
    }
    if (known) one.run(each.text), branches[here].run(each.text);
    log.note(each, branches.size() == 1);
    for (auto& [shard, heard] : said) heard = shard == here ? log.size() : std::min(heard, log.size());
  }

  void check() {
    CHECK(branches[here].now.settings == one.now.settings);
    CHECK(branches[here].names() == one.names());
    for (const auto& [shard, branch] : branches) {
      std::set<int> rows;
      for (const int each : one.now.rows)
        if (each % 10 == shard) rows.insert(each);
      CHECK(branch.now.rows == rows);
    }
    server late;
    for (std::size_t i = 0; i < log.size(); ++i) late.run(log.text(i));
    CHECK(late.now.settings == one.now.settings);
    CHECK(late.names() == one.names());
  }
};

saying random_saying(std::mt19937& random) {
  const std::string name(1, static_cast<char>('a' + random() % 3));
  constexpr what kinds[] = {what::setting, what::savepoint, what::savepoint, what::release, what::rollback_to};
  const auto is = kinds[random() % std::size(kinds)];
  return say(is, is == what::setting ? name + "=" + std::to_string(random() % 100) : name);
}

// BEGIN and what followed it before any shard was needed.
void hold(transaction& t, std::mt19937& random, unsigned count) {
  proxy::held_transaction held;
  for (unsigned i = 0; i <= count; ++i) {
    const auto next = i == 0 ? say(what::begin) : random_saying(random);
    routing::statement_plan plan;
    plan.savepoint = next.name;
    plan.kind = next.is == what::begin       ? routing::statement_kind::begin
                : next.is == what::savepoint ? routing::statement_kind::savepoint
                : next.is == what::release   ? routing::statement_kind::release
                : next.is == what::setting   ? routing::statement_kind::set_local
                                             : routing::statement_kind::rollback_to;
    if (!held.can_answer({&plan, 1})) continue;
    held.run(plan, next.text);
    held.keep(next.text);
    t.one.run(next.text);
  }
  held.give(t.log);
}

}  // namespace

TEST_CASE("transaction_log: what another shard has to hear") {
  using enum what;
  struct row {
    const char* name;
    std::initializer_list<saying> said;
    bool alone;
    const char* expected;
  };
  const row rows[] = {
      {"nothing outside of a block", {say(setting, "a=1"), say(savepoint, "s")}, true, ""},
      {"a second BEGIN is a warning", {say(begin), say(begin)}, true, "BEGIN"},
      {"in order", {say(begin), say(setting, "a=1"), say(savepoint, "s")}, true, "BEGIN; SET LOCAL a=1; SAVEPOINT s"},
      {"going back takes back what was said since",
       {say(begin), say(savepoint, "s"), say(setting, "a=1"), say(savepoint, "t"), say(rollback_to, "s")},
       false, "BEGIN; SAVEPOINT s"},
      {"going back to what is not there",
       {say(begin), say(setting, "a=1"), say(rollback_to, "s")},
       false, "BEGIN; SET LOCAL a=1"},
      {"going back to the newest of a name",
       {say(begin), say(savepoint, "s"), say(setting, "a=1"), say(savepoint, "s"), say(setting, "a=2"), say(rollback_to, "s")}, false,
       "BEGIN; SAVEPOINT s; SET LOCAL a=1; SAVEPOINT s"},
      {"to the older one, once the newest is released",
       {say(begin), say(savepoint, "s"), say(setting, "a=1"), say(savepoint, "s"), say(release, "s"), say(rollback_to, "s")}, false, "BEGIN; SAVEPOINT s"},
      {"a savepoint that nobody else has heard of leaves nothing",
       {say(begin), say(savepoint, "s"), say(release, "s")},
       true, "BEGIN"},
      {"one that somebody may have heard of is released there too",
       {say(begin), say(savepoint, "s"), say(release, "s")},
       false, "BEGIN; SAVEPOINT s; RELEASE s"},
      {"what was set in between stays",
       {say(begin), say(savepoint, "s"), say(setting, "a=1"), say(release, "s")},
       true, "BEGIN; SAVEPOINT s; SET LOCAL a=1; RELEASE s"},
      {"a release takes later ones along",
       {say(begin), say(savepoint, "s"), say(savepoint, "t"), say(release, "s"), say(rollback_to, "t")}, false,
       "BEGIN; SAVEPOINT s; SAVEPOINT t; RELEASE s"},
      {"a release of what is not there", {say(begin), say(release, "s")}, false, "BEGIN"},
      {"the end", {say(begin), say(setting, "a=1"), say(end)}, true, ""},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    const auto log = log_of(row.said, row.alone);
    CHECK(texts_of(log) == row.expected);
    CHECK(log.complete() == (log.size() > 0));
  }
}

TEST_CASE("transaction_log: how much a branch must have heard to know a savepoint") {
  using enum what;
  const auto log = log_of({say(begin), say(savepoint, "s"), say(setting, "a=1"), say(savepoint, "t"), say(savepoint, "s")});
  CHECK(log.find("s") == 5);
  CHECK(log.find("t") == 4);
  CHECK_FALSE(log.find("u").has_value());
}

TEST_CASE("transaction_log: what was lost stays lost until the end") {
  using enum what;
  auto log = log_of({say(begin), say(savepoint, "s")});
  log.lose();
  log.note(say(rollback_to, "s"), false);
  CHECK_FALSE(log.complete());
  log.note(say(end), false);
  log.note(say(begin), false);
  CHECK(log.complete());
}

TEST_CASE("transaction_log: a shard that hears it late, or again and again, is where the others are") {
  std::mt19937 random(9);
  for (int round = 0; round < 3'000; ++round) {
    CAPTURE(round);
    transaction t;
    hold(t, random, round % 2 == 0 ? 0 : random() % 8);
    t.visit(0);
    for (int step = 0; step < 25; ++step) {
      const auto dice = random() % 10;
      if (dice < 2) t.visit(static_cast<int>(random() % 3));
      else if (dice < 4) t.write();
      else t.tell(random_saying(random));
      t.check();
    }
  }
}

TEST_CASE("transaction_log: is bounded, and says so") {
  using enum what;
  auto log = log_of({say(begin), say(savepoint, "s")});
  const auto setting_text = say(setting, "a=" + std::string(1'000, 'x'));
  for (int i = 0; i < 60; ++i) log.note(setting_text, false);
  CHECK(log.complete());
  log.note(say(rollback_to, "s"), false);  // and what was taken back counts no more
  for (int i = 0; i < 60; ++i) log.note(setting_text, false);
  CHECK(log.complete());
  for (int i = 0; i < 10; ++i) log.note(setting_text, false);
  CHECK_FALSE(log.complete());
  for (int i = 0; i < 10'000; ++i) log.note(setting_text, false);
  CHECK(log.size() < 100);  // nobody will be told the rest
  log.note(say(savepoint, "t"), false);
  CHECK(log.find("t") > log.size());  // so that nobody else knows it
  log.note(say(rollback_to, "t"), false);
  log.note(say(release, "t"), false);
  CHECK_FALSE(log.find("t").has_value());
  CHECK(log.find("s") == 2);
}
