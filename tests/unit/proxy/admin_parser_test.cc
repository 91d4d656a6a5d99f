#include "proxy/console/admin_help.h"
#include "proxy/console/admin_parser.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "migration/base/refused.h"
#include "migration/shard/prepare.h"
#include "proxy/config/edit_distance.h"

namespace {

using namespace migration;

std::string options_text(const option_list& options) {
  std::string out;
  for (const auto& [name, value] : options) out += fmt::format(" {}={}", name, value);
  return out;
}

// One line that says everything a request holds, so that a table of texts can be compared.
struct describe {
  std::string operator()(const add_shard& c) const { return fmt::format("add_shard {} <{}>", c.name, c.dsn); }
  std::string operator()(const remove_shard& c) const { return fmt::format("remove_shard {}", c.name); }
  std::string operator()(const distribute_table& c) const {
    return fmt::format("distribute {}|{} by {} in <{}>", c.schema, c.table, c.column, c.distribution);
  }
  std::string operator()(const reference_table& c) const { return fmt::format("reference {}|{}", c.schema, c.table); }
  std::string operator()(const align_table_sequences& c) const { return fmt::format("align {}|{} {}", c.schema, c.table, c.above ? std::to_string(*c.above) : "-"); }
  std::string operator()(const guard_table& c) const { return fmt::format("guard {}|{} {}", c.schema, c.table, c.on ? "on" : "off"); }
  std::string operator()(const drain_shard& c) const {
    return fmt::format("drain {} to <{}>{}", c.shard, fmt::join(c.targets, ","), options_text(c.options));
  }
  std::string operator()(const move_range& c) const {
    const auto [lower, upper] = routing::hashes_of_range(c.range);
    return fmt::format("move [{}, {}) of {} to {}{}", lower, upper ? std::to_string(*upper) : "", c.distribution, c.target, options_text(c.options));
  }
  std::string operator()(const alter_migration& c) const {
    constexpr const char* decided[] = {"", " accept", " keep"};
    return fmt::format("alter {} {}{}", static_cast<int>(c.verb), c.id, decided[static_cast<int>(c.decided)]);
  }
  std::string operator()(const show& c) const { return fmt::format("show {} {}", static_cast<int>(c.what), c.id); }

  std::string operator()(const request& r) const { return (r.explain ? "explain " : "") + std::visit(*this, r.command); }
  std::string operator()(const proxy::show_proxy& c) const { return fmt::format("show_proxy {}", static_cast<int>(c.what)); }
  std::string operator()(const proxy::explain_route& c) const { return fmt::format("route <{}>", c.sql); }
  std::string operator()(const proxy::accept_setting& c) const { return fmt::format("set {}", c.name); }
  std::string operator()(const proxy::accept_quietly& c) const { return fmt::format("quiet {}", c.tag); }
  std::string operator()(const proxy::pool_verb& c) const { return fmt::format("{} {} <{}>", c.tag, static_cast<int>(c.what), c.database); }
  std::string operator()(proxy::process_verb c) const { return c == proxy::process_verb::reload ? "reload" : "shutdown"; }
  std::string operator()(const proxy::no_command&) const { return "nothing"; }
  std::string operator()(const proxy::test_command& c) const { return fmt::format("test {} {}", c.verb, c.name); }
};

std::string parsed(std::string_view sql) { return std::visit(describe{}, proxy::parse_admin(sql)); }

// "position: message", and the SQLSTATE is checked here once for all.
std::string refused_with(std::string_view sql) {
  try {
    return "accepted: " + parsed(sql);
  } catch (const refused& error) {
    CHECK(error.notice.sqlstate == "42601");
    return fmt::format("{}: {}", error.notice.position, error.notice.message);
  }
}

}  // namespace

