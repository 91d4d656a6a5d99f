// Big-endian scalars and C strings as the protocol writes them (manual 55.6): a bounded reader over a view, and appenders to a
// std::string buffer. Used by every codec in this folder and by migration's COPY and replication code.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace protocol {

// Reads forward through a view. After the first short read every further read fails too: check ok() once at the end.
class wire_reader {
 public:
  explicit wire_reader(std::string_view in) noexcept : in_(in) {}

  template <typename Int>
  Int read() noexcept {
    static_assert(std::is_integral_v<Int>);
    using U = std::make_unsigned_t<Int>;
    if (in_.size() < sizeof(Int)) return fail(), Int{};
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(Int); ++i) value = (value << 8) | static_cast<unsigned char>(in_[i]);
    in_.remove_prefix(sizeof(Int));
    return static_cast<Int>(static_cast<U>(value));
  }
  // A string up to its terminating zero, which is consumed and not returned.
  std::string_view read_cstring() noexcept {
    const auto end = in_.find('\0');
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
  using U = std::make_unsigned_t<Int>;
  const auto bits = static_cast<std::uint64_t>(static_cast<U>(value));
  for (int shift = static_cast<int>(sizeof(Int)) * 8 - 8; shift >= 0; shift -= 8) out.push_back(static_cast<char>((bits >> shift) & 0xff));
}

inline void append_cstring(std::string& out, std::string_view value) { out.append(value).push_back('\0'); }

}  // namespace protocol
