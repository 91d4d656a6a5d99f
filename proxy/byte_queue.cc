#include "proxy/byte_queue.h"

#include <cstring>
#include <utility>
#include <vector>

namespace proxy {
namespace {

constexpr std::size_t max_cached_blocks = 256;

std::vector<std::unique_ptr<char[]>>& cached_blocks() {
  thread_local std::vector<std::unique_ptr<char[]>> blocks;
  return blocks;
}

std::unique_ptr<char[]> take_block() {
  auto& cache = cached_blocks();
  if (cache.empty()) return std::make_unique_for_overwrite<char[]>(byte_queue::block_size);
  auto block = std::move(cache.back());
  cache.pop_back();
  return block;
}

}  // namespace

void byte_queue::consume(std::size_t count) noexcept {
  begin_ += count;
  if (begin_ == end_) begin_ = end_ = 0;
}

std::span<char> byte_queue::room(std::size_t whole) {
  if (!data_) {
    data_ = take_block();
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
  auto larger = std::make_unique_for_overwrite<char[]>(capacity);
  if (!empty()) std::memcpy(larger.get(), data_.get() + begin_, end_ - begin_);
  end_ -= std::exchange(begin_, 0);
  data_ = std::move(larger);
  capacity_ = capacity;
}

void byte_queue::give_back() noexcept {
  auto& cache = cached_blocks();
  if (data_ && capacity_ == block_size && cache.size() < max_cached_blocks) {
    if (cache.capacity() < max_cached_blocks) cache.reserve(max_cached_blocks);
    cache.push_back(std::move(data_));
  }
  data_.reset();
  capacity_ = begin_ = end_ = 0;
}

}  // namespace proxy