TEST_CASE("admin_parser: every command") {
  struct row { std::string sql, expected; };
  const row table[] = {
      {"ADD SHARD s4 'host=h port=1 dbname=d'", "add_shard s4 <host=h port=1 dbname=d>"},
      {"add shard S4 'it''s'", "add_shard s4 <it's>"},
      {"ADD SHARD \"S 4\" ''", "add_shard S 4 <>"},
      {"REMOVE SHARD s1;", "remove_shard s1"},
      {"DISTRIBUTE TABLE orders BY customer_id", "distribute |orders by customer_id in <>"},
      {"DISTRIBUTE TABLE public.orders BY customer_id IN DISTRIBUTION shop", "distribute public|orders by customer_id in <shop>"},
      {"distribute table \"My Schema\".\"Or\"\"ders\" by \"Key\" in distribution Shop", "distribute My Schema|Or\"ders by Key in <shop>"},
      {"REFERENCE TABLE countries", "reference |countries"},
      {"REFERENCE TABLE geo . countries", "reference geo|countries"},
      {"DRAIN SHARD s1", "drain s1 to <>"},
      {"DRAIN SHARD s1 TO s2", "drain s1 to <s2>"},
      {"DRAIN SHARD s1 TO s2, s3", "drain s1 to <s2,s3>"},
      {"EXPLAIN DRAIN SHARD s1 TO s2, s3", "explain drain s1 to <s2,s3>"},
      {"DRAIN SHARD s1 WITH (max_rate = '20MB')", "drain s1 to <> max_rate=20MB"},
      {"DRAIN SHARD s1 TO s2 WITH (Strategy = CDC, max_rate=20MB, max_pause = '500ms', auto_cutover = off);",
       "drain s1 to <s2> strategy=cdc max_rate=20MB max_pause=500ms auto_cutover=off"},
      {"MOVE RANGE [-5, 10) OF shop TO s4", "move [-5, 10) of shop to s4"},
      {"MOVE RANGE [+7,8) OF shop TO s4", "move [7, 8) of shop to s4"},
      {"MOVE RANGE [-9223372036854775808, 9223372036854775807) OF shop TO s4", "move [-9223372036854775808, 9223372036854775807) of shop to s4"},
      {"MOVE RANGE [MINVALUE, 0) OF shop TO s4", "move [-9223372036854775808, 0) of shop to s4"},
      {"MOVE RANGE [0, MAXVALUE) OF shop TO s4", "move [0, ) of shop to s4"},
      {"MOVE RANGE [0, ) OF shop TO s4", "move [0, ) of shop to s4"},
      {"EXPLAIN MOVE RANGE [0,) OF shop TO s4 WITH (max_rate = 1GB)", "explain move [0, ) of shop to s4 max_rate=1GB"},
      {"PAUSE MIGRATION 7", "alter 0 7"},
      {"PAUSE", "PAUSE 0 <>"},
      {"pause shop;", "PAUSE 0 <shop>"},
      {"PAUSE \"Shop\"", "PAUSE 0 <Shop>"},
      {"RESUME", "RESUME 1 <>"},
      {"RESUME shop", "RESUME 1 <shop>"},
      {"RECONNECT", "RECONNECT 2 <>"},
      {"KILL shop", "KILL 3 <shop>"},
      {"RELOAD;", "reload"},
      {"SHUTDOWN", "shutdown"},
      {"RESUME MIGRATION 7", "alter 1 7"},
      {"RESUME MIGRATION 7 ACCEPT TARGET;", "alter 1 7 accept"},
      {"resume migration 7 keep source", "alter 1 7 keep"},
      {"CANCEL MIGRATION 7", "alter 2 7"},
      {"CUTOVER MIGRATION 7", "alter 3 7"},
      {"RETRY MIGRATION 18446744073709551615", "alter 4 18446744073709551615"},
      {"EXPLAIN CANCEL MIGRATION 7", "explain alter 2 7"},
      {"SHOW SHARDS", "show 0 0"},
      {"SHOW RANGES", "show 1 0"},
      {"SHOW TABLES", "show 2 0"},
      {"SHOW MIGRATIONS", "show 3 0"},
      {"show migration 7", "show 4 7"},
      {"SHOW ORPHANS", "show 5 0"},
      {"SHOW SEQUENCES", "show 6 0"},
      {"GUARD TABLE orders", "guard |orders on"},
      {"ALIGN SEQUENCES OF orders", "align |orders -"},
      {"explain align sequences of \"Shop\".orders above 12345;", "explain align Shop|orders 12345"},
      {"unguard table \"Shop\".orders;", "guard Shop|orders off"},
      {"EXPLAIN UNGUARD TABLE orders", "explain guard |orders off"},
      {"SHOW POOLS", "show_proxy 0"},
      {"SHOW CLIENTS", "show_proxy 1"},
      {"SHOW SERVERS", "show_proxy 2"},
      {"SHOW STATS", "show_proxy 3"},
      {"SHOW CONFIG", "show_proxy 4"},
      {"SHOW VERSION", "show_proxy 5"},
      {"SHOW HELP", "show_proxy 6"},
      {"help;", "show_proxy 6"},
      {"BEGIN", "quiet BEGIN"},
      {"begin isolation level read committed, read only;", "quiet BEGIN"},
      {"START TRANSACTION", "quiet START TRANSACTION"},
      {"COMMIT", "quiet COMMIT"},
      {"END", "quiet COMMIT"},
      {"ROLLBACK", "quiet ROLLBACK"},
      {"RESET ALL", "quiet RESET"},
      {"DISCARD ALL", "quiet DISCARD"},
      {"DEALLOCATE \"_pg3_0\"", "quiet DEALLOCATE"},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "set characteristics"},
      {"EXPLAIN ROUTE SELECT * FROM orders WHERE customer_id = $1 -- x", "route < SELECT * FROM orders WHERE customer_id = $1 -- x>"},
      {"explain route INSERT INTO t VALUES (E'\\'', $$;$$); SELECT 1;", "route < INSERT INTO t VALUES (E'\\'', $$;$$); SELECT 1;>"},
      {"SET client_encoding TO 'UTF8'", "set client_encoding"},
      {"SET SESSION application_name = psql", "set application_name"},
      {"set datestyle = 'ISO, MDY';", "set datestyle"},
      {"SET extra_float_digits = 3", "set extra_float_digits"},
      {"", "nothing"},
      {" ;; ", "nothing"},
      {"/* a */ -- b\n", "nothing"},
      {" /* c */ ;SHOW/* d */SHARDS -- e\n ; ;", "show 0 0"},
  };
  for (const auto& row : table) {
    CAPTURE(row.sql);
    CHECK(parsed(row.sql) == row.expected);
  }
}

