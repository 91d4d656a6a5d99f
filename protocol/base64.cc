// Base64 with padding (RFC 4648 section 4), declared in protocol/scram.h.
#include <array>

#include "protocol/scram.h"

namespace protocol {

namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::uint8_t invalid = 64;
constexpr auto digits = [] {
  std::array<std::uint8_t, 256> table{};
  table.fill(invalid);
  for (std::size_t i = 0; i < alphabet.size(); ++i) table[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
  return table;
}();

// Number of '=' at the end: 0, 1 or 2.
std::size_t padding_of(std::string_view text) {
  if (text.ends_with("==")) return 2;
  return text.ends_with("=") ? 1 : 0;
}

}  // namespace

std::string base64_encode(std::string_view raw) {
  std::string out((raw.size() + 2) / 3 * 4, '=');
  std::uint32_t bits = 0;
  int held = 0;
  auto to = out.begin();
  for (const char byte : raw) {
    bits = (bits << 8) | static_cast<unsigned char>(byte);
    for (held += 8; held >= 6; held -= 6) *to++ = alphabet[(bits >> (held - 6)) & 63];
  }
  if (held > 0) *to = alphabet[(bits << (6 - held)) & 63];
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  const auto padding = padding_of(text);
  text.remove_suffix(padding);
  std::string out(text.size() * 3 / 4, '\0');
  auto to = out.begin();
  std::uint32_t bits = 0;
  int held = 0;
  for (const char letter : text) {
    const auto digit = digits[static_cast<unsigned char>(letter)];
    if (digit == invalid) return std::nullopt;
    bits = (bits << 6) | digit;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    *to++ = static_cast<char>((bits >> held) & 0xff);
    bits &= (1u << held) - 1;
  }
  // One text for one value: bits that the padding cuts off are zero.
  if (bits != 0) return std::nullopt;
  return out;
}

}  // namespace protocol
