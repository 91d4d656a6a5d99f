#include "migration/mover/row_change.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "protocol/wire.h"
#include "routing/map/placement.h"

namespace migration {

namespace pgoutput = protocol::pgoutput;

namespace {

[[noreturn]] void changed(const table_plan& table, const std::string& what) {
  throw std::runtime_error(fmt::format("{} changed under migration: {}; cancel the migration and start it again", table.name(), what));
}

std::vector<std::size_t> generated_places(const table_plan& table, const pgoutput::relation& relation) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < relation.columns.size(); ++i) {
    if (std::ranges::find(table.table().generated, relation.columns[i].name) != table.table().generated.end()) out.push_back(i);
  }
  return out;
}

template <typename T>
std::vector<T> without(const std::vector<T>& all, const std::vector<std::size_t>& places) {
  std::vector<T> out;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (std::ranges::find(places, i) == places.end()) out.push_back(all[i]);
  }
  return out;
}

void check_columns(const table_plan& table, const std::vector<pgoutput::relation_column>& columns) {
  const auto& expected = table.table().columns;
  if (columns.size() != expected.size()) changed(table, fmt::format("it has {} columns and had {}", columns.size(), expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto& column = columns[i];
    if (column.name != expected[i].name) changed(table, fmt::format("column {} is now {}", expected[i].name, column.name));
    if (column.type != expected[i].type_oid) changed(table, fmt::format("the type of column {} is another", expected[i].name));
  }
}

bool inside(const pgoutput::tuple& row, const table_plan& table, const mover_context& context) {
  const auto& value = row[table.table().shard_key];
  const auto found = value.kind == pgoutput::value_kind::binary
                         ? routing::placement_of_binary_value(context.settings.key_type, value.data)
                         : std::nullopt;
  if (!found) throw std::runtime_error(fmt::format("{}: the stream brought a shard key that cannot be read", describe_row(table, row)));
  return std::any_of(context.settings.ranges.begin(), context.settings.ranges.end(), [&](const auto& range) { return range.contains(*found); });
}

std::string ordered_key(const pgoutput::tuple& row, const table_plan& table) {
  std::string key;
  for (const auto index : table.slicing())
    if (row[index].kind != pgoutput::value_kind::binary || !append_ordered(key, table.table().columns[index].type_oid, row[index].data))
      throw std::runtime_error(fmt::format("{}: the stream brought a primary key that cannot be read", describe_row(table, row)));
  return key;
}

bool same_primary_key(const row_change& change, const table_plan& table) {
  return std::all_of(table.table().primary_key.begin(), table.table().primary_key.end(), [&](std::size_t index) {
    return change.old_row[index].kind == change.new_row[index].kind && change.old_row[index].data == change.new_row[index].data;
  });
}

// A value that the server did not send, because it is stored apart and did not change, is in the old row when that was sent with it.
void fill_from_old(row_change& change, char old_kind, const std::vector<bool>& identity, bool keys_only, const table_plan& table) {
  for (std::size_t i = 0; i < change.new_row.size(); ++i) {
    const bool known = (old_kind == 'O' || identity[i]) && (!keys_only || table.in_primary_key(i));
    if (change.new_row[i].kind == pgoutput::value_kind::unchanged_toast && known) change.new_row[i] = change.old_row[i];
  }
}

void check_width(const pgoutput::tuple& row, const table_plan& table) {
  if (row.size() != table.table().columns.size()) changed(table, "a row has another number of columns");
}

row_change read_update(const pgoutput::update& message, const relation_book& relations, const mover_context& context) {
  row_change out;
  out.table = relations.table(message.relation);
  const auto& table = context.tables[out.table];
  out.has_old = out.has_new = true;
  out.new_row = relations.written(out.table, message.new_row);
  check_width(out.new_row, table);
  if (message.old_kind == 0) {
    out.old_row = out.new_row;
    return out;
  }
  out.old_row = relations.written(out.table, message.old_row);
  check_width(out.old_row, table);
  const auto& identity = relations.identity(out.table);
  fill_from_old(out, message.old_kind, identity, true, table);
  out.moved = !same_primary_key(out, table);
  if (out.moved) fill_from_old(out, message.old_kind, identity, false, table);
  return out;
}

std::string describe_value(std::uint32_t type, const pgoutput::value& value) {
  protocol::wire_reader reader(value.data);
  if (value.kind == pgoutput::value_kind::null) return "NULL";
  if (value.kind == pgoutput::value_kind::text) return std::string(value.data);
  if (type == 20 && value.data.size() == 8) return std::to_string(reader.read<std::int64_t>());
  if (type == 23 && value.data.size() == 4) return std::to_string(reader.read<std::int32_t>());
  if (type == 21 && value.data.size() == 2) return std::to_string(reader.read<std::int16_t>());
  if (type == 25 || type == 1043 || type == 1042) return fmt::format("'{}'", value.data);
  std::string hex;
  for (const char c : value.data) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

}  // namespace

void relation_book::add(const pgoutput::relation& relation) {
  const auto known = by_id_.find(relation.id);
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    const auto& table = tables_[i].table();
    if (table.schema != relation.schema || table.name != relation.name) continue;
    left_out_[i] = generated_places(tables_[i], relation);
    const auto columns = without(relation.columns, left_out_[i]);
    check_columns(tables_[i], columns);
    by_id_[relation.id] = i;
    auto& identity = identity_[i];
    identity.clear();
    for (const auto& column : columns) identity.push_back(column.part_of_key);
    return;
  }
  auto name = pg::quote_ident(std::string(relation.schema), std::string(relation.name));
  if (known != by_id_.end()) changed(tables_[known->second], "its name is now " + name);
  others_[relation.id] = std::move(name);
}

