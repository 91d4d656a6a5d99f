// What comes back for each message in each state of a conversation: conversations.txt, which is PostgreSQL's own word
// (tests/integration/transparency/conversations.py), said to sessions over scripted shards, at once, in steps and in pieces.
#include <doctest/doctest.h>

#include <fstream>
#include <map>

#include "scripted_world.h"

using namespace scripted;

namespace {

struct table {
  std::map<std::string, std::string> states, messages;  // their bytes
  std::string tail;
  struct row {
    std::string state, message, answer;
  };
  std::vector<row> rows;
};

std::string from_hex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) bytes.push_back(static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  return bytes;
}

table read_table() {
  table all;
  std::ifstream file(PGROTOR_CONVERSATIONS);
  REQUIRE(file);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    constexpr std::string_view bar = " | ";
    const auto first = line.find(bar), second = line.find(bar, first + 1);
    table::row row{line.substr(0, first), line.substr(first + bar.size(), second - first - bar.size()), line.substr(second + bar.size())};
    if (row.state == "a state") all.states[row.message] = from_hex(row.answer);
    else if (row.state == "a message") all.messages[row.message] = from_hex(row.answer);
    else if (row.state == "then") all.tail = from_hex(row.answer);
    else all.rows.push_back(std::move(row));
  }
  return all;
}

turn say(std::string bytes) {
  turn made;
  made.sends = std::move(bytes);
  made.until = "~";
  made.may_commit = true;
  return made;
}

// Without what only some servers report.
std::string heard_of(world& w, std::size_t turns) {
  std::string all;
  for (std::size_t i = 0; i < turns; ++i) all += (all.empty() || w.heard(i).empty() ? "" : " ") + w.heard(i);
  return all;
}

std::string said(const setup& made, std::vector<turn> turns) {
  world w(made);
  const auto count = turns.size();
  w.run(std::move(turns));
  w.check();
  return heard_of(w, count);
}

}  // namespace

TEST_CASE("session: each message in each state is answered as by PostgreSQL") {
  const auto all = read_table();
  REQUIRE(all.rows.size() == all.states.size() * all.messages.size());
  for (const auto& [state, message, answer] : all.rows) {
    CAPTURE(state);
    CAPTURE(message);
    if (state == "pipeline, not flushed" && message == "Terminate") continue;  // who goes hears what he has not asked for yet
    const auto& before = all.states.at(state);
    const auto& raw = all.messages.at(message);
    CHECK(said({}, {say(before + raw + all.tail)}) == answer);
    CHECK(said({}, {say(before), say(raw), say(all.tail)}) == answer);
    setup pieces;
    pieces.piece = 7;
    CHECK(said(pieces, {say(before + raw + all.tail)}) == answer);
  }
}
