#include "migration/mover/table_plan.h"

#include <stdexcept>

#include <fmt/format.h>

#include "migration/shard/guard.h"

namespace migration {
namespace {

void join(std::string& out, std::string_view separator, std::string_view item) {
  if (!out.empty()) out += separator;
  out += item;
}

std::string from_hex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return out;
}

}  // namespace

table_plan::table_plan(moving_table table, routing::key_type type, const std::vector<routing::placement_range>& ranges,
                       bool database_default_is_byte_ordered)
    : always_identity(table.columns.size(), false),
      table_(std::move(table)),
      name_(pg::quote_ident(table_.schema, table_.name)),
      filter_(placement_filter(type, ranges, pg::quote_ident(table_.columns.at(table_.shard_key).name))),
      slicing_(slicing_columns(table_, database_default_is_byte_ordered)),
      in_key_(table_.columns.size(), false) {
  for (const auto& column : table_.columns) join(columns_, ", ", pg::quote_ident(column.name));
  for (const auto index : table_.primary_key) in_key_.at(index) = true;
}

std::string table_plan::slicing_list() const {
  std::string out;
  for (const auto index : slicing_) join(out, ", ", pg::quote_ident(table_.columns[index].name));
  return out;
}

std::string table_plan::literals(const key_bound& bound) const {
  std::string out;
  for (std::size_t i = 0; i < slicing_.size(); ++i)
    join(out, ", ", fmt::format("{}::{}", pg::quote_literal(bound.text.at(i)), table_.columns[slicing_[i]].type_name));
  return out;
}

std::string table_plan::slice_sql(const key_bound* lower, const key_bound* upper) const {
  std::string out;
  if (lower) join(out, " AND ", fmt::format("({}) > ({})", slicing_list(), literals(*lower)));
  if (upper) join(out, " AND ", fmt::format("({}) <= ({})", slicing_list(), literals(*upper)));
  return out;
}

std::string table_plan::bound_sql(const key_bound* lower, const key_bound* limit, std::uint64_t rows) const {
  std::string values;
  for (const auto index : slicing_) {
    const auto name = pg::quote_ident(table_.columns[index].name);
    join(values, ", ", fmt::format("{0}::pg_catalog.text, pg_catalog.encode(pg_catalog.{1}({0}), 'hex')", name,
                                   send_function(table_.columns[index].type_oid)));
  }
  std::string order;  // qualified: a plain name would mean the text in the SELECT list
  for (const auto index : slicing_) join(order, ", ", "sliced." + pg::quote_ident(table_.columns[index].name));
  const auto where = slice_sql(lower, limit);
  return fmt::format("SELECT {} FROM {} AS sliced{}{} ORDER BY {} OFFSET {} LIMIT 1", values, name_, where.empty() ? "" : " WHERE ", where,
                     order, rows == 0 ? 0 : rows - 1);
}

std::string table_plan::copy_out_sql(const key_bound* lower, const key_bound* upper) const {
  auto where = slice_sql(lower, upper);
  join(where, " AND ", "(" + filter_ + ")");
  return fmt::format("COPY (SELECT {} FROM {} WHERE {}) TO STDOUT (FORMAT binary)", columns_, name_, where);
}

key_bound table_plan::read_bound(const pg::result& result, int row, int first) const {
  key_bound out;
  for (std::size_t i = 0; i < slicing_.size(); ++i) {
    const int column = first + static_cast<int>(2 * i);
    out.text.push_back(result.str(row, column));
    if (!append_ordered(out.key, table_.columns[slicing_[i]].type_oid, from_hex(result.get(row, column + 1))))
      throw std::runtime_error(fmt::format("{}: the type of primary key column {} changed under the migration", name_,
                                           table_.columns[slicing_[i]].name));
  }
  return out;
}

std::string table_plan::copy_in_sql() const { return fmt::format("COPY {} ({}) FROM STDIN (FORMAT binary)", name_, columns_); }

std::string table_plan::insert_sql() const {
  std::string values;
  for (std::size_t i = 1; i <= table_.columns.size(); ++i) join(values, ", ", fmt::format("${}", i));
  return fmt::format("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})", name_, columns_, values);
}

std::string table_plan::key_condition(std::size_t first_parameter) const {
  std::string out;
  for (const auto index : table_.primary_key)
    join(out, " AND ", fmt::format("{} = ${}", pg::quote_ident(table_.columns[index].name), first_parameter++));
  return out;
}

std::string table_plan::delete_sql() const { return fmt::format("DELETE FROM {} WHERE {}", name_, key_condition(1)); }

std::string table_plan::update_sql(const std::vector<std::size_t>& set, const std::vector<std::size_t>& unchanged) const {
  std::size_t parameter = 1;
  std::string assignments;
  for (const auto index : set) join(assignments, ", ", fmt::format("{} = ${}", pg::quote_ident(table_.columns[index].name), parameter++));
  auto where = key_condition(parameter);
  parameter += table_.primary_key.size();
  for (const auto index : unchanged) join(where, " AND ", fmt::format("{} = ${}", pg::quote_ident(table_.columns[index].name), parameter++));
  return fmt::format("UPDATE {} SET {} WHERE {}", name_, assignments, where);
}

}  // namespace migration
