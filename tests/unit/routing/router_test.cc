#include "routing/route/router.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "routing/analysis/analyzer.h"
#include "routing/map/placement.h"
#include "sample_map.h"

using namespace routing;
using namespace std::string_view_literals;

namespace {

decision route_sql(std::string_view sql, std::vector<parameter> given = {}) {
  const auto map = sample::map();
  const auto plan = analyze(sql, *map);
  REQUIRE(plan.statements.size() == 1);
  return route(plan.statements[0], *map, given);
}

shard_id owner(distribution_id d, placement p) { return sample::map()->find_distribution(d)->owner_of(p); }

void check_touches(const decision& d, distribution_id dist, placement p) {
  CHECK(d.destination == destination_kind::by_key);
  REQUIRE(d.touches.size() == 1);
  CHECK(d.touches[0].distribution == dist);
  CHECK(d.touches[0].value == p);
  CHECK(d.shard == owner(dist, p));
}

constexpr auto by_id = "SELECT * FROM orders WHERE customer_id = $1"sv;
constexpr auto by_nick = "SELECT * FROM people WHERE nick = $1"sv;

}  // namespace

TEST_CASE("router: a key decides the shard, whatever its format and declared type") {
  const auto five = placement_of_int(5);
  check_touches(route_sql("SELECT * FROM orders WHERE customer_id = 5"), sample::shop, five);
  for (const std::uint32_t type : {0u, 20u, 21u, 23u, 705u}) check_touches(route_sql(by_id, {{"5"sv, 0, type}}), sample::shop, five);
  check_touches(route_sql(by_id, {{"\0\5"sv, 1, 21}}), sample::shop, five);
  check_touches(route_sql(by_id, {{"\0\0\0\5"sv, 1, 23}}), sample::shop, five);
  check_touches(route_sql(by_id, {{"\0\0\0\0\0\0\0\5"sv, 1, 20}}), sample::shop, five);
  check_touches(route_sql("SELECT * FROM orders WHERE customer_id = -$1", {{"5"sv, 0, 20}}), sample::shop, placement_of_int(-5));
  check_touches(route_sql("SELECT * FROM orders WHERE customer_id = -$1", {{"\0\0\0\5"sv, 1, 23}}), sample::shop, placement_of_int(-5));
  for (const std::uint32_t type : {0u, 25u, 1043u}) check_touches(route_sql(by_nick, {{"bob"sv, 1, type}}), sample::names, placement_of_text("bob"));
  check_touches(route_sql("SELECT * FROM parts WHERE code = $1", {{"a  "sv, 0, 25}}), sample::codes, placement_of_text("a"));
  check_touches(route_sql("SELECT * FROM parts WHERE code = $1", {{"a  "sv, 0, 1042}}), sample::codes, placement_of_text("a"));
}

TEST_CASE("router: all elements of an array decide, in text and in binary") {
  constexpr auto any = "SELECT * FROM orders WHERE customer_id = ANY ($1)"sv;
  constexpr auto any_nick = "SELECT * FROM people WHERE nick = ANY ($1)"sv;
  const auto five = placement_of_int(5);
  for (const auto text : {"{5}"sv, " { 5 , NULL, 5 } "sv, "{\"5\"}"sv, "[0:1]={5,5}"sv, "{{5},{5}}"sv}) {
    CAPTURE(text);
    check_touches(route_sql(any, {{text, 0, 0}}), sample::shop, five);
  }
  const auto binary = "\0\0\0\1\0\0\0\1\0\0\0\x17\0\0\0\2\0\0\0\1\0\0\0\4\0\0\0\5\xff\xff\xff\xff"sv;
  check_touches(route_sql(any, {{binary, 1, 1007}}), sample::shop, five);
  for (const auto text : {"{}"sv, "{NULL}"sv, "{x}"sv, "{"sv, ""sv, "5"sv, "["sv}) {
    CAPTURE(text);
    CHECK(route_sql(any, {{text, 0, 1016}}).destination == destination_kind::any);
  }
  for (std::size_t cut = 0; cut < 28; ++cut) CHECK(route_sql(any, {{binary.substr(0, cut), 1, 1007}}).destination == destination_kind::any);
  check_touches(route_sql(any_nick, {{R"({"a \"b\\c, "})"sv, 0, 1009}}), sample::names, placement_of_text("a \"b\\c, "));
  check_touches(route_sql(any_nick, {{R"({ a\ b\  })"sv, 0, 0}}), sample::names, placement_of_text("a b "));
  check_touches(route_sql(any_nick, {{R"({"NULL"})"sv, 0, 0}}), sample::names, placement_of_text("NULL"));
  for (const std::uint32_t type : {1231u, 20u, 1009u, 1000u}) CHECK(route_sql(any, {{"{5}"sv, 0, type}}).destination == destination_kind::refused);
  std::int64_t other = 6;
  while (owner(sample::shop, placement_of_int(other)) == owner(sample::shop, five)) ++other;
  const auto both = "{5," + std::to_string(other) + "}";
  CHECK(route_sql(any, {{std::string_view(both), 0, 0}}).destination == destination_kind::refused);
}

