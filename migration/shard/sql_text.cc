#include "migration/shard/sql_text.h"

namespace migration {

std::string relation_array(const std::vector<moving_table>& tables) {
  std::string out = "ARRAY[";
  for (const auto& table : tables) {
    if (out.back() != '[') out += ", ";
    out += pg::quote_literal(qualified(table)) + "::pg_catalog.regclass";
  }
  return out + "]::pg_catalog.regclass[]";
}

std::string replaced(std::string text, std::string_view mark, std::string_view by) {
  for (auto at = text.find(mark); at != std::string::npos; at = text.find(mark, at + by.size())) text.replace(at, mark.size(), by);
  return text;
}

std::string set_replication_role(const pg::connection& connection, std::string_view role) {
  const auto value = pg::quote_literal(role);
  return connection.server_version() >= 150'000 ? "SET session_replication_role = " + value : "SELECT pgrotor_rights.set_replication_role(" + value + ")";
}

std::string primary_key_list(const moving_table& table) {
  std::string out;
  for (const auto index : table.primary_key) {
    if (!out.empty()) out += ", ";
    out += pg::quote_ident(table.columns[index].name);
  }
  return out;
}

}  // namespace migration