TEST_CASE("admin_parser: every error has its position and what was expected") {
  struct row { std::string sql, expected; };
  const row table[] = {
      {"SHWO SHARDS", "1: unknown command SHWO; nearest: SHOW"},
      {"SHOW SHRADS", "6: unknown command SHOW SHRADS; nearest: SHOW SHARDS"},
      {"SHOW MIGRATOINS", "6: unknown command SHOW MIGRATOINS; nearest: SHOW MIGRATIONS, SHOW MIGRATION"},
      {"SHOW", "5: expected one of SHARDS, RANGES, TABLES, MIGRATIONS, MIGRATION, ORPHANS, SEQUENCES, CATALOG, PREPARED, POOLS, CLIENTS, SERVERS, STATS, CONFIG, VERSION, HELP, found the end"},
      {"SHOW 'x'", "6: unknown command SHOW 'X'"},
      {"RESUMEE MIGRATION 7", "1: unknown command RESUMEE; nearest: RESUME"},
      {"SELECT 1", "1: unknown command SELECT"},
      {"'x'", "1: unknown command 'X'"},
      {"7", "1: unknown command 7"},
      {"DRAIN", "6: expected SHARD, found the end"},
      {"DRAIN SHRAD s1", "7: expected SHARD, found \"SHRAD\""},
      {"DRAIN SHARD", "12: expected a shard name, found the end"},
      {"DRAIN SHARD 's1'", "13: expected a shard name, found \"'s1'\""},
      {"DRAIN SHARD s1 TO", "18: expected a shard name, found the end"},
      {"DRAIN SHARD s1 TO s2,", "22: expected a shard name, found the end"},
      {"DRAIN SHARD s1 s2", "16: expected the end, found \"s2\""},
      {"DRAIN SHARD s1 WITH max_rate", "21: expected (, found \"max_rate\""},
      {"DRAIN SHARD s1 WITH ()", "22: expected an option name, found \")\""},
      {"DRAIN SHARD s1 WITH (a)", "23: expected =, found \")\""},
      {"DRAIN SHARD s1 WITH (a = )", "26: expected a value for a, found \")\""},
      {"DRAIN SHARD s1 WITH (a = 1", "27: expected ), found the end"},
      {"DRAIN SHARD s1 WITH (a = 1, A = 2)", "29: option a is given twice"},
      {"ADD SHARD s4", "13: expected a connection string in single quotes, found the end"},
      {"ADD SHARD s4 host", "14: expected a connection string in single quotes, found \"host\""},
      {"ADD SHARD s4 'host", "14: a string is not closed; expected '"},
      {"REMOVE SHARD \"s1", "14: a quoted name is not closed; expected \""},
      {"REMOVE SHARD \"\"", "14: a quoted name is empty"},
      {"REMOVE SHARD s1 /* x", "17: a comment is not closed; expected */"},
      {"REMOVE SHARD *", "14: unexpected character *"},
      {std::string("REMOVE SHARD \x01", 14), "14: unexpected character \\x01"},
      {"DISTRIBUTE TABLE", "17: expected a table name, found the end"},
      {"DISTRIBUTE TABLE a.", "20: expected a table name after the schema, found the end"},
      {"DISTRIBUTE TABLE orders", "24: expected BY, found the end"},
      {"DISTRIBUTE TABLE orders BY", "27: expected a column name, found the end"},
      {"DISTRIBUTE TABLE orders BY id IN shop", "34: expected DISTRIBUTION, found \"shop\""},
      {"DISTRIBUTE TABLE orders BY id IN DISTRIBUTION", "46: expected the name of a distribution, found the end"},
      {"REFERENCE TABLE", "16: expected a table name, found the end"},
      {"MOVE RANGE 1, 2) OF shop TO s4", "12: expected [, found \"1\""},
      {"MOVE RANGE [x, 2) OF shop TO s4", "13: expected a signed 64-bit number or MINVALUE, found \"x\""},
      {"MOVE RANGE [1; 2) OF shop TO s4", "14: expected ,, found \";\""},
      {"MOVE RANGE [1, x) OF shop TO s4", "16: expected a signed 64-bit number, MAXVALUE or nothing, found \"x\""},
      {"MOVE RANGE [1, 9223372036854775808) OF shop TO s4", "16: expected a signed 64-bit number, MAXVALUE or nothing, found \"9223372036854775808\""},
      {"MOVE RANGE [1, 2] OF shop TO s4", "17: expected \")\" (the upper bound is not part of the range), found \"]\""},
      {"MOVE RANGE [2, 2) OF shop TO s4", "16: the range is empty: its upper bound is not above its lower bound"},
      {"MOVE RANGE [1, 2) shop", "19: expected OF, found \"shop\""},
      {"MOVE RANGE [1, 2) OF shop", "26: expected TO, found the end"},
      {"KILL", "5: expected the name of a database, found the end"},
      {"PAUSE shop now", "12: expected the end, found \"now\""},
      {"RELOAD all", "8: expected the end, found \"all\""},
      {"PAUSE MIGRATION", "16: expected the number of a migration, found the end"},
      {"PAUSE MIGRATION -7", "17: expected the number of a migration, found \"-7\""},
      {"PAUSE MIGRATION 7x", "17: expected the number of a migration, found \"7x\""},
      {"SHOW MIGRATION", "15: expected the number of a migration, found the end"},
      {"SHOW MIGRATION 7 8", "18: expected the end, found \"8\""},
      {"SHOW SHARDS; SHOW RANGES", "14: only one command at a time is accepted"},
      {"EXPLAIN", "8: expected ROUTE or a command, found the end"},
      {"EXPLAIN ROUTE ;", "9: expected a statement, found the end"},
      {"EXPLAIN SHOW SHARDS", "9: EXPLAIN takes ROUTE or a command that changes something"},
      {"EXPLAIN EXPLAIN DRAIN SHARD s1", "9: EXPLAIN takes ROUTE or a command that changes something"},
      {"EXPLAIN DRIAN SHARD s1", "9: unknown command DRIAN; nearest: DRAIN"},
      {"SET work_mem = '1GB'", "5: the console has no setting \"work_mem\""},
      {"SET", "4: the console has no setting the end"},
      {"DRAIN SHARD \xc3\xa4\xc3\xb6 x", "16: expected the end, found \"x\""},  // positions count characters, not bytes
  };
  for (const auto& row : table) {
    CAPTURE(row.sql);
    CHECK(refused_with(row.sql) == row.expected);
  }
}

