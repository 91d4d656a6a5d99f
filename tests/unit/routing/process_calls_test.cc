#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "routing/analysis/analyzer.h"
#include "sample_map.h"

using namespace routing;

namespace {

// Column, what is called, arguments.
std::string calls_of(std::string_view sql) {
  constexpr std::string_view names[] = {"own", "cancel", "terminate", "blocked"};
  const auto plan = analyze(sql, *sample::map());
  std::string text;
  for (const auto& statement : plan.statements)
    for (const auto& call : statement.processes) {
      text += std::to_string(call.column) + ":" + std::string(names[static_cast<std::size_t>(call.is)]);
      for (const auto& value : call.arguments) text += std::holds_alternative<std::size_t>(value) ? "($" + std::to_string(std::get<std::size_t>(value) + 1) + ")"
                                                                                                 : "(" + std::get<std::string>(value) + ")";
      text += " ";
    }
  return text;
}

}  // namespace

TEST_CASE("process_calls: columns that are nothing but a call about processes") {
  CHECK(calls_of("SELECT pg_backend_pid()") == "0:own ");
  CHECK(calls_of("SELECT 1, pg_catalog.pg_backend_pid() AS a, pg_backend_pid() FROM pg_class WHERE true ORDER BY 1") == "1:own 2:own ");
  CHECK(calls_of("SELECT pg_cancel_backend(5000001)") == "0:cancel(5000001) ");
  CHECK(calls_of("SELECT pg_cancel_backend($1::int) AS done") == "0:cancel($1) ");
  CHECK(calls_of("SELECT pg_terminate_backend('5000001', 100)") == "0:terminate(5000001)(100) ");
  CHECK(calls_of("SELECT pg_catalog.pg_isolation_test_session_is_blocked($1, '{5000001,5000002}')") == "0:blocked($1)({5000001,5000002}) ");
}

TEST_CASE("process_calls: a process id that is written down stays the client's") {
  const auto keeps = [](std::string_view sql) { return (analyze(sql, *sample::map()).statements.front().effects.makes & state::own_process) != 0; };
  for (const auto* sql : {"INSERT INTO stock (id) VALUES (pg_backend_pid())", "INSERT INTO stock SELECT pg_backend_pid() + 1", "UPDATE stock SET id = pg_backend_pid()"}) {
    CAPTURE(sql);
    CHECK(keeps(sql));
  }
  CHECK_FALSE(keeps("SELECT count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid()"));
  CHECK_FALSE(keeps("INSERT INTO stock (id) VALUES (1)"));
}

TEST_CASE("process_calls: what is not alone in its column, does not act once, or is no column of the answer") {
  for (const auto* sql :
       {"SELECT pg_backend_pid() + 0", "SELECT *, pg_backend_pid() FROM pg_class", "SELECT c.*, pg_backend_pid() FROM pg_class c", "SELECT pg_backend_pid() UNION SELECT 1",
        "VALUES (pg_backend_pid())", "SELECT pg_backend_pid() INTO t", "EXPLAIN SELECT pg_backend_pid()", "CREATE TABLE t AS SELECT pg_backend_pid()",
        "INSERT INTO t SELECT pg_backend_pid()", "COPY (SELECT pg_backend_pid()) TO STDOUT", "DECLARE c CURSOR FOR SELECT pg_backend_pid()",
        "SELECT mine.pg_backend_pid()", "SELECT pg_cancel_backend(pid) FROM pg_stat_activity", "SELECT pg_cancel_backend(5000001) FROM pg_class",
        "SELECT pg_cancel_backend(5000001) WHERE false", "SELECT pg_cancel_backend(5000001) LIMIT 0", "SELECT pg_cancel_backend(5000001), 1",
        "SELECT pg_terminate_backend(pg_backend_pid())", "SELECT pg_cancel_backend(5000001, 2)", "SELECT pg_cancel_backend()", "SELECT 1"}) {
    CAPTURE(sql);
    CHECK(calls_of(sql).empty());
  }
}
