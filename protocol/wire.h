// Big-endian scalars and C strings as the protocol writes them (manual 55.6): a bounded reader over a view, and appenders to a
// std::string buffer. Used by every codec in this folder and by migration's COPY and replication code.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace protocol {

// The big-endian integer at `from`, which has that many bytes.
template <typename Int>
Int load_int(const char* from) noexcept {
  static_assert(std::is_integral_v<Int>);
  std::make_unsigned_t<Int> value;
  std::memcpy(&value, from, sizeof value);
  if constexpr (std::endian::native == std::endian::little && sizeof value == 2) value = __builtin_bswap16(value);
  if constexpr (std::endian::native == std::endian::little && sizeof value == 4) value = __builtin_bswap32(value);
  if constexpr (std::endian::native == std::endian::little && sizeof value == 8) value = __builtin_bswap64(value);
  return static_cast<Int>(value);
}

// Reads forward through a view. After the first short read every further read fails too: check ok() once at the end.
class wire_reader {
 public:
  explicit wire_reader(std::string_view in) noexcept : in_(in) {}

  template <typename Int>
  Int read() noexcept {
    if (in_.size() < sizeof(Int)) return fail(), Int{};
    const auto value = load_int<Int>(in_.data());
    in_.remove_prefix(sizeof(Int));
    return value;
  }
  // A string up to its terminating zero, which is consumed and not returned.
  std::string_view read_cstring() noexcept {
    const auto end = in_.starts_with('\0') ? 0 : in_.find('\0');  // names are empty more often than not
    if (end == std::string_view::npos) return fail(), std::string_view{};
    const auto value = in_.substr(0, end);
    in_.remove_prefix(end + 1);
    return value;
  }
  std::string_view read_bytes(std::size_t count) noexcept {
    if (in_.size() < count) return fail(), std::string_view{};
    const auto value = in_.substr(0, count);
    in_.remove_prefix(count);
    return value;
  }
  std::string_view rest() const noexcept { return in_; }
  bool ok() const noexcept { return ok_; }
  // All was read and nothing is left over.
  bool done() const noexcept { return ok_ && in_.empty(); }

 private:
  void fail() noexcept { ok_ = false; in_ = {}; }
  std::string_view in_;
  bool ok_ = true;
};

template <typename Int>
void append_int(std::string& out, Int value) {
  const auto bits = load_int<Int>(static_cast<const char*>(static_cast<const void*>(&value)));  // its own inverse
  out.append(static_cast<const char*>(static_cast<const void*>(&bits)), sizeof bits);
}

// Over what is there.
template <typename Int>
void store_int(char* at, Int value) {
  const auto bits = load_int<Int>(static_cast<const char*>(static_cast<const void*>(&value)));
  std::memcpy(at, &bits, sizeof bits);
}

inline void append_cstring(std::string& out, std::string_view value) { out.append(value).push_back('\0'); }

}  // namespace protocol
