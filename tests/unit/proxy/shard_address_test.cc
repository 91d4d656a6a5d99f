#include "proxy/config/shard_address.h"

#include <doctest/doctest.h>

#include "migration/pg/sslmode.h"

using proxy::parse_shard_dsn;
using proxy::sslmode;

TEST_CASE("shard_address: without sslmode what leaves the machine is verified in full") {
  struct row {
    const char* dsn;
    std::string_view mode;
  };
  const row rows[] = {
      {"dbname=shop", "prefer"},
      {"host=/var/run/postgresql", "prefer"},
      {"host=localhost", "prefer"},
      {"host=127.0.0.1", "prefer"},
      {"host=127.8.9.10", "prefer"},
      {"host=::1", "prefer"},
      {"host=localhost,127.0.0.1", "prefer"},
      {"host=shard.test hostaddr=127.0.0.1", "prefer"},
      {"host=10.0.0.1", "verify-full"},
      {"host=shard.test", "verify-full"},
      {"host=localhost.example.com", "verify-full"},
      {"host=localhost hostaddr=10.0.0.1", "verify-full"},
      {"host=localhost,shard.test", "verify-full"},
      {"host=1270.0.0.1", "verify-full"},
      {"postgresql://shard.test/shop", "verify-full"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.dsn);
    CHECK(migration::default_sslmode(std::string(row.dsn)) == row.mode);
    CHECK(parse_shard_dsn(row.dsn).ssl == (row.mode == "prefer" ? sslmode::prefer : sslmode::verify_full));
  }
}

TEST_CASE("shard_address: libpq's words for TLS") {
  const auto named = parse_shard_dsn("host=a sslmode=require sslrootcert=/ca sslcert=/crt sslkey=/key");
  CHECK(named.error.empty());
  CHECK(named.ssl == sslmode::verify_ca);  // a root certificate that is named is used
  CHECK(named.files.ca == "/ca");
  CHECK(named.files.certificate == "/crt");
  CHECK(named.files.key == "/key");
  const auto plain = parse_shard_dsn("host=a sslmode=require");
  CHECK(plain.ssl == sslmode::require);
  CHECK(plain.files.ca.empty());
  CHECK(parse_shard_dsn("host=127.0.0.1 sslrootcert=/ca").files.ca.empty());  // prefer: nothing is verified
  CHECK(parse_shard_dsn("host=a").files.ca.ends_with("/.postgresql/root.crt"));
  CHECK(parse_shard_dsn("host=a sslmode=maybe").error == "sslmode \"maybe\" is none of disable, allow, prefer, require, verify-ca, verify-full");
  CHECK(parse_shard_dsn("host=a sslmode=require sslcert=/crt").error == "sslcert and sslkey go together");
  CHECK(parse_shard_dsn("host=a channel_binding=require").must_bind);
  CHECK_FALSE(parse_shard_dsn("host=a channel_binding=disable").may_bind);
}

TEST_CASE("shard_address: hosts and ports as libpq takes them") {
  struct row {
    const char* dsn;
    std::size_t hosts;
    const char* error;
  };
  const row rows[] = {
      {"host=127.0.0.1,127.0.0.2 port=1,2", 2, ""},
      {"host=127.0.0.1,127.0.0.2 port=1", 2, ""},
      {"host=a,b hostaddr=127.0.0.1,127.0.0.2", 2, ""},
      {"hostaddr=127.0.0.1,127.0.0.2 port=,2", 2, ""},
      {"host=127.0.0.1,127.0.0.2 port=1,2,3", 2, "could not match 3 port numbers to 2 hosts"},
      {"host=a,b hostaddr=127.0.0.1", 2, "could not match 2 host names to 1 hostaddr values"},
      {"host=127.0.0.1 port=70000", 1, "invalid port number: \"70000\""},
      {"host=127.0.0.1 port=x", 1, "invalid port number: \"x\""},
      {"host=127.0.0.1 target_session_attrs=master", 1,
       "target_session_attrs \"master\" is none of any, read-write, read-only, primary, standby, prefer-standby"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.dsn);
    const auto found = parse_shard_dsn(row.dsn);
    CHECK(found.addresses.size() == row.hosts);
    CHECK(found.error == row.error);
  }
  CHECK(parse_shard_dsn("hostaddr=127.0.0.1,127.0.0.2 port=,2").addresses[0].port == "5432");
}

TEST_CASE("shard_address: which server fits what was asked for") {
  using proxy::session_attrs;
  struct row {
    const char* word;
    session_attrs attrs;
    bool primary, read_only_primary, standby;
  };
  const row rows[] = {
      {"any", session_attrs::any, true, true, true},
      {"read-write", session_attrs::read_write, true, false, false},
      {"read-only", session_attrs::read_only, false, true, true},
      {"primary", session_attrs::primary, true, true, false},
      {"standby", session_attrs::standby, false, false, true},
      {"prefer-standby", session_attrs::prefer_standby, true, true, true},
  };
  for (const auto& row : rows) {
    CAPTURE(row.word);
    CHECK(parse_shard_dsn(std::string("host=127.0.0.1 target_session_attrs=") + row.word).attrs == row.attrs);
    CHECK(fits(row.attrs, false, false) == row.primary);
    CHECK(fits(row.attrs, false, true) == row.read_only_primary);
    CHECK(fits(row.attrs, true, false) == row.standby);
  }
}