TEST_CASE("router: declared types that hashing cannot follow are refused") {
  struct row {
    std::string_view sql;
    std::uint32_t type;
  };
  const row rows[] = {{by_id, 1700}, {by_id, 701}, {by_id, 700}, {by_id, 25}, {by_id, 26}, {by_nick, 20}, {by_nick, 1042}, {by_nick, 19}};
  for (const auto& row : rows) {
    CAPTURE(row.sql);
    CAPTURE(row.type);
    const auto d = route_sql(row.sql, {{"5"sv, 0, row.type}});
    CHECK(d.destination == destination_kind::refused);
    REQUIRE(d.refused.has_value());
    CHECK(d.refused->sqlstate == "RT003");
    CHECK(d.touches.empty());
  }
  CHECK(route_sql(by_id, {{"5"sv, 0, 1700}}).refused->message == "parameter $1 has type 1700, which cannot be placed as a shard key of type int8");
}

TEST_CASE("router: an undeclared parameter with other uses is refused, a declared one is not") {
  const auto sql = "UPDATE orders SET total = $1 WHERE customer_id = $1"sv;
  const auto undeclared = route_sql(sql, {{"5"sv, 0, 0}});
  CHECK(undeclared.destination == destination_kind::refused);
  CHECK(undeclared.refused->message == "parameter $1 is a shard key, is used for something else too, and its type is not declared");
  check_touches(route_sql(sql, {{"5"sv, 0, 23}}), sample::shop, placement_of_int(5));
  check_touches(route_sql("UPDATE orders SET total = $1::int8 WHERE customer_id = $1::int8", {{"5"sv, 0, 0}}), sample::shop, placement_of_int(5));
}

TEST_CASE("router: NULL, unreadable and missing values run anywhere") {
  for (const auto& given : std::vector<std::vector<parameter>>{
           {{std::nullopt, 0, 20}}, {{"abc"sv, 0, 0}}, {{"9223372036854775808"sv, 0, 0}}, {{"\0\0\5"sv, 1, 0}}, {}}) {
    const auto d = route_sql(by_id, given);
    CHECK(d.destination == destination_kind::any);
    CHECK(d.shard == sample::s2);
    CHECK(d.touches.empty());
  }
  const auto negated = route_sql("SELECT * FROM orders WHERE customer_id = -$1", {{"-9223372036854775808"sv, 0, 20}});
  CHECK(negated.destination == destination_kind::any);
}

