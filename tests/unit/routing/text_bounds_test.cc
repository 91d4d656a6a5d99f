#include "routing/text/text_bounds.h"

#include <doctest/doctest.h>
#include <pthread.h>

#include <functional>
#include <string>
#include <vector>

#include "plan_text.h"
#include "routing/analysis/analyzer.h"
#include "sample_map.h"

using namespace routing;

namespace {

std::string repeat(std::string_view piece, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += piece;
  return all;
}

struct shape {
  const char* name;
  std::function<std::string(std::size_t)> sql;
};

// Everything known that makes libpg_query or the analysis recurse.
const std::vector<shape>& shapes() {
  static const std::vector<shape> all = {
      {"operators", [](auto n) { return "SELECT 1" + repeat(" + 1", n); }},
      {"operators without blanks", [](auto n) { return "SELECT 1" + repeat("+-1", n); }},
      {"unary minus", [](auto n) { return "SELECT " + repeat("- ", n) + "a"; }},
      {"unary operators in one run", [](auto n) { return "SELECT " + repeat("+-", n) + "a"; }},
      {"NOT", [](auto n) { return "SELECT " + repeat("NOT ", n) + "a"; }},
      {"IS NULL", [](auto n) { return "SELECT a" + repeat(" IS NULL", n); }},
      {"ISNULL", [](auto n) { return "SELECT a" + repeat(" ISNULL", n); }},
      {"casts", [](auto n) { return "SELECT a" + repeat("::int", n); }},
      {"IN", [](auto n) { return "SELECT a" + repeat(" IN (1)", n); }},
      {"BETWEEN with AND", [](auto n) { return "SELECT a" + repeat(" IS NULL BETWEEN 1 AND 2", n); }},
      {"LIKE", [](auto n) { return "SELECT a" + repeat(" LIKE b IS NULL", n); }},
      {"IS DISTINCT FROM", [](auto n) { return "SELECT a" + repeat(" IS NULL IS DISTINCT FROM b", n); }},
      {"COLLATE", [](auto n) { return "SELECT a" + repeat(" COLLATE x", n); }},
      {"AT TIME ZONE", [](auto n) { return "SELECT a" + repeat(" AT TIME ZONE b", n); }},
      {"OPERATOR()", [](auto n) { return "SELECT a" + repeat(" OPERATOR(pg_catalog.+) b", n); }},
      {"json arrows", [](auto n) { return "SELECT a" + repeat("->'b'", n); }},
      {"function named join", [](auto n) { return "SELECT 1" + repeat(" + 1 + join(1)", n); }},
      {"columns named and", [](auto n) { return "SELECT 1" + repeat(" + a.and", n); }},
      {"columns named union", [](auto n) { return "SELECT 1" + repeat(" + a . union", n); }},
      {"columns named case", [](auto n) { return "SELECT 1" + repeat(" + a.case + a.end", n); }},
      {"parentheses", [](auto n) { return "SELECT " + repeat("(", n) + "a" + repeat(")", n); }},
      {"parentheses with operators", [](auto n) { return "SELECT " + repeat("(1 +", n) + "a" + repeat(")", n); }},
      {"functions", [](auto n) { return "SELECT " + repeat("f(", n) + "a" + repeat(")", n); }},
      {"rows", [](auto n) { return "SELECT " + repeat("ROW(", n) + "a" + repeat(")", n); }},
      {"arrays", [](auto n) { return "SELECT " + repeat("ARRAY[", n) + "a" + repeat("]", n); }},
      {"nested array literals", [](auto n) { return "SELECT ARRAY" + repeat("[", n) + "a" + repeat("]", n); }},
      {"subscripts", [](auto n) { return "SELECT a" + repeat("[1]", n); }},
      {"subscripts in subscripts", [](auto n) { return "SELECT " + repeat("a[", n) + "1" + repeat("]", n); }},
      {"dots", [](auto n) { return "SELECT a" + repeat(".b", n); }},
      {"CASE in THEN", [](auto n) { return "SELECT " + repeat("CASE WHEN a THEN ", n) + "a" + repeat(" END", n); }},
      {"CASE in CASE", [](auto n) { return "SELECT " + repeat("CASE ", n) + "a" + repeat(" WHEN 1 THEN 2 END", n); }},
      {"CASE in ELSE", [](auto n) { return "SELECT " + repeat("CASE WHEN a THEN 1 ELSE ", n) + "a" + repeat(" END", n); }},
      {"UNION", [](auto n) { return "SELECT 1" + repeat(" UNION SELECT 1", n); }},
      {"UNION of tables", [](auto n) { return "SELECT 1, 2" + repeat(" UNION SELECT 1, a FROM orders WHERE customer_id = 1", n); }},
      {"UNION in parentheses", [](auto n) { return repeat("(SELECT 1 UNION ", n) + "SELECT 1" + repeat(")", n); }},
      {"JOIN", [](auto n) { return "SELECT 1 FROM a" + repeat(" JOIN a ON true", n); }},
      {"NATURAL JOIN", [](auto n) { return "SELECT 1 FROM orders" + repeat(" NATURAL JOIN orders", n); }},
      {"JOIN in parentheses", [](auto n) { return "SELECT 1 FROM " + repeat("(", n) + "a" + repeat(" JOIN a ON true)", n); }},
      {"subqueries", [](auto n) { return "SELECT " + repeat("(SELECT ", n) + "a" + repeat(")", n); }},
      {"subqueries in FROM", [](auto n) { return repeat("SELECT * FROM (", n) + "SELECT * FROM orders" + repeat(") x", n); }},
      {"EXISTS", [](auto n) { return repeat("SELECT 1 FROM orders WHERE EXISTS (", n) + "SELECT 1" + repeat(")", n); }},
      {"IN subqueries", [](auto n) { return repeat("SELECT customer_id FROM orders WHERE customer_id IN (", n) + "SELECT 1" + repeat(")", n); }},
      {"WITH", [](auto n) { return repeat("WITH a AS (", n) + "SELECT 1" + repeat(") SELECT 1", n); }},
      {"windows", [](auto n) { return "SELECT " + repeat("sum(a) OVER (ORDER BY ", n) + "a" + repeat(")", n); }},
      {"AND with OR in parentheses", [](auto n) { return "SELECT a" + repeat(" AND (b OR c", n) + repeat(")", n); }},
      {"array types", [](auto n) { return "SELECT a::int" + repeat("[]", n); }},
      {"unclosed", [](auto n) { return "SELECT " + repeat("(", n); }},
      {"unopened", [](auto n) { return "SELECT " + repeat(")", n); }},
      {"END", [](auto n) { return "SELECT " + repeat("END ", n); }},
      {"UNION, operators and subqueries together",
       [](auto n) { return "SELECT 1" + repeat(" UNION SELECT 1 + (SELECT CASE WHEN f(1 + ", n) + "1" + repeat(") THEN 1 END)", n); }},
  };
  return all;
}

// Analyses `sql` on a thread with `stack` bytes of stack; a crash ends the test program, and that is the point.
void analyse_on_thread(const std::string& sql, std::size_t stack) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  REQUIRE(pthread_attr_setstacksize(&attributes, stack) == 0);
  pthread_t thread;
  const auto run = [](void* text) -> void* {
    analyze(*static_cast<const std::string*>(text), *sample::map());
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, run, const_cast<std::string*>(&sql)) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

}  // namespace

