// Primary keys as strings that compare, byte by byte, as the source's index orders them: so that the mover knows which chunk a
// change belongs to without asking. Types whose order C++ cannot follow end the prefix that can be sliced. Pure, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "migration/plan/moving_table.h"

namespace migration {

// How the default collation of the source's database orders: bytes order text when it is C, POSIX, or libc's C.UTF-8 in UTF8.
bool byte_ordered_collation(std::string_view collation, bool database_default_is_byte_ordered) noexcept;
bool orderable(std::uint32_t type_oid, std::string_view collation, bool database_default_is_byte_ordered) noexcept;
// PostgreSQL's send function of an orderable type, in pg_catalog: bounds are read through it.
std::string_view send_function(std::uint32_t type_oid);

// The longest prefix of the table's primary key that is orderable; empty: the table is one chunk.
std::vector<std::size_t> slicing_columns(const moving_table&, bool database_default_is_byte_ordered);

// Appends one value, given as its send function writes it. False when the bytes are none of that type.
bool append_ordered(std::string& key, std::uint32_t type_oid, std::string_view binary);

// (lower, upper] over ordered keys; nullopt is unbounded.
struct key_slice {
  std::optional<std::string> lower, upper;
  bool contains(std::string_view key) const noexcept { return (!lower || key > *lower) && (!upper || key <= *upper); }
};

}  // namespace migration
