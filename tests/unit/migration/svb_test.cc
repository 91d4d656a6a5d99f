#include <doctest/doctest.h>

#include "migration/mover/svb.h"

using namespace migration;
using protocol::lsn;

namespace {

constexpr std::uint64_t start = 1000;
key_slice slice(std::optional<std::string> lower, std::optional<std::string> upper) { return {std::move(lower), std::move(upper)}; }
held_change change(const std::string& key, std::uint32_t xid, std::uint64_t commit) {
  held_change out;
  out.key = key;
  out.transaction = {xid, lsn{commit}};
  out.message = "message of " + key;
  return out;
}

// Loads a chunk as a reader and the applier would, and returns the keys of its pending changes.
std::string load(svb& decisions, key_slice keys, const snapshot& seen, std::uint64_t high) {
  const auto read = decisions.begin_read();
  decisions.opened(read, seen, lsn{high});
  std::string out;
  for (const auto* pending : decisions.pending(0, keys, seen, lsn{high})) out += pending->key + std::to_string(pending->transaction.xid) + " ";
  decisions.load(0, keys, read, seen, lsn{high});
  return out;
}

}  // namespace

TEST_CASE("svb: a change of a chunk that is not loaded is held") {
  svb decisions(1, lsn{0}, lsn{start});
  CHECK(decisions.judge(0, "b", {10, lsn{start}}) == verdict::hold);
  load(decisions, slice("c", "f"), {1, 1, {}}, start);
  CHECK(decisions.judge(0, "c", {10, lsn{start}}) == verdict::hold);
  CHECK(decisions.judge(0, "d", {10, lsn{start}}) == verdict::apply);
  CHECK(decisions.judge(0, "f", {10, lsn{start}}) == verdict::apply);
  CHECK(decisions.judge(0, "fa", {10, lsn{start}}) == verdict::hold);
}

TEST_CASE("svb: below the chunk's high position only what its snapshot does not see is applied") {
  svb decisions(1, lsn{0}, lsn{start});
  load(decisions, slice({}, {}), {10, 20, {10, 15}}, start + 100);
  CHECK(decisions.judge(0, "k", {9, lsn{start + 10}}) == verdict::skip);
  CHECK(decisions.judge(0, "k", {15, lsn{start + 10}}) == verdict::apply);
  CHECK(decisions.judge(0, "k", {16, lsn{start + 99}}) == verdict::skip);
  CHECK(decisions.judge(0, "k", {20, lsn{start + 50}}) == verdict::apply);
  CHECK(decisions.judge(0, "k", {9, lsn{start + 100}}) == verdict::apply);
}

TEST_CASE("svb: past its high position a snapshot is forgotten") {
  svb decisions(1, lsn{0}, lsn{start});
  load(decisions, slice({}, {}), {10, 20, {}}, start + 100);
  decisions.advance(lsn{start + 99});
  CHECK(decisions.judge(0, "k", {9, lsn{start + 99}}) == verdict::skip);
  decisions.advance(lsn{start + 100});
  CHECK(decisions.judge(0, "k", {9, lsn{start + 99}}) == verdict::apply);
}

TEST_CASE("svb: a loaded chunk takes its held changes that the snapshot does not see, in commit order") {
  svb decisions(1, lsn{0}, lsn{start});
  decisions.hold(change("d", 12, start + 1));
  decisions.hold(change("b", 12, start + 1));
  decisions.hold(change("x", 13, start + 2));
  decisions.hold(change("b", 9, start + 3));
  decisions.hold(change("c", 14, start + 4));
  CHECK(load(decisions, slice("a", "d"), {10, 20, {12, 14}}, start + 100) == "d12 b12 c14 ");
  CHECK(decisions.held() == 0);  // x13 is seen by the chunk's snapshot, hence by every later one
}

TEST_CASE("svb: a held change is dropped once a snapshot sees it and every open one does") {
  svb decisions(1, lsn{0}, lsn{start});
  const auto reader = decisions.begin_read();
  decisions.opened(reader, {10, 20, {12}}, lsn{start});
  decisions.hold(change("k", 12, start + 1));
  decisions.hold(change("m", 11, start + 2));
  decisions.observe({30, 30, {}}, lsn{start + 50});
  CHECK(decisions.held() == 2);  // the stop: the open snapshot saw nothing from `start` on
  decisions.abandon(reader);
  CHECK(decisions.held() == 0);
  CHECK(decisions.held_bytes() == 0);
}

TEST_CASE("svb: nothing is dropped while the snapshot of a read is being taken") {
  svb decisions(1, lsn{0}, lsn{start});
  decisions.hold(change("k", 12, start + 1));
  const auto reader = decisions.begin_read();
  decisions.observe({30, 30, {}}, lsn{start + 50});
  CHECK(decisions.held() == 1);
  const snapshot older{12, 13, {12}};
  decisions.opened(reader, older, lsn{start + 40});
  CHECK(decisions.held() == 1);
  CHECK(decisions.pending(0, {}, older, lsn{start + 60}).size() == 1);
  decisions.load(0, {}, reader, older, lsn{start + 60});
  CHECK(decisions.held() == 0);
}

TEST_CASE("svb: the floor is the oldest held change") {
  svb decisions(1, lsn{0}, lsn{start});
  CHECK(decisions.floor() == lsn{start});
  decisions.hold(change("k", 12, start + 10));
  decisions.advance(lsn{start + 20});
  CHECK(decisions.floor() == lsn{start + 10});
  CHECK(decisions.position() == lsn{start + 20});
  decisions.observe({30, 30, {}}, lsn{start + 20});
  CHECK(decisions.floor() == lsn{start + 20});
}

TEST_CASE("svb: after a restart what the origin has applied is not applied again, and no chunk is loaded before it has passed") {
  svb decisions(1, lsn{start + 50}, lsn{start});
  decisions.restore(0, slice({}, "m"), {10, 20, {12}}, lsn{start + 80});
  CHECK_FALSE(decisions.may_load());
  CHECK(decisions.judge(0, "k", {12, lsn{start + 49}}) == verdict::skip);   // applied by the predecessor
  CHECK(decisions.judge(0, "k", {12, lsn{start + 50}}) == verdict::apply);  // not yet
  CHECK(decisions.judge(0, "k", {11, lsn{start + 60}}) == verdict::skip);   // in the chunk
  CHECK(decisions.judge(0, "z", {12, lsn{start + 49}}) == verdict::hold);
  decisions.advance(lsn{start + 50});
  CHECK(decisions.may_load());
}