TEST_CASE("router: keys on one shard go together, keys on two do not") {
  const auto shard_of = [](int key) { return owner(sample::shop, placement_of_int(key)); };
  int same = 2, different = 2;
  while (shard_of(same) != shard_of(1)) ++same;
  while (shard_of(different) == shard_of(1)) ++different;
  const auto sql = "SELECT * FROM orders WHERE customer_id IN (1, $1)"sv;

  const auto one = std::to_string(same);
  const auto together = route_sql(sql, {{one, 0, 0}});
  CHECK(together.destination == destination_kind::by_key);
  CHECK(together.shard == shard_of(1));
  CHECK(together.touches.size() == 2);

  const auto two = std::to_string(different);
  const auto apart = route_sql(sql, {{two, 0, 0}});
  CHECK(apart.destination == destination_kind::refused);
  CHECK(apart.refused->message == "the shard keys of this statement live on 2 shards");
  CHECK(apart.refused->sqlstate == "RT003");
}

TEST_CASE("router: keys of two distributions must agree on the shard too") {
  const auto d = route_sql("SELECT * FROM crm.visits v, orders o WHERE v.customer_id = 5 AND o.customer_id = 5");
  CHECK(d.destination == destination_kind::by_key);  // both have the same ranges
  CHECK(d.touches.size() == 2);
}

TEST_CASE("router: blanks at the end of a varchar key that is stored are refused, compared they are not") {
  const auto insert = "INSERT INTO labels (label) VALUES ($1)"sv;
  CHECK(route_sql(insert, {{"a"sv, 0, 0}}).destination == destination_kind::by_key);
  CHECK(route_sql(insert, {{"a "sv, 0, 0}}).destination == destination_kind::refused);
  CHECK(route_sql(insert, {{"a "sv, 0, 0}}).refused->message == "a shard key that ends in a blank cannot be placed in a varchar column");
  CHECK(route_sql("INSERT INTO labels (label) VALUES ('a ')").destination == destination_kind::refused);
  CHECK(route_sql("SELECT * FROM labels WHERE label = 'a '").destination == destination_kind::by_key);
  CHECK(route_sql("INSERT INTO people (nick) VALUES ('a ')").destination == destination_kind::by_key);
}

TEST_CASE("router: statements without keys go to the default shard") {
  CHECK(route_sql("SELECT 1").destination == destination_kind::any);
  CHECK(route_sql("SELECT * FROM settings").destination == destination_kind::default_shard);
  CHECK(route_sql("SELECT * FROM settings").shard == sample::s2);
  CHECK(route_sql("SELECT * FROM orders").refused->sqlstate == "RT003");
}

TEST_CASE("router: a plan made before its distribution was dropped is refused, not misrouted") {
  const auto plan = analyze("SELECT * FROM crm.visits WHERE customer_id = 5", *sample::map());
  auto parts = sample::parts();
  parts.tables.clear();
  parts.distributions.pop_back();
  const auto map = shard_map::make(parts);
  CHECK(route(plan.statements[0], *map, {}).destination == destination_kind::refused);
}

