#include "routing/analysis/scatter.h"

#include <doctest/doctest.h>

#include <string_view>

#include "routing/analysis/analyzer.h"
#include "routing/route/router.h"
#include "sample_map.h"

using namespace routing;

namespace {

// On how many shards its rows add up; 0: it cannot be scattered.
std::size_t shards_of(std::string_view sql) {
  const auto map = sample::map();
  const auto plan = analyze(sql, *map);
  REQUIRE(plan.statements.size() == 1);
  const auto decided = route(plan.statements[0], *map, {});
  return decided.pulls ? 0 : decided.scattered.size();
}

}  // namespace

TEST_CASE("scatter: rows add up where each comes of one row, alike on every shard") {
  const auto all = shards_of("SELECT * FROM orders");
  CHECK(all > 1);
  for (const auto* sql : {"SELECT o.* FROM orders o", "SELECT lower(note), abs(customer_id) + 1 FROM orders WHERE note LIKE 'a%' OR customer_id > 5",
                          "SELECT CASE WHEN note IS NULL THEN coalesce(note, 'x') ELSE note || 'y' END AS n FROM orders",
                          "SELECT customer_id::text COLLATE \"C\", ARRAY[customer_id, 1], (ROW(1, note)).f1 FROM orders", "SELECT FROM orders",
                          "SELECT customer_id FROM orders WHERE customer_id BETWEEN 1 AND 9 AND note IN ('a', 'b') AND NOT customer_id IS DISTINCT FROM 3"}) {
    CAPTURE(sql);
    CHECK(shards_of(sql) == all);
  }
  for (const auto* sql :
       {"SELECT count(*) FROM orders", "SELECT max(customer_id) FROM orders", "SELECT pg_catalog.sum(customer_id) FROM orders",
        "SELECT abs(count(note)) FROM orders", "SELECT DISTINCT note FROM orders", "SELECT note FROM orders GROUP BY note",
        "SELECT 1 FROM orders HAVING true", "SELECT note FROM orders ORDER BY 1", "SELECT note FROM orders LIMIT 1", "SELECT note FROM orders OFFSET 1",
        "SELECT rank() OVER () FROM orders", "SELECT lower(note) OVER () FROM orders", "SELECT note FROM orders FOR SHARE",
        "SELECT note FROM orders UNION ALL SELECT note FROM orders", "WITH o AS (SELECT * FROM orders) SELECT * FROM o",
        "SELECT (SELECT 1) FROM orders", "SELECT * FROM (SELECT * FROM orders) o", "SELECT * FROM orders, orders p", "SELECT * FROM orders TABLESAMPLE SYSTEM (1)",
        "SELECT * FROM orders WHERE EXISTS (SELECT 1)", "SELECT note INTO other FROM orders", "SELECT now() FROM orders", "SELECT CURRENT_DATE FROM orders",
        "SELECT 'now'::timestamp FROM orders", "SELECT statement_timestamp() FROM orders", "SELECT 1 FROM orders WHERE clock_timestamp() > due",
         "SELECT ctid FROM orders", "SELECT o.tableoid FROM orders o", "SELECT random() FROM orders",
        "SELECT pg_backend_pid() FROM orders", "SELECT nextval('s') FROM orders", "SELECT mine(note) FROM orders", "SELECT public.lower(note) FROM orders",
        "SELECT set_config('a.b', note, true) FROM orders", "EXPLAIN SELECT * FROM orders", "DECLARE c CURSOR FOR SELECT * FROM orders",
        "UPDATE orders SET note = 'x'", "DELETE FROM orders", "COPY orders TO STDOUT", "TABLE orders ORDER BY 1"}) {
    CAPTURE(sql);
    CHECK(shards_of(sql) == 0);
  }
}

TEST_CASE("scatter: keys that are known are asked for on their shards only") {
  CHECK(shards_of("SELECT * FROM orders WHERE customer_id = 5") == 0);
  const auto map = sample::map();
  const auto* shop = map->find_distribution("shop");
  REQUIRE(shop != nullptr);
  std::string keys = "1";
  for (int key = 2; key < 40; ++key) keys += "," + std::to_string(key);
  CHECK(shards_of("SELECT * FROM orders WHERE customer_id IN (" + keys + ")") > 1);
  CHECK(shards_of("SELECT count(*) FROM orders WHERE customer_id IN (" + keys + ")") == 0);
}
