// Bytes that were read and are not yet used up: one contiguous view, consumed at the front, filled at the back. Storage comes in
// blocks of two sizes from a cache that each thread keeps, so that an idle client holds none (I9) and a busy one allocates nothing;
// only a message that must be seen whole grows beyond a large block. Owned by one session or server; never crosses threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace proxy {

class byte_queue {
 public:
  static constexpr std::size_t block_size = 32u << 10, large_block_size = 128u << 10;

  byte_queue() = default;
  ~byte_queue() { give_back(); }
  byte_queue(const byte_queue&) = delete;
  byte_queue& operator=(const byte_queue&) = delete;

  std::string_view view() const noexcept { return {data_.get() + begin_, end_ - begin_}; }
  std::size_t size() const noexcept { return end_ - begin_; }
  // What a read is to make room for when that many bytes more are known to be waiting.
  std::size_t size_with(std::size_t rest) const noexcept { return std::min(size() + rest, large_block_size); }
  bool empty() const noexcept { return begin_ == end_; }
  std::size_t capacity() const noexcept { return capacity_; }

  void consume(std::size_t count) noexcept;
  // Room at the back, at least one byte; `whole` makes room for a message of that size from the front on. Views become invalid.
  std::span<char> room(std::size_t whole = 0);
  void filled(std::size_t count) noexcept { end_ += count; }
  // Returns the storage when nothing is in it.
  void release_if_empty() noexcept;

 private:
  void give_back() noexcept;
  void grow(std::size_t capacity);

  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0, begin_ = 0, end_ = 0;
};

}  // namespace proxy
