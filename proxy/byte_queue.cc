#include "proxy/byte_queue.h"

#include <cstring>
#include <utility>
#include <vector>

namespace proxy {
namespace {

using block = std::unique_ptr<char[]>;

struct block_cache {
  std::size_t block_size, limit;
  std::vector<block> blocks;
};

// Of the calling thread; nullptr for storage of a size of its own.
block_cache* cache_of(std::size_t size) {
  thread_local block_cache small{byte_queue::block_size, 256, {}}, large{byte_queue::large_block_size, 8, {}};
  if (size == small.block_size) return &small;
  return size == large.block_size ? &large : nullptr;
}

block take_block(std::size_t size) {
  auto* cache = cache_of(size);
  if (!cache || cache->blocks.empty()) return std::make_unique_for_overwrite<char[]>(size);
  auto taken = std::move(cache->blocks.back());
  cache->blocks.pop_back();
  return taken;
}

void keep_block(block given, std::size_t size) {
  auto* cache = cache_of(size);
  if (!cache || cache->blocks.size() == cache->limit) return;
  cache->blocks.reserve(cache->limit);
  cache->blocks.push_back(std::move(given));
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
