#include <doctest/doctest.h>

#include "migration/mover/table_plan.h"
#include "migration/shard/guard.h"
#include "moving_table_sample.h"

using namespace migration;

namespace {

const std::vector<routing::placement_range> ranges{{routing::placement{-5}, routing::placement{100}}};
table_plan plan() { return {sample_table(), routing::key_type::int8, ranges, false}; }

}  // namespace

TEST_CASE("table_plan: bounds are found in the order of the index, not of their text") {
  const auto table = plan();
  CHECK(table.bound_sql(nullptr, nullptr, 2000) ==
        "SELECT \"tenant\"::pg_catalog.text, pg_catalog.encode(pg_catalog.int4send(\"tenant\"), 'hex'), \"id\"::pg_catalog.text, "
        "pg_catalog.encode(pg_catalog.int8send(\"id\"), 'hex') FROM \"shop\".\"Or\"\"ders\" AS sliced ORDER BY sliced.\"tenant\", "
        "sliced.\"id\" OFFSET 1999 LIMIT 1");
  const key_bound lower{{"1", "7"}, "x"}, limit{{"2", "-9"}, "y"};
  const auto sql = table.bound_sql(&lower, &limit, 1);
  CHECK(sql.find(" WHERE (\"tenant\", \"id\") > ('1'::integer, '7'::bigint) AND (\"tenant\", \"id\") <= ('2'::integer, '-9'::bigint) ") !=
        std::string::npos);
  CHECK(sql.ends_with("OFFSET 0 LIMIT 1"));
}

TEST_CASE("table_plan: a chunk is the moving rows of its slice") {
  const auto table = plan();
  const auto filter = placement_filter(routing::key_type::int8, ranges, "\"tenant\"");
  const key_bound upper{{"2", "9"}, "y"};
  CHECK(table.copy_out_sql(nullptr, &upper) ==
        "COPY (SELECT \"tenant\", \"id\", \"note\", \"big\" FROM \"shop\".\"Or\"\"ders\" WHERE (\"tenant\", \"id\") <= ('2'::integer, "
        "'9'::bigint) AND (" + filter + ")) TO STDOUT (FORMAT binary)");
  CHECK(table.copy_out_sql(nullptr, nullptr).find(" WHERE (" + filter + "))") != std::string::npos);
  CHECK(table.copy_in_sql() == "COPY \"shop\".\"Or\"\"ders\" (\"tenant\", \"id\", \"note\", \"big\") FROM STDIN (FORMAT binary)");
}

TEST_CASE("table_plan: a table whose key has no orderable prefix has no bounds") {
  auto described = sample_table();
  described.columns[0] = {"name", "text", 25, "de-x-icu"};
  const table_plan table(described, routing::key_type::text, ranges, true);
  CHECK(table.slicing().empty());
  CHECK(table.copy_out_sql(nullptr, nullptr).find(">") == table.copy_out_sql(nullptr, nullptr).find(">="));
}

TEST_CASE("table_plan: changes name their row by the whole primary key") {
  const auto table = plan();
  CHECK(table.insert_sql() ==
        "INSERT INTO \"shop\".\"Or\"\"ders\" (\"tenant\", \"id\", \"note\", \"big\") OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3, $4)");
  CHECK(table.delete_sql() == "DELETE FROM \"shop\".\"Or\"\"ders\" WHERE \"tenant\" = $1 AND \"id\" = $2");
  CHECK(table.update_sql({2}, {}) == "UPDATE \"shop\".\"Or\"\"ders\" SET \"note\" = $1 WHERE \"tenant\" = $2 AND \"id\" = $3");
  CHECK(table.update_sql({0, 1}, {3}) ==
        "UPDATE \"shop\".\"Or\"\"ders\" SET \"tenant\" = $1, \"id\" = $2 WHERE \"tenant\" = $3 AND \"id\" = $4 AND \"big\" = $5");
}
