// Placement values, equal bit for bit to PostgreSQL's extended hash functions with seed 8816678312871386365 (hashfn.c after
// Bob Jenkins' lookup3, 2006): hashint8extended, hashtextextended, hashbpcharextended, uuid_hash_extended. Pure, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "routing/map/shard_map.h"

namespace routing {

inline constexpr std::uint64_t placement_seed = 8816678312871386365ULL;

placement placement_of_int(std::int64_t key) noexcept;
placement placement_of_text(std::string_view key) noexcept;      // bytes in the server's encoding
placement placement_of_bpchar(std::string_view key) noexcept;    // trailing blanks do not count
placement placement_of_uuid(const std::array<unsigned char, 16>& key) noexcept;

// A key as a client sent it, read with the input function of the column's type (text) or its receive function (binary).
// nullopt: PostgreSQL would not accept it for this type, or its type makes the comparison one that hashing cannot follow.
std::optional<placement> placement_of_text_value(key_type, std::string_view text) noexcept;
std::optional<placement> placement_of_binary_value(key_type, std::string_view bytes) noexcept;

// The integer behind a key of type int8, for a value that stands under unary minus.
std::optional<std::int64_t> int_of_text_value(std::string_view text) noexcept;
std::optional<std::int64_t> int_of_binary_value(std::string_view bytes) noexcept;

// The same value as SQL over a quoted column or expression, for guards, chunk filters and DBAs:
//   pg_catalog.hashint8extended(<column>::pg_catalog.int8, 8816678312871386365)
std::string placement_sql(key_type, std::string_view quoted_column);

}  // namespace routing
