// The rows of one chunk between source and target, as COPY sent them: in memory up to a cap, then in an unlinked temporary file, so
// that a table that is one chunk is moved in bounded memory. One thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace migration {

class chunk_buffer {
 public:
  explicit chunk_buffer(std::size_t memory_cap);
  ~chunk_buffer();
  chunk_buffer(chunk_buffer&&) noexcept;
  chunk_buffer& operator=(chunk_buffer&&) noexcept;

  void append(std::string_view);  // throws std::system_error when the temporary file cannot be written
  std::size_t size() const noexcept { return size_; }
  bool spilled() const noexcept { return file_ >= 0; }
  // All bytes in order, valid until the buffer is changed or destroyed. A spilled chunk is mapped.
  std::span<const std::string_view> pieces();

 private:
  void spill();
  void write(std::string_view);
  void release() noexcept;

  std::size_t cap_, size_ = 0;
  std::vector<std::string> blocks_;
  std::vector<std::string_view> pieces_;
  int file_ = -1;
  void* mapped_ = nullptr;
  std::size_t mapped_size_ = 0;
};

}  // namespace migration
