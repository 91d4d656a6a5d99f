#include "proxy/state/equal_settings.h"

#include <doctest/doctest.h>

#include "protocol/backend.h"

using proxy::server_settings;
using proxy::setting_seen;
using strings = std::vector<std::string>;

namespace {

std::string rows(std::initializer_list<std::vector<std::optional<std::string>>> all) {
  std::string out;
  for (const auto& one : all) protocol::append_data_row(out, one);
  return out;
}

server_settings having(std::initializer_list<setting_seen> all) { return {all, {}}; }

}  // namespace

TEST_CASE("equal_settings: the question names what it must, as literals") {
  const strings names{"app.it's"};
  const auto sql = proxy::settings_question(names);
  CHECK(sql.find("'app.it''s'") != std::string::npos);
  CHECK(sql.find("'bytea_output'") != std::string::npos);
}

TEST_CASE("equal_settings: the answer is read, and nothing else") {
  const auto read = proxy::read_server_settings(rows({{"s", "lc_messages", "C", "superuser"}, {"s", "TimeZone", "UTC", "user"}, {"n", "App.tenant", {}, ""},
                                                      {"s", "server_encoding", "UTF8", "internal"}, {"d", "1 2", "{b}", ""}, {"d", "0 2", "{a}", ""}}));
  REQUIRE(read);
  CHECK(read->find("TimeZone")->value == "UTC");
  CHECK(read->find("app.tenant")->value.empty());
  CHECK(read->find("lc_messages")->by == setting_seen::set_by::superuser);
  CHECK(read->find("server_encoding")->by == setting_seen::set_by::nobody);
  CHECK(read->stored == strings{"0 2 {a}", "1 2 {b}"});  // whatever their order on disk
  CHECK(proxy::names_to_ask(*read) == strings{"app.tenant"});
  CHECK(!proxy::read_server_settings(""));
  CHECK(!proxy::read_server_settings(rows({{"x", "TimeZone", "UTC", "user"}})));
  CHECK(!proxy::read_server_settings(rows({{"s", "TimeZone", "UTC"}})));
}

TEST_CASE("equal_settings: what differs is given to the next login, refused or told") {
  using by = setting_seen::set_by;
  struct {
    const char* name;
    setting_seen standard, here;
    bool superuser;
    proxy::text_pairs give;
    strings refused, told;
  } const table[] = {
      {"equal", {"TimeZone", "UTC"}, {"TimeZone", "UTC"}, false, {}, {}, {}},
      {"anybody may set it", {"TimeZone", "UTC"}, {"TimeZone", "Asia/Tokyo"}, false, {{"TimeZone", "UTC"}}, {}, {}},
      {"one of an application", {"app.tenant", "7"}, {"app.tenant", ""}, false, {{"app.tenant", "7"}}, {}, {}},
      {"only superusers may", {"session_replication_role", "replica", by::superuser}, {"session_replication_role", "origin", by::superuser}, false, {},
       {"session_replication_role is 'origin', 'replica' on the default shard"}, {}},
      {"and this is one", {"lc_messages", "C", by::superuser}, {"lc_messages", "de_DE", by::superuser}, true, {{"lc_messages", "C"}}, {}, {}},
      {"words only", {"lc_messages", "C", by::superuser}, {"lc_messages", "de_DE", by::superuser}, false, {}, {}, {"lc_messages is 'de_DE', 'C' on the default shard"}},
      {"the encoding", {"server_encoding", "UTF8", by::nobody}, {"server_encoding", "LATIN1", by::nobody}, true, {},
       {"server_encoding is 'LATIN1', 'UTF8' on the default shard"}, {}},
      {"a frozen shard stays frozen", {"default_transaction_read_only", "off"}, {"default_transaction_read_only", "on"}, false, {}, {},
       {"default_transaction_read_only is 'on', 'off' on the default shard"}},
      {"a frozen default shard freezes", {"default_transaction_read_only", "on"}, {"default_transaction_read_only", "off"}, false,
       {{"default_transaction_read_only", "on"}}, {}, {}},
  };
  for (const auto& row : table) {
    CAPTURE(row.name);
    const auto found = proxy::compare_settings(having({row.standard}), having({row.here}), row.superuser);
    CHECK(found.give == row.give);
    CHECK(found.refused == row.refused);
    CHECK(found.told == row.told);
  }
}

TEST_CASE("equal_settings: what only one of the two has") {
  const auto older = proxy::compare_settings(having({{"transaction_timeout", "5"}}), having({{"TimeZone", "UTC"}}), false);
  CHECK(older.give.empty());
  CHECK(older.told == strings{"transaction_timeout does not exist there"});
  const auto off = proxy::compare_settings(having({{"transaction_timeout", "0"}, {"createrole_self_grant", ""}}), having({{"TimeZone", "UTC"}}), false);
  CHECK((off.told.empty() && off.give.empty() && off.refused.empty()));
  const auto own = proxy::compare_settings(having({}), having({{"app.tenant", "7"}, {"app.empty", ""}, {"role", "x"}, {"TimeZone", "UTC"}}), false);
  CHECK(own.give == proxy::text_pairs{{"app.tenant", ""}, {"role", "none"}});
}

TEST_CASE("equal_settings: a connection whose settings are still those of a login") {
  const auto plain = having({{"TimeZone", "UTC"}});
  CHECK(proxy::started_alike(plain, having({{"TimeZone", "UTC"}, {"app.tenant", "7"}})));
  CHECK(!proxy::started_alike(plain, having({{"TimeZone", "Asia/Tokyo"}})));
  CHECK(!proxy::started_alike(plain, having({})));
  auto altered = plain;
  altered.stored = {"1 0 {TimeZone=Asia/Tokyo}"};
  CHECK(!proxy::started_alike(plain, altered));
}
