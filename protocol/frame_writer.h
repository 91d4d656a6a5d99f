// Writes one frame at the end of a buffer: type byte and a length that is filled in when the body is complete. Used by the
// append functions of this folder, on any thread; an object lives for one frame and the buffer must outlive it.
// A frame or a count that the protocol cannot express is a fault of the caller, not of the peer: std::length_error, with the
// buffer as it was before the frame.
#pragma once

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>

#include "protocol/wire.h"

namespace protocol {

class frame_writer {
 public:
  frame_writer(std::string& out, char type) : out_(out), begin_(out.size()) {
    out_.push_back(type);
    start_body();
  }
  // The first packet of a connection has no type byte.
  explicit frame_writer(std::string& out) : out_(out), begin_(out.size()) { start_body(); }
  frame_writer(const frame_writer&) = delete;
  frame_writer& operator=(const frame_writer&) = delete;

  template <typename Int>
  frame_writer& integer(Int value) {
    append_int(out_, value);
    return *this;
  }
  frame_writer& byte(char value) {
    out_.push_back(value);
    return *this;
  }
  frame_writer& bytes(std::string_view value) {
    out_.append(value);
    return *this;
  }
  frame_writer& cstring(std::string_view value) {
    append_cstring(out_, value);
    return *this;
  }
  // A number of elements: 16 bits, unsigned as PostgreSQL reads it.
  frame_writer& count(std::size_t value) {
    if (value > std::numeric_limits<std::uint16_t>::max()) refuse("more than 65535 elements in a message");
    return integer(static_cast<std::uint16_t>(value));
  }
  // A value with its 32-bit length in front.
  frame_writer& sized(std::string_view value) {
    if (value.size() > max_length) refuse("value longer than a message");
    return integer(static_cast<std::int32_t>(value.size())).bytes(value);
  }
  // Fills in the length; nothing may follow.
  void finish() {
    const std::size_t length = out_.size() - length_at_;
    if (length > max_length) refuse("message longer than 2^31-1 bytes");
    store_int(out_.data() + length_at_, static_cast<std::int32_t>(length));
  }

 private:
  static constexpr std::size_t max_length = std::numeric_limits<std::int32_t>::max();

  void start_body() {
    length_at_ = out_.size();
    append_int(out_, std::int32_t{0});
  }
  [[noreturn]] void refuse(const char* why) {
    out_.resize(begin_);
    throw std::length_error(why);
  }

  std::string& out_;
  std::size_t begin_;
  std::size_t length_at_ = 0;
};

// A message that is nothing but its type.
inline void append_empty(std::string& out, char type) { frame_writer(out, type).finish(); }

}  // namespace protocol