TEST_CASE("text_bounds: statements built to exhaust the parser get 54001") {
  for (const auto& shape : shapes()) {
    CAPTURE(shape.name);
    const auto sql = shape.sql(100'000);
    const std::string_view name = shape.name;
    const bool is_flat = name == "dots" || name == "subscripts" || name == "array types" || name == "unopened" || name == "END";
    const bool is_refused = exceeds(sql, {}).has_value();
    CHECK((is_refused || is_flat));
    CHECK(is_refused == (sample::analysed(sql) == "54001"));
  }
  CHECK(sample::analysed("SELECT 1" + repeat(" + 1", 10'000)) == "54001");
  CHECK(sample::analysed("SELECT " + repeat("(", 100'000) + "1" + repeat(")", 100'000)) == "54001");
}

TEST_CASE("text_bounds: what the bounds let through fits half of a worker's stack") {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr std::size_t stack = 8u << 20;
#else
  constexpr std::size_t stack = 4u << 20;
#endif
  for (const auto& shape : shapes()) {
    CAPTURE(shape.name);
    for (const std::size_t n : {90u, 140u, 290u, 298u, 330u, 480u, 498u, 990u, 998u, 3000u, 9000u}) analyse_on_thread(shape.sql(n), stack);
  }
}

TEST_CASE("text_bounds: what applications send is far inside the bounds") {
  const std::string rows[] = {
      "SELECT 1" + repeat(" + 1", 900),
      "SELECT " + repeat("(", 250) + "1" + repeat(")", 250),
      "SELECT 1 FROM a WHERE x = 1" + repeat(" OR x = 1", 20'000),
      "SELECT 1 FROM a WHERE x BETWEEN 1 AND 2" + repeat(" AND x BETWEEN 1 AND 2", 5'000),
      "SELECT CASE" + repeat(" WHEN a = 1 THEN b + 1", 5'000) + " ELSE c * 2 END",
      "INSERT INTO a VALUES (1 + 1, -1)" + repeat(", (1 + 1, -1)", 10'000),
      "UPDATE a SET x = 1 + 1" + repeat(", y = 2 * 2", 5'000),
      repeat("SELECT 1 + 1; ", 5'000),
  };
  for (const auto& sql : rows) {
    CAPTURE(sql.substr(0, 60));
    CHECK(exceeds(sql, {}) == std::nullopt);
  }
}

TEST_CASE("text_bounds: comments and operators that the lexer would read again and again get 54001") {
  for (const std::string piece : {"/*", "/**/", "/*/**/", "@/**/", "/**/@", "/***"}) {
    CAPTURE(piece);
    CHECK(sample::analysed("SELECT 1 " + repeat(piece, 20'000)) == "54001");
    CHECK(exceeds("SELECT 1 " + repeat(piece + "\n", 900), {}) == std::nullopt);
    CHECK(exceeds("SELECT '" + repeat(piece, 20'000) + "'", {}) == std::nullopt);
  }
  CHECK(sample::analysed("SELECT " + repeat("-+", 400) + "/*" + repeat("+", 1'000'000) + "*/ 1") == "54001");
  CHECK(exceeds("/*" + repeat("*", 20'000'000) + "/ SELECT 1", {}) == std::nullopt);
}

TEST_CASE("text_bounds: each bound says what it found") {
  analyzer_limits limits;
  limits.max_text_bytes = 30;
  limits.max_tokens = 12;
  limits.max_operators = 3;
  limits.max_nesting = 3;
  limits.max_run_work = 20;
  CHECK(exceeds("SELECT 1 + 1 + 1 + 1", limits) == std::nullopt);
  CHECK(*exceeds("SELECT 1 + 1 + 1 + 1 + 1", limits) == "More than 3 operators follow one another.");
  CHECK(*exceeds("SELECT (((1)))", limits) == "Expressions are nested more than 3 levels deep.");
  CHECK(*exceeds("SELECT 1,1,1,1,1,1,1,1", limits) == "The text has more than 12 tokens.");
  CHECK(*exceeds("SELECT /**//**//**/ 1", limits) == "Operators or comments follow one another without a blank, too many of them.");
  CHECK(*exceeds("SELECT 'a very long text indeed'", limits) == "The text has more than 30 bytes.");
}