TEST_CASE("router: EXECUTE runs where its arguments say") {
  const auto map = sample::map();
  const auto routed = [&](std::string_view prepare, std::string_view execute, std::vector<parameter> given = {}) {
    const auto p = analyze(prepare, *map), e = analyze(execute, *map);
    REQUIRE(p.statements.at(0).prepare);
    REQUIRE(e.statements.at(0).execute);
    return route(*p.statements[0].prepare, *e.statements[0].execute, *map, given);
  };
  constexpr auto by_key = "PREPARE p AS SELECT * FROM orders WHERE customer_id = $1"sv;
  constexpr auto by_typed = "PREPARE p(numeric) AS SELECT * FROM orders WHERE customer_id = $1"sv;
  check_touches(routed(by_key, "EXECUTE p(5)"), sample::shop, placement_of_int(5));
  check_touches(routed(by_key, "EXECUTE p('5')"), sample::shop, placement_of_int(5));
  check_touches(routed(by_key, "EXECUTE p(-5)"), sample::shop, placement_of_int(-5));
  check_touches(routed(by_key, "EXECUTE p($1)", {{"5"sv, 0, 20}}), sample::shop, placement_of_int(5));
  check_touches(routed(by_key, "EXECUTE p(- $1)", {{"5"sv, 0, 20}}), sample::shop, placement_of_int(-5));
  check_touches(routed("PREPARE p(int, text) AS SELECT * FROM orders WHERE customer_id = $1 AND $2 = 'x'", "EXECUTE p(5, lower('X'))"), sample::shop,
                placement_of_int(5));
  CHECK(routed(by_key, "EXECUTE p(NULL)").destination == destination_kind::any);
  CHECK(routed(by_key, "EXECUTE p(2 + 3)").refused.value().sqlstate == "RT003");
  CHECK(routed(by_key, "EXECUTE p(5.4)").refused.value().sqlstate == "RT003");
  CHECK(routed(by_typed, "EXECUTE p(5)").refused.value().sqlstate == "RT003");
  CHECK(routed("PREPARE p AS SELECT 1", "EXECUTE p").destination == destination_kind::any);
  CHECK(routed("PREPARE p(int) AS SELECT $1", "EXECUTE p(nextval('s'))").destination == destination_kind::default_shard);
  int elsewhere = 0;
  while (owner(sample::shop, placement_of_int(elsewhere)) == sample::s2) ++elsewhere;
  const auto insert = "PREPARE p AS INSERT INTO order_lines (customer_id, order_id) VALUES ($1, $2)"sv;
  const auto why = routed(insert, "EXECUTE p(" + std::to_string(elsewhere) + ", nextval('s'))").refused;
  CHECK(why.value().message == "nextval() belongs to the whole database and runs on the default shard \"s2\" only");
}

TEST_CASE("router: what belongs to the whole database runs on the default shard or is refused by name") {
  const auto sql = "INSERT INTO order_lines (customer_id, order_id) VALUES ($1, nextval('s'))"sv;
  bool here = false, elsewhere = false;
  for (int key = 0; !here || !elsewhere; ++key) {
    const auto text = std::to_string(key);
    const auto d = route_sql(sql, {{text, 0, 20}});
    if (owner(sample::shop, placement_of_int(key)) == sample::s2) {
      check_touches(d, sample::shop, placement_of_int(key));
      here = true;
      continue;
    }
    elsewhere = true;
    REQUIRE(d.refused);
    CHECK(d.refused->sqlstate == "RT003");
    CHECK(d.refused->message == "nextval() belongs to the whole database and runs on the default shard \"s2\" only");
    CHECK(d.touches.empty());
  }
  CHECK(route_sql(sql, {{std::nullopt, 0, 20}}).destination == destination_kind::default_shard);
  CHECK(route_sql("SELECT pg_notify('a', 'b')").shard == sample::s2);
}

TEST_CASE("router: an argument of EXECUTE is converted to the parameter's type, and may become another key") {
  const auto map = sample::map();
  struct row {
    std::string_view prepare, execute;
    bool placed;
  };
  constexpr auto text = "PREPARE p AS INSERT INTO people (nick) VALUES ($1)"sv, code = "PREPARE p AS INSERT INTO parts (code) VALUES ($1)"sv,
                 declared = "PREPARE p(text) AS SELECT * FROM people WHERE nick = $1"sv, number = "PREPARE p AS SELECT * FROM orders WHERE customer_id = $1"sv;
  const row rows[] = {
      {text, "EXECUTE p('x ')", true},         {text, "EXECUTE p('x '::text)", true},       {text, "EXECUTE p('x '::varchar)", true},
      {text, "EXECUTE p('x '::bpchar)", false}, {text, "EXECUTE p(bpchar 'x ')", false},     {text, "EXECUTE p(N'x ')", false},
      {text, "EXECUTE p(' 5'::int8)", false},  {declared, "EXECUTE p('x '::bpchar)", false}, {declared, "EXECUTE p('x'::text)", true},
      {code, "EXECUTE p('x '::bpchar)", true}, {code, "EXECUTE p('x '::text)", true},       {code, "EXECUTE p('5'::int4)", false},
      {number, "EXECUTE p('5'::int2)", true},  {number, "EXECUTE p('5'::text)", false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.prepare);
    CAPTURE(row.execute);
    const auto p = analyze(row.prepare, *map), e = analyze(row.execute, *map);
    const auto decided = route(*p.statements.at(0).prepare, *e.statements.at(0).execute, *map, {});
    CHECK(decided.refused.has_value() == !row.placed);
    if (decided.refused) CHECK(decided.refused->sqlstate == "RT003");
  }
}

