#include "routing/analysis/pull.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "routing/analysis/analyzer.h"
#include "routing/route/router.h"
#include "sample_map.h"

using namespace routing;

namespace {

// What it runs on: "relation=copy" each, then the statement; empty: copies would not do.
std::string pulled(std::string_view sql) {
  const auto plan = plan_pull(sql, *sample::map());
  if (!plan) return "";
  std::string out;
  for (const auto& copy : plan->copies) out += (copy.only ? "ONLY " : "") + copy.relation + (copy.distribution ? " " : " (home) ");
  return out + "| " + plan->sql;
}

decision decided(std::string_view sql) {
  const auto map = sample::map();
  const auto plan = analyze(sql, *map);
  return route(plan.statements.at(0), *map, {});
}

}  // namespace

TEST_CASE("pull: the statement stays as it is but for the names of its relations") {
  CHECK(pulled("SELECT count(*) FROM orders") == "orders | SELECT count(*) FROM pg_temp.pgrotor_copy_1 AS \"orders\"");
  CHECK(pulled("SELECT o.total, total FROM public . \"orders\" AS o, orders WHERE orders.total > o.total") ==
        "public . \"orders\" orders | SELECT o.total, total FROM pg_temp.pgrotor_copy_1 AS o, pg_temp.pgrotor_copy_2 AS \"orders\" WHERE orders.total > o.total");
  CHECK(pulled("SELECT max(a.total) FROM orders a JOIN orders b USING (order_id)") ==
        "orders | SELECT max(a.total) FROM pg_temp.pgrotor_copy_1 a JOIN pg_temp.pgrotor_copy_1 b USING (order_id)");
  CHECK(pulled("TABLE orders ORDER BY 1") == "orders | TABLE pg_temp.pgrotor_copy_1 ORDER BY 1");
  CHECK(pulled("SELECT count(*) FROM ONLY orders") == "ONLY orders | SELECT count(*) FROM ONLY pg_temp.pgrotor_copy_1 AS \"orders\"");
  CHECK(pulled("SELECT 1 FROM \"we\"\"ird\", orders") == "\"we\"\"ird\" (home) orders | SELECT 1 FROM pg_temp.pgrotor_copy_1 AS \"we\"\"ird\", pg_temp.pgrotor_copy_2 AS \"orders\"");
}

TEST_CASE("pull: what every shard has alike is read where the statement runs, what WITH defines is none of the relations") {
  CHECK(pulled("SELECT count(*) FROM orders, countries, pg_class, generate_series(1, 2)") ==
        "orders | SELECT count(*) FROM pg_temp.pgrotor_copy_1 AS \"orders\", countries, pg_class, generate_series(1, 2)");
  CHECK(pulled("SELECT count(*) FROM orders JOIN stock ON true") ==
        "orders stock (home) | SELECT count(*) FROM pg_temp.pgrotor_copy_1 AS \"orders\" JOIN pg_temp.pgrotor_copy_2 AS \"stock\" ON true");
  CHECK(pulled("WITH orders AS (SELECT * FROM orders) SELECT count(*) FROM orders") ==
        "orders | WITH orders AS (SELECT * FROM pg_temp.pgrotor_copy_1 AS \"orders\") SELECT count(*) FROM orders");
  CHECK(pulled("WITH RECURSIVE orders AS (SELECT 1 UNION ALL SELECT * FROM orders) SELECT count(*) FROM orders, public.orders o") ==
        "public.orders | WITH RECURSIVE orders AS (SELECT 1 UNION ALL SELECT * FROM orders) SELECT count(*) FROM orders, pg_temp.pgrotor_copy_1 o");
  CHECK(pulled("SELECT (WITH x AS (SELECT 1) SELECT count(*) FROM x) FROM x, orders") ==
        "x (home) orders | SELECT (WITH x AS (SELECT 1) SELECT count(*) FROM x) FROM pg_temp.pgrotor_copy_1 AS \"x\", pg_temp.pgrotor_copy_2 AS \"orders\"");
}

TEST_CASE("pull: what only the relation itself, the session or its transaction can answer") {
  for (const auto* sql : {"SELECT public.orders.total FROM public.orders ORDER BY 1", "SELECT max(orders.ctid) FROM orders", "SELECT max(xmin) FROM orders",
                          "SELECT count(*) FROM orders TABLESAMPLE system (10)", "SELECT max(mine(total)) FROM orders", "SELECT max(random()) FROM orders",
                          "SELECT max(nextval('s')) FROM orders", "SELECT count(*) FROM orders *", "SELECT count(*) FROM ONLY (orders)", "SELECT count(*) FROM twins",
                          "SELECT count(*) FROM a.public.orders", "UPDATE orders SET total = 1", "SELECT count(*) FROM countries", "SELECT count(*) FROM orders; SELECT 1"}) {
    CAPTURE(sql);
    CHECK(pulled(sql) == "");
  }
}

TEST_CASE("pull: the time of the client's transaction is not that of the copies'") {
  const auto tells = [](std::string_view sql) { return plan_pull(sql, *sample::map())->tells_time; };
  for (const auto* sql : {"SELECT max(now()) FROM orders", "SELECT count(*) FROM orders WHERE placed_at < current_date", "SELECT max('now'::timestamp) FROM orders",
                          "SELECT count(*) FROM orders WHERE placed_at = ' Tomorrow '", "SELECT max(age(placed_at)) FROM orders"}) {
    CAPTURE(sql);
    CHECK(tells(sql));
  }
  CHECK_FALSE(tells("SELECT count(*) FROM orders WHERE placed_at < clock_timestamp() AND note = 'nowhere'"));
}

TEST_CASE("pull: from all shards of the distributions, and the default shard for tables of its own") {
  const auto count = decided("SELECT count(*) FROM orders");
  CHECK(count.pulls);
  CHECK(count.destination == destination_kind::refused);
  CHECK(count.scattered.size() == 3);
  CHECK(decided("SELECT * FROM orders JOIN stock ON true").pulls);
  CHECK(decided("SELECT count(*) FROM orders WHERE customer_id IN (1, 2, 3, 4, 5, 6, 7, 8)").pulls);
  CHECK_FALSE(decided("SELECT * FROM orders").pulls);
  CHECK_FALSE(decided("SELECT count(*) FROM orders WHERE customer_id = 1").may_scatter());
  for (const auto* sql : {"SELECT count(*) FROM orders FOR UPDATE", "UPDATE orders SET total = 1", "WITH d AS (DELETE FROM orders RETURNING 1) SELECT count(*) FROM d",
                          "SELECT count(*) INTO x FROM orders", "SELECT count(*), pg_notify('a', 'b') FROM orders", "SELECT set_config('a.b', 'c', true), count(*) FROM orders",
                          "EXPLAIN SELECT count(*) FROM orders", "DECLARE c CURSOR FOR SELECT count(*) FROM orders"}) {
    CAPTURE(sql);
    CHECK_FALSE(decided(sql).may_scatter());
  }
}
