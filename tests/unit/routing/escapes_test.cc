#include "routing/text/escapes.h"

#include <doctest/doctest.h>

using namespace routing;

TEST_CASE("escapes: what strings say with standard_conforming_strings off, each token in its place") {
  struct row {
    std::string_view off, on;
  };
  const row rows[] = {
      {R"(select 'plain' , 'it''s')", R"(select 'plain' , 'it''s')"},
      {R"(select 'a\\b', 1)", "select 'a\\b' , 1"},
      {R"(select 'it\'s', 'x')", R"(select 'it''s', 'x')"},
      {R"(select 'a\\' || 'b')", "select 'a\\'  || 'b'"},
      {R"('\b\f\n\r\t\q')", "'\b\f\n\r\tq'"},
      {R"('\101\1018\60')", "'AA80'"},
      {R"('\x41\x4G\xg')", "'A\4Gxg'"},
      {R"('\u00e9\U0001F600')", "'\xc3\xa9\xf0\x9f\x98\x80'"},
      {R"('\uD83D\uDE00')", "'\xf0\x9f\x98\x80'"},
      {R"('\047\x27')", "''''''"},
      {R"('\000\0')", "'?" "?'"},
      {R"(N'a\\b' n'c')", "N'a\\b'  n'c'"},
      {R"(E'a\\b' X'1\\2' U&'d\0061' "q\\" $$d\\$$ $t$'\'$t$)", R"(E'a\\b' X'1\\2' U&'d\0061' "q\\" $$d\\$$ $t$'\'$t$)"},
      {"'a\\\\b'\n  'c\\\\d'", "'a\\b' \n  'c\\d'"},
      {R"(-- 'a\\b'
select /* 'a\\b' */ 1)",
       R"(-- 'a\\b'
select /* 'a\\b' */ 1)"},
      {R"('not closed\')", R"('not closed\')"},
      {"", ""},
  };
  for (const auto& one : rows) {
    CAPTURE(one.off);
    std::string expected(one.on);
    expected.resize(one.off.size(), ' ');
    CHECK(without_escapes(one.off) == expected);
  }
}

TEST_CASE("escapes: a text that was written with the setting on says the same with it off") {
  CHECK(with_escapes(R"(select 'a\b', E'c\\d', "e\f", 'it''s')") == R"(select 'a\\b', E'c\\d', "e\f", 'it''s')");
  for (const std::string_view text : {R"('a\b''c\')", R"('\')", "'a\\'\n'b'", R"(N'\x')"}) {
    const auto off = with_escapes(text);
    auto again = without_escapes(off);
    std::erase(again, ' ');
    std::string expected(text);
    CHECK(again == expected);
  }
}

TEST_CASE("escapes: names beyond ASCII") {
  CHECK(has_ascii_names("select 'ä' /* ä */, $$ä$$ -- ä"));
  for (const std::string_view text : {"select ä", "select \"ä\"", "table \xe4"}) CHECK_FALSE(has_ascii_names(text));
}

TEST_CASE("escapes: texts that mean one thing") {
  CHECK(means_one_thing(R"(select E'a\b', $$\$$, "c\", U&'\0061', X'\')"));
  for (const std::string_view text : {R"('\')", R"(select 'a', 'b\\c')", R"(N'\n')", R"('it''s\')", R"('open \)"}) CHECK_FALSE(means_one_thing(text));
}
