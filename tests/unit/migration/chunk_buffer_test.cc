#include <doctest/doctest.h>

#include <filesystem>

#include "migration/mover/chunk_buffer.h"

using migration::chunk_buffer;

namespace {

std::string joined(chunk_buffer& buffer) {
  std::string out;
  for (const auto piece : buffer.pieces()) out += piece;
  return out;
}

std::string fill(chunk_buffer& buffer, std::size_t rows, std::size_t size) {
  std::string all;
  for (std::size_t i = 0; i < rows; ++i) {
    std::string row(size, static_cast<char>('a' + i % 26));
    buffer.append(row);
    all += row;
  }
  return all;
}

std::size_t open_files() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

}  // namespace

TEST_CASE("chunk_buffer: what was appended comes back in order, below and above the cap") {
  struct { const char* name; std::size_t cap, rows, size; bool spilled; } rows[] = {
      {"empty", 1000, 0, 0, false},        {"in memory", 4u << 20, 1000, 100, false},     {"large rows", 1000, 3, 1'000'000, true},
      {"spilled", 512 * 1024, 20'000, 100, true}, {"row larger than a block", 16u << 20, 2, 3'000'000, false}};
  for (const auto& row : rows) {
    CAPTURE(row.name);
    chunk_buffer buffer(row.cap);
    const auto all = fill(buffer, row.rows, row.size);
    CHECK(buffer.size() == all.size());
    CHECK(joined(buffer) == all);
    CHECK(buffer.spilled() == row.spilled);
    chunk_buffer moved(std::move(buffer));
    CHECK(joined(moved) == all);
  }
}

TEST_CASE("chunk_buffer: a spilled chunk leaves no file behind") {
  const auto before = open_files();
  {
    chunk_buffer buffer(1000);
    fill(buffer, 10, 300'000);
    CHECK(buffer.spilled());
    CHECK(buffer.pieces().size() == 1);
    CHECK(open_files() == before + 1);
  }
  CHECK(open_files() == before);
}
