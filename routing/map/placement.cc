#include "routing/map/placement.h"

#include <fmt/format.h>

#include <bit>

namespace routing {
namespace {

// Bob Jenkins' lookup3 as PostgreSQL's hashfn.c uses it on little-endian machines. Bytes are put together one by one, so the values
// are the same on any machine this is compiled for.
struct lookup3 {
  std::uint32_t a, b, c;

  explicit lookup3(std::uint32_t length, std::uint64_t seed) noexcept {
    a = b = c = 0x9e3779b9U + length + 3923095U;
    if (seed != 0) {
      a += static_cast<std::uint32_t>(seed >> 32);
      b += static_cast<std::uint32_t>(seed);
      mix();
    }
  }

  void mix() noexcept {
    a -= c; a ^= std::rotl(c, 4); c += b;
    b -= a; b ^= std::rotl(a, 6); a += c;
    c -= b; c ^= std::rotl(b, 8); b += a;
    a -= c; a ^= std::rotl(c, 16); c += b;
    b -= a; b ^= std::rotl(a, 19); a += c;
    c -= b; c ^= std::rotl(b, 4); b += a;
  }

  placement finish() noexcept {
    c ^= b; c -= std::rotl(b, 14);
    a ^= c; a -= std::rotl(c, 11);
    b ^= a; b -= std::rotl(a, 25);
    c ^= b; c -= std::rotl(b, 16);
    a ^= c; a -= std::rotl(c, 4);
    b ^= a; b -= std::rotl(a, 14);
    c ^= b; c -= std::rotl(b, 24);
    return placement(static_cast<std::int64_t>((std::uint64_t{b} << 32) | c));
  }
};

// Up to four bytes from `from` on, the first one lowest; what is past the end counts as zero.
std::uint32_t word_at(std::string_view bytes, std::size_t from) noexcept {
  std::uint32_t word = 0;
  for (std::size_t i = 0; i < 4 && from + i < bytes.size(); ++i) {
    word |= std::uint32_t{static_cast<unsigned char>(bytes[from + i])} << (8 * i);
  }
  return word;
}

placement hash_bytes(std::string_view bytes) noexcept {
  lookup3 state(static_cast<std::uint32_t>(bytes.size()), placement_seed);
  while (bytes.size() >= 12) {
    state.a += word_at(bytes, 0);
    state.b += word_at(bytes, 4);
    state.c += word_at(bytes, 8);
    state.mix();
    bytes.remove_prefix(12);
  }
  state.a += word_at(bytes, 0);
  state.b += word_at(bytes, 4);
  state.c += word_at(bytes, 8) << 8;  // the lowest byte of c belongs to the length
  return state.finish();
}

}  // namespace

placement placement_of_int(std::int64_t key) noexcept {
  const auto bits = static_cast<std::uint64_t>(key);
  const auto high = static_cast<std::uint32_t>(bits >> 32);
  lookup3 state(4, placement_seed);
  state.a += static_cast<std::uint32_t>(bits) ^ (key >= 0 ? high : ~high);  // so that int2, int4 and int8 agree
  return state.finish();
}

placement placement_of_text(std::string_view key) noexcept { return hash_bytes(key); }

placement placement_of_bpchar(std::string_view key) noexcept {
  while (key.ends_with(' ')) key.remove_suffix(1);
  return hash_bytes(key);
}

placement placement_of_uuid(const std::array<unsigned char, 16>& key) noexcept {
  return hash_bytes({reinterpret_cast<const char*>(key.data()), key.size()});
}

std::string placement_sql(key_type type, std::string_view quoted_column) {
  std::string_view function, cast;
  switch (type) {
    case key_type::int8: function = "hashint8extended"; cast = "int8"; break;
    case key_type::text: function = "hashtextextended"; cast = "text"; break;
    case key_type::bpchar: function = "hashbpcharextended"; cast = "bpchar"; break;
    case key_type::uuid: function = "uuid_hash_extended"; cast = "uuid"; break;
  }
  return fmt::format("pg_catalog.{}({}::pg_catalog.{}, {})", function, quoted_column, cast, placement_seed);
}

}  // namespace routing
