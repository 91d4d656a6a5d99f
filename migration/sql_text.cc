#include "migration/sql_text.h"

namespace migration {

std::string relation_array(const std::vector<moving_table>& tables) {
  std::string out = "ARRAY[";
  for (const auto& table : tables) {
    if (out.back() != '[') out += ", ";
    out += pg::quote_literal(qualified(table)) + "::pg_catalog.regclass";
  }
  return out + "]::pg_catalog.regclass[]";
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
