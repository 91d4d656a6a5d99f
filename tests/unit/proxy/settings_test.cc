#include "proxy/state/settings.h"
#include "proxy/state/client_timeouts.h"

#include <doctest/doctest.h>

using proxy::adjust;
using proxy::make_settings;

TEST_CASE("settings: equal sets are the same, whatever order they came in") {
  const auto a = make_settings({{"work_mem", "1"}, {"a.b", "c"}}), b = make_settings({{"a.b", "c"}, {"work_mem", "1"}});
  CHECK(a.get() == b.get());
  CHECK(a.get() != nullptr);
  CHECK(a.get() != make_settings({{"a.b", "c"}, {"work_mem", "2"}}).get());
  CHECK(make_settings({}).get() == nullptr);
  CHECK(*a->find("a.b") == "c");
  CHECK(a->find("a.c") == nullptr);
}

TEST_CASE("settings: only what differs is changed, and values are quoted once") {
  const struct {
    const char* name;
    proxy::text_pairs from, to;
    const char* sql;
    bool wait;
  } rows[] = {
      {"nothing", {{"work_mem", "1"}}, {{"work_mem", "1"}}, "", false},
      {"new", {}, {{"search_path", "\"a b\", c"}}, "SELECT pg_catalog.set_config('search_path','\"a b\", c',false);", false},
      {"other value", {{"a.b", "1"}}, {{"a.b", "it's"}}, "SELECT pg_catalog.set_config('a.b','it''s',false);", false},
      {"gone", {{"a.b", "1"}, {"work_mem", "1"}}, {}, "RESET \"a\".\"b\";RESET \"work_mem\";", false},
      {"may fail", {}, {{"temp_tablespaces", "x"}}, "SELECT pg_catalog.set_config('temp_tablespaces','x',false);", true},
      {"may fail to go", {{"log_statement", "all"}}, {}, "RESET \"log_statement\";", true},
      {"role comes last", {}, {{"role", "r"}, {"work_mem", "1"}},
       "SELECT pg_catalog.set_config('work_mem','1',false);SELECT pg_catalog.set_config('role','r',false);", true},
      {"role goes first", {{"a.b", "1"}, {"role", "r"}}, {}, "RESET ROLE;RESET \"a\".\"b\";", true},
      {"user before role", {{"role", "r"}}, {{"role", "r"}, {"session_authorization", "u"}},
       "RESET ROLE;SELECT pg_catalog.set_config('session_authorization','u',false);SELECT pg_catalog.set_config('role','r',false);", true},
      {"user goes", {{"session_authorization", "u"}}, {{"a.b", "1"}},
       "RESET SESSION AUTHORIZATION;SELECT pg_catalog.set_config('a.b','1',false);", true},
      {"role stays", {{"a.b", "1"}, {"role", "r"}}, {{"role", "r"}}, "RESET \"a\".\"b\";", false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    const auto made = adjust(make_settings(row.from), make_settings(row.to));
    const bool asks = std::string_view(row.sql).find("SELECT") != std::string_view::npos;  // and needs a snapshot of its own
    CHECK(made.sql == (asks ? std::string(proxy::own_isolation) : "") + row.sql);
    CHECK(made.wait == row.wait);
  }
}

TEST_CASE("settings: the encoding comes first, and by itself") {
  auto made = adjust(make_settings({{"a.b", "c"}}), make_settings({{"client_encoding", "LATIN1"}, {"a.b", "d"}}));
  CHECK(made.encoding == "SET client_encoding = 'LATIN1'");
  CHECK(made.sql == std::string(proxy::own_isolation) + "SELECT pg_catalog.set_config('a.b','d',false);");
  made = adjust(make_settings({{"client_encoding", "LATIN1"}}), {});
  CHECK(made.encoding == "RESET \"client_encoding\";");
  CHECK(made.sql == "");
}

TEST_CASE("name_values: one that nobody holds any more is made anew") {
  const proxy::text_pairs told{{"TimeZone", "UTC"}, {"DateStyle", "ISO"}};
  for (int i = 0; i < 2; ++i) {
    const auto a = proxy::name_values::make(told), b = proxy::name_values::make(told);
    CHECK(a.get() == b.get());
    CHECK(a->values() == told);  // in this order
  }
}

TEST_CASE("settings: a time-out reads as PostgreSQL writes it") {
  using namespace std::chrono_literals;
  const std::pair<const char*, std::chrono::milliseconds> rows[] = {{"0", 0ms}, {"200", 200ms}, {"200ms", 200ms}, {" 1.5 min ", 90s}, {"2s", 2s}, {"1h", 1h},
                                                                    {"1d", 24h}, {"600us", 1ms}, {"-1", 0ms}, {"", 0ms}, {"5 fortnights", 0ms}, {"99999999999", 0ms}};
  for (const auto& [text, expected] : rows) {
    CAPTURE(text);
    CHECK(proxy::duration_of(text) == expected);
  }
}

TEST_CASE("settings: what a session has set of its time-outs comes before what it started with") {
  using namespace std::chrono_literals;
  const proxy::client_timeouts defaults{5s, 6s, 0ms};
  CHECK(proxy::timeouts_of(nullptr, defaults) == defaults);
  const auto set = make_settings({{"idle_session_timeout", "0"}, {"transaction_timeout", "1s"}, {"work_mem", "3"}});
  CHECK(proxy::timeouts_of(set, defaults) == proxy::client_timeouts{0ms, 6s, 1s});
}
