// What a client sees in a column of a shard's rows instead of what the shard says: numbers of clients, and what is known of them
// (process_book.h). Pure; an exchange keeps amendments as bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace proxy {

struct amendment {
  enum class kind : char { number, truth };  // int4, bool
  std::uint16_t column = 0;
  kind is = kind::number;
  std::int32_t value = 0;
};

std::string_view as_bytes(std::span<const amendment>) noexcept;
bool tell_a_truth(std::string_view bytes);
// A whole DataRow, amended; as it is where it makes no sense. What is NULL stays so.
void append_amended(std::string& out, std::string_view frame, std::string_view bytes);

}  // namespace proxy
