// Streamed transactions (protocol version 2), as a walsender of PostgreSQL 15 sent them: golden/pgoutput_stream.txt.
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <variant>
#include <vector>

#include "golden.h"
#include "protocol/pgoutput.h"

using namespace protocol;
using protocol_test::hex;

namespace {

struct captured {
  std::string step, bytes;
  bool in_stream = false;
  pgoutput::change change;
};

// The payloads in order, each decoded as the segment it stands in demands.
std::vector<captured> read() {
  std::vector<captured> out;
  bool in_stream = false;
  for (const auto& line : protocol_test::read_golden("pgoutput_stream.txt")) {
    auto& item = out.emplace_back(captured{line.step, hex(line.words.at(0)), in_stream, {}});
    const auto envelope = decode_replication(item.bytes);
    REQUIRE(envelope);
    if (std::holds_alternative<keepalive>(*envelope)) {
      out.pop_back();
      continue;
    }
    // Views are made last: those into a short std::string would not survive the growth of the vector.
    item.bytes = std::string(std::get<xlog_data>(*envelope).payload);
    const auto change = pgoutput::decode(item.bytes, in_stream);
    REQUIRE(change);
    if (std::holds_alternative<pgoutput::stream_start>(*change)) in_stream = true;
    if (std::holds_alternative<pgoutput::stream_stop>(*change)) in_stream = false;
  }
  for (auto& item : out) item.change = *pgoutput::decode(item.bytes, item.in_stream);
  return out;
}

template <typename Message>
std::vector<Message> of(const std::vector<captured>& all, std::string_view step) {
  std::vector<Message> out;
  for (const auto& item : all)
    if (const auto* message = std::get_if<Message>(&item.change); message && item.step.starts_with(step)) out.push_back(*message);
  REQUIRE_FALSE(out.empty());
  return out;
}

}  // namespace

TEST_CASE("pgoutput_stream: the first segment says so, and every segment names the top-level transaction") {
  const auto all = read();
  const auto first = of<pgoutput::stream_start>(all, "begin; insert into shop.item").at(0);
  CHECK(first.first_segment);
  int segments = 0;
  for (const auto& item : all)
    if (const auto* start = std::get_if<pgoutput::stream_start>(&item.change); start && start->xid == first.xid) {
      CHECK(start->first_segment == (segments == 0));
      ++segments;
    }
  CHECK(segments >= 4);
  const auto commit = of<pgoutput::stream_commit>(all, "commit").at(0);
  CHECK(commit.xid == first.xid);
  CHECK(commit.commit_lsn < commit.end_lsn);
  CHECK(commit.commit_time > 0);
}

TEST_CASE("pgoutput_stream: rows carry the xid of their own subtransaction") {
  const auto all = read();
  const auto top = of<pgoutput::stream_start>(all, "begin; insert into shop.item").at(0).xid;
  CHECK(of<pgoutput::insert>(all, "begin; insert into shop.item").at(0).xid == top);
  CHECK(of<pgoutput::relation>(all, "begin; insert into shop.item").at(0).xid == top);
  CHECK(of<pgoutput::type>(all, "begin; insert into shop.item").at(0).xid == top);
  CHECK(of<pgoutput::update>(all, "select pg_logical_emit_message").at(0).xid == top);
  const auto undone = of<pgoutput::insert>(all, "savepoint a").at(0).xid;
  const auto later = of<pgoutput::delete_>(all, "truncate").at(0).xid;
  CHECK(std::set{top, undone, later}.size() == 3);
  CHECK(of<pgoutput::truncate>(all, "truncate").at(0).xid == later);
}

TEST_CASE("pgoutput_stream: Stream Abort names a subtransaction, or the whole by its own xid twice") {
  const auto all = read();
  const auto part = of<pgoutput::stream_abort>(all, "rollback to a").at(0);
  CHECK(part.xid == of<pgoutput::stream_start>(all, "savepoint a").at(0).xid);
  CHECK(part.subtransaction == of<pgoutput::insert>(all, "savepoint a").at(0).xid);
  const auto never = of<pgoutput::stream_start>(all, "begin; insert into shop.audit").at(0).xid;
  std::vector<pgoutput::stream_abort> whole;
  for (const auto& item : all)
    if (const auto* abort = std::get_if<pgoutput::stream_abort>(&item.change); abort && item.step == "rollback") whole.push_back(*abort);
  REQUIRE(whole.size() == 1);
  CHECK(whole[0].xid == never);
  CHECK(whole[0].subtransaction == never);
}

TEST_CASE("pgoutput_stream: a message in a segment, and transactions between segments that carry no xid") {
  const auto all = read();
  const auto messages = of<pgoutput::message>(all, "select pg_logical_emit_message");
  REQUIRE(messages.size() == 2);
  CHECK(messages[0].content == "in a stream");
  CHECK(messages[0].xid == of<pgoutput::stream_start>(all, "select pg_logical_emit_message").at(0).xid);
  CHECK(messages[1].prefix == "step");
  CHECK(messages[1].xid == 0);
}

TEST_CASE("pgoutput_stream: a transaction that was confirmed may come again, ended by Stream Abort though it was committed") {
  std::string tags;
  std::uint32_t top = 0;
  bool in_stream = false;
  for (const auto& line : protocol_test::read_golden("pgoutput_again.txt")) {
    const auto bytes = hex(line.words.at(2));
    const auto change = pgoutput::decode(bytes, in_stream);
    REQUIRE(change);
    if (const auto* start = std::get_if<pgoutput::stream_start>(&*change)) top = start->xid;
    in_stream = (in_stream || bytes.front() == 'S') && bytes.front() != 'E';
    if (const auto* abort = std::get_if<pgoutput::stream_abort>(&*change)) {
      CHECK(abort->xid == top);
      CHECK(abort->subtransaction == top);
    }
    tags.push_back(bytes.front());
  }
  CHECK(tags == "SRIESRTEc" "SRIRTEA" "BRIC");
}

TEST_CASE("pgoutput_stream: cut anywhere is refused") {
  std::set<char> seen;
  for (const auto& item : read()) {
    if (!seen.insert(item.bytes.front()).second) continue;
    CAPTURE(item.bytes.front());
    for (std::size_t size = 0; size < item.bytes.size(); ++size) CHECK_FALSE(pgoutput::decode(item.bytes.substr(0, size), item.in_stream));
    CHECK_FALSE(pgoutput::decode(item.bytes + 'x', item.in_stream));
  }
  CHECK(seen == std::set<char>{'A', 'B', 'C', 'D', 'E', 'I', 'M', 'R', 'S', 'T', 'U', 'Y', 'c'});
}
