// What the two SCRAM roles share: reading of attribute lists (RFC 5802 section 7) and arithmetic on keys. Included by
// scram.cc, scram_server.cc and scram_client.cc only.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>

#include "protocol/scram.h"

namespace protocol::scram_internal {

// PostgreSQL's PG_MAX_SASL_MESSAGE_LENGTH; no message of an honest exchange comes near it.
inline constexpr std::size_t max_message = 1024;
// The header of a client that binds the exchange to the connection.
inline constexpr std::string_view plus_header = "p=tls-server-end-point,,";
// A server that asks for more work than this wants to keep the worker busy.
inline constexpr std::uint32_t max_iterations = 1'000'000;

inline std::string_view view(const scram_key& key) { return {reinterpret_cast<const char*>(key.data()), key.size()}; }

inline std::optional<scram_key> to_key(std::string_view raw) {
  scram_key key;
  if (raw.size() != key.size()) return std::nullopt;
  std::copy(raw.begin(), raw.end(), key.begin());
  return key;
}

inline std::optional<scram_key> decode_key(std::string_view base64) {
  const auto raw = base64_decode(base64);
  return raw ? to_key(*raw) : std::nullopt;
}

inline scram_key exclusive_or(const scram_key& a, const scram_key& b) {
  scram_key out;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<unsigned char>(a[i] ^ b[i]);
  return out;
}

// Takes the same time wherever the first difference is.
inline bool equal(const scram_key& a, const scram_key& b) {
  volatile unsigned char difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

inline std::optional<std::uint32_t> parse_iterations(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0 || value > max_iterations) return std::nullopt;
  return value;
}

// Letters of a nonce: printable ASCII without the comma.
inline bool is_nonce(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~' && c != ','; });
}

struct attribute {
  char name = 0;
  std::string_view value;
};

// Walks "a=value,b=value". After the first malformed attribute next() gives nothing and ok() is false.
class attribute_reader {
 public:
  explicit attribute_reader(std::string_view text) : rest_(text), more_(!text.empty()) {}

  std::optional<attribute> next() {
    if (!more_) return std::nullopt;
    const auto comma = rest_.find(',');
    const auto item = rest_.substr(0, comma);
    more_ = comma != std::string_view::npos;
    rest_.remove_prefix(more_ ? comma + 1 : rest_.size());
    if (item.size() < 2 || item[1] != '=' || !is_letter(item[0]) || item.find('\0') != std::string_view::npos) return fail();
    return attribute{item[0], item.substr(2)};
  }
  // The value when the next attribute has this name.
  std::optional<std::string_view> take(char name) {
    const auto item = next();
    if (!item || item->name != name) return fail(), std::nullopt;
    return item->value;
  }
  // Optional extensions up to the end are to be ignored; a mandatory one ('m') is refused by those who take() by name.
  bool skip_rest() {
    while (next()) {}
    return ok_;
  }

 private:
  static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
  std::nullopt_t fail() {
    ok_ = more_ = false;
    return std::nullopt;
  }
  std::string_view rest_;
  bool more_;
  bool ok_ = true;
};

}  // namespace protocol::scram_internal