TEST_CASE("router: a key is assigned to itself only, as a value of its type") {
  const auto map = sample::map();
  const auto placed = [&](std::string_view sql, std::vector<parameter> given) {
    const auto plan = analyze(sql, *map);
    return !route(plan.statements.at(0), *map, given).refused;
  };
  constexpr auto update = "UPDATE orders SET customer_id = $1, total = 1 WHERE customer_id = $2"sv;
  CHECK(placed(update, {{"5"sv, 0, 0}, {" +5 "sv, 0, 20}}));
  CHECK(placed(update, {{"5"sv, 0, 0}, {"\0\0\0\5"sv, 1, 23}}));
  CHECK_FALSE(placed(update, {{"5"sv, 0, 0}, {"6"sv, 0, 0}}));
  CHECK_FALSE(placed(update, {{std::nullopt, 0, 0}, {"5"sv, 0, 0}}));
  CHECK_FALSE(placed(update, {{"five"sv, 0, 0}, {"5"sv, 0, 0}}));
  CHECK_FALSE(placed("UPDATE orders SET customer_id = 5 WHERE customer_id IN (5, 6)", {}));
  CHECK_FALSE(placed("UPDATE people SET nick = 'a ' WHERE nick = 'a'", {}));
  CHECK(placed("UPDATE parts SET code = 'a ' WHERE code = 'a'", {}));
  CHECK_FALSE(placed("UPDATE labels SET label = 'a ' WHERE label = 'a '", {}));
  CHECK(placed("UPDATE crm.accounts SET tenant = $1 WHERE tenant = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", {{"a0eebc999c0b4ef8bb6d6bb9bd380a11"sv, 0, 0}}));
  CHECK_FALSE(placed("INSERT INTO orders (customer_id) VALUES (5) ON CONFLICT (customer_id) DO UPDATE SET customer_id = 6", {}));
}

TEST_CASE("router: set_config is judged by the values that it is given") {
  const auto map = sample::map();
  const auto why = [&](std::string_view sql, std::vector<parameter> given) {
    const auto plan = analyze(sql, *map);
    const auto decided = route(plan.statements.at(0), *map, given);
    return decided.refused ? decided.refused->sqlstate : std::string();
  };
  CHECK(why("SELECT set_config('standard_conforming_strings', 'off', true)", {}).empty());
  CHECK(why("SELECT set_config('client_encoding', 'sjis', true)", {}) == "0A000");
  CHECK(why("SELECT set_config($1, $2, false)", {{"Client_Encoding"sv, 0, 0}, {"big5"sv, 0, 0}}) == "0A000");
  CHECK(why("SELECT set_config($1, $2, false)", {{"search_path"sv, 0, 0}, {"mine, pg_catalog"sv, 0, 0}}) == "0A000");
  CHECK(why("SELECT set_config($1, $2, false)", {{"search_path"sv, 0, 0}, {"pg_catalog, mine"sv, 0, 0}}).empty());
  CHECK(why("SELECT set_config('client_encoding', 'utf-8', false), set_config('a.b', 'off', false)", {}).empty());
}

TEST_CASE("router: the text that PREPARE is replayed with is its own") {
  const auto plan = analyze("SELECT 1; PREPARE p AS SELECT 'x'; SELECT 2", *sample::map());
  REQUIRE(plan.statements.size() == 3);
  REQUIRE(plan.statements[1].prepare);
  const auto& text = plan.statements[1].prepare->text;
  CHECK(text.substr(text.find_first_not_of(' ')) == "PREPARE p AS SELECT 'x'");
}
