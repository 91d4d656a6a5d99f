#include "proxy/transaction/concat.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "protocol/backend.h"
#include "protocol/frame.h"
#include "protocol/wire.h"
#include "proxy/config/errors.h"
#include "proxy/transaction/commit_barrier.h"

namespace {

std::string frame(char type, std::string_view body) {
  std::string out(1, type);
  protocol::append_int(out, static_cast<std::int32_t>(body.size() + 4));
  return out.append(body);
}

std::string columns(std::int32_t table, std::int32_t type) {
  std::string body;
  protocol::append_int(body, std::int16_t{1});
  body.append("id").push_back('\0');
  protocol::append_int(body, table);
  protocol::append_int(body, std::int16_t{1});
  protocol::append_int(body, type);
  protocol::append_int(body, std::int16_t{8});
  protocol::append_int(body, std::int32_t{-1});
  protocol::append_int(body, std::int16_t{0});
  return frame('T', body);
}

std::string done(int rows) { return frame('C', "SELECT " + std::to_string(rows) + '\0'); }
std::string error(const char* text) {
  std::string out;
  protocol::append_error(out, proxy::make_error("22012", text));
  return out;
}

const std::string opening = frame('1', "") + frame('2', ""), ready = frame('Z', "I");

// The types of what the client sees.
std::string kinds(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    out.push_back(bytes.front());
    bytes.remove_prefix(protocol::load_int<std::uint32_t>(bytes.data() + 1) + std::size_t{1});
  }
  return out;
}

std::string answer(const std::vector<std::string>& shards, bool simple, std::size_t piece) {
  proxy::concat whole(simple);
  std::string out;
  for (const auto& said : shards) {
    for (std::size_t at = 0; at < said.size(); at += piece) whole.take(std::string_view(said).substr(at, piece), out);
    CHECK(whole.at_boundary());
    whole.next_shard();
  }
  whole.finish(out);
  return out;
}

}  // namespace

TEST_CASE("concat: one answer of many, wherever they are cut") {
  const auto row = frame('D', std::string(40, 'x')), notice = frame('N', "SNOTICE\0\0");
  const std::vector<std::string> shards = {opening + columns(1, 20) + row + done(1) + ready, opening + columns(2, 20) + done(0) + ready,
                                           opening + columns(3, 20) + row + notice + row + done(2) + ready};
  for (std::size_t piece = 1; piece < 60; ++piece) {
    CAPTURE(piece);
    const auto simple = answer(shards, true, piece), extended = answer(shards, false, piece);
    CHECK(kinds(simple) == "TDDNDC");
    CHECK(kinds(extended) == "12TDDNDC");
    CHECK(simple.ends_with(done(3)));
  }
}

TEST_CASE("concat: the first error ends it, and rows behind it are nobody's") {
  const auto row = frame('D', "xxxx");
  const std::vector<std::string> shards = {opening + columns(1, 20) + row + done(1) + ready, opening + columns(1, 20) + row + error("one") + ready,
                                           opening + columns(1, 20) + row + error("two") + ready};
  for (std::size_t piece = 1; piece < 40; ++piece) {
    const auto seen = answer(shards, true, piece);
    CHECK(kinds(seen) == "TDDE");
    CHECK(seen.find("one") != std::string::npos);
  }
  CHECK(kinds(answer({error("refused") + ready, error("refused") + ready}, true, 7)) == "E");
}

TEST_CASE("concat: shards that differ in columns are not one table") {
  const auto seen = answer({opening + columns(1, 20) + done(0) + ready, opening + columns(1, 25) + frame('D', "xx") + done(1) + ready}, true, 5);
  CHECK(kinds(seen) == "TE");
}

TEST_CASE("concat: the statement and its portal are described once each, in formats of their own") {
  const auto described = columns(1, 20), portal = columns(1, 21);
  const auto shard = frame('1', "") + frame('t', "xx") + described + frame('2', "") + portal + frame('D', "xx") + done(1) + ready;
  for (std::size_t piece = 1; piece < 30; ++piece) {
    const auto seen = answer({shard, shard, shard}, false, piece);
    CHECK(kinds(seen) == "1tT2TDDDC");
    CHECK(seen.find(portal) != std::string::npos);
  }
  const auto other = opening + described + described + done(0) + ready;
  CHECK(kinds(answer({opening + described + done(0) + ready, other}, false, 5)) == "12TE");
}

TEST_CASE("commit_barrier: statements keep commits waiting, and commits statements, but none its own kind") {
  proxy::commit_barrier barrier;
  auto one = barrier.enter_statement(), two = barrier.enter_statement();
  REQUIRE((one && two));
  CHECK_FALSE(barrier.enter_commit(false));
  one = {};
  CHECK_FALSE(two.is_overrun());
  auto first = barrier.enter_commit(true);
  REQUIRE(first);
  CHECK(two.is_overrun());  // it takes its snapshots again
  two = {};
  CHECK_FALSE(barrier.enter_statement());
  auto second = barrier.enter_commit(false);
  REQUIRE(second);
  first = {};
  CHECK_FALSE(barrier.enter_statement());
  second = {};
  CHECK(barrier.enter_statement());
}

TEST_CASE("commit_barrier: a statement that waits is not kept out by commits that follow each other") {
  proxy::commit_barrier barrier;
  auto running = barrier.enter_commit(false);
  REQUIRE(running);
  {
    const proxy::commit_barrier::wish waits(barrier);
    CHECK_FALSE(barrier.enter_commit(false));
    CHECK(barrier.enter_commit(true));  // its budget is over
    running = {};
    CHECK(barrier.enter_statement());
  }
  CHECK(barrier.enter_commit(false));
}

TEST_CASE("commit_barrier: who did not come in leaves nothing behind") {
  proxy::commit_barrier barrier;
  {
    const auto commit = barrier.enter_commit(false);
    REQUIRE(commit);
    for (int tries = 0; tries < 3; ++tries) CHECK_FALSE(barrier.enter_statement());
  }
  CHECK(barrier.enter_commit(false));  // nobody is taken for a statement inside
  const auto after = barrier.enter_statement();
  CHECK((after && !after.is_overrun()));
}
