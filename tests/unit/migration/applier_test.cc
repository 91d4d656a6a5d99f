// The applier (migration/mover/applier.h) between a scripted stream and a scripted target: what is written in which order, what is
// confirmed when, where it stops, and that nothing is confirmed that a failure may have taken back.
#include "migration/mover/applier.h"

#include <deque>
#include <functional>
#include <map>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

#include "migration/base/log.h"
#include "moving_table_sample.h"
#include "protocol/wire.h"

using namespace migration;
using protocol::lsn;

namespace {

using names = std::vector<std::string>;
constexpr std::uint32_t relation_id = 99;

// Messages as pgoutput sends them.
std::string begin_message(std::uint32_t xid, std::uint64_t commit) {
  std::string out = "B";
  protocol::append_int(out, commit);
  protocol::append_int(out, std::int64_t{0});
  protocol::append_int(out, xid);
  return out;
}
std::string commit_message(std::uint64_t commit) {
  std::string out = "C";
  protocol::append_int(out, std::uint8_t{0});
  protocol::append_int(out, commit);
  protocol::append_int(out, commit + 10);  // where it ends
  protocol::append_int(out, std::int64_t{0});
  return out;
}
std::string relation_message() {
  std::string out = "R";
  protocol::append_int(out, relation_id);
  protocol::append_cstring(out, "shop");
  protocol::append_cstring(out, "Or\"ders");
  out += 'd';
  protocol::append_int(out, std::uint16_t{4});
  const struct {
    bool key;
    const char* name;
    std::uint32_t type;
  } columns[] = {{true, "tenant", 23}, {true, "id", 20}, {false, "note", 25}, {false, "big", 25}};
  for (const auto& column : columns) {
    protocol::append_int(out, static_cast<std::uint8_t>(column.key));
    protocol::append_cstring(out, column.name);
    protocol::append_int(out, column.type);
    protocol::append_int(out, std::int32_t{-1});
  }
  return out;
}
void append_key(std::string& out, std::int64_t id) {
  protocol::append_int(out, std::uint16_t{4});
  out += 'b';
  protocol::append_int(out, std::int32_t{4});
  protocol::append_int(out, std::int32_t{1});
  out += 'b';
  protocol::append_int(out, std::int32_t{8});
  protocol::append_int(out, id);
  out += "nn";
}
std::string insert_message(std::int64_t id) {
  std::string out = "I";
  protocol::append_int(out, relation_id);
  out += 'N';
  append_key(out, id);
  return out;
}
std::string update_message(std::int64_t from, std::int64_t to) {
  std::string out = "U";
  protocol::append_int(out, relation_id);
  out += 'K';
  append_key(out, from);
  out += 'N';
  append_key(out, to);
  return out;
}
std::string logical_message(std::string_view prefix, std::string_view content, bool transactional = true) {
  std::string out = "M";
  protocol::append_int(out, static_cast<std::uint8_t>(transactional));
  protocol::append_int(out, std::uint64_t{0});
  protocol::append_cstring(out, prefix);
  protocol::append_int(out, static_cast<std::uint32_t>(content.size()));
  return out.append(content);
}
std::string truncate_message() {
  std::string out = "T";
  protocol::append_int(out, std::uint32_t{1});
  protocol::append_int(out, std::uint8_t{0});
  protocol::append_int(out, relation_id);
  return out;
}

std::string id_of(const protocol::pgoutput::tuple& row) {
  protocol::wire_reader reader(row.at(1).data);
  return std::to_string(reader.read<std::int64_t>());
}

struct scripted_source final : change_source {
  explicit scripted_source(names& log_in) : log(log_in) {}
  bool ready() const noexcept override { return !items.empty(); }
  stream_item pop() override {
    auto out = std::move(items.front());
    items.pop_front();
    return out;
  }
  void confirm(lsn position) override {
    if (position == confirmed) return;
    confirmed = position;
    log.push_back("confirm " + std::to_string(position.value));
  }
  names& log;
  std::deque<stream_item> items;
  lsn confirmed;
};

struct scripted_target final : apply_target {
  explicit scripted_target(names& log_in) : log(log_in) {}
  bool in_transaction() const noexcept override { return open; }
  std::size_t queued() const noexcept override { return waiting; }
  std::size_t queued_bytes() const noexcept override { return 0; }
  void queue(const row_change& change, change_part part, std::string) override {
    const auto text = part == change_part::delete_old ? "delete " + id_of(change.old_row)
                                                      : (part == change_part::whole ? "update " : "insert ") + id_of(change.new_row);
    write("queue", text);
    open = true;
    ++waiting;
  }
  task<void> verify() override {
    write("verify", "verify " + std::to_string(std::exchange(waiting, 0)));
    co_return;
  }
  task<void> commit(lsn position, std::int64_t) override {
    write("commit", "commit " + std::to_string(position.value));
    waiting = 0;
    open = false;
    co_return;
  }
  task<bool> load(read_chunk& chunk, const std::vector<const held_change*>& pending, const relation_book&, load_position where) override {
    REQUIRE_FALSE(open);
    auto text = "load " + std::to_string(chunk.rows) + " floor " + std::to_string(where.floor.value);
    for (const auto* each : pending) text += " xid " + std::to_string(each->transaction.xid);
    write("load", text);
    co_return !in_the_way;
  }
  // Fails before anything of it has been done; what was queued is rolled back with the session.
  void write(const std::string& what, const std::string& text) {
    if (what == fails) throw std::runtime_error("the target fails at " + what);
    log.push_back(text);
  }
  names& log;
  std::string fails;
  bool open = false, in_the_way = false;
  std::size_t waiting = 0;
};

mover_settings settings_of_everything() {
  mover_settings out;
  out.migration = 7;
  out.key_type = routing::key_type::int8;
  out.ranges = {routing::placement_range{}};
  out.tables = {sample_table()};
  return out;
}

// An applier whose stream begins at 1000, with no chunk loaded.
class rig {
 public:
  rig() {
    context.tables.emplace_back(sample_table(), routing::key_type::int8, context.settings.ranges, false);
    context.next_chunk_number = {0};
    context.rows_copied = context.rows_scanned = {0};
    context.decisions = std::make_unique<svb>(1, lsn{0}, lsn{1000});
    send(relation_message());
    boost::asio::co_spawn(io, apply.run(), [this](std::exception_ptr error) {
      ended = true;
      if (error) failure = error;
    });
  }
  ~rig() {
    context.stop();
    go();
  }
  rig(const rig&) = delete;
  rig& operator=(const rig&) = delete;

