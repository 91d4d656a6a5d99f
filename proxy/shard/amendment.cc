#include "proxy/shard/amendment.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "protocol/frame.h"
#include "protocol/wire.h"

namespace proxy {
namespace {

std::vector<amendment> from_bytes(std::string_view bytes) {
  std::vector<amendment> columns(bytes.size() / sizeof(amendment));
  if (!columns.empty()) std::memcpy(columns.data(), bytes.data(), columns.size() * sizeof(amendment));
  return columns;
}

// In the format of the shard's own value, which tells it: no text begins with a zero byte or, where it is 't' or 'f', with \1.
std::string amended_value(const amendment& told, std::string_view shards_own) {
  std::string made;
  const bool binary = !shards_own.empty() && static_cast<unsigned char>(shards_own.front()) <= 1;
  if (told.is == amendment::kind::truth) made.push_back(binary ? static_cast<char>(told.value) : told.value != 0 ? 't' : 'f');
  else if (binary) protocol::append_int(made, told.value);
  else made = std::to_string(told.value);
  return made;
}

}  // namespace

std::string_view as_bytes(std::span<const amendment> told) noexcept {
  return {reinterpret_cast<const char*>(told.data()), told.size_bytes()};
}

bool tell_a_truth(std::string_view bytes) {
  const auto told = from_bytes(bytes);
  return std::any_of(told.begin(), told.end(), [](const auto& one) { return one.is == amendment::kind::truth; });
}

void append_amended(std::string& out, std::string_view frame, std::string_view bytes) {
  const auto told = from_bytes(bytes);
  std::string values;
  protocol::wire_reader in(frame.substr(protocol::frame_header_size));
  const auto columns = in.read<std::int16_t>();
  protocol::append_int(values, columns);
  for (std::int16_t column = 0; column < columns && in.ok(); ++column) {
    const auto size = in.read<std::int32_t>();
    const auto own = size > 0 ? in.read_bytes(static_cast<std::size_t>(size)) : std::string_view();
    const auto found = std::find_if(told.begin(), told.end(), [column](const auto& one) { return one.column == column; });
    const auto value = found == told.end() || size < 0 ? std::string(own) : amended_value(*found, own);
    protocol::append_int(values, size < 0 ? size : static_cast<std::int32_t>(value.size()));
    values.append(value);
  }
  if (!in.ok()) return void(out.append(frame));
  out.push_back('D');
  protocol::append_int(out, static_cast<std::int32_t>(values.size() + sizeof(std::int32_t)));
  out.append(values);
}

}  // namespace proxy
