#include "routing/text/text_scanner.h"

#include <doctest/doctest.h>

#include <string>

using namespace routing;

namespace {

std::string tokens(std::string_view sql) {
  text_scanner scanner(sql);
  std::string all;
  for (token t = scanner.next(); t.kind != token_kind::end; t = scanner.next()) {
    const char kind = t.kind == token_kind::word             ? 'w'
                      : t.kind == token_kind::quoted_word    ? 'q'
                      : t.kind == token_kind::integer        ? 'i'
                      : t.kind == token_kind::number         ? 'n'
                      : t.kind == token_kind::string         ? 's'
                      : t.kind == token_kind::special_string ? 'S'
                      : t.kind == token_kind::parameter      ? 'p'
                      : t.kind == token_kind::operation      ? 'o'
                                                             : '.';
    all += (all.empty() ? "" : " ");
    all += kind;
    all += ':';
    all += t.text;
  }
  return all;
}

}  // namespace

TEST_CASE("text_scanner: tokens by PostgreSQL's rules") {
  struct row {
    std::string_view sql, expected;
  };
  const row rows[] = {
      {"", ""},
      {"select a1$b, _x", "w:select w:a1$b .:, w:_x"},
      {"\"a \"\"b\"", "q:\"a \"\"b\""},
      {"1 2.5 .5 3. 1e5 1e 1..2", "i:1 n:2.5 n:.5 n:3. n:1e5 i:1 w:e i:1 .:. n:.2"},
      {"'it''s' 'x", "s:'it''s' s:'x"},
      {"E'a\\'b' e'\\\\' x", "S:E'a\\'b' S:e'\\\\' w:x"},
      {"B'01' x'1F' N'a' U&'\\0041' U&\"a\"", "S:B'01' S:x'1F' S:N'a' S:U&'\\0041' q:U&\"a\""},
      {"some'x'", "w:some s:'x'"},
      {"$1 $12a $$a'b$$ $t$ $$ $t$ $x", "p:$1 p:$12 w:a S:$$a'b$$ S:$t$ $$ $t$ .:$ w:x"},
      {"a-- b\n+c", "w:a o:+ w:c"},
      {"a/* x /* y */ z */b /* open", "w:a w:b"},
      {"a<=-1::int", "w:a o:<=- i:1 o::: w:int"},
      {"a+/*x*/b *-- y", "w:a o:+ w:b o:*"},
      {"f(a[1:2]);", "w:f .:( w:a .:[ i:1 .:: i:2 .:] .:) .:;"},
      {"a b' c' u&v u& e x\"y\" n", "w:a S:b' c' w:u o:& w:v w:u o:& w:e w:x q:\"y\" w:n"},
      {"-- a\r/**/ -- b\n \v\f- /* c */ / --", "o:- o:/"},
      {"E'a\\", "S:E'a\\"},
      {"1.e5 1e+ 1e-2 1.. 12. a.1 :a ::: $", "n:1.e5 i:1 w:e o:+ n:1e-2 i:1 .:. .:. n:12. w:a n:.1 .:: w:a o::: .:: .:$"},
      {"\xc3\xa4 = 'ö'", "w:\xc3\xa4 o:= s:'ö'"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.sql);
    CHECK(tokens(row.sql) == row.expected);
  }
}
