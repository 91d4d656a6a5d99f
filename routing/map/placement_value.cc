// Keys as clients send them, read by the rules of PostgreSQL's input functions (int8in, uuid_in) and receive functions.
#include <algorithm>
#include <charconv>
#include <limits>

#include "routing/map/blank.h"
#include "routing/map/placement.h"

namespace routing {
namespace {

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// 32 digits, a hyphen allowed after each group of four, braces around the whole allowed.
std::optional<std::array<unsigned char, 16>> read_uuid(std::string_view text) noexcept {
  const bool braced = text.starts_with('{');
  if (braced) {
    if (!text.ends_with('}')) return std::nullopt;
    text = text.substr(1, text.size() - 2);
  }
  std::array<unsigned char, 16> uuid{};
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    if (text.size() < 2) return std::nullopt;
    const int high = hex_digit(text[0]), low = hex_digit(text[1]);
    if (high < 0 || low < 0) return std::nullopt;
    uuid[i] = static_cast<unsigned char>(high * 16 + low);
    text.remove_prefix(2);
    if (text.starts_with('-') && i % 2 == 1 && i + 1 < uuid.size()) text.remove_prefix(1);
  }
  if (!text.empty()) return std::nullopt;
  return uuid;
}

// Nothing but digits, too few of them to overflow: nearly every key is written so.
std::optional<std::int64_t> short_digits(std::string_view text) noexcept {
  if (text.empty() || text.size() > std::numeric_limits<std::int64_t>::digits10) return std::nullopt;
  std::int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

std::int64_t big_endian(std::string_view bytes) noexcept {
  std::uint64_t value = (static_cast<unsigned char>(bytes[0]) & 0x80) != 0 ? ~std::uint64_t{0} : 0;
  for (const char c : bytes) value = (value << 8) | static_cast<unsigned char>(c);
  return static_cast<std::int64_t>(value);
}

}  // namespace

std::optional<std::int64_t> int_of_text_value(std::string_view text) noexcept {
  if (const auto value = short_digits(text)) return value;
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> int_of_binary_value(std::string_view bytes) noexcept {
  if (bytes.size() != 2 && bytes.size() != 4 && bytes.size() != 8) return std::nullopt;
  return big_endian(bytes);
}

std::optional<placement> placement_of_text_value(key_type type, std::string_view text) noexcept {
  switch (type) {
    case key_type::int8:
      if (const auto value = int_of_text_value(text)) return placement_of_int(*value);
      return std::nullopt;
    case key_type::text: return placement_of_text(text);
    case key_type::bpchar: return placement_of_bpchar(text);
    case key_type::uuid:
      if (const auto value = read_uuid(text)) return placement_of_uuid(*value);
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<placement> placement_of_binary_value(key_type type, std::string_view bytes) noexcept {
  switch (type) {
    case key_type::int8:
      if (const auto value = int_of_binary_value(bytes)) return placement_of_int(*value);
      return std::nullopt;
    case key_type::text: return placement_of_text(bytes);
    case key_type::bpchar: return placement_of_bpchar(bytes);
    case key_type::uuid: {
      std::array<unsigned char, 16> uuid{};
      if (bytes.size() != uuid.size()) return std::nullopt;
      std::copy(bytes.begin(), bytes.end(), uuid.begin());
      return placement_of_uuid(uuid);
    }
  }
  return std::nullopt;
}

}  // namespace routing
