#include "migration/mover/chunk_buffer.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace migration {
namespace {

constexpr std::size_t block_size = 256 * 1024;

[[noreturn]] void fail(const char* doing) { throw std::system_error(errno, std::generic_category(), doing); }

int open_unlinked() {
  auto path = (std::filesystem::temp_directory_path() / "pgrotor-chunk-XXXXXX").string();
  const int file = ::mkostemp(path.data(), O_CLOEXEC);
  if (file < 0) fail("create a temporary file for a chunk");
  ::unlink(path.c_str());
  return file;
}

}  // namespace

chunk_buffer::chunk_buffer(std::size_t memory_cap) : cap_(memory_cap) {}
chunk_buffer::~chunk_buffer() { release(); }

chunk_buffer::chunk_buffer(chunk_buffer&& other) noexcept
    : cap_(other.cap_),
      size_(std::exchange(other.size_, 0)),
      blocks_(std::move(other.blocks_)),
      pieces_(std::move(other.pieces_)),
      file_(std::exchange(other.file_, -1)),
      mapped_(std::exchange(other.mapped_, nullptr)),
      mapped_size_(std::exchange(other.mapped_size_, 0)) {}

chunk_buffer& chunk_buffer::operator=(chunk_buffer&& other) noexcept {
  if (this == &other) return *this;
  release();
  cap_ = other.cap_;
  size_ = std::exchange(other.size_, 0);
  blocks_ = std::move(other.blocks_);
  pieces_ = std::move(other.pieces_);
  file_ = std::exchange(other.file_, -1);
  mapped_ = std::exchange(other.mapped_, nullptr);
  mapped_size_ = std::exchange(other.mapped_size_, 0);
  return *this;
}

void chunk_buffer::release() noexcept {
  if (mapped_) ::munmap(mapped_, mapped_size_);
  if (file_ >= 0) ::close(file_);
  mapped_ = nullptr;
  file_ = -1;
}

void chunk_buffer::append(std::string_view bytes) {
  size_ += bytes.size();
  if (blocks_.empty() || blocks_.back().size() + bytes.size() > blocks_.back().capacity()) {
    if (file_ >= 0 || size_ > cap_) spill();
    if (blocks_.empty() || file_ < 0) blocks_.emplace_back().reserve(std::max(block_size, bytes.size()));
  }
  blocks_.back().append(bytes);
}

// All blocks go to the file; the first one stays as the buffer in front of it.
void chunk_buffer::spill() {
  if (file_ < 0) file_ = open_unlinked();
  for (const auto& block : blocks_) write(block);
  if (blocks_.size() > 1) blocks_.resize(1);
  if (!blocks_.empty()) blocks_.front().clear();
}

void chunk_buffer::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto written = ::write(file_, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) fail("write a chunk to its temporary file");
    if (written > 0) bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::span<const std::string_view> chunk_buffer::pieces() {
  pieces_.clear();
  if (file_ < 0) {
    pieces_.assign(blocks_.begin(), blocks_.end());
    return pieces_;
  }
  spill();
  if (mapped_) ::munmap(mapped_, mapped_size_);
  mapped_size_ = size_;
  mapped_ = ::mmap(nullptr, mapped_size_, PROT_READ, MAP_PRIVATE, file_, 0);
  if (mapped_ == MAP_FAILED) {
    mapped_ = nullptr;
    fail("map a chunk's temporary file");
  }
  pieces_.emplace_back(static_cast<const char*>(mapped_), mapped_size_);
  return pieces_;
}

}  // namespace migration
