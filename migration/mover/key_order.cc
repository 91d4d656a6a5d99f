#include "migration/mover/key_order.h"

#include <array>

namespace migration {
namespace {

// fixed: that many bytes, compared as they are; signed_fixed: two's complement; bytes: any length.
enum class form { fixed, signed_fixed, bytes };
struct ordered_type {
  std::uint32_t oid;
  form how;
  std::size_t size;
  bool collated;
  std::string_view send;
};
constexpr std::array ordered_types{
    ordered_type{16, form::fixed, 1, false, "boolsend"},
    ordered_type{17, form::bytes, 0, false, "byteasend"},
    ordered_type{20, form::signed_fixed, 8, false, "int8send"},
    ordered_type{21, form::signed_fixed, 2, false, "int2send"},
    ordered_type{23, form::signed_fixed, 4, false, "int4send"},
    ordered_type{25, form::bytes, 0, true, "textsend"},
    ordered_type{26, form::fixed, 4, false, "oidsend"},
    ordered_type{1043, form::bytes, 0, true, "varcharsend"},
    ordered_type{1082, form::signed_fixed, 4, false, "date_send"},
    ordered_type{1114, form::signed_fixed, 8, false, "timestamp_send"},
    ordered_type{1184, form::signed_fixed, 8, false, "timestamptz_send"},
    ordered_type{2950, form::fixed, 16, false, "uuid_send"},
};

const ordered_type* find_type(std::uint32_t oid) noexcept {
  for (const auto& type : ordered_types)
    if (type.oid == oid) return &type;
  return nullptr;
}

}  // namespace

bool byte_ordered_collation(std::string_view collation, bool database_default_is_byte_ordered) noexcept {
  return collation == "C" || collation == "POSIX" || (collation == "default" && database_default_is_byte_ordered);
}

bool orderable(std::uint32_t type_oid, std::string_view collation, bool database_default_is_byte_ordered) noexcept {
  const auto* type = find_type(type_oid);
  return type && (!type->collated || byte_ordered_collation(collation, database_default_is_byte_ordered));
}

std::string_view send_function(std::uint32_t type_oid) { return find_type(type_oid)->send; }

std::vector<std::size_t> slicing_columns(const moving_table& table, bool database_default_is_byte_ordered) {
  std::vector<std::size_t> out;
  for (const auto index : table.primary_key) {
    const auto& column = table.columns[index];
    if (!orderable(column.type_oid, column.collation, database_default_is_byte_ordered)) break;
    out.push_back(index);
  }
  return out;
}

bool append_ordered(std::string& key, std::uint32_t type_oid, std::string_view binary) {
  const auto* type = find_type(type_oid);
  if (!type || (type->how != form::bytes && binary.size() != type->size)) return false;
  switch (type->how) {
    case form::fixed: key.append(binary); return true;
    case form::signed_fixed:
      key.push_back(static_cast<char>(binary[0] ^ '\x80'));
      key.append(binary.substr(1));
      return true;
    case form::bytes:  // a zero byte is 00 FF and the end 00 00, so that a prefix sorts first whatever column follows
      for (const char c : binary) {
        key.push_back(c);
        if (c == '\0') key.push_back('\xff');
      }
      key.append(2, '\0');
      return true;
  }
  return false;
}

}  // namespace migration
