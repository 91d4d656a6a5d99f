#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>

#include "migration/mover/row_change.h"
#include "moving_table_sample.h"
#include "protocol/wire.h"
#include "routing/map/placement.h"

using namespace migration;
namespace pgoutput = protocol::pgoutput;

namespace {

// Values whose bytes outlive the tuples.
struct row_of {
  row_of(std::int32_t tenant_in, std::int64_t id_in, std::string note_in = "note") : note(std::move(note_in)) {
    protocol::append_int(tenant, tenant_in);
    protocol::append_int(id, id_in);
  }
  pgoutput::tuple whole(pgoutput::value_kind big = pgoutput::value_kind::null) const {
    const auto binary = pgoutput::value_kind::binary;
    return {{binary, tenant}, {binary, id}, {binary, note}, {big, big == binary ? std::string_view(note) : std::string_view()}};
  }
  pgoutput::tuple key() const {
    const auto binary = pgoutput::value_kind::binary, null = pgoutput::value_kind::null;
    return {{binary, tenant}, {binary, id}, {null, {}}, {null, {}}};
  }
  std::string tenant, id, note;
};

// A context in which exactly the placement of tenant 1 moves.
struct fixture {
  fixture() : context(settings()) {
    context.tables.emplace_back(sample_table(), routing::key_type::int8, context.settings.ranges, false);
    relation.id = 99;
    relation.schema = "shop";
    relation.name = "Or\"ders";
    relation.columns = {{true, "tenant", 23, -1}, {true, "id", 20, -1}, {false, "note", 25, -1}, {false, "big", 25, -1}};
    book.add(relation);
  }
  static mover_settings settings() {
    mover_settings out;
    const auto moving = routing::placement_of_int(1);
    out.key_type = routing::key_type::int8;
    out.ranges = {{moving, routing::placement{moving.number() + 1}}};
    out.tables = {sample_table()};
    return out;
  }
  std::optional<row_change> read(const pgoutput::change& change) { return read_row_change(change, book, context); }
  std::string refusal() {
    try {
      book.add(relation);
      return "";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }

  mover_context context;
  relation_book book{context.tables};
  pgoutput::relation relation;
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "row_change: rows outside the moving placements are none of ours") {
  const row_of inside(1, 5), outside(2, 5);
  CHECK_FALSE(read(pgoutput::insert{0, 99, outside.whole()}));
  CHECK_FALSE(read(pgoutput::delete_{0, 99, 'K', outside.key()}));
  const auto change = read(pgoutput::insert{0, 99, inside.whole()});
  REQUIRE(change);
  CHECK((change->has_new && change->new_inside && !change->has_old));
  CHECK(change->new_key.size() == 12);
}

TEST_CASE_FIXTURE(fixture, "row_change: an update without an old row keeps its key") {
  const row_of row(1, 5);
  const auto change = read(pgoutput::update{0, 99, 0, {}, row.whole(pgoutput::value_kind::unchanged_toast)});
  REQUIRE(change);
  CHECK_FALSE(change->moved);
  CHECK((change->old_inside && change->new_inside));
  CHECK(change->old_key == change->new_key);
  CHECK(change->new_row[3].kind == pgoutput::value_kind::unchanged_toast);
}

TEST_CASE_FIXTURE(fixture, "row_change: a key change may leave, enter or stay") {
  const row_of here(1, 5), here_too(1, 6), there(2, 5);
  struct { const char* name; const row_of &from, &to; bool old_inside, new_inside; } rows[] = {
      {"stays", here, here_too, true, true}, {"leaves", here, there, true, false}, {"enters", there, here, false, true}};
  for (const auto& row : rows) {
    CAPTURE(row.name);
    const auto change = read(pgoutput::update{0, 99, 'K', row.from.key(), row.to.whole()});
    REQUIRE(change);
    CHECK(change->moved);
    CHECK(change->old_inside == row.old_inside);
    CHECK(change->new_inside == row.new_inside);
    CHECK(change->old_key != change->new_key);
  }
}

TEST_CASE("row_change: generated columns that the stream brings are left out") {
  auto table = sample_table();
  table.generated = {"doubled", "tripled"};
  mover_context context(fixture::settings());
  context.tables.emplace_back(table, routing::key_type::int8, context.settings.ranges, false);
  relation_book book{context.tables};
  auto relation = fixture().relation;
  relation.columns.insert(relation.columns.begin(), {true, "doubled", 23, -1});
  relation.columns.push_back({true, "tripled", 23, -1});
  book.add(relation);
  CHECK(book.identity(0).size() == 4);
  const row_of from(1, 5), to(1, 6);
  const auto sent = [](pgoutput::tuple row) {
    row.insert(row.begin(), pgoutput::value{});
    row.push_back(pgoutput::value{});
    return row;
  };
  const auto change = read_row_change(pgoutput::update{0, 99, 'O', sent(from.whole()), sent(to.whole())}, book, context);
  REQUIRE(change);
  CHECK(change->moved);
  CHECK(change->new_row.size() == 4);
  CHECK(change->old_row[2].data == "note");
  relation.columns.push_back({false, "another", 23, -1});
  CHECK_THROWS_WITH_AS(book.add(relation), doctest::Contains("it has 5 columns and had 4"), std::runtime_error);
}

TEST_CASE_FIXTURE(fixture, "row_change: an unsent value comes from the old row when the whole of it was sent") {
  const row_of from(1, 5, "old"), to(1, 6, "new");
  const auto unsent = pgoutput::value_kind::unchanged_toast, binary = pgoutput::value_kind::binary;
  const auto with_key = read(pgoutput::update{0, 99, 'K', from.key(), to.whole(unsent)});
  const auto with_row = read(pgoutput::update{0, 99, 'O', from.whole(binary), to.whole(unsent)});
  REQUIRE((with_key && with_row));
  CHECK(with_key->new_row[3].kind == unsent);
  CHECK(with_row->new_row[3].kind == binary);
  CHECK(with_row->new_row[3].data == "old");
  const auto same_key = read(pgoutput::update{0, 99, 'O', from.whole(binary), from.whole(unsent)});
  REQUIRE(same_key);
  CHECK_FALSE(same_key->moved);
  CHECK(same_key->new_row[3].kind == unsent);  // stays as it is on the target
}

TEST_CASE_FIXTURE(fixture, "row_change: a relation that is not what PREPARE saw is refused") {
  const auto good = relation;
  CHECK(refusal().empty());
  relation.columns.pop_back();
  CHECK(refusal().find("\"shop\".\"Or\"\"ders\" changed under migration: it has 3 columns and had 4") != std::string::npos);
  relation = good;
  relation.columns[2].name = "remark";
  CHECK(refusal().find("column note is now remark") != std::string::npos);
  relation = good;
  relation.columns[1].type = 23;
  CHECK(refusal().find("the type of column id is another") != std::string::npos);
  relation = good;
  relation.name = "others";
  CHECK(refusal().find("\"shop\".\"Or\"\"ders\" changed under migration: its name is now \"shop\".\"others\"") != std::string::npos);
}

TEST_CASE_FIXTURE(fixture, "row_change: rows are named by their key") {
  CHECK(describe_row(context.tables[0], row_of(1, -5).whole()) == "\"shop\".\"Or\"\"ders\" (1, -5)");
  const row_of row(1, 5);
  auto bad = row.whole();
  bad[0].data = "abc";
  CHECK_THROWS_AS(read(pgoutput::insert{0, 99, bad}), std::runtime_error);
}

TEST_CASE_FIXTURE(fixture, "row_change: a partition that is announced beside its root is nobody's until a row comes under its number") {
  auto leaf = relation;
  leaf.id = 100;
  leaf.name = "Orders_2027";
  std::reverse(leaf.columns.begin(), leaf.columns.end());
  book.add(leaf);
  const row_of inside(1, 5);
  CHECK(read(pgoutput::insert{0, 99, inside.whole()}));
  std::string refused;
  try {
    read(pgoutput::insert{0, 100, inside.whole()});
  } catch (const std::runtime_error& error) {
    refused = error.what();
  }
  CHECK(refused == "\"shop\".\"Orders_2027\" is in the publication but not in the migration");
}
