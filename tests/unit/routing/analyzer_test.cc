#include "routing/analysis/analyzer.h"

#include <doctest/doctest.h>

#include "plan_text.h"
#include "sample_map.h"

using namespace routing;

TEST_CASE("analyzer: a text that does not parse goes to any shard, whose error reaches the client") {
  CHECK(sample::analysed("SELEC 1") == "any");
  CHECK(sample::analysed("SELECT * FROM orders WHERE") == "any");
  CHECK(sample::analysed("SELECT 'unterminated") == "any");
  CHECK(sample::analysed("DELETE FROM orders; oops") == "any");
  CHECK(analyze_if_parsable("SELEC 1", *sample::map()) == std::nullopt);
}

TEST_CASE("analyzer: a refusal carries everything the client needs") {
  const auto plan = analyze("SELECT * FROM orders o WHERE o.customer_id = 5 OR o.total = 1", *sample::map());
  REQUIRE(plan.statements.size() == 1);
  const auto& why = plan.statements[0].refused;
  REQUIRE(why.has_value());
  CHECK(why->sqlstate == "RT003");
  CHECK(why->message == "cannot prove that this statement stays on one shard: table \"public.orders\" (as \"o\") is not limited by its shard "
                        "key \"customer_id\"");
  CHECK(why->detail == "Its condition stands under OR.");
  CHECK(why->hint == "Add o.customer_id = <literal or parameter> with AND to WHERE or to the ON of an inner join, or join by customer_id with "
                     "a table of the same distribution that is limited so.");
}

TEST_CASE("analyzer: statements of one text are judged one by one") {
  CHECK(sample::analysed("SELECT 1; SELECT * FROM orders; UPDATE orders SET total = 1 WHERE customer_id = 5") == "any plain; RT003; key shop:5");
  CHECK(sample::analysed(";;SELECT 1;;") == "any plain");
}
