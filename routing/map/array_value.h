// The elements of an array that a client sends as one value, in text or binary form, read by the rules of PostgreSQL's array_in and
// array_recv, leniently: what those refuse may be read as something, for then the server answers with its error wherever it runs.
// Called by route() for `key = ANY ($1)`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace routing {

class array_reader {
 public:
  // `value` must outlive the reader. format: 0 text, 1 binary.
  array_reader(std::string_view value, std::int16_t format) noexcept;
  // The next element, of whatever dimension; false at the end. nullopt: NULL. The view is valid until the next call.
  bool next(std::optional<std::string_view>& element);

 private:
  bool next_binary(std::optional<std::string_view>& element) noexcept;
  bool next_text(std::optional<std::string_view>& element);
  void read_text(std::optional<std::string_view>& element);
  std::string_view rest_;
  bool binary_, done_ = false;
  int depth_ = 0;
  std::string unescaped_;
};

}  // namespace routing
