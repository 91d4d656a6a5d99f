// JSON that goes into catalog functions as jsonb: strings escaped, numbers as they are. Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace migration {

std::string json_string(std::string_view text);

// Collects members of one object: json_object().text("name", x).number("id", 1).take()
class json_object {
 public:
  json_object& text(std::string_view key, std::string_view value) { return raw(key, json_string(value)); }
  template <typename Number>
  json_object& number(std::string_view key, Number value) {
    return raw(key, fmt::format("{}", value));
  }
  template <typename Optional>
  json_object& optional_number(std::string_view key, const Optional& value) {
    return raw(key, value ? fmt::format("{}", *value) : "null");
  }
  json_object& raw(std::string_view key, std::string_view json);
  std::string take() { return body_ + "}"; }

 private:
  std::string body_ = "{";
};

// [a,b,c] of what `make` returns for each element.
template <typename Range, typename Make>
std::string json_array(const Range& elements, Make make) {
  std::string out = "[";
  for (const auto& element : elements) {
    if (out.size() > 1) out += ',';
    out += make(element);
  }
  return out + "]";
}

}  // namespace migration
