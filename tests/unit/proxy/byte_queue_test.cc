#include "proxy/net/byte_queue.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>

using proxy::byte_queue;

namespace {

void put(byte_queue& queue, std::string_view bytes, std::size_t whole = 0) {
  while (!bytes.empty()) {
    const auto room = queue.room(whole);
    const auto part = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), part);
    queue.filled(part);
    bytes.remove_prefix(part);
  }
}

}  // namespace

TEST_CASE("byte_queue: bytes come out as they went in") {
  byte_queue queue;
  std::string in, out;
  for (int i = 0; i < 2'000; ++i) {
    const std::string part(static_cast<std::size_t>(i * 7 % 301), static_cast<char>('a' + i % 26));
    put(queue, part);
    in += part;
    const auto take = std::min<std::size_t>(queue.size(), static_cast<std::size_t>(i * 13 % 300));
    out += queue.view().substr(0, take);
    queue.consume(take);
  }
  out += queue.view();
  CHECK(in == out);
}

TEST_CASE("byte_queue: a message that must be whole finds room in front of it") {
  byte_queue queue;
  put(queue, std::string(100, 'x'));
  queue.consume(90);
  put(queue, std::string(200'000, 'y'), 200'010);
  CHECK(queue.size() == 200'010);
  CHECK(queue.view().substr(0, 11) == "xxxxxxxxxxy");
  queue.consume(queue.size());
  queue.release_if_empty();
  CHECK(queue.capacity() == 0);
}

TEST_CASE("byte_queue: an idle queue holds no storage") {
  byte_queue queue;
  CHECK(queue.capacity() == 0);
  put(queue, "x");
  queue.release_if_empty();
  CHECK(queue.capacity() == byte_queue::block_size);
  queue.consume(1);
  queue.release_if_empty();
  CHECK(queue.capacity() == 0);
}
