#include "proxy/state/probe.h"

#include <doctest/doctest.h>

#include "protocol/backend.h"

namespace state = routing::state;
using proxy::findings;
using proxy::probe;
using proxy::make_settings;

namespace {

std::string rows(std::initializer_list<std::vector<std::optional<std::string>>> all) {
  std::string out;
  for (const auto& one : all) protocol::append_data_row(out, one);
  return out;
}

proxy::settings_ptr after(const proxy::text_pairs& before, const probe& asked, const findings& found, const proxy::known_defaults& defaults = {},
                          const std::vector<std::string>& own = {}) {
  return proxy::settings_after(make_settings(before), asked, found, defaults, own, "app");
}

}  // namespace

TEST_CASE("probe: asks what it is told to ask, names as literals") {
  CHECK(probe{}.empty());
  const auto sql = proxy::probe_sql({state::listening, false, {"it's"}, false});
  CHECK(sql.find("pg_listening_channels") != std::string::npos);
  CHECK(sql.find("current_setting('it''s', true)") != std::string::npos);
  CHECK(sql.find("pg_show_all_settings") == std::string::npos);
  CHECK(sql.find("pg_lock_status") == std::string::npos);
}

TEST_CASE("probe: its own settings are none of those that it finds") {
  const auto sql = proxy::probe_sql({proxy::visible_state, true, {"lock_timeout"}, true});
  const auto own = sql.find("SET LOCAL");
  CHECK(sql.starts_with(proxy::own_isolation));
  CHECK(own != std::string::npos);
  CHECK(own > sql.find("pg_show_all_settings"));
  CHECK(own > sql.find("current_setting"));
  CHECK(own < sql.find("pg_depend"));
  CHECK(own < sql.find("pg_trigger"));
  CHECK(proxy::probe_sql({state::listening, true, {}, false}).find("SET LOCAL") == std::string::npos);
}

TEST_CASE("probe: reads its answer, and nothing else") {
  const auto read = proxy::read_findings(rows({{"t", {}, {}}, {"n", {}, {}}, {"p", "Mine", {}}, {"x", {}, {}}, {"s", "TimeZone", "UTC"}, {"v", "a.b", {}}, {"v", "A.c", ""}}));
  REQUIRE(read);
  CHECK(read->state == (state::temp_objects | state::listening | state::sql_statements));
  CHECK(read->triggers);
  CHECK(read->statements == std::vector<std::string>{"Mine"});
  CHECK(read->session == proxy::text_pairs{{"timezone", "UTC"}});
  REQUIRE(read->named.size() == 2);
  CHECK(!read->named[0].second);
  CHECK(read->named[1] == std::pair<std::string, std::optional<std::string>>("a.c", ""));
  CHECK(!proxy::read_findings(rows({{"z", {}, {}}})));
  CHECK(!proxy::read_findings(rows({{"t", {}}})));
  CHECK(!proxy::read_findings(rows({{"t", {}, {}}}).substr(0, 9)));
  CHECK(proxy::read_findings("")->state == 0);
}

TEST_CASE("probe: all settings replace what was known, but for those that the list does not show") {
  probe asked;
  asked.all_settings = true;
  asked.names = {"role"};
  findings found;
  found.session = {{"timezone", "UTC"}, {"transaction_isolation", "serializable"}};
  found.named = {{"role", "none"}};
  const auto now = after({{"a.b", "1"}, {"role", "bob"}, {"work_mem", "9MB"}}, asked, found);
  CHECK(now->values() == proxy::text_pairs{{"a.b", "1"}, {"timezone", "UTC"}});
}

TEST_CASE("probe: settings asked by name") {
  const struct {
    const char* name;
    proxy::text_pairs before;
    std::optional<std::string> value;
    const char* setting;
    bool own;
    proxy::text_pairs now;
  } table[] = {
      {"made", {}, "9MB", "work_mem", false, {{"work_mem", "9MB"}}},
      {"changed", {{"work_mem", "8MB"}}, "9MB", "work_mem", false, {{"work_mem", "9MB"}}},
      {"back at its default", {{"work_mem", "8MB"}}, "4MB", "work_mem", false, {}},
      {"custom, made", {}, "x", "a.b", true, {{"a.b", "x"}}},
      {"custom, of nobody", {}, "", "a.b", false, {}},
      {"custom, emptied by its owner", {}, "", "a.b", true, {{"a.b", ""}}},
      {"custom, reset", {{"a.b", "x"}}, "", "a.b", false, {{"a.b", ""}}},
      {"custom, not there", {}, std::nullopt, "a.b", true, {}},
      {"no role", {{"role", "bob"}}, "none", "role", false, {}},
      {"its own user", {{"session_authorization", "bob"}}, "app", "session_authorization", false, {}},
  };
  proxy::known_defaults defaults;
  findings seen;
  seen.named = {{"work_mem", "4MB"}};
  defaults.learn({0, true, {"work_mem"}, false}, seen);
  for (const auto& row : table) {
    CAPTURE(row.name);
    findings found;
    found.named = {{row.setting, row.value}};
    const auto now = after(row.before, {0, false, {row.setting}, false}, found, defaults, row.own ? std::vector<std::string>{row.setting} : std::vector<std::string>{});
    CHECK((now ? now->values() : proxy::text_pairs{}) == row.now);
  }
}

TEST_CASE("probe: a default is learnt only where the session has not made the value") {
  proxy::known_defaults defaults;
  findings found;
  found.session = {{"work_mem", "9216"}};
  found.named = {{"work_mem", "9MB"}, {"timezone", "UTC"}, {"a.b", "x"}, {"role", "bob"}, {"session_authorization", "bob"}};
  defaults.learn({0, true, {}, false}, found);
  // The list never has these: a role that somebody runs as is not what others have by themselves.
  CHECK(defaults.find("role") == nullptr);
  CHECK(defaults.find("session_authorization") == nullptr);
  CHECK(defaults.find("work_mem") == nullptr);
  CHECK(*defaults.find("timezone") == "UTC");
  CHECK(defaults.find("a.b") == nullptr);
}
