#include "proxy/net/byte_queue.h"

#include <cstring>
#include <utility>

namespace proxy {
namespace {

using block = std::unique_ptr<char[]>;

// Free blocks of one size of the calling thread, a list through their first bytes.
class block_cache {
 public:
  constexpr block_cache(std::size_t size, std::size_t limit) : size_(size), limit_(limit) {}
  ~block_cache() {
    while (first_) take().reset();
    limit_ = 0;
  }
  block take() {
    if (!first_) return std::make_unique_for_overwrite<char[]>(size_);
    block taken(first_);
    std::memcpy(&first_, first_, sizeof first_);
    --count_;
    return taken;
  }
  void keep(block given) noexcept {
    if (count_ == limit_) return;
    std::memcpy(given.get(), &first_, sizeof first_);
    first_ = given.release();
    ++count_;
  }

 private:
  char* first_ = nullptr;
  std::size_t size_, count_ = 0, limit_;
};

constinit thread_local block_cache small_blocks(byte_queue::block_size, 256), large_blocks(byte_queue::large_block_size, 8);

block take_block(std::size_t size) {
  if (size == byte_queue::block_size) return small_blocks.take();
  if (size == byte_queue::large_block_size) return large_blocks.take();
  return std::make_unique_for_overwrite<char[]>(size);
}

void keep_block(block given, std::size_t size) noexcept {
  if (size == byte_queue::block_size) small_blocks.keep(std::move(given));
  else if (size == byte_queue::large_block_size) large_blocks.keep(std::move(given));
}

}  // namespace

void byte_queue::consume(std::size_t count) noexcept {
  begin_ += count;
  if (begin_ == end_) begin_ = end_ = 0;
}

std::span<char> byte_queue::room(std::size_t whole) {
  if (!data_) {
    data_ = take_block(block_size);
    capacity_ = block_size;
  }
  if (whole > capacity_) {
    grow(std::max(whole, std::min(capacity_ * 2, whole * 2)));
  } else if (begin_ > 0 && (end_ == capacity_ || capacity_ - begin_ < whole)) {
    std::memmove(data_.get(), data_.get() + begin_, end_ - begin_);
    end_ -= std::exchange(begin_, 0);
  }
  if (end_ == capacity_) grow(capacity_ * 2);
  return {data_.get() + end_, capacity_ - end_};
}

void byte_queue::release_if_empty() noexcept {
  if (data_ && empty()) give_back();
}

void byte_queue::grow(std::size_t capacity) {
  if (capacity < large_block_size) capacity = large_block_size;
  auto larger = take_block(capacity);
  if (!empty()) std::memcpy(larger.get(), data_.get() + begin_, end_ - begin_);
  end_ -= std::exchange(begin_, 0);
  keep_block(std::move(data_), capacity_);
  data_ = std::move(larger);
  capacity_ = capacity;
}

void byte_queue::give_back() noexcept {
  if (data_) keep_block(std::move(data_), capacity_);
  data_.reset();
  capacity_ = begin_ = end_ = 0;
}

}  // namespace proxy
