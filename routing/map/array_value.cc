#include "routing/map/array_value.h"

#include <algorithm>

#include "routing/map/blank.h"

namespace routing {
namespace {

constexpr std::size_t max_dimensions = 6, dimension_size = 8;

std::optional<std::int32_t> take_int(std::string_view& bytes) noexcept {
  if (bytes.size() < 4) return std::nullopt;
  std::uint32_t value = 0;
  for (const char c : bytes.substr(0, 4)) value = (value << 8) | static_cast<unsigned char>(c);
  bytes.remove_prefix(4);
  return static_cast<std::int32_t>(value);
}

bool is_null(std::string_view text) noexcept {
  constexpr std::string_view word = "null";
  if (text.size() != word.size()) return false;
  for (std::size_t i = 0; i < word.size(); ++i)
    if ((text[i] | 0x20) != word[i]) return false;
  return true;
}

}  // namespace

array_reader::array_reader(std::string_view value, std::int16_t format) noexcept : rest_(value), binary_(format == 1) {
  if (!binary_) {
    // Bounds in front, as in [0:1]={1,2}.
    const auto start = rest_.find_first_of("[{");
    if (start != std::string_view::npos && rest_[start] == '[') rest_.remove_prefix(std::min(rest_.find('='), rest_.size() - 1) + 1);
    return;
  }
  const auto dimensions = take_int(rest_);
  const auto flags = take_int(rest_), type = take_int(rest_);
  done_ = !dimensions || !flags || !type || *dimensions <= 0 || static_cast<std::size_t>(*dimensions) > max_dimensions;
  if (done_) return;
  const auto header = static_cast<std::size_t>(*dimensions) * dimension_size;
  done_ = rest_.size() < header;
  if (!done_) rest_.remove_prefix(header);
}

bool array_reader::next(std::optional<std::string_view>& element) { return binary_ ? next_binary(element) : next_text(element); }

bool array_reader::next_binary(std::optional<std::string_view>& element) noexcept {
  const auto length = done_ ? std::nullopt : take_int(rest_);
  done_ = !length || (*length >= 0 && static_cast<std::size_t>(*length) > rest_.size());
  if (done_) return false;
  element = std::nullopt;
  if (*length < 0) return true;
  element = rest_.substr(0, static_cast<std::size_t>(*length));
  rest_.remove_prefix(element->size());
  return true;
}

bool array_reader::next_text(std::optional<std::string_view>& element) {
  while (!rest_.empty()) {
    const char c = rest_.front();
    if (c == '{') ++depth_;
    else if (c == '}') --depth_;
    else if (c != ',' && !is_blank(c)) break;
    rest_.remove_prefix(1);
    if (c == '}' && depth_ <= 0) rest_ = {};
  }
  if (rest_.empty() || depth_ <= 0) return false;
  read_text(element);
  return true;
}

// Up to the delimiter. Blanks at the end belong to it only when they are quoted or escaped.
void array_reader::read_text(std::optional<std::string_view>& element) {
  unescaped_.clear();
  bool quoted = false, marked = false;
  std::size_t kept = 0;
  for (; !rest_.empty(); rest_.remove_prefix(1)) {
    char c = rest_.front();
    if (!quoted && (c == ',' || c == '{' || c == '}')) break;
    if (c == '"') {
      quoted = !quoted;
      marked = true;
      kept = unescaped_.size();
      continue;
    }
    const bool escaped = c == '\\' && rest_.size() > 1;
    if (escaped) {
      rest_.remove_prefix(1);
      c = rest_.front();
      marked = true;
    }
    unescaped_.push_back(c);
    if (quoted || escaped || !is_blank(c)) kept = unescaped_.size();
  }
  unescaped_.resize(kept);
  element = unescaped_;
  if (!marked && is_null(unescaped_)) element = std::nullopt;
}

}  // namespace routing
