// Statements built to make the analysis work hard: they must end soon, with a refusal or a proof.
#include <doctest/doctest.h>

#include <string>

#include "plan_text.h"

namespace {

std::string repeat(std::string_view piece, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += piece;
  return all;
}

}  // namespace

TEST_CASE("query_analysis: columns that double at every level of WITH stop being counted") {
  std::string sql = "WITH w0 AS (SELECT * FROM orders WHERE customer_id = 5)";
  for (int i = 1; i <= 60; ++i) {
    const auto before = "w" + std::to_string(i - 1);
    sql += ", w" + std::to_string(i) + " AS (SELECT * FROM " + before + " a, " + before + " b)";
  }
  CHECK(sample::analysed(sql + " SELECT * FROM w60") == "key shop:5 plain");
}

TEST_CASE("query_analysis: key values that double at every UNION are counted once") {
  std::string sql = "WITH w0 AS (SELECT 5 AS k)";
  for (int i = 1; i <= 60; ++i) {
    const auto before = "w" + std::to_string(i - 1);
    sql += ", w" + std::to_string(i) + " AS (SELECT k FROM " + before + " UNION ALL SELECT k FROM " + before + ")";
  }
  CHECK(sample::analysed(sql + " SELECT * FROM orders JOIN w60 ON customer_id = k") == "key shop:5 plain");
}

TEST_CASE("query_analysis: many tables times many conditions end in 54001") {
  std::string tables = "orders t0", conditions = "t0.customer_id = 5";
  for (int i = 1; i < 15'000; ++i) {
    const auto name = "t" + std::to_string(i);
    tables += ", orders " + name;
    conditions += " AND " + name + ".customer_id = 5";
  }
  CHECK(sample::analysed("SELECT 1 FROM " + tables + " WHERE " + conditions) == "54001");
}

TEST_CASE("query_analysis: long but flat statements are fine") {
  CHECK(sample::analysed("SELECT 1 FROM orders WHERE customer_id = 5" + repeat(" AND (total = 1 OR total = 2)", 5'000)) == "key shop:5 plain");
  CHECK(sample::analysed("INSERT INTO orders VALUES (5, 1)" + repeat(", (5, 2)", 20'000)) == "key shop:5");
  CHECK(sample::analysed("SELECT 1 FROM orders WHERE customer_id IN (5" + repeat(", 5", 50'000) + ")") == "key shop:5 plain");
  CHECK(sample::analysed("SELECT 1 FROM orders WHERE customer_id = 5 AND order_id IN (1" + repeat(", 2", 50'000) + ")") == "key shop:5 plain");
  CHECK(sample::analysed("UPDATE orders SET total = CASE order_id" + repeat(" WHEN 1 + 1 THEN 2 * 3", 3'000) + " END WHERE customer_id = 5") ==
        "key shop:5");
  CHECK(sample::analysed("SELECT 1 FROM orders" + repeat(" JOIN orders o USING (customer_id)", 300) + " WHERE orders.customer_id = 5") ==
        "key shop:5 plain");
  CHECK(sample::analysed(repeat("SELECT 1 FROM orders WHERE customer_id = 5 UNION ALL ", 800) + "SELECT 1") == "key shop:5 plain");
}

TEST_CASE("query_analysis: subqueries are read once, however they are nested") {
  std::string sql = "SELECT 1";
  for (int i = 0; i < 60; ++i) sql = "SELECT 1 FROM orders WHERE customer_id = 5 AND customer_id IN (" + sql + ")";
  CHECK(sample::analysed(sql) == "key shop:5 plain");
}