  void send(std::string payload) { source.items.push_back({lsn{}, std::move(payload)}); }
  // A source transaction whose commit record is at `commit` and ends 10 later.
  void send_transaction(std::uint32_t xid, std::uint64_t commit, const names& messages) {
    send(begin_message(xid, commit));
    for (const auto& each : messages) send(each);
    send(commit_message(commit));
  }
  // A chunk of the whole table, read under this snapshot.
  void read(std::uint64_t rows, snapshot seen, std::uint64_t high) {
    read_chunk chunk;
    chunk.read = context.decisions->begin_read();
    context.decisions->opened(chunk.read, seen, lsn{high});
    chunk.seen = std::move(seen);
    chunk.high = lsn{high};
    chunk.rows = rows;
    ++context.unloaded;
    context.chunks.push_back(std::move(chunk));
  }
  // Everything is loaded: a change is applied as it comes.
  void loaded() {
    read(0, {1, 1, {}}, 1000);
    go();
    log.clear();
  }
  void go() {
    context.work.notify();
    io.restart();
    io.poll();
  }
  std::string why() const {
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }

  boost::asio::io_context io{1};
  names log;
  mover_context context{settings_of_everything()};
  scripted_source source{log};
  scripted_target target{log};
  applier apply{context, target, source};
  bool ended = false;
  std::exception_ptr failure;
};

const marker_token ours{7, 7, 3, 2};
std::string marker(const marker_token& token) { return logical_message("pgrotor", token.text()); }

}  // namespace

TEST_CASE("applier: a transaction is committed at its end, then confirmed") {
  rig r;
  r.loaded();
  r.send_transaction(10, 1100, {insert_message(1), update_message(1, 1), update_message(1, 2)});
  r.go();
  CHECK(r.log == names{"insert 1", "update 1", "update 2", "commit 1110", "confirm 1110"});
  CHECK(r.context.figures.changes_applied == 3);
  CHECK(r.context.figures.applied == lsn{1110});
}