TEST_CASE("admin_parser: a hint shows the form of the command under way") {
  try {
    proxy::parse_admin("DRAIN SHARD s1 TO 7");
    FAIL("it was accepted");
  } catch (const refused& error) {
    CHECK(error.notice.message == "expected a shard name, found \"7\"");
    CHECK(error.notice.hint == "The form is: DRAIN SHARD s1 [TO s2, s3] [WITH (max_rate = '20MB', ...)]");
  }
}

TEST_CASE("admin_parser: every form that SHOW HELP lists begins with a command the parser knows") {
  for (const auto& help : proxy::admin_helps()) {
    CAPTURE(help.form);
    CHECK(help.form.starts_with(help.command));
    CHECK(refused_with(help.form).find("unknown command") == std::string::npos);
  }
}

TEST_CASE("admin_parser: TEST verbs exist in builds with test hooks only") {
#ifdef PGROTOR_TEST_HOOKS
  CHECK(parsed("TEST STOP 'cutover.2'") == "test stop cutover.2");
  CHECK(refused_with("TEST STOP cutover") == "11: expected the name of a stop point or rule in single quotes, found \"cutover\"");
#else
  CHECK(refused_with("TEST STOP 'cutover.2'") == "1: unknown command TEST");
#endif
}

TEST_CASE("admin_parser: a hostile text is refused, not obeyed by the stack") {
  std::string nested;
  for (int i = 0; i < 200'000; ++i) nested += "EXPLAIN ";
  CHECK(refused_with(nested) == "9: EXPLAIN takes ROUTE or a command that changes something");
  CHECK(refused_with(std::string(1'000'000, '(')) == "1: unknown command (");
}

TEST_CASE("edit_distance: swaps of neighbours count once") {
  CHECK(proxy::edit_distance("", "abc") == 3);
  CHECK(proxy::edit_distance("show", "show") == 0);
  CHECK(proxy::edit_distance("shwo", "show") == 1);
  CHECK(proxy::edit_distance("kitten", "sitting") == 3);
}