std::size_t relation_book::table(std::uint32_t relation) const {
  const auto found = by_id_.find(relation);
  if (found != by_id_.end()) return found->second;
  const auto other = others_.find(relation);
  if (other == others_.end()) throw std::runtime_error("the stream names a relation that it has not described");
  throw std::runtime_error(other->second + " is in the publication but not in the migration");
}

const std::vector<bool>& relation_book::identity(std::size_t table) const { return identity_.at(table); }

pgoutput::tuple relation_book::written(std::size_t table, const pgoutput::tuple& row) const {
  const auto& places = left_out_.at(table);
  return places.empty() ? row : without(row, places);
}

std::optional<row_change> read_row_change(const pgoutput::change& change, const relation_book& relations, const mover_context& context) {
  row_change out;
  if (const auto* insert = std::get_if<pgoutput::insert>(&change)) {
    out.table = relations.table(insert->relation);
    out.has_new = true;
    out.new_row = relations.written(out.table, insert->new_row);
    check_width(out.new_row, context.tables[out.table]);
  } else if (const auto* update = std::get_if<pgoutput::update>(&change)) {
    out = read_update(*update, relations, context);
  } else if (const auto* gone = std::get_if<pgoutput::delete_>(&change)) {
    out.table = relations.table(gone->relation);
    out.has_old = true;
    out.old_row = relations.written(out.table, gone->old_row);
    check_width(out.old_row, context.tables[out.table]);
  } else {
    return std::nullopt;
  }
  const auto& table = context.tables[out.table];
  out.old_inside = out.has_old && inside(out.old_row, table, context);
  out.new_inside = out.has_new && inside(out.new_row, table, context);
  if (!out.old_inside && !out.new_inside) return std::nullopt;
  if (out.has_old) out.old_key = ordered_key(out.old_row, table);
  if (out.has_new) out.new_key = ordered_key(out.new_row, table);
  return out;
}

std::string describe_row(const table_plan& table, const pgoutput::tuple& row) {
  std::string keys;
  for (const auto index : table.table().primary_key) {
    if (!keys.empty()) keys += ", ";
    keys += describe_value(table.table().columns[index].type_oid, row.at(index));
  }
  return fmt::format("{} ({})", table.name(), keys);
}

}  // namespace migration
