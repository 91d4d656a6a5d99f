#include "routing/text/literal_form.h"

#include <doctest/doctest.h>

#include <string>

using namespace routing;

TEST_CASE("literal_form: strings and integers become parameters, everything else stays") {
  struct row {
    std::string_view sql, form, literals;
  };
  const row rows[] = {
      {"SELECT * FROM t WHERE a = 5 AND b='x'", "SELECT * FROM t WHERE a = $1 AND b = $2", "5:20|x:0|"},
      {"select  1 -- c\n , /* d */ 2", "select $1 , $2", "1:20|2:20|"},
      {"SELECT 'it''s', '''', ''", "SELECT $1 , $2 , $3", "it's:0|':0|:0|"},
      {"SELECT -5, 2-1", "SELECT - $1 , $2 - $3", "5:20|2:20|1:20|"},
      {"SELECT 1.5, 1e3, 123456789012345678, 1234567890123456789", "SELECT 1.5 , 1e3 , $1 , 1234567890123456789", "123456789012345678:20|"},
      {"SELECT E'a\\'b', B'1', $$x$$, \"q\"", "SELECT E'a\\'b' , B'1' , $$x$$ , \"q\"", ""},
      {"SELECT date '2020-01-01', INTERVAL '1 day', timestamp with time zone 'x'",
       "SELECT date '2020-01-01' , INTERVAL '1 day' , timestamp with time zone 'x'", ""},
      {"SELECT now() - interval '1 day' WHERE k = 7", "SELECT now ( ) - interval '1 day' WHERE k = $1", "7:20|"},
      {"SELECT 5a, 6 b, 7.5c", "SELECT 5a , $1 b , 7.5c", "6:20|"},
      {"", "", ""},
      {"SELECT 'open", "SELECT 'open", ""},
      {"SELECT '", "SELECT '", ""},
  };
  literal_form form;
  for (const auto& row : rows) {
    CAPTURE(row.sql);
    parameters literals;
    REQUIRE(form.read(row.sql, literals));
    CHECK(form.text() == row.form);
    std::string all;
    for (const auto& l : literals) {
      CHECK(l.format == 0);
      all += std::string(*l.value) + ":" + std::to_string(l.type) + "|";
    }
    CHECK(all == row.literals);
  }
}

TEST_CASE("literal_form: unescaped literals stay valid while others are read") {
  std::string sql = "SELECT 'a''a'";
  for (int i = 0; i < 1000; ++i) sql += ", 'b''" + std::to_string(i) + "'";
  literal_form form;
  parameters literals;
  REQUIRE(form.read(sql, literals));
  REQUIRE(literals.size() == 1001);
  CHECK(*literals[0].value == "a'a");
  CHECK(*literals[1000].value == "b'999");
}

TEST_CASE("literal_form: a form may be longer than its text, and a large one leaves nothing to the next") {
  std::string sql, expected;
  for (int i = 1; i <= 4000; i += 2) {
    sql += "1''";
    expected += (i == 1 ? "$" : " $") + std::to_string(i) + " $" + std::to_string(i + 1);
  }
  literal_form form;
  parameters literals;
  REQUIRE(form.read(sql, literals));
  CHECK(literals.size() == 4000);
  CHECK(form.text() == expected);
  const auto large = "SELECT \"" + std::string(3u << 20, 'x') + "\", 'a''" + std::string(3u << 20, 'y') + "'";
  REQUIRE(form.read(large, literals));
  CHECK(form.text() == large.substr(0, large.find(',')) + " , $1");
  CHECK(literals[0].value->size() == (3u << 20) + 2);
  REQUIRE(form.read("SELECT 'it''s', a", literals));
  CHECK(form.text() == "SELECT $1 , a");
  CHECK(literals[0].value == "it's");
  REQUIRE(form.read("", literals));
  CHECK(form.text().empty());
}

TEST_CASE("literal_form: a text with parameters of its own has no form") {
  literal_form form;
  parameters literals;
  CHECK_FALSE(form.read("SELECT 5, $1", literals));
  CHECK_FALSE(form.read("BEGIN; Prepare p AS SELECT 5", literals));
}
