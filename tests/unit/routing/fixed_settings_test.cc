#include "routing/analysis/fixed_settings.h"

#include <doctest/doctest.h>

using namespace routing;

TEST_CASE("fixed_settings: pg_catalog may be named first, or left out") {
  struct row {
    std::string_view path;
    bool misleads;
  };
  constexpr row rows[] = {
      {"", false},
      {"\"$user\", public", false},
      {"pg_catalog", false},
      {"pg_catalog, mine", false},
      {"pg_temp, pg_catalog, mine", false},
      {"mine, pg_catalog", true},
      {"mine,PG_Catalog", true},
      {"mine,\"pg_catalog\"", true},
      {"mine,\"PG_CATALOG\"", false},
      {"\"mine, pg_catalog\"", false},
      {"\"a\"\"b\", pg_catalog", true},
  };
  for (const auto& row : rows) {
    CAPTURE(row.path);
    CHECK(misleading_value("Search_Path", row.path).has_value() == row.misleads);
  }
  const std::string one[] = {"mine, pg_catalog"}, two[] = {"mine", "pg_catalog"};
  CHECK_FALSE(misleading_value("search_path", one));  // of SET: one odd name
  CHECK(misleading_value("search_path", two));
}

TEST_CASE("fixed_settings: what decides how literals are read") {
  CHECK_FALSE(misleading_value("standard_conforming_strings", "off"));
  CHECK(decides_reading("STANDARD_CONFORMING_STRINGS"));
  CHECK(misleading_value("client_encoding", "sjis"));
  for (const auto* name : {"Unicode", "UTF8", "utf-8", "Utf_8", "UTF 8", "sql_ascii", "SQL-ASCII"}) CHECK_FALSE(misleading_value("client_encoding", name));
  for (const auto* name : {"", "utf16", "latin1", "EUC_JP", "WIN1252", "koi8-r"}) CHECK_FALSE(misleading_value("client_encoding", name));
  for (const auto* name : {"SJIS", "Shift_JIS", "shift_jis_2004", "big5", "GBK", "gb18030", "johab", "uhc", "windows-949"}) CHECK(misleading_value("client_encoding", name));
  CHECK_FALSE(misleading_value("work_mem", "off"));
  CHECK(decides_reading("Client_Encoding"));
  CHECK_FALSE(decides_reading("search_path"));
}

TEST_CASE("fixed_settings: options of the startup packet") {
  CHECK(misleading_options("-c search_path=mine,pg_catalog"));
  CHECK(misleading_options("-c geqo=off --search-path=mine,\\ pg_catalog"));
  CHECK(misleading_options("-csearch_path=mine,pg_catalog"));
  CHECK_FALSE(misleading_options("-c search_path=pg_catalog,mine -c geqo=off"));
  CHECK_FALSE(misleading_options("-c search_path=mine, pg_catalog"));  // a word of its own
  CHECK_FALSE(misleading_options("-c"));
}