TEST_CASE("applier: whole transactions share one of the target, as long as more are ready") {
  rig r;
  r.loaded();
  for (std::uint64_t i = 1; i <= 3; ++i) r.send_transaction(10, 1000 + 100 * i, {insert_message(static_cast<std::int64_t>(i))});
  r.go();
  CHECK(r.log == names{"insert 1", "insert 2", "insert 3", "commit 1310", "confirm 1310"});
}

TEST_CASE("applier: a transaction whose rest has not arrived is neither committed nor confirmed") {
  rig r;
  r.loaded();
  r.send(begin_message(10, 1100));
  r.send(insert_message(1));
  r.go();
  CHECK(r.log == names{"insert 1"});
  r.source.items.push_back({lsn{5000}, ""});  // a keepalive in the middle of it says nothing of its position
  r.go();
  CHECK(r.log == names{"insert 1"});
  r.send(commit_message(1100));
  r.go();
  CHECK(r.log == names{"insert 1", "commit 1110", "confirm 1110"});
}

TEST_CASE("applier: a keepalive between transactions moves what is confirmed") {
  rig r;
  r.loaded();
  r.source.items.push_back({lsn{5000}, ""});
  r.go();
  CHECK(r.log == names{"confirm 5000"});
}

TEST_CASE("applier: a large transaction is sent and checked in parts, and stays one") {
  rig r;
  r.loaded();
  names messages;
  for (int i = 0; i < 4'500; ++i) messages.push_back(insert_message(i));
  r.send_transaction(10, 1100, messages);
  r.go();
  std::erase_if(r.log, [](const auto& line) { return line.starts_with("insert"); });
  CHECK(r.log == names{"verify 2000", "verify 2000", "commit 1110", "confirm 1110"});
}

TEST_CASE("applier: changes of a chunk that is not loaded are held and go with it; nothing is confirmed past the oldest of them") {
  rig r;
  r.send_transaction(10, 1100, {insert_message(1)});
  r.send_transaction(11, 1200, {insert_message(2)});
  r.go();
  CHECK(r.log == names{"confirm 1100"});
  CHECK(r.source.confirmed == lsn{1100});  // where the commit record of the first starts
  CHECK(r.context.figures.changes_held == 2);
  r.log.clear();
  r.read(5, {11, 12, {11}}, 1150);  // sees the first, which is dropped, not the second
  r.go();
  CHECK(r.log == names{"load 5 floor 1200 xid 11", "confirm 1210"});
  CHECK(r.context.copied() == false);  // not planned to the end
  CHECK(r.context.unloaded == 0);
}

TEST_CASE("applier: a chunk with a row of another in its way is given back, and what it holds stays held") {
  rig r;
  r.target.in_the_way = true;
  r.send_transaction(10, 1100, {insert_message(1)});
  r.go();
  r.read(5, {1, 1, {}}, 1000);
  r.log.clear();
  r.go();
  CHECK(r.log == names{"load 5 floor 1100 xid 10"});
  CHECK(r.context.given_back.size() == 1);
  CHECK(r.context.unloaded == 1);
  CHECK(r.context.figures.chunks_loaded == 0);
  CHECK(r.context.decisions->held() == 1);
}

TEST_CASE("applier: a chunk of a table with another unique index waits for what its snapshot saw") {
  rig r;
  r.context.tables[0].other_unique = true;
  r.read(5, {1, 1, {}}, 2000);
  r.go();
  CHECK(r.context.chunks.size() == 1);
  r.source.items.push_back({lsn{1999}, ""});
  r.go();
  CHECK(r.context.chunks.size() == 1);
  r.source.items.push_back({lsn{2000}, ""});
  r.go();
  CHECK(r.context.chunks.empty());
}

TEST_CASE("applier: no chunk is loaded before the stream has passed what an earlier mover applied") {
  rig r;
  r.context.decisions = std::make_unique<svb>(1, lsn{1500}, lsn{1000});
  r.read(5, {1, 1, {}}, 1000);
  r.go();
  CHECK(r.context.chunks.size() == 1);
  r.source.items.push_back({lsn{1500}, ""});
  r.go();
  CHECK(r.context.chunks.empty());
}

TEST_CASE("applier: it stops behind the expected marker, and a successor would find the marker again") {
  rig r;
  r.loaded();
  r.apply.expect(ours);
  r.send_transaction(10, 1100, {insert_message(1), marker(ours)});
  r.send_transaction(11, 1200, {insert_message(2)});
  r.go();
  CHECK(r.log == names{"insert 1", "commit 1110", "confirm 1100"});
  CHECK(r.apply.ended() == lsn{1110});
  r.apply.forget();
  r.go();
  CHECK(r.log == names{"insert 1", "commit 1110", "confirm 1100", "insert 2", "commit 1210", "confirm 1210"});
  CHECK_FALSE(r.apply.ended());
}

TEST_CASE("applier: a marker that came before it was expected ends the history too, one of another attempt does not") {
  for (const auto& token : {marker_token{7, 7, 3, 1}, marker_token{7, 7, 2, 2}, marker_token{8, 8, 3, 2}}) {
    rig r;
    r.loaded();
    r.apply.expect(ours);
    r.send_transaction(10, 1100, {marker(token)});
    r.send_transaction(11, 1200, {insert_message(2)});
    r.go();
    CHECK(r.log.back() == "confirm 1210");
    CHECK_FALSE(r.apply.ended());
  }
  rig early;
  early.loaded();
  early.send_transaction(10, 1100, {marker(ours)});
  early.go();
  CHECK_FALSE(early.apply.ended());
  early.apply.expect(ours);
  early.go();
  CHECK(early.apply.ended() == lsn{1110});
}

TEST_CASE("applier: what is no marker ends nothing") {
  rig r;
  r.loaded();
  r.apply.expect(ours);
  r.send_transaction(10, 1100, {logical_message("pgrotor", ours.text(), false), logical_message("pgrotor", "7:7:3"), logical_message("other", ours.text()),
                                logical_message("pgrotor.truncate", "8:public.t")});
  r.go();
  CHECK_FALSE(r.apply.ended());
  CHECK_FALSE(r.ended);
}

TEST_CASE("applier: it ends with what it cannot apply") {
  const struct {
    std::string message, why;
  } rows[] = {{truncate_message(), "a table under migration was truncated on the source; cancel the migration and start it again"},
              {logical_message("pgrotor.truncate", "7:public.t"), "public.t was truncated on the source; cancel the migration and start it again"},
              {"?", "the source sent a change that cannot be read"}};
  for (const auto& row : rows) {
    CAPTURE(row.why);
    rig r;
    r.loaded();
    r.send_transaction(10, 1100, {insert_message(1), row.message});
    r.go();
    CHECK(r.ended);
    CHECK(r.why() == row.why);
    CHECK(r.log == names{"insert 1"});
  }
}

TEST_CASE("applier: whatever fails, nothing is confirmed that is not durable") {
  names many;
  for (int i = 0; i < 2'000; ++i) many.push_back(insert_message(i));
  for (const std::string at : {"queue", "verify", "commit", "load"}) {
    CAPTURE(at);
    rig r;
    r.loaded();
    r.send_transaction(9, 1050, {insert_message(1)});
    r.go();
    REQUIRE(r.source.confirmed == lsn{1060});
    r.target.fails = at;
    if (at == "load") r.read(5, {1, 1, {}}, 1000);
    r.send_transaction(10, 1100, many);
    r.go();
    CHECK(r.ended);
    CHECK(r.why() == "the target fails at " + at);
    CHECK(r.source.confirmed == lsn{1060});
    CHECK(r.context.figures.applied == lsn{1060});
    CHECK(r.context.figures.changes_applied == 1);
  }
}

TEST_CASE("applier: told to stop it ends without committing what is open") {
  rig r;
  r.loaded();
  r.send(begin_message(10, 1100));
  r.send(insert_message(1));
  r.go();
  r.context.stop();
  r.go();
  CHECK(r.ended);
  CHECK(r.why().empty());
  CHECK(r.log == names{"insert 1"});
}
