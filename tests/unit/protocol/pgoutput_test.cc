// Against what PostgreSQL 15 decoded from the statements in golden/pgoutput_text.txt and pgoutput_binary.txt.
#include "protocol/pgoutput.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "golden.h"

using namespace protocol;
using namespace std::string_view_literals;
using protocol_test::hex;

namespace {

// One message with the bytes that its views point into.
struct captured {
  std::string step;
  lsn position;
  std::uint32_t xid = 0;
  std::string bytes;
  pgoutput::change change;
};

std::vector<captured> read(std::string_view file) {
  std::vector<captured> out;
  for (const auto& line : protocol_test::read_golden(file)) {
    out.push_back({line.step, *parse_lsn(line.words.at(0)), static_cast<std::uint32_t>(std::stoul(line.words.at(1))), hex(line.words.at(2)), {}});
  }
  for (auto& item : out) {
    CAPTURE(item.step);
    const auto change = pgoutput::decode(item.bytes);
    REQUIRE(change);
    item.change = *change;
  }
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

// A tuple as text: '~' for null, '?' for an unchanged TOAST value.
std::string show(const pgoutput::tuple& tuple) {
  std::string out;
  for (const auto& column : tuple) {
    if (!out.empty()) out += '|';
    if (column.kind == pgoutput::value_kind::null) out += '~';
    else if (column.kind == pgoutput::value_kind::unchanged_toast) out += '?';
    else out += column.data;
  }
  return out;
}

}  // namespace

TEST_CASE("pgoutput: transactions are framed by Begin and Commit that agree with each other and with the slot's columns") {
  for (const auto file : {"pgoutput_text.txt", "pgoutput_binary.txt"}) {
    const pgoutput::begin* open = nullptr;
    int transactions = 0;
    const auto all = read(file);
    for (const auto& item : all) {
      if (const auto* begin = std::get_if<pgoutput::begin>(&item.change)) {
        CHECK(open == nullptr);
        CHECK(begin->xid == item.xid);
        open = begin;
      } else if (const auto* commit = std::get_if<pgoutput::commit>(&item.change)) {
        REQUIRE(open);
        CHECK(commit->flags == 0);
        CHECK(commit->commit_lsn == open->final_lsn);
        CHECK(commit->end_lsn == item.position);
        CHECK(commit->end_lsn > commit->commit_lsn);
        CHECK(commit->commit_time == open->commit_time);
        ++transactions;
        open = nullptr;
      } else if (open) {
        CHECK(item.xid == open->xid);
      }
    }
    CHECK(transactions == 13);
  }
}

TEST_CASE("pgoutput: Relation and Type") {
  const auto all = read("pgoutput_text.txt");
  const auto item = of<pgoutput::relation>(all, "insert into shop.item").at(0);
  CHECK(item.schema == "shop");
  CHECK(item.name == "item");
  CHECK(item.replica_identity == 'd');
  CHECK(item.xid == 0);
  struct row {
    bool part_of_key;
    std::string_view name;
    std::uint32_t type;
    std::int32_t modifier;
  };
  const auto colour = of<pgoutput::type>(all, "insert into shop.item").at(0);
  CHECK(colour.schema == "shop");
  CHECK(colour.name == "colour");
  const row rows[] = {{true, "id", 20, -1},    {false, "name", 25, -1},           {false, "price", 1700, ((10 << 16) | 2) + 4},
                      {false, "data", 17, -1}, {false, "colour", colour.id, -1}, {false, "big", 25, -1}};
  REQUIRE(item.columns.size() == std::size(rows));
  for (std::size_t i = 0; i < std::size(rows); ++i) {
    CAPTURE(rows[i].name);
    CHECK(item.columns[i].part_of_key == rows[i].part_of_key);
    CHECK(item.columns[i].name == rows[i].name);
    CHECK(item.columns[i].type == rows[i].type);
    CHECK(item.columns[i].type_modifier == rows[i].modifier);
  }
  const auto audit = of<pgoutput::relation>(all, "insert into shop.audit").at(0);
  CHECK(audit.replica_identity == 'f');
  CHECK(audit.columns.at(1).type_modifier == 20 + 4);
  CHECK(audit.columns.at(1).part_of_key);  // FULL: every column is
}

TEST_CASE("pgoutput: rows in text") {
  const auto all = read("pgoutput_text.txt");
  const auto rows = of<pgoutput::insert>(all, "insert into shop.item");
  REQUIRE(rows.size() == 2);
  CHECK(show(rows[0].new_row) == "1|one|9.90|\\x00ff|red|~");
  CHECK(show(rows[1].new_row) == "-2||~|~|~|b");
  CHECK(rows[1].new_row.at(1).kind == pgoutput::value_kind::text);  // empty, which is not null
  CHECK(rows[0].relation == of<pgoutput::relation>(all, "insert into shop.item").at(0).id);
}

TEST_CASE("pgoutput: rows in binary") {
  const auto all = read("pgoutput_binary.txt");
  const auto row = of<pgoutput::insert>(all, "insert into shop.item").at(0).new_row;
  REQUIRE(row.size() == 6);
  CHECK(row[0].kind == pgoutput::value_kind::binary);
  CHECK(row[0].data == hex("0000000000000001"));
  CHECK(row[1].data == "one");
  CHECK(row[2].data == hex("0002 0000 0000 0002 0009 2328"));  // numeric 9.90: two digits, weight 0, +, scale 2
  CHECK(row[3].data == hex("00ff"));
  CHECK(row[4].data == "red");
  CHECK(row[5].kind == pgoutput::value_kind::null);
}

TEST_CASE("pgoutput: what an Update carries of the old row depends on the replica identity and on the key") {
  const auto all = read("pgoutput_text.txt");
  const auto plain = of<pgoutput::update>(all, "update shop.item set name").at(0);
  CHECK(plain.old_kind == 0);
  CHECK(plain.old_row.empty());
  CHECK(show(plain.new_row) == "1|uno|9.90|\\x00ff|red|~");
  const auto key = of<pgoutput::update>(all, "update shop.item set id").at(0);
  CHECK(key.old_kind == 'K');
  CHECK(show(key.old_row) == "-2|~|~|~|~|~");
  CHECK(show(key.new_row) == "3||~|~|~|b");
  const auto full = of<pgoutput::update>(all, "update shop.audit").at(0);
  CHECK(full.old_kind == 'O');
  CHECK(show(full.old_row) == "7|seven");
  CHECK(show(full.new_row) == "7|~");
}

TEST_CASE("pgoutput: a TOAST value is sent when it is set and marked when it did not change") {
  for (const auto file : {"pgoutput_text.txt", "pgoutput_binary.txt"}) {
    const auto all = read(file);
    CHECK(of<pgoutput::update>(all, "update shop.item set big").at(0).new_row.at(5).data == std::string(2100, 'x'));
    const auto unchanged = of<pgoutput::update>(all, "update shop.item set price").at(0).new_row;
    CHECK(unchanged.at(5).kind == pgoutput::value_kind::unchanged_toast);
    CHECK(unchanged.at(5).data.empty());
  }
}

TEST_CASE("pgoutput: Delete") {
  const auto all = read("pgoutput_text.txt");
  const auto key = of<pgoutput::delete_>(all, "delete from shop.item").at(0);
  CHECK(key.old_kind == 'K');
  CHECK(show(key.old_row) == "3|~|~|~|~|~");
  const auto full = of<pgoutput::delete_>(all, "delete from shop.audit").at(0);
  CHECK(full.old_kind == 'O');
  CHECK(show(full.old_row) == "7|~");
}

TEST_CASE("pgoutput: Truncate") {
  const auto all = read("pgoutput_text.txt");
  const auto item = of<pgoutput::relation>(all, "insert into shop.item").at(0).id;
  const auto audit = of<pgoutput::relation>(all, "insert into shop.audit").at(0).id;
  const auto both = of<pgoutput::truncate>(all, "truncate shop.item, shop.audit restart identity cascade").at(0);
  CHECK(both.options == 3);
  CHECK(both.relations == std::vector<std::uint32_t>{item, audit});
  const auto one = of<pgoutput::truncate>(all, "truncate shop.audit").at(0);
  CHECK(one.options == 0);
  CHECK(one.relations == std::vector<std::uint32_t>{audit});
}

TEST_CASE("pgoutput: logical messages, inside a transaction and outside of all") {
  const auto all = read("pgoutput_text.txt");
  const auto marker = of<pgoutput::message>(all, "select pg_logical_emit_message(true").at(0);
  CHECK(marker.transactional);
  CHECK(marker.prefix == "pgrotor");
  CHECK(marker.content == "marker 1");
  CHECK(marker.position == of<pgoutput::begin>(all, "select pg_logical_emit_message(true").at(0).final_lsn);
  // It reaches the slot with the next flush, which the statement after it causes.
  const auto loose = of<pgoutput::message>(all, "begin; insert into shop.audit values (8").at(0);
  CHECK_FALSE(loose.transactional);
  CHECK(loose.content == "\0\1\xff"sv);
}

TEST_CASE("pgoutput: Origin") {
  const auto all = read("pgoutput_text.txt");
  const auto origin = of<pgoutput::origin>(all, "begin; insert into shop.audit values (8").at(0);
  CHECK(origin.name == "pgrotor_origin");
  CHECK(to_string(origin.origin_lsn) == "1A/2B3C4D");
  constexpr std::int64_t new_year_2024 = 757'382'400'000'000;  // microseconds since 2000-01-01
  CHECK(of<pgoutput::begin>(all, "begin; insert into shop.audit values (8").at(0).commit_time == new_year_2024);
}

TEST_CASE("pgoutput: every message cut anywhere, or with a byte too many, is refused") {
  std::map<char, bool> seen;
  for (const auto& item : read("pgoutput_binary.txt")) {
    if (std::exchange(seen[item.bytes.front()], true)) continue;
    CAPTURE(item.bytes.front());
    for (std::size_t size = 0; size < item.bytes.size(); ++size) {
      const auto exact = item.bytes.substr(0, size);
      CHECK_FALSE(pgoutput::decode(exact));
    }
    CHECK_FALSE(pgoutput::decode(item.bytes + 'x'));
  }
  CHECK(seen.size() == 10);  // B C D I M O R T U Y
}

TEST_CASE("pgoutput: lying counts and unknown bytes are refused") {
  CHECK_FALSE(pgoutput::decode(""));
  CHECK_FALSE(pgoutput::decode("Z"));
  CHECK_FALSE(pgoutput::decode(hex("49 00000001 4e ffff")));                     // 65535 columns in no bytes
  CHECK_FALSE(pgoutput::decode(hex("49 00000001 4e 0001 74 ffffffff")));         // value of length -1
  CHECK_FALSE(pgoutput::decode(hex("49 00000001 4e 0001 74 7fffffff 61")));      // longer than the message
  CHECK_FALSE(pgoutput::decode(hex("49 00000001 4e 0001 78")));                  // no such kind of value
  CHECK_FALSE(pgoutput::decode(hex("49 00000001 4b 0001 6e")));                  // Insert of an old row
  CHECK_FALSE(pgoutput::decode(hex("44 00000001 4e 0001 6e")));                  // Delete of a new row
  CHECK_FALSE(pgoutput::decode(hex("55 00000001 4b 0001 6e")));                  // Update without a new row
  CHECK_FALSE(pgoutput::decode(hex("54 ffffffff 00 00000001")));                 // 2^32-1 relations
  CHECK_FALSE(pgoutput::decode(hex("4d 01 0000000000000001 00 ffffffff 61")));   // content longer than the message
  CHECK_FALSE(pgoutput::decode(hex("52 00000001 0000 64 ffff")));                // 65535 columns of a relation
  CHECK(pgoutput::decode(hex("49 00000001 4e 0000")));                           // a row without columns is one
}
